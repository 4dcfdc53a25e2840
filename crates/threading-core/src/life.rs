//! The life of a thread: which state follows from what (domain rules, section 1, the state table).
//!
//! Who wrote last is decided by the messages' own times, not by their arrival: a question that comes
//! late and was followed by our reply changes nothing, and neither does a reply that is older than
//! the customer's last word.

use rejoinder_model::Millis;
use rejoinder_wire::event::{Disposition, ThreadState, ThreadStateChanged, thread_state_changed::Cause};

use crate::record::{Thread, Workspace};

/// Somebody still waits for somebody.
#[must_use]
pub fn is_open(state: ThreadState) -> bool {
    matches!(state, ThreadState::AwaitingAgent | ThreadState::AwaitingCustomer | ThreadState::OnHold)
}

/// What of a thread its life depends on; two threads that merge have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: ThreadState,
    pub(crate) last_in: Option<Millis>,
    pub(crate) last_out: Option<Millis>,
    pub(crate) silent_at: Millis,
}

impl Life {
    pub(crate) const NEW: Self = Self { state: ThreadState::New, last_in: None, last_out: None, silent_at: 0 };

    pub(crate) fn of(thread: &Thread) -> Self {
        Self { state: thread.state(), last_in: thread.last_in, last_out: thread.last_out, silent_at: thread.silent_at }
    }

    /// The customer's word is the last one.
    fn is_unanswered(self) -> bool {
        self.last_in.is_some_and(|last_in| self.last_out.is_none_or(|last_out| last_out < last_in))
    }

    /// Somebody said that an agent must act, though ours is the last word.
    pub(crate) fn is_for_agent_regardless(self) -> bool {
        self.state == ThreadState::AwaitingAgent && !self.is_unanswered()
    }

    /// When silence resolves it: as was known, or counted from now.
    pub(crate) fn silent_at_from(self, workspace: &Workspace, now: Millis) -> Millis {
        match self.state {
            ThreadState::AwaitingCustomer if self.silent_at == 0 => silent_at(workspace, now),
            ThreadState::AwaitingCustomer => self.silent_at,
            ThreadState::Unspecified
            | ThreadState::New
            | ThreadState::Watched
            | ThreadState::AwaitingAgent
            | ThreadState::OnHold
            | ThreadState::Resolved => 0,
        }
    }

    /// The life of two threads that become one.
    pub(crate) fn with(self, other: Self) -> Self {
        let joined = Self {
            state: self.state,
            last_in: self.last_in.max(other.last_in),
            last_out: self.last_out.max(other.last_out),
            silent_at: self.silent_at.max(other.silent_at),
        };
        let either = |state| self.state == state || other.state == state;
        let state = if either(ThreadState::OnHold) && !either(ThreadState::AwaitingAgent) {
            ThreadState::OnHold
        } else if either(ThreadState::AwaitingAgent) || either(ThreadState::AwaitingCustomer) {
            let told = self.is_for_agent_regardless() || other.is_for_agent_regardless();
            if told || joined.is_unanswered() { ThreadState::AwaitingAgent } else { ThreadState::AwaitingCustomer }
        } else if either(ThreadState::Resolved) {
            ThreadState::Resolved
        } else {
            self.state.max(other.state)
        };
        let silent_at = if state == ThreadState::AwaitingCustomer { joined.silent_at } else { 0 };
        Self { state, silent_at, ..joined }
    }

    /// A customer message: the state that follows, if another.
    pub(crate) fn on_customer_message(&mut self, time: Millis) -> Option<ThreadState> {
        let answered = self.last_out.is_some_and(|last_out| time < last_out);
        self.last_in = self.last_in.max(Some(time));
        if answered && self.state != ThreadState::New {
            return None;
        }
        // Every message engages until engagement rules exist.
        self.go(ThreadState::AwaitingAgent)
    }

