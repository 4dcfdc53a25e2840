//! Faults that are planted to see that the audit finds them.

use std::sync::Arc;

use bytes::Bytes;
use rejoinder_event_log::{AppendError, EventLog, LogId, MemoryLog, ReadError, StoredRecord, Watcher};

/// A fault that is planted in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None: whatever the audit finds is real.
    Nothing,
    /// The log shows its readers what is not durable yet.
    EarlyReads,
    /// A state, that of ingest, is stored with what was decided and is not done.
    EarlyFlush,
    /// Clients take an unknown outcome for a refusal.
    LostIsRefused,
    /// Claims do not tell whose they are.
    NamelessClaims,
    /// Nobody waits after a downtime for what waits outside.
    NoGrace,
}

impl Plant {
    /// The log as the lanes see it.
    pub(super) fn log(self, log: &Arc<MemoryLog>) -> Arc<dyn EventLog> {
        if self == Self::EarlyReads { Arc::new(EarlyReads(log.clone())) } else { log.clone() }
    }
}

/// Reads at what is visible instead of at what is durable.
struct EarlyReads(Arc<MemoryLog>);

impl EventLog for EarlyReads {
    fn id(&self) -> LogId {
        self.0.id()
    }

    fn partitions(&self) -> u16 {
        self.0.partitions()
    }

    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        self.0.append(partition, record)
    }

    fn read(&self, partition: u16, from: u64, _: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let records = (0..).zip(self.0.visible(partition)).filter(|(index, _)| *index >= from);
        Ok(records.map(|(index, bytes)| StoredRecord { index, bytes }).collect())
    }

    fn end(&self, partition: u16) -> u64 {
        self.0.visible(partition).len() as u64
    }

    fn watch(&self, watcher: Watcher) {
        self.0.watch(watcher);
    }
}
