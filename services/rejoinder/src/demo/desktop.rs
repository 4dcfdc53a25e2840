//! A desktop: the stream of AgentService.Work, and an agent who acts on what it tells.
//!
//! The agent works on all that it holds at once, each step after a time of its own. What it does later
//! stands in a list of plans; a plan whose item has gone meanwhile is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{
    AcceptOffer, ChangePresence, DeclineOffer, FinishItem, Hello, ParkItem, ReleaseItem, Request as Up,
};
use rejoinder_api::routing::work_response::{Answer, Response as Down};
use rejoinder_api::routing::{Offer, Presence, WorkRequest, WorkResponse};
use rejoinder_service_kit::millis;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::agent::{Agent, until};
use super::reply::{Draft, Pen};
use crate::remote::refused;

/// Requests that may wait on their way up.
const MAX_WAITING: usize = 64;
/// How long the last request may take.
const PATIENCE: Duration = Duration::from_secs(10);
const REPLIES: [&str; 4] = [
    "We are looking into it.",
    "Your parcel is on its way.",
    "We have credited the amount.",
    "Please try again now; it should work.",
];

/// How a desktop's work ended.
pub(super) enum Ended {
    /// The agent went home.
    SignedOff,
    /// The connection is gone.
    Dropped,
}

/// What the agent is going to do.
#[derive(Clone)]
enum Plan {
    Accept { offer: String, drops: bool },
    Decline { offer: String },
    Answer { item: String, thread: String, parked: bool },
    Park { item: String, thread: String },
    Release { item: String },
    Finish { item: String },
    Resolve { thread: String },
    Return,
    Drop,
}

/// An agent with its stream.
pub(super) struct Desktop<'a> {
    agent: &'a mut Agent,
    pen: Pen,
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
    /// Offers that stand, and when they were told.
    offers: BTreeMap<String, Instant>,
    /// Items in work, with their kind.
    items: BTreeSet<String>,
    /// The kinds of items that were offered here.
    kinds: BTreeMap<String, String>,
    plans: BTreeMap<(Instant, u64), Plan>,
    /// Requests that are not answered yet; accepts name their offer.
    asked: BTreeMap<String, Option<String>>,
    numbers: u64,
    as_of: String,
    written_to: mpsc::UnboundedSender<Written>,
    written: mpsc::UnboundedReceiver<Written>,
}

/// What came of a reply.
struct Written {
    item: String,
    thread: String,
    outcome: Result<bool, Status>,
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
        let (written_to, written) = mpsc::unbounded_channel();
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
            written_to,
            written,
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
                Some(written) = self.written.recv() => self.follow_up(&written)?,
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

    async fn ask(&mut self, request: Up, offer: Option<String>) -> anyhow::Result<String> {
        self.numbers += 1;
        let request_id = self.numbers.to_string();
        self.asked.insert(request_id.clone(), offer);
        let request = WorkRequest { request_id: request_id.clone(), request: Some(request) };
        self.up.send(request).await.context("the stream has ended")?;
        Ok(request_id)
    }

    fn plan(&mut self, after_ms: u64, plan: Plan) {
        self.numbers += 1;
        self.plans.insert((Instant::now() + Duration::from_millis(after_ms), self.numbers), plan);
    }

