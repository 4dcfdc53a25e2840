//! From what is stored to where the lane goes on, and back: one way for every backend.

use std::sync::Arc;

use rejoinder_event_log::{EventLog, PartitionFold, record};
use rejoinder_machine::{Change, State, TableOps, TableVisitor};
use rejoinder_model::Millis;
use rejoinder_projection_store::{LaneMeta, LaneStore};

use crate::lane::{Failure, Lane};

/// Where a lane starts to read.
pub(crate) struct Start<S> {
    pub(crate) state: S,
    pub(crate) fold: PartitionFold,
    pub(crate) applied: u64,
    pub(crate) checksum: u32,
    pub(crate) next_own_seq: u64,
    pub(crate) fires_from: [Millis; 4],
}

/// Collects the changes of all tables and the sum of their digests.
#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) changes: Vec<Change>,
    pub(crate) digest: u128,
    digests: Vec<(u8, u128)>,
    memory: usize,
}

impl TableVisitor for Collector {
    fn visit(&mut self, table: &mut dyn TableOps) {
        table.collect(&mut self.changes);
        self.digest = self.digest.wrapping_add(table.digest());
        self.digests.push((table.id(), table.digest()));
        self.memory += table.memory();
    }
}

struct Restore(Vec<(u8, u128)>);

impl TableVisitor for Restore {
    fn visit(&mut self, table: &mut dyn TableOps) {
        if let Some((_, digest)) = self.0.iter().find(|(id, _)| *id == table.id()) {
            table.restore_digest(*digest);
        }
    }
}

struct Flushed {
    evict: bool,
    memory: usize,
}

impl TableVisitor for Flushed {
    fn visit(&mut self, table: &mut dyn TableOps) {
        table.flushed();
        if self.evict {
            table.evict();
        }
        self.memory += table.memory();
    }
}

/// The state as stored, or an empty one.
///
/// What is stored may come from a snapshot of another instance, so it is believed only as far as the log
/// bears it out: it must be of this log, must not go beyond its end, and the record that it ends at must
/// have the same checksum. One from beyond the end (this process has not read so far yet, or the log came
/// back from a copy) or of another past is refused like damage: the lane clears its part and folds the
/// log from its start, which is right and only takes longer. A restore passes over what is ahead of the
/// log as known then, so that an older snapshot is used instead.
pub(crate) fn start<S: State>(log: &dyn EventLog, partition: u16, store: &LaneStore) -> Result<Start<S>, Failure> {
    let mut state = S::open(Arc::new(store.clone()));
    let Some(meta) = store.meta().map_err(Failure::State)? else {
        let fold = PartitionFold::default();
        return Ok(Start { state, fold, applied: 0, checksum: 0, next_own_seq: 1, fires_from: [Millis::MIN; 4] });
    };
    if meta.log_id != log.id() {
        return Err(Failure::State("it belongs to another event log".into()));
    }
    if meta.applied > log.end(partition) {
        return Err(Failure::State(format!("it is ahead of the event log, at {partition}/{}", meta.applied)));
    }
    if let Some(last) = meta.applied.checked_sub(1) {
        let found = log.read(partition, last, 1)?;
        let checksum = found.first().map_or(0, |found| record::checksum_of(&found.bytes));
        if checksum != meta.checksum {
            return Err(Failure::State(format!("the event log has another record at {partition}/{last}")));
        }
    }
    state.visit_tables(&mut Restore(meta.digests));
    let LaneMeta { fold, applied, checksum, next_own_seq, fires_from, .. } = meta;
    Ok(Start { state, fold, applied, checksum, next_own_seq, fires_from })
}

/// Stores what has changed, and lets unused entries go where memory is short.
pub(crate) fn store<S: State>(lane: &mut Lane<S>, fold: &PartitionFold) -> Result<(), Failure> {
    let mut collector = Collector::default();
    lane.state.visit_tables(&mut collector);
    let changes = lane.take_changes().into_iter().map(|(key, value)| Change { key, value });
    let meta = LaneMeta {
        log_id: lane.log.id(),
        fold: *fold,
        applied: lane.fold.next_index,
        checksum: lane.last_checksum,
        digests: collector.digests,
        next_own_seq: lane.done_own_seq(),
        fires_from: lane.fires_from,
    };
    lane.store.write(changes, &meta).map_err(Failure::State)?;
    let mut flushed = Flushed { evict: lane.is_memory_short(collector.memory), memory: 0 };
    lane.state.visit_tables(&mut flushed);
    lane.holds(flushed.memory);
    Ok(())
}
