//! What clients were told: each answer is a promise that the log must keep.

use rejoinder_model::{AlarmId, InteractionId, MessageKey, OfferId, PersonId, Service, ThreadId};
use rejoinder_routing_core::Routing;
use rejoinder_routing_core::record::Phase;
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;

/// A thread as an answer showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: ThreadId,
    pub(super) person: Option<PersonId>,
    pub(super) version: u64,
    pub(super) state: i32,
    pub(super) messages: Vec<u64>,
}

/// All threads of a workspace that stand for themselves.
pub(super) fn threads_of(state: &Threading, workspace: &str) -> Vec<Seen> {
    let threads = state.threads.page(&ThreadId(0), 10_000).into_iter();
    let theirs = threads.filter(|(_, thread)| thread.is_alive() && thread.workspace == workspace);
    let seen = theirs.map(|(id, thread)| {
        let messages = thread.messages.iter().map(|member| member.interaction).collect();
        let (person, version, state) = (state.thread_person(&thread), thread.version, thread.state);
        Seen { id, person, version, state, messages }
    });
    seen.collect()
}

/// An item that an agent holds, as an answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) item: u64,
    /// 0: it is more than offered.
    pub(super) offer: u64,
    pub(super) phase: Phase,
    pub(super) thread: u64,
    /// The item's etag.
    pub(super) version: u64,
}

/// What an agent holds.
pub(super) fn held_by(state: &Routing, workspace: &str, agent: &str) -> Vec<Held> {
    let agent = state.agent(workspace, agent);
    let held = agent.iter().flat_map(|agent| &agent.held);
    let seen = held.map(|held| {
        let item = state.item(held.item);
        let (thread, version) = item.map_or((0, 0), |item| (item.thread, item.version));
        Held { item: held.item, offer: held.offer, phase: held.phase, thread, version }
    });
    seen.collect()
}

/// An alarm as an answer showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rings {
    pub(super) alarm: AlarmId,
    pub(super) clock: u64,
    pub(super) version: u64,
    pub(super) acknowledged: Option<String>,
}

/// The alarms of a workspace that are not cleared.
pub(super) fn alarms_of(state: &SlaTimer, workspace: &str) -> Vec<Rings> {
    let alarms = state.alarms.page(&AlarmId(0), 10_000).into_iter();
    let theirs = alarms.filter(|(_, alarm)| alarm.workspace == workspace);
    let seen = theirs.map(|(id, alarm)| {
        let acknowledged = alarm.acknowledged.as_ref().map(|acknowledged| acknowledged.actor.clone());
        Rings { alarm: id, clock: alarm.clock, version: alarm.version, acknowledged }
    });
    seen.collect()
}

/// What somebody looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// All threads of a workspace.
    Threads(Vec<Seen>),
    /// What an agent of it holds.
    Work { agent: String, held: Vec<Held> },
    /// All alarms of it.
    Alarms(Vec<Rings>),
}

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Declined,
    TimedOut,
    Revoked,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Promise {
    /// A message is in the log, under this id.
    Stands { key: MessageKey, id: InteractionId },
    /// An edit of this version, a later one or a delete is in the log.
    Edited { key: MessageKey, version: i64 },
    /// A delete is in the log.
    Deleted { key: MessageKey },
    /// A message was refused: it is not in the log.
    Refused { key: MessageKey },
    /// A command's events stand in the log at or before `index`.
    Commanded { service: Service, request: MessageKey, index: u64 },
    /// A command was refused: it has no events in the log.
    CommandRefused { service: Service, request: MessageKey },
    /// An offer ended so, at or before `index`.
    Ended { offer: OfferId, outcome: Outcome, index: u64 },
    /// An offer was over when somebody wanted to accept it: nobody has by it.
    TooLate { offer: OfferId },
    /// An agent's stream has this session, opened at or before `index`.
    Speaks { session: u64, index: u64 },
    /// What was looked at in a workspace, as of `index`.
    Shown { workspace: String, index: u64, view: View },
}

impl Promise {
    /// A word for what is wrong.
    pub(super) fn broken(&self, why: &str) -> String {
        format!("{why}: {self:?}")
    }
}
