//! What clients were told: each answer is a promise that the log must keep.

use rejoinder_model::{InteractionId, MessageKey, PersonId, ThreadId};
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
    Commanded { request: MessageKey, index: u64 },
    /// A command was refused: it has no events in the log.
    CommandRefused { request: MessageKey },
    /// All threads of a workspace as of `index`.
    Shown { workspace: String, index: u64, threads: Vec<Seen> },
}

impl Promise {
    /// A word for what is wrong.
    pub(super) fn broken(&self, why: &str) -> String {
        format!("{why}: {self:?}")
    }
}
