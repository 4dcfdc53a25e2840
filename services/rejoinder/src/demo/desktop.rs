//! A desktop: the stream of AgentService.Work, and an agent who acts on what it tells.
//!
//! The agent works on all that it holds at once, each step after a time of its own. What it does later
//! stands in a list of plans; a plan whose item has gone meanwhile is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::work_request::{ChangePresence, Hello, Request as Up};
use rejoinder_api::routing::work_response::{Answer, Response as Down};
use rejoinder_api::routing::{Presence, WorkRequest, WorkResponse};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::agent::{Agent, until};
use super::plan::Plan;
use super::reply::Pen;
use crate::remote::refused;

/// Requests that may wait on their way up.
const MAX_WAITING: usize = 64;
/// How long the last request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How a desktop's work ended.
pub(super) enum Ended {
    /// The agent went home.
    SignedOff,
    /// The connection is gone.
    Dropped,
}

/// An agent with its stream.
pub(super) struct Desktop<'a> {
    pub(super) agent: &'a mut Agent,
    pub(super) pen: Pen,
    pub(super) up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
    /// Offers that stand, and when they were told.
    pub(super) offers: BTreeMap<String, Instant>,
    /// Items in work, with their kind.
    pub(super) items: BTreeSet<String>,
    /// The kinds of items that were offered here.
    pub(super) kinds: BTreeMap<String, String>,
    pub(super) plans: BTreeMap<(Instant, u64), Plan>,
    /// Requests that are not answered yet; accepts name their offer.
    asked: BTreeMap<String, Option<String>>,
    pub(super) numbers: u64,
    pub(super) as_of: String,
}

impl<'a> Desktop<'a> {
    /// Signs in.
    pub(super) async fn open(agent: &'a mut Agent, pen: Pen) -> anyhow::Result<Self> {
        let (up, requests) = mpsc::channel(MAX_WAITING);
        let presence = Presence::Available as i32;
        let hello = Hello { agent_id: agent.id.clone(), presence, with_context: true };
        up.send(WorkRequest { request_id: String::new(), request: Some(Up::Hello(hello)) }).await?;
        let request = pen.remote.request(ReceiverStream::new(requests));
        let call = AgentServiceClient::new(pen.remote.channel.clone()).work(request).await;
        let down = call.map_err(|status| refused(&status))?.into_inner();
        Ok(Self {
            agent,
            pen,
            up,
            down,
            offers: BTreeMap::new(),
            items: BTreeSet::new(),
            kinds: BTreeMap::new(),
            plans: BTreeMap::new(),
            asked: BTreeMap::new(),
            numbers: 0,
            as_of: String::new(),
        })
    }

    /// Works until told to stop, or until the connection drops.
    pub(super) async fn work(mut self, stop: &mut watch::Receiver<bool>) -> anyhow::Result<Ended> {
        loop {
            let next = self.plans.keys().next().map(|(at, _)| *at);
            tokio::select! {
                told = self.down.message() => match told {
                    Ok(Some(told)) => self.hear(told)?,
                    Ok(None) => return Ok(Ended::Dropped),
                    Err(status) => return Err(refused(&status)).with_context(|| format!("the stream of {}", self.agent.id)),
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let Some((_, plan)) = self.plans.pop_first() else { continue };
                    if matches!(plan, Plan::Drop) {
                        return Ok(Ended::Dropped);
                    }
                    self.act(plan).await?;
                }
                Some(written) = self.agent.writing.join_next() => self.follow_up(&written?)?,
                () = until(stop) => return self.sign_off().await,
            }
        }
    }

    async fn sign_off(mut self) -> anyhow::Result<Ended> {
        let id = self.ask(Up::Presence(ChangePresence { presence: Presence::Offline as i32 }), None).await?;
        let answered = async {
            while let Some(told) = self.down.message().await? {
                if matches!(&told.response, Some(Down::Answer(answer)) if answer.request_id == id) {
                    break;
                }
            }
            Ok::<(), Status>(())
        };
        let ended = tokio::time::timeout(PATIENCE, answered).await.context("a sign-off is not answered")?;
        ended.map_err(|status| refused(&status))?;
        Ok(Ended::SignedOff)
    }

    pub(super) async fn ask(&mut self, request: Up, offer: Option<String>) -> anyhow::Result<String> {
        self.numbers += 1;
        let request_id = self.numbers.to_string();
        self.asked.insert(request_id.clone(), offer);
        let request = WorkRequest { request_id: request_id.clone(), request: Some(request) };
        self.up.send(request).await.context("the stream has ended")?;
        Ok(request_id)
    }

    fn hear(&mut self, told: WorkResponse) -> anyhow::Result<()> {
        if !told.position.is_empty() {
            self.as_of = told.position;
        }
        match told.response {
            Some(Down::Welcome(welcome)) => {
                welcome.offers.into_iter().for_each(|offer| self.consider(offer));
                for item in welcome.items {
                    self.kinds.insert(item.item_id.clone(), item.kind.clone());
                    self.changed(item.phase(), item.item_id, item.thread_id);
                }
                for (item, thread) in self.agent.owed.clone() {
                    self.plan(500, Plan::Answer { item, thread, parked: true });
                }
            }
            Some(Down::Offer(offer)) => self.consider(offer),
            Some(Down::OfferEnded(ended)) => {
                self.offers.remove(&ended.offer_id);
            }
            // What was answered waits for an answer again; what was parked comes back as a change.
            Some(Down::ItemWoken(woken)) if self.items.contains(&woken.item_id) => {
                let writes = self.agent.character.writes_ms;
                self.plan(writes, Plan::Answer { item: woken.item_id, thread: woken.thread_id, parked: false });
            }
            Some(Down::ItemChanged(changed)) => self.changed(changed.phase(), changed.item_id, changed.thread_id),
            Some(Down::PresenceChanged(changed)) if changed.presence == Presence::NotResponding as i32 => {
                self.pen.tally.did("not responding");
                let away = self.agent.random.u64(1_000..2_500);
                self.plan(away, Plan::Return);
            }
            Some(Down::Context(context)) => {
                if let Some(told) = self.offers.get(&context.offer_id) {
                    let waited = u64::try_from(told.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.pen.tally.look().to_context.saturating_record(waited);
                }
            }
            Some(Down::Answer(answer)) => self.answered(&answer)?,
            Some(Down::ItemWoken(_) | Down::ItemAnswered(_) | Down::LoadChanged(_) | Down::PresenceChanged(_))
            | None => {}
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "any other refusal ends the demo")]
    fn answered(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let offer = self.asked.remove(&answer.request_id).flatten();
        match Code::from(answer.code) {
            Code::Ok => self.pen.tally.look().accepted.extend(offer),
            // Somebody or something else was first.
            Code::Aborted | Code::FailedPrecondition | Code::NotFound => self.pen.tally.refused(&answer.reason),
            code => anyhow::bail!("a request of {} is refused: {code:?}: {}", self.agent.id, answer.message),
        }
        Ok(())
    }
}
