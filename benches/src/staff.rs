//! Agents at their work: a stream for each, on which they accept whatever is offered, at once.
//!
//! What they see goes to their workspace's desk, which says when a thread is answered; then they finish
//! the work item, and resolve the thread when all is said, by the public API like everybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use rejoinder_api::feed::SubscribeRequest;
use rejoinder_api::feed::event_feed_service_client::EventFeedServiceClient;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{AcceptOffer, FinishItem, Hello, Request};
use rejoinder_api::routing::work_response::Response;
use rejoinder_api::routing::{Presence, WorkRequest, WorkResponse};
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ResolveThreadRequest, thread::Disposition};
use rejoinder_model::{Position, ThreadId};
use rejoinder_wire::event::{Event, event::Body};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

use crate::clock;
use crate::latency::Latencies;
use crate::server::{Server, of};
use crate::workload::{By, Desk, Seen, Wish};

/// Streams that share a connection: a server may take no more than 100.
const STREAMS_A_CONNECTION: usize = 90;
/// Threads of a workspace that are resolved at the same time.
const RESOLVING: usize = 8;

/// How a workspace is staffed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staff {
    /// Agents of each workspace.
    pub(crate) agents: usize,
    /// Do they ask for what is to be known with each offer?
    pub(crate) with_context: bool,
}

/// A workspace at work: its desk, and what its agents say and do.
pub(crate) struct Floor {
    desk: Mutex<Desk>,
    /// There may be something to send.
    pub(crate) changed: Notify,
    agents: OnceLock<Vec<mpsc::UnboundedSender<WorkRequest>>>,
    /// Streams that are read.
    reading: Mutex<Vec<JoinHandle<()>>>,
    resolving: OnceLock<mpsc::UnboundedSender<String>>,
    /// The highest position that an answer named.
    as_of: Mutex<Option<(u64, u16)>>,
    failed: Mutex<Option<String>>,
    /// From an offer to what is to be known about it.
    context: Mutex<Latencies>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Floor {
    pub(crate) fn new(desk: Desk) -> Arc<Self> {
        Arc::new(Self {
            desk: Mutex::new(desk),
            changed: Notify::new(),
            agents: OnceLock::new(),
            reading: Mutex::default(),
            resolving: OnceLock::new(),
            as_of: Mutex::default(),
            failed: Mutex::default(),
            context: Mutex::default(),
        })
    }

    /// Lets something happen at the desk, then does what the desk wishes.
    pub(crate) fn with<R>(&self, does: impl FnOnce(&mut Desk) -> R) -> R {
        let mut desk = lock(&self.desk);
        let done = does(&mut desk);
        let wishes = std::mem::take(&mut desk.wishes);
        drop(desk);
        for wish in wishes {
            match wish {
                Wish::Finish(by) => self.finish(&by),
                Wish::Resolve(thread) => {
                    if let Some(resolving) = self.resolving.get() {
                        // Ends with the run.
                        let _ = resolving.send(thread);
                    }
                }
            }
        }
        self.changed.notify_one();
        done
    }

    /// Looks at the desk.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&Desk) -> R) -> R {
        at(&lock(&self.desk))
    }

    /// The agent is through, and then through with the wrap-up.
    fn finish(&self, by: &By) {
        let Some(agent) = self.agents.get().and_then(|agents| agents.get(by.agent)) else { return };
        for _ in 0..2 {
            let finish = Request::Finish(FinishItem { item_id: by.item.clone() });
            // Whoever reads the stream says why it has ended.
            let _ = agent.send(WorkRequest { request_id: String::new(), request: Some(finish) });
        }
    }

    pub(crate) fn note(&self, as_of: &str) {
        if let Ok(position) = as_of.parse::<Position>() {
            let mut known = lock(&self.as_of);
            *known = (*known).max(Some((position.index, position.partition)));
        }
    }

    /// The highest position that an answer named.
    pub(crate) fn as_of(&self) -> String {
        lock(&self.as_of).map(|(index, partition)| Position { partition, index }.to_string()).unwrap_or_default()
    }

