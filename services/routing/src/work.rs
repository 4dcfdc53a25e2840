//! Work: the stream of an agent's desktop.
//!
//! A stream takes its place at the desk, opens a session, and asks for what the agent holds; from there
//! on it is told whatever became durable. What the desktop says goes to the lane in its order, without
//! waiting for answers. When the stream ends, however it ends, so does the session.

use std::collections::BTreeSet;
use std::time::Duration;

use rejoinder_api::routing::work_request::{Hello, Request};
use rejoinder_api::routing::work_response::{Answer, Response, Welcome};
use rejoinder_api::routing::{self as api, WorkRequest, WorkResponse};
use rejoinder_model::{OfferId, Position, WorkItemId};
use rejoinder_routing_core::{Command, Done, Refusal, Routing, Session};
use rejoinder_runtime::Decide;
use rejoinder_service_kit::{field, refuse};
use rejoinder_wire::event::event::Body;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::agent_service::{Agents, agent_id, presence};
use crate::command::{Call, command};
use crate::context::About;
use crate::desk::{News, Place};
use crate::{refusal, told, view};

/// Responses that may wait for a slow desktop.
const MAX_WAITING: usize = 256;
/// Requests of a stream that may wait for their answers.
const MAX_REQUESTS: usize = 64;
/// How long a desktop may take none of what it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest reason of a decline.
const MAX_REASON_BYTES: usize = 512;

/// A request that was decided, and where that stands; `None`: the outcome is not known.
type Decided = (String, Option<(Result<Done, Refusal>, Position)>);

/// Serves a stream until it ends.
pub(crate) fn serve(
    agents: Agents,
    workspace: String,
    epoch: u64,
    mut up: Streaming<WorkRequest>,
) -> impl Stream<Item = Result<WorkResponse, Status>> + Send + use<> {
    let (down, told) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        let ended = match hello(&mut up).await {
            Ok(hello) => attend(&agents, Of { workspace: &workspace, epoch }, hello, &mut up, &down).await,
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            // The desktop may be gone as well.
            let _ = tokio::time::timeout(PATIENCE, down.send(Err(status))).await;
        }
    });
    ReceiverStream::new(told)
}

/// The first message.
async fn hello(up: &mut Streaming<WorkRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(PATIENCE, up.message()).await;
    let late = |_| refuse::invalid("HELLO_MISSING", "request", "no hello came in time");
    match first.map_err(late)??.and_then(|request| request.request) {
        Some(Request::Hello(hello)) => Ok(hello),
        _ => Err(refuse::invalid("HELLO_MISSING", "request", "the first message is a hello")),
    }
}

/// Whose agent a stream is of, and the epoch of the lane when it came.
#[derive(Clone, Copy)]
struct Of<'a> {
    workspace: &'a str,
    epoch: u64,
}

/// A stream with its session.
struct Desktop<'a> {
    agents: &'a Agents,
    workspace: &'a str,
    epoch: u64,
    by: Session,
    with_context: bool,
    down: &'a mpsc::Sender<Result<WorkResponse, Status>>,
    /// Offers that it was told of with the welcome.
    welcomed: BTreeSet<u64>,
    /// What it was told with the welcome holds for this position at least.
    as_of: u64,
}

async fn attend(
    agents: &Agents,
    Of { workspace, epoch }: Of<'_>,
    hello: Hello,
    up: &mut Streaming<WorkRequest>,
    down: &mpsc::Sender<Result<WorkResponse, Status>>,
) -> Result<(), Status> {
    let agent = agent_id(&hello.agent_id)?;
    // Before the session: nothing that happens in it is missed.
    let mut place = agents.desk.sit(workspace, &agent);
    let connect = Command::Connect { agent: agent.clone() };
    let (done, _) = command(&agents.lanes, Call::of(workspace), connect).await?;
    let Done::Session(session) = done else { return Err(Status::internal("a stream got no session")) };
    let by = Session { agent, session };
    let (welcomed, as_of) = (BTreeSet::new(), 0);
    let with_context = hello.with_context;
    let mut desktop = Desktop { agents, workspace, epoch, by, with_context, down, welcomed, as_of };
    let worked = desktop.work(hello, &mut place, up).await;
    drop(place);
    // Another stream may speak for the agent by now: then there is nothing to end.
    let _ = command(&agents.lanes, Call::of(workspace), Command::Disconnect(desktop.by.clone())).await;
    worked
}