    /// Our reply: the state that follows, if another.
    pub(crate) fn on_reply(&mut self, time: Millis) -> Option<ThreadState> {
        self.last_out = self.last_out.max(Some(time));
        match self.state {
            ThreadState::OnHold | ThreadState::Resolved | ThreadState::Unspecified => None,
            ThreadState::AwaitingAgent if self.is_unanswered() => None,
            ThreadState::New | ThreadState::Watched | ThreadState::AwaitingAgent | ThreadState::AwaitingCustomer => {
                self.go(ThreadState::AwaitingCustomer)
            }
        }
    }

    fn go(&mut self, to: ThreadState) -> Option<ThreadState> {
        let changed = self.state != to;
        self.state = to;
        changed.then_some(to)
    }
}

/// When silence after a reply at record time `now` resolves a thread.
pub(crate) fn silent_at(workspace: &Workspace, now: Millis) -> Millis {
    if workspace.silence_ms == 0 { 0 } else { now.saturating_add(workspace.silence_ms) }
}

/// The facts of a thread that a change of it tells.
pub(crate) fn about(record: &Thread) -> ThreadStateChanged {
    ThreadStateChanged {
        channel: record.channels.last().cloned().unwrap_or_default(),
        private: record.conversation == 0,
        ..ThreadStateChanged::default()
    }
}

/// The hold of a thread ends.
pub(crate) fn on_hold_over(thread: u64, record: &Thread, now: Millis) -> ThreadStateChanged {
    ThreadStateChanged {
        thread,
        from: record.state,
        to: ThreadState::AwaitingAgent as i32,
        cause: Cause::HoldOver as i32,
        at: now,
        clock_time: record.hold_until,
        ..about(record)
    }
}

/// The customer has been silent for long enough.
pub(crate) fn on_silence(thread: u64, record: &Thread, now: Millis) -> ThreadStateChanged {
    ThreadStateChanged {
        thread,
        from: record.state,
        to: ThreadState::Resolved as i32,
        cause: Cause::Silence as i32,
        disposition: Disposition::Silent as i32,
        at: now,
        clock_time: record.silent_at,
        ..about(record)
    }
}

#[cfg(test)]
mod tests {
    use super::ThreadState::{AwaitingAgent, AwaitingCustomer, New, OnHold, Resolved, Watched};
    use super::*;

    #[test]
    fn the_state_table_for_messages() {
        // (from, after a customer message, after our reply)
        let table = [
            (New, AwaitingAgent, AwaitingCustomer),
            (Watched, AwaitingAgent, AwaitingCustomer),
            (AwaitingAgent, AwaitingAgent, AwaitingCustomer),
            (AwaitingCustomer, AwaitingAgent, AwaitingCustomer),
            (OnHold, AwaitingAgent, OnHold),
            (Resolved, AwaitingAgent, Resolved),
        ];
        for (from, customer, reply) in table {
            let life = Life { state: from, last_in: Some(1), last_out: None, silent_at: 0 };
            let mut after = life;
            after.on_customer_message(5);
            assert_eq!(after.state, customer, "customer message in {from:?}");
            let mut after = life;
            after.on_reply(5);
            assert_eq!(after.state, reply, "reply in {from:?}");
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_decide_who_wrote_last() {
        let mut life = Life::NEW;
        life.on_reply(20);
        assert_eq!(life.on_customer_message(10), None);
        assert_eq!(life.state, AwaitingCustomer);
        assert_eq!(life.on_customer_message(30), Some(AwaitingAgent));
        assert_eq!(life.on_reply(25), None);
        assert_eq!(life.on_reply(30), Some(AwaitingCustomer));
    }

    #[test]
    fn threads_that_merge_wait_for_who_must_act() {
        let life = |state, last_in, last_out| Life { state, last_in, last_out, silent_at: 9 };
        let asked = life(AwaitingAgent, Some(10), None);
        let answered = life(AwaitingCustomer, Some(5), Some(20));
        assert_eq!(asked.with(answered).state, AwaitingCustomer);
        assert_eq!(answered.with(life(AwaitingAgent, Some(30), None)).state, AwaitingAgent);
        assert_eq!(life(Resolved, Some(1), Some(2)).with(asked).state, AwaitingAgent);
        assert_eq!(life(Resolved, None, None).with(life(OnHold, None, None)).state, OnHold);
    }
}