    pub(crate) fn fail(&self, error: &anyhow::Error) {
        lock(&self.failed).get_or_insert_with(|| format!("{error:#}"));
        self.changed.notify_one();
    }

    /// Says what failed, if anything did.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let failed = lock(&self.failed).clone();
        failed.map_or(Ok(()), |what| Err(anyhow::anyhow!(what)))
    }

    /// The agents go home.
    pub(crate) fn close(&self) {
        lock(&self.reading).drain(..).for_each(|reading| reading.abort());
    }

    /// What was measured so far, from now on anew: offers, woken items, contexts.
    pub(crate) fn take_latencies(&self) -> (Latencies, Latencies, Latencies) {
        let mut desk = lock(&self.desk);
        let (offered, woken) = (std::mem::take(&mut desk.offered), std::mem::take(&mut desk.woken));
        (offered, woken, std::mem::take(&mut lock(&self.context)))
    }
}

/// Puts agents on the floors, with streams of their own.
pub(crate) async fn take_seats(server: &Server, floors: &[Arc<Floor>], staff: Staff) -> anyhow::Result<()> {
    let all = floors.len() * (staff.agents + 1 + RESOLVING);
    let mut channels = Vec::new();
    for _ in 0..all.div_ceil(STREAMS_A_CONNECTION) {
        channels.push(server.channel().await?);
    }
    let mut seats = channels.iter().cycle();
    let mut next = || seats.next().cloned().context("there is a connection");
    let mut sitting = Vec::new();
    for floor in floors {
        let workspace = floor.look(|desk| desk.workspace.clone());
        follow(floor.clone(), next()?, &workspace).await?;
        resolve(floor, next()?, &workspace);
        let mut of_floor = Vec::new();
        for number in 0..staff.agents {
            let (floor, channel, workspace) = (floor.clone(), next()?, workspace.clone());
            of_floor
                .push(tokio::spawn(async move { sit(floor, channel, &workspace, number, staff.with_context).await }));
        }
        sitting.push((floor, of_floor));
    }
    for (floor, of_floor) in sitting {
        let mut agents = Vec::new();
        for agent in of_floor {
            agents.push(agent.await??);
        }
        let _ = floor.agents.set(agents);
    }
    Ok(())
}

/// Learns of the threads that begin, in their order.
async fn follow(floor: Arc<Floor>, channel: Channel, workspace: &str) -> anyhow::Result<()> {
    let request = SubscribeRequest { types: vec!["ThreadOpened".into()], ..SubscribeRequest::default() };
    let mut events = EventFeedServiceClient::new(channel).subscribe(of(workspace, request)?).await?.into_inner();
    let of_floor = floor.clone();
    let reading = tokio::spawn(async move {
        let followed: anyhow::Result<()> = async {
            while let Some(told) = events.message().await? {
                let event = Event::decode(&told.payload[..])?;
                if let Some(Body::ThreadOpened(opened)) = event.body {
                    floor.with(|desk| desk.thread_opened(ThreadId(opened.thread).to_string()));
                }
            }
            Ok(())
        }
        .await;
        let _ = followed.inspect_err(|error| floor.fail(error));
    });
    lock(&of_floor.reading).push(reading);
    Ok(())
}

/// Resolves threads as the desk wishes.
fn resolve(floor: &Arc<Floor>, channel: Channel, workspace: &str) {
    let (to, mut wished) = mpsc::unbounded_channel::<String>();
    let _ = floor.resolving.set(to);
    let (floor, workspace) = (Arc::downgrade(floor), workspace.to_owned());
    let room = Arc::new(tokio::sync::Semaphore::new(RESOLVING));
    tokio::spawn(async move {
        while let Some(thread) = wished.recv().await {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let (floor, workspace) = (floor.clone(), workspace.clone());
            let mut client = ThreadServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let request = ResolveThreadRequest {
                    thread_id: thread.clone(),
                    disposition: Disposition::Answered as i32,
                    ..ResolveThreadRequest::default()
                };
                let resolved = match of(&workspace, request) {
                    Ok(request) => client.resolve_thread(request).await,
                    Err(status) => Err(status),
                };
                drop(permit);
                let Some(floor) = floor.upgrade() else { return };
                match resolved {
                    Ok(answer) => {
                        floor.note(&answer.into_inner().as_of);
                        floor.with(|desk| desk.thread_resolved(&thread));
                    }
                    Err(status) => floor.fail(&status.into()),
                }
            });
        }
    });
}

