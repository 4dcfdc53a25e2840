//! What an agent makes of what the desktop tells: plans, and what becomes of them.

use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{
    AcceptOffer, ChangePresence, DeclineOffer, FinishItem, ParkItem, ReleaseItem, Request as Up,
};
use rejoinder_api::routing::{Offer, Presence};
use rejoinder_service_kit::millis;
use tokio::time::Instant;
use tonic::Status;

use super::desktop::Desktop;
use super::reply::Draft;
use crate::remote::refused;

const REPLIES: [&str; 4] = [
    "We are looking into it.",
    "Your parcel is on its way.",
    "We have credited the amount.",
    "Please try again now; it should work.",
];

/// What the agent is going to do.
#[derive(Clone)]
pub(super) enum Plan {
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

/// What came of a reply, or of resolving a thread.
pub(super) struct Written {
    pub(super) item: String,
    pub(super) thread: String,
    /// Was there something to answer, and is it answered?
    pub(super) outcome: Result<bool, Status>,
}

impl Desktop<'_> {
    pub(super) fn plan(&mut self, after_ms: u64, plan: Plan) {
        self.numbers += 1;
        self.plans.insert((Instant::now() + Duration::from_millis(after_ms), self.numbers), plan);
    }

    /// Does something happen that happens so many times in a thousand?
    fn chance(&mut self, thousandths: u64) -> bool {
        self.agent.random.u64(..1_000) < thousandths
    }

    /// Takes an offer, does not, or does not see it.
    pub(super) fn consider(&mut self, offer: Offer) {
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

    pub(super) fn changed(&mut self, phase: Phase, item: String, thread: String) {
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

    pub(super) async fn act(&mut self, plan: Plan) -> anyhow::Result<()> {
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
                let pen = self.pen.clone();
                self.agent.writing.spawn(async move {
                    let outcome = pen.resolve(thread.clone()).await.map(|()| false);
                    Written { item: String::new(), thread, outcome }
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
        let pen = self.pen.clone();
        self.agent.writing.spawn(async move {
            let outcome = pen.reply(draft).await;
            Written { item, thread, outcome }
        });
    }

    /// What the agent does after a reply: resolves the thread, ends the work on the item, or lets it wait
    /// for the customer, as it does by itself.
    pub(super) fn follow_up(&mut self, written: &Written) -> anyhow::Result<()> {
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