    /// Does something happen that happens so many times in a thousand?
    fn chance(&mut self, thousandths: u64) -> bool {
        self.agent.random.u64(..1_000) < thousandths
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
            Some(Down::ItemWoken(_) | Down::LoadChanged(_) | Down::PresenceChanged(_)) | None => {}
        }
        Ok(())
    }

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

    /// Takes an offer, does not, or does not see it.
    fn consider(&mut self, offer: Offer) {
        if let Some(since) = &offer.eligible_since {
            self.pen.tally.offered(&offer.item_id, self.pen.clock.wall_ms() - millis(since));
        }
        self.offers.insert(offer.offer_id.clone(), Instant::now());
        self.kinds.insert(offer.item_id, offer.kind);
        let (misses, declines, drops) =
            (self.agent.character.misses, self.agent.character.declines, self.agent.character.drops);
        let looks = self.agent.character.looks_ms + self.agent.random.u64(..100);
        let offer = offer.offer_id;
        if self.chance(misses) {
            return;
        }
        if self.chance(declines) {
            return self.plan(looks, Plan::Decline { offer });
        }
        let drops = self.chance(drops);
        self.plan(looks, Plan::Accept { offer, drops });
    }

    fn changed(&mut self, phase: Phase, item: String, thread: String) {
        match phase {
            Phase::Assigned => {
                self.items.insert(item.clone());
                let (parks, releases) = (self.agent.character.parks, self.agent.character.releases);
                let writes = self.agent.character.writes_ms + self.agent.random.u64(..400);
                if self.chance(parks) {
                    self.plan(writes / 2, Plan::Park { item, thread });
                } else if self.chance(releases) {
                    self.plan(writes / 2, Plan::Release { item });
                } else {
                    self.plan(writes, Plan::Answer { item, thread, parked: false });
                }
            }
            Phase::Wrapping => {
                self.items.insert(item.clone());
                self.plan(300, Plan::Finish { item });
            }
            Phase::Unspecified | Phase::Queued | Phase::Offered | Phase::Parked | Phase::Done | Phase::Cancelled => {
                self.items.remove(&item);
            }
        }
    }

    async fn act(&mut self, plan: Plan) -> anyhow::Result<()> {
        match plan {
            Plan::Accept { offer, drops } if self.offers.contains_key(&offer) => {
                self.ask(Up::Accept(AcceptOffer { offer_id: offer.clone() }), Some(offer)).await?;
                if drops {
                    self.plan(200, Plan::Drop);
                }
            }
            Plan::Decline { offer } if self.offers.contains_key(&offer) => {
                let reason = "not mine".to_owned();
                self.ask(Up::Decline(DeclineOffer { offer_id: offer, reason }), None).await?;
            }
            Plan::Answer { item, thread, parked } if parked || self.items.contains(&item) => self.write(item, thread),
            Plan::Park { item, thread } if self.items.contains(&item) => {
                self.pen.tally.did("parked");
                self.ask(Up::Park(ParkItem { item_id: item.clone() }), None).await?;
                self.agent.owed.insert(item.clone(), thread.clone());
                self.plan(1_200, Plan::Answer { item, thread, parked: true });
            }
            Plan::Release { item } if self.items.contains(&item) => {
                self.pen.tally.did("released");
                self.ask(Up::Release(ReleaseItem { item_id: item }), None).await?;
            }
            Plan::Finish { item } if self.items.contains(&item) => {
                self.pen.tally.did("finished");
                self.ask(Up::Finish(FinishItem { item_id: item }), None).await?;
            }
            Plan::Resolve { thread } => {
                let (pen, to) = (self.pen.clone(), self.written_to.clone());
                tokio::spawn(async move {
                    if let Err(status) = pen.resolve(thread.clone()).await {
                        // The desktop may be gone.
                        let _ = to.send(Written { item: String::new(), thread, outcome: Err(status) });
                    }
                });
            }
            Plan::Return => {
                self.ask(Up::Presence(ChangePresence { presence: Presence::Available as i32 }), None).await?;
            }
            // What it was about is gone.
            Plan::Accept { .. }
            | Plan::Decline { .. }
            | Plan::Answer { .. }
            | Plan::Park { .. }
            | Plan::Release { .. }
            | Plan::Finish { .. }
            | Plan::Drop => {}
        }
        Ok(())
    }

    /// Writes a reply beside the stream.
    fn write(&mut self, item: String, thread: String) {
        self.agent.replies += 1;
        let id = format!("reply-{}-{}", self.agent.id, self.agent.replies);
        let text = REPLIES[self.agent.random.usize(..REPLIES.len())];
        let draft = Draft { id, thread: thread.clone(), text, as_of: self.as_of.clone() };
        let (pen, to) = (self.pen.clone(), self.written_to.clone());
        tokio::spawn(async move {
            let outcome = pen.reply(draft).await;
            // The desktop may be gone.
            let _ = to.send(Written { item, thread, outcome });
        });
    }

    /// What the agent does after a reply: resolves the thread, ends the work on the item, or lets it wait
    /// for the customer, as it does by itself.
    fn follow_up(&mut self, written: &Written) -> anyhow::Result<()> {
        let Written { item, thread, outcome } = written;
        let answered = outcome.as_ref().map_err(refused).copied();
        let answered = answered.with_context(|| format!("{} cannot answer", self.agent.id))?;
        let (item, thread) = (item.clone(), thread.clone());
        self.agent.owed.remove(&item);
        let kind = self.kinds.get(&item).map(String::as_str).unwrap_or_default();
        let (live, wraps_up) = (kind == "live_chat", kind == "direct_message");
        let resolves = self.agent.character.resolves;
        if answered && self.chance(resolves) {
            self.plan(250, Plan::Resolve { thread });
        } else if answered && wraps_up && self.chance(300) {
            self.plan(200, Plan::Finish { item });
        } else if live && self.items.contains(&item) {
            // A live chat stays on the screen: what the customer writes next is seen there.
            self.plan(800, Plan::Answer { item, thread, parked: false });
        }
        Ok(())
    }
}
