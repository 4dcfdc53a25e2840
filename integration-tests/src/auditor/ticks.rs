//! The ticks of a partition: what may have fired a timer.

use rejoinder_model::Millis;

/// Ticks in the order of the log.
#[derive(Default)]
pub(super) struct Ticks(Vec<(u64, Millis)>);

impl Ticks {
    pub(super) fn push(&mut self, index: u64, stamp: Millis) {
        self.0.push((index, stamp));
    }

    /// Where the first tick stands that may fire a timer: after the frame that armed it, and stamped at
    /// or past its due time.
    pub(super) fn first(&self, armed: u64, due: Millis) -> Option<u64> {
        let after = self.0.partition_point(|(index, _)| *index <= armed);
        self.0[after..].iter().find(|(_, stamp)| *stamp >= due).map(|(index, _)| *index)
    }
}
