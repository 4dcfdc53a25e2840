//! Who should own a lane. The claims in the log say who does; this says who may write one.
//!
//! One process that has its directory's lock owns for good. In a group of processes a coordinator gives
//! and takes partitions: what it gave holds from the moment at which it was asked, and no longer than
//! its session. Both are times of the process's monotonic clock.

use std::sync::atomic::{AtomicI64, Ordering};

use rejoinder_model::Millis;

/// Nobody gave it.
const NOT_HELD: Millis = Millis::MIN;

/// One process's right to a lane.
#[derive(Debug)]
pub struct Tenure {
    /// When the coordinator was asked that gave it last.
    asked_at: AtomicI64,
    /// How long an answer holds; `None`: for good.
    session_ms: Option<Millis>,
}

impl Tenure {
    /// The right of who has the only key.
    #[must_use]
    pub fn for_good() -> Self {
        Self { asked_at: AtomicI64::new(NOT_HELD + 1), session_ms: None }
    }

    /// A right that a coordinator may give.
    #[must_use]
    pub fn of_session(session_ms: Millis) -> Self {
        Self { asked_at: AtomicI64::new(NOT_HELD), session_ms: Some(session_ms) }
    }

    /// The coordinator, asked at this time, says that the lane is ours.
    pub fn confirm(&self, asked_at: Millis) {
        self.asked_at.fetch_max(asked_at, Ordering::AcqRel);
    }

    /// It is not ours any more.
    pub fn end(&self) {
        self.asked_at.store(NOT_HELD, Ordering::Release);
    }

    /// Is it ours at this time, by an answer to a question asked after `deposed_at`?
    #[must_use]
    pub fn holds(&self, now: Millis, deposed_at: Option<Millis>) -> bool {
        let asked_at = self.asked_at.load(Ordering::Acquire);
        let lasts = self.session_ms.is_none_or(|session| asked_at.saturating_add(session) > now);
        asked_at != NOT_HELD && lasts && deposed_at.is_none_or(|deposed_at| asked_at > deposed_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_a_session_from_when_the_question_was_asked() {
        let tenure = Tenure::of_session(6_000);
        assert!(!tenure.holds(0, None), "nobody gave it");
        tenure.confirm(1_000);
        assert!(tenure.holds(6_999, None));
        assert!(!tenure.holds(7_000, None), "the session is over");
        tenure.confirm(5_000);
        tenure.confirm(4_000);
        assert!(tenure.holds(10_999, None), "an older answer takes nothing back");
        tenure.end();
        assert!(!tenure.holds(6_000, None));
    }

    #[test]
    fn who_was_deposed_needs_an_answer_to_a_later_question() {
        let tenure = Tenure::of_session(6_000);
        tenure.confirm(1_000);
        assert!(!tenure.holds(2_000, Some(1_500)));
        assert!(!tenure.holds(2_000, Some(1_000)));
        tenure.confirm(1_501);
        assert!(tenure.holds(2_000, Some(1_500)));
        let lock = Tenure::for_good();
        assert!(lock.holds(i64::MAX, None));
        assert!(!lock.holds(0, Some(-5)), "somebody else has the lock now");
    }
}
