//! The log in memory, for simulation: what is visible and what is durable are two things, and a
//! crash cuts back to what is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::log::{AppendError, EventLog, LogId, ReadError, StoredRecord, Watcher};
use crate::record::MAX_RECORD_BYTES;

/// More than any frame with its header.

#[derive(Default)]
struct Partition {
    records: Vec<Bytes>,
    durable: u64,
}

/// A log of the memory backend.
pub struct MemoryLog {
    id: LogId,
    auto_sync: bool,
    partitions: Mutex<Vec<Partition>>,
    watchers: Mutex<Vec<Watcher>>,
}

impl MemoryLog {
    /// A log whose records are durable at once.
    #[must_use]
    pub fn new(partitions: u16) -> Arc<Self> {
        Self::create(partitions, true)
    }

    /// A log whose records become durable by `sync`.
    #[must_use]
    pub fn with_manual_sync(partitions: u16) -> Arc<Self> {
        Self::create(partitions, false)
    }

    fn create(partitions: u16, auto_sync: bool) -> Arc<Self> {
        let partitions = Mutex::new((0..partitions).map(|_| Partition::default()).collect());
        Arc::new(Self { id: 1, auto_sync, partitions, watchers: Mutex::default() })
    }

    fn partitions_mut(&self) -> MutexGuard<'_, Vec<Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all that is visible durable.
    pub fn sync(&self) {
        let mut moved = Vec::new();
        for (number, partition) in self.partitions_mut().iter_mut().enumerate() {
            let end = partition.records.len() as u64;
            if partition.durable < end {
                partition.durable = end;
                moved.push(u16::try_from(number).unwrap_or_default());
            }
        }
        self.tell(&moved);
    }

    /// Makes `records` more of a partition durable.
    pub fn sync_some(&self, partition: u16, records: u64) {
        if let Some(partition) = self.partitions_mut().get_mut(usize::from(partition)) {
            partition.durable = (partition.durable + records).min(partition.records.len() as u64);
        }
        self.tell(&[partition]);
    }

    /// The power goes: what is not durable is lost.
    pub fn crash(&self) {
        for partition in self.partitions_mut().iter_mut() {
            let durable = usize::try_from(partition.durable).unwrap_or(usize::MAX);
            partition.records.truncate(durable);
        }
    }

    /// Records that are visible, durable or not. No service may act on them.
    #[must_use]
    pub fn visible(&self, partition: u16) -> Vec<Bytes> {
        self.partitions_mut().get(usize::from(partition)).map(|p| p.records.clone()).unwrap_or_default()
    }

    fn tell(&self, moved: &[u16]) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for partition in moved {
            watchers.iter().for_each(|watcher| watcher(*partition));
        }
    }
}

impl EventLog for MemoryLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn partitions(&self) -> u16 {
        u16::try_from(self.partitions_mut().len()).unwrap_or(u16::MAX)
    }

    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { size: record.len(), limit: MAX_RECORD_BYTES });
        }
        if let Some(partition) = self.partitions_mut().get_mut(usize::from(partition)) {
            partition.records.push(record);
            if self.auto_sync {
                partition.durable += 1;
            }
        }
        if self.auto_sync {
            self.tell(&[partition]);
        }
        Ok(())
    }

    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let partitions = self.partitions_mut();
        let Some(partition) = partitions.get(usize::from(partition)) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let mut bytes = 0;
        for index in from..partition.durable {
            let Some(record) = usize::try_from(index).ok().and_then(|at| partition.records.get(at)) else { break };
            bytes += record.len();
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(StoredRecord { index, bytes: record.clone() });
        }
        Ok(records)
    }

    fn end(&self, partition: u16) -> u64 {
        self.partitions_mut().get(usize::from(partition)).map_or(0, |partition| partition.durable)
    }

    fn watch(&self, watcher: Watcher) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::suite(&|| MemoryLog::new(4));
    }

    #[test]
    fn only_what_is_durable_is_read_and_outlives_a_crash() {
        let log = MemoryLog::with_manual_sync(1);
        for byte in 0..4 {
            log.append(0, Bytes::from(vec![byte])).unwrap();
        }
        assert_eq!(log.end(0), 0);
        log.sync_some(0, 2);
        assert_eq!(log.read(0, 0, 100).unwrap().len(), 2);
        assert_eq!(log.visible(0).len(), 4);
        log.crash();
        log.sync();
        assert_eq!(log.end(0), 2);
    }
}
