//! What routing remembers, record by record. None of it is personal data.

use rejoinder_model::{MessageKey, Millis};
use rejoinder_wire::event::{Presence, decision_explained};
use serde::{Deserialize, Serialize};

use crate::key::StaffKey;

/// A workspace, besides its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Queues whose items are to be brought in line with the policy.
    pub sweep_queues: Vec<String>,
    /// Agents that are.
    pub sweep_agents: Vec<String>,
}

/// A queue's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Items that wait.
    pub waiting: u64,
    /// Agents that are available.
    pub available: u32,
}

/// What has become of a workspace's offers and items, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Offers made.
    pub made: u64,
    /// Offers that were accepted.
    pub accepted: u64,
    /// Offers that were declined.
    pub declined: u64,
    /// Offers that nobody answered.
    pub timed_out: u64,
    /// Offers that were taken back.
    pub revoked: u64,
    /// Items that came to be.
    pub opened: u64,
    /// Items that were finished.
    pub done: u64,
    /// Items that were not needed any more.
    pub cancelled: u64,
    /// Times that an agent was given more than its capacity.
    pub overcommitted: u64,
}

impl Outcomes {
    /// Adds those of others.
    pub fn add(&mut self, others: &Self) {
        let Self { made, accepted, declined, timed_out, revoked, opened, done, cancelled, overcommitted } = others;
        self.made += made;
        self.accepted += accepted;
        self.declined += declined;
        self.timed_out += timed_out;
        self.revoked += revoked;
        self.opened += opened;
        self.done += done;
        self.cancelled += cancelled;
        self.overcommitted += overcommitted;
    }
}

/// What routing knows of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its item that has not ended; 0: none.
    pub item: u64,
    /// Who had its last item; empty: nobody.
    pub last_agent: String,
    /// Of the thread's newest item.
    pub channel: String,
    /// Of the thread's newest item.
    pub private: bool,
    /// Of the thread's newest item.
    pub person: u64,
    /// Of the thread's newest item.
    pub followers: u64,
    /// Time of the oldest unanswered message, as long as nobody has answered; 0: none.
    pub unanswered_since: Millis,
}

/// Where a work item is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// It waits for an agent.
    Queued,
    /// Agents are asked.
    Offered,
    /// An agent has it.
    Assigned,
    /// The agent winds up.
    Wrapping,
    /// It waits for the customer.
    Parked,
    /// Finished.
    Done,
    /// Not needed any more.
    Cancelled,
}

impl Phase {
    /// Nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// As lists and metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Assigned => "assigned",
            Self::Wrapping => "wrapping",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A work item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Whose it is.
    pub workspace: String,
    /// The thread that needs an agent.
    pub thread: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// The queue that it waits in, or came from.
    pub queue: String,
    /// The channel's kind.
    pub kind: String,
    /// The thread's channel.
    pub channel: String,
    /// Not public.
    pub private: bool,
    /// The customer; 0: not known.
    pub person: u64,
    /// `Band`.
    pub band: i32,
    /// The score in force, in thousandths of a point.
    pub milli_points: i64,
    /// Its terms (`priority::Kind`, thousandths of a point).
    pub terms: Vec<(i32, i64)>,
    /// Time of the oldest unanswered customer message.
    pub eligible_since: Millis,
    /// Time of the newest customer message known.
    pub customer_at: Millis,
    /// Of the author.
    pub followers: u64,
    /// How it waits.
    pub waiting: Waiting,
    /// Who is waited for; empty: nobody.
    pub preferred: String,
    /// Until when.
    pub preferred_until: Millis,
    /// Who has it, or parked it; empty: nobody.
    pub agent: String,
    /// What it takes of the agent's capacity.
    pub cost: u32,
    /// Offers that stand.
    pub offers: Vec<u64>,
    /// All offers made.
    pub offers_made: u32,
    /// Who is not to be asked again, and until when.
    pub shunned: Vec<(String, Millis)>,
    /// The agent has answered, and nobody has written since.
    pub answered: bool,
    /// When it is parked; 0: not by time.
    pub park_at: Millis,
    /// When its wrap-up ends; 0: not by time.
    pub wrap_until: Millis,
    /// Until when it wakes with the same agent.
    pub wake_until: Millis,
    /// The policy that it was queued by.
    pub policy_version: u64,
    /// When it was opened.
    pub opened_at: Millis,
    /// When it came into its phase.
    pub changed_at: Millis,
    /// own_seq of the last change: the etag.
    pub version: u64,
}

/// How an item waits in its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// When it came into this queue.
    pub in_queue_since: Millis,
    /// By which the queue is ordered.
    pub order: Millis,
    /// The waited time up to which relaxations and delays are in force.
    pub widened_ms: Millis,
    /// When it is looked at again; 0: never.
    pub next_at: Millis,
}