impl Desktop<'_> {
    async fn work(&mut self, hello: Hello, place: &mut Place, up: &mut Streaming<WorkRequest>) -> Result<(), Status> {
        if hello.presence != 0 {
            let set = Command::SetPresence { by: self.by.clone(), presence: presence(hello.presence)? };
            command(&self.agents.lanes, Call::of(self.workspace), set).await?;
        }
        self.welcome().await?;
        let (answer, mut answers) = mpsc::unbounded_channel::<Decided>();
        let mut waiting = 0_usize;
        loop {
            tokio::select! {
                biased;
                news = place.news.recv() => match news {
                    Some(news) => self.tell(&news?).await?,
                    None => return Err(refuse::exhausted("the desktop does not take what it is told", 1_000)),
                },
                Some((request_id, decided)) = answers.recv() => {
                    waiting -= 1;
                    self.answer(request_id, decided).await?;
                }
                request = up.message(), if waiting < MAX_REQUESTS => match request {
                    Ok(Some(request)) => waiting += usize::from(self.ask(request, &answer).await?),
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = self.down.closed() => return Ok(()),
            }
        }
    }

    /// All that the agent holds.
    async fn welcome(&mut self) -> Result<(), Status> {
        let (of, id) = (self.workspace.to_owned(), self.by.agent.clone());
        let question = move |state: &Routing| {
            let agent = view::find_agent(state, &of, &id)?;
            let held = state.agent(&of, &id).map(|agent| agent.held.clone()).unwrap_or_default();
            let offers = held.iter().filter(|held| held.offer != 0);
            let numbers: BTreeSet<u64> = offers.map(|held| held.offer).collect();
            let items = held.iter().filter(|held| held.offer == 0).filter_map(|held| {
                let item = state.item(held.item)?;
                Some(view::item(state, held.item, &item))
            });
            let offers = numbers.iter().filter_map(|offer| view::offer(state, *offer)).collect();
            let welcome = Welcome { agent: Some(agent), offers, items: items.collect(), session_id: String::new() };
            Some((welcome, numbers))
        };
        let (found, as_of) = self.agents.lanes.ask(self.workspace, "", question).await?;
        let (mut welcome, numbers) = found.ok_or_else(|| refuse::not_found("agent", &self.by.agent))?;
        (self.welcomed, self.as_of) = (numbers, as_of.index);
        welcome.session_id = self.by.session.to_string();
        let offers = welcome.offers.clone();
        self.say(as_of.to_string(), Response::Welcome(welcome)).await?;
        for offer in offers {
            self.explain(offer, as_of.to_string());
        }
        Ok(())
    }

    async fn say(&self, position: String, response: Response) -> Result<(), Status> {
        let response = WorkResponse { position, response: Some(response) };
        let response = match self.down.try_send(Ok(response)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(response) | TrySendError::Closed(response)) => response,
        };
        match tokio::time::timeout(PATIENCE, self.down.send(response)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the desktop is gone")),
            Err(_) => Err(refuse::exhausted("the desktop does not take what it is told", 1_000)),
        }
    }

    async fn tell(&self, (position, event): &News) -> Result<(), Status> {
        let Some(body) = &event.body else { return Ok(()) };
        if position.index < self.as_of {
            return Ok(());
        }
        if let Body::AgentPresenceChanged(changed) = body
            && changed.session != self.by.session
            && (changed.session > self.by.session || position.index > self.as_of)
        {
            if self.agents.epoch(self.agents.lanes.partition(self.workspace)) != Some(self.epoch) {
                // Not the agent's doing: whoever took the lane over ends the sessions of before.
                return Err(refuse::unavailable("routing moved to another process: open the stream again", 200));
            }
            return Err(refuse::over("SESSION_OVER", "another stream speaks for the agent, or the policy dropped it"));
        }
        // The welcome may have told of an offer whose event comes now.
        if let Body::OfferMade(made) = body
            && self.welcomed.contains(&made.offer)
        {
            return Ok(());
        }
        let Some(response) = told::response(body) else { return Ok(()) };
        let offer = if let Response::Offer(offer) = &response { Some(offer.clone()) } else { None };
        self.say(position.to_string(), response).await?;
        if let Some(offer) = offer {
            self.explain(offer, position.to_string());
        }
        Ok(())
    }

    /// Lets the context of an offer follow it; the offer does not wait for that.
    fn explain(&self, offer: api::Offer, wait_for: String) {
        if !self.with_context {
            return;
        }
        let workspace = self.workspace.to_owned();
        let asked = (self.agents.ask_context)(About { workspace, thread_id: offer.thread_id, wait_for });
        let down = self.down.clone();
        tokio::spawn(async move {
            match asked.await {
                Ok(mut context) => {
                    context.offer_id = offer.offer_id;
                    let response = Some(Response::Context(context));
                    // The desktop may be gone.
                    let _ = down.send(Ok(WorkResponse { position: String::new(), response })).await;
                }
                Err(status) => tracing::warn!(%status, "an offer goes without its context"),
            }
        });
    }

    /// Gives a request to the lane; `false`: it was answered at once.
    async fn ask(&self, request: WorkRequest, answer: &mpsc::UnboundedSender<Decided>) -> Result<bool, Status> {
        let decided = match self.command(&request) {
            Ok(decided) => decided,
            Err(status) => {
                self.refuse(request.request_id, &status).await?;
                return Ok(false);
            }
        };
        let (reply, request_id) = (answer.clone(), request.request_id.clone());
        let decision = Call::of(self.workspace).decision(decided);
        let job = Decide::new(self.workspace.to_owned(), decision, move |outcome| {
            // The stream may be gone; what was decided stays.
            let _ = reply.send((request_id, outcome));
        });
        if let Err(status) = self.agents.lanes.push(Box::new(job)) {
            self.refuse(request.request_id, &status).await?;
            return Ok(false);
        }
        Ok(true)
    }

    fn command(&self, request: &WorkRequest) -> Result<Command, Status> {
        field::request_id(request.request_id.clone())?;
        let by = self.by.clone();
        let offer = |id: &str| field::id::<OfferId>("offer_id", id);
        let item = |id: &str| field::id::<WorkItemId>("item_id", id);
        match &request.request {
            Some(Request::Accept(accept)) => Ok(Command::Accept { by, offer: offer(&accept.offer_id)? }),
            Some(Request::Decline(decline)) => {
                if decline.reason.len() > MAX_REASON_BYTES {
                    let what = format!("it has {} bytes, {MAX_REASON_BYTES} are allowed", decline.reason.len());
                    return Err(refuse::invalid("TEXT_TOO_LONG", "reason", what));
                }
                Ok(Command::Decline { by, offer: offer(&decline.offer_id)?, reason: decline.reason.clone() })
            }
            Some(Request::Finish(finish)) => Ok(Command::Finish { by, item: item(&finish.item_id)? }),
            Some(Request::Park(park)) => Ok(Command::Park { by, item: item(&park.item_id)? }),
            Some(Request::Release(release)) => Ok(Command::Release { by, item: item(&release.item_id)? }),
            Some(Request::Presence(to)) => Ok(Command::SetPresence { by, presence: presence(to.presence)? }),
            Some(Request::Hello(_)) => Err(refuse::invalid("HELLO_TWICE", "request", "one hello opens a stream")),
            None => Err(refuse::invalid("REQUEST_MISSING", "request", "is empty")),
        }
    }

    async fn answer(
        &self,
        request_id: String,
        decided: Option<(Result<Done, Refusal>, Position)>,
    ) -> Result<(), Status> {
        match decided {
            Some((Ok(_), as_of)) => {
                let answer = Answer { request_id, ..Answer::default() };
                self.say(as_of.to_string(), Response::Answer(answer)).await
            }
            Some((Err(refused), _)) => self.refuse(request_id, &refusal::status(&refused)).await,
            None => {
                let unknown = refuse::unavailable("the outcome is not known; look what the agent holds", 500);
                self.refuse(request_id, &unknown).await
            }
        }
    }

    async fn refuse(&self, request_id: String, status: &Status) -> Result<(), Status> {
        let (code, message) = (i32::from(status.code()), status.message().to_owned());
        let answer = Answer { request_id, code, message, reason: refuse::reason(status) };
        self.say(String::new(), Response::Answer(answer)).await
    }
}
