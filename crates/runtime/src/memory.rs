//! The memory that lanes may hold together: what some leave unused, others take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all lanes of a process hold, and may hold.
///
/// A lane lets unused entries go once all hold too much and itself more than an equal share. Lanes
/// look at it when they store their state, so idle ones keep what they have: together they hold less
/// than twice the limit.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    share: usize,
    held: AtomicUsize,
}

impl Memory {
    /// Memory for `lanes` lanes, with a share of `share` bytes each.
    #[must_use]
    pub fn new(share: usize, lanes: usize) -> Arc<Self> {
        Arc::new(Self { limit: share.saturating_mul(lanes), share, held: AtomicUsize::new(0) })
    }

    /// Must a lane that holds so much let go of what it does not use?
    pub(crate) fn is_short(&self, before: usize, now: usize) -> bool {
        let held = self.held.load(Ordering::Relaxed).saturating_sub(before).saturating_add(now);
        now > self.share && held > self.limit
    }

    /// A lane holds `now` bytes where it held `before`.
    pub(crate) fn holds(&self, before: usize, now: usize) {
        self.held.fetch_add(now, Ordering::Relaxed);
        self.held.fetch_sub(before, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_takes_what_others_leave_and_no_more() {
        let memory = Memory::new(100, 3);
        assert!(!memory.is_short(0, 250), "the others hold nothing");
        memory.holds(0, 250);
        assert!(!memory.is_short(0, 90), "less than its share");
        memory.holds(0, 90);
        assert!(memory.is_short(250, 260));
        memory.holds(250, 120);
        assert!(!memory.is_short(120, 200));
    }
}