/// An offer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferState {
    /// It stands.
    Pending,
    /// The agent took it.
    Accepted,
    /// The agent did not want it.
    Declined,
    /// The agent said nothing in time.
    TimedOut,
    /// It was taken back.
    Revoked,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Whose it is.
    pub workspace: String,
    /// Of this item.
    pub item: u64,
    /// To this agent.
    pub agent: String,
    /// Where it is in its life.
    pub state: OfferState,
    /// When it was made.
    pub made_at: Millis,
    /// When it ends by itself.
    pub expires_at: Millis,
    /// When it ended; 0: it stands.
    pub ended_at: Millis,
    /// Why it was taken back (`offer_revoked::Reason`).
    pub because: i32,
}

/// An agent, as far as it has been seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Whose it is.
    pub workspace: String,
    /// As the policy names it.
    pub id: String,
    /// A number for its timers.
    pub number: u64,
    /// `Presence`.
    pub presence: i32,
    /// The stream that speaks for it; 0: none.
    pub session: u64,
    /// When its live items are given back; 0: not.
    pub live_give_back_at: Millis,
    /// When the others are; 0: not.
    pub give_back_at: Millis,
    /// Offers timed out in a row.
    pub timed_out: u32,
    /// Since when it has nothing to do.
    pub idle_since: Millis,
    /// When it last got an item.
    pub last_assigned: Millis,
    /// What it holds, in the order in which it came.
    pub held: Vec<Held>,
    /// Where it is listed as available.
    pub staffed: Vec<StaffEntry>,
    /// own_seq of the last change: the etag.
    pub version: u64,
}

/// A line in the list of a queue's available agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffEntry {
    /// The queue.
    pub queue: String,
    /// No capacity is left.
    pub full: bool,
    /// Priority of the membership.
    pub priority: u8,
    /// When it became idle.
    pub idle_since: Millis,
}

impl Agent {
    /// An agent that has never been seen.
    #[must_use]
    pub fn unseen(workspace: &str, id: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            id: id.to_owned(),
            number: 0,
            presence: Presence::Offline as i32,
            session: 0,
            live_give_back_at: 0,
            give_back_at: 0,
            timed_out: 0,
            idle_since: 0,
            last_assigned: 0,
            held: Vec::new(),
            staffed: Vec::new(),
            version: 0,
        }
    }

    /// Whether it works.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::try_from(self.presence).unwrap_or_default()
    }

    /// May it be asked?
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.session != 0 && self.presence() == Presence::Available
    }
}

/// An item that an agent holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub item: u64,
    /// The offer, while it is one; else 0.
    pub offer: u64,
    /// Offered, assigned, wrapping or parked.
    pub phase: Phase,
    /// The channel's kind.
    pub kind: String,
    /// What it takes of the capacity.
    pub cost: u32,
    /// Of a parked item: until when it wakes here.
    pub until: Millis,
}

/// A decision that was made on an item, as it was explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Millis,
    /// The queue.
    pub queue: String,
    /// The policy that it followed.
    pub policy_version: u64,
    /// The state was that of routing's event with this number.
    pub state_own_seq: u64,
    /// Who was asked; nobody: it went on waiting.
    pub chosen: Vec<String>,
    /// The offers to them.
    pub offers: Vec<u64>,
    /// `Strategy`.
    pub strategy: i32,
    /// (`decision_explained::Reason`, agents).
    pub lost: Vec<(i32, u32)>,
    /// The ten best.
    pub best: Vec<Candidate>,
    /// Agents that could have had it.
    pub eligible: u32,
    /// Agents not looked at.
    pub not_looked_at: u32,
}

/// An agent in the running for an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub agent: String,
    /// The strategy's measure; less is better.
    pub score: i64,
    /// Ties: who idles longer.
    pub idle_since: Millis,
    /// Ties: whose last item is longer ago.
    pub last_assigned: Millis,
    /// Priority of the membership.
    pub priority: u32,
}

impl From<&decision_explained::Candidate> for Candidate {
    fn from(wire: &decision_explained::Candidate) -> Self {
        Self {
            agent: wire.agent.clone(),
            score: wire.score,
            idle_since: wire.idle_since,
            last_assigned: wire.last_assigned,
            priority: wire.membership_priority,
        }
    }
}

/// What a request did, so that its repeat does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The item that it was about; 0: an agent.
    pub item: u64,
    /// The agent.
    pub agent: String,
    /// What it asked for: another command under the same id is refused.
    pub content: MessageKey,
}

/// Work that is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Todo {
    /// Whose.
    pub workspace: String,
    /// The agent or queue that it is about.
    pub name: String,
    /// Where it goes on.
    pub cursor: Cursor,
}

/// How far work that fans out has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Agents or queues that are behind.
    pub names: u32,
    /// In a queue: the age and number of the item to go on with.
    pub since: Millis,
    /// Its number.
    pub item: u64,
}

impl StaffEntry {
    pub(crate) fn key(&self, workspace: &str, agent: rejoinder_model::AgentKey) -> StaffKey {
        StaffKey {
            queue: rejoinder_model::QueueKey::new(workspace, &self.queue),
            full: self.full,
            priority: self.priority,
            idle_since: self.idle_since,
            agent,
        }
    }
}
