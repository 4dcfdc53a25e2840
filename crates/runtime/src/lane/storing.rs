//! What the state is, and what of it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_event_log::PartitionFold;
use rejoinder_machine::State;

use super::{Failure, Lane, Phase};
use crate::memory::Memory;
use crate::recover;

impl<S: State> Lane<S> {
    /// Brings the digest up to date and returns it; what changed is kept for the next flush.
    pub fn collect(&mut self) -> u128 {
        let mut collector = recover::Collector::default();
        self.state.visit_tables(&mut collector);
        self.changes.extend(collector.changes.into_iter().map(|change| (change.key, change.value)));
        collector.digest
    }

    /// Stores what is done, unless frames are in flight or the lane only follows.
    ///
    /// Nothing is stored either by a lane that stopped, whose state may hold what was never written,
    /// nor by one that has not read up to what its state holds again: its position would lie too low.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let stopped = self.is_over || matches!(self.phase, Phase::Stopped(_));
        let follows = self.options.follow_only && !self.options.stores_following;
        if stopped || !self.in_flight.is_empty() || follows || self.fold.next_index < self.applied {
            return Ok(());
        }
        self.store_now()
    }

    /// Stores what is done once much was read since the last time. A checkpoint comes with a lane's own
    /// events: one that writes little in a busy partition would read all of it again after a crash.
    pub(super) fn store_if_far(&mut self) -> Result<(), Failure> {
        let far = self.fold.next_index.saturating_sub(self.stored_at) >= self.options.store_records;
        if far && matches!(self.phase, Phase::Warm | Phase::Live) {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores what was folded, also by a lane that only follows: for a rebuild in a state of its own.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn store_now(&mut self) -> Result<(), Failure> {
        if let Some(what) = self.store.failure() {
            return Err(Failure::State(what));
        }
        self.collect();
        let fold = self.restart_fold();
        self.stored_at = self.fold.next_index;
        recover::store(self, &fold)
    }

    /// What differs from the stored state, by table and key; `None`: gone.
    pub fn take_changes(&mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.collect();
        std::mem::take(&mut self.changes)
    }

    /// Shares its memory with other lanes from now on.
    pub fn share(&mut self, memory: &Arc<Memory>) {
        self.memory = memory.clone();
    }

    pub(crate) fn is_memory_short(&self, bytes: usize) -> bool {
        self.memory.is_short(self.held, bytes)
    }

    pub(crate) fn holds(&mut self, bytes: usize) {
        self.memory.holds(self.held, bytes);
        self.held = bytes;
    }

    /// The number of the next event: nothing is in flight when it is asked.
    pub(crate) fn done_own_seq(&self) -> u64 {
        self.next_own_seq
    }

    /// Ownership as of where a restart begins to read.
    fn restart_fold(&self) -> PartitionFold {
        self.inputs.held_tick().map_or(*self.considered_fold(), |tick| *tick.fold)
    }
}