/// Opens an agent's stream and lets it work.
async fn sit(
    floor: Arc<Floor>,
    channel: Channel,
    workspace: &str,
    number: usize,
    with_context: bool,
) -> anyhow::Result<mpsc::UnboundedSender<WorkRequest>> {
    let (to, requests) = mpsc::unbounded_channel();
    let hello = Hello { agent_id: agent_id(number), presence: Presence::Available as i32, with_context };
    to.send(WorkRequest { request_id: String::new(), request: Some(Request::Hello(hello)) })?;
    let request = of(workspace, UnboundedReceiverStream::new(requests))?;
    let mut told = AgentServiceClient::new(channel).work(request).await?.into_inner();
    let welcome = told.message().await?.context("a stream begins with a welcome")?;
    ensure!(matches!(welcome.response, Some(Response::Welcome(_))), "a stream begins with a welcome");
    let (up, of_floor) = (to.clone(), floor.clone());
    let reading = tokio::spawn(async move {
        let mut offers = HashMap::new();
        let worked: anyhow::Result<()> = async {
            while let Some(told) = told.message().await? {
                hear(&floor, number, told, &up, with_context.then_some(&mut offers))?;
            }
            Ok(())
        }
        .await;
        let _ = worked.inspect_err(|error| floor.fail(error));
    });
    lock(&of_floor.reading).push(reading);
    Ok(to)
}

/// The id of an agent.
pub(crate) fn agent_id(number: usize) -> String {
    format!("agent-{number}")
}

fn hear(
    floor: &Floor,
    agent: usize,
    told: WorkResponse,
    up: &mpsc::UnboundedSender<WorkRequest>,
    offers: Option<&mut HashMap<String, Instant>>,
) -> anyhow::Result<()> {
    match told.response {
        Some(Response::Offer(offer)) => {
            let at = clock::now();
            if let Some(offers) = offers {
                offers.insert(offer.offer_id.clone(), at);
            }
            let accept = Request::Accept(AcceptOffer { offer_id: offer.offer_id });
            let _ = up.send(WorkRequest { request_id: String::new(), request: Some(accept) });
            floor.with(|desk| desk.seen(&offer.thread_id, Seen::Offered, at));
        }
        Some(Response::ItemChanged(changed)) => {
            let seen = match changed.phase() {
                Phase::Assigned => Seen::Assigned(By { agent, item: changed.item_id }),
                Phase::Parked | Phase::Done => Seen::AtRest,
                Phase::Unspecified | Phase::Queued | Phase::Offered | Phase::Wrapping | Phase::Cancelled => {
                    return Ok(());
                }
            };
            floor.with(|desk| desk.seen(&changed.thread_id, seen, clock::now()));
        }
        Some(Response::ItemAnswered(answered)) => {
            floor.with(|desk| desk.seen(&answered.thread_id, Seen::Answered, clock::now()));
        }
        Some(Response::Context(context)) => {
            let offered = offers.and_then(|offers| offers.remove(&context.offer_id));
            let at = offered.context("a context of what was not offered")?;
            ensure!(!context.messages.is_empty(), "an offer's context has no message");
            lock(&floor.context).add(at.elapsed());
        }
        Some(Response::Answer(answer)) => {
            ensure!(answer.code == 0, "an agent's request was refused: {} {}", answer.reason, answer.message);
        }
        _ => {}
    }
    Ok(())
}
