//! Logs that do not show what is there.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rejoinder_event_log::{AppendError, EventLog, FrameBuilder, LogId, MemoryLog, ReadError, RecordView};
use rejoinder_event_log::{StoredRecord, Watcher};
use rejoinder_model::Service;
use rejoinder_wire::event::Event;

macro_rules! as_the_log_within {
    () => {
        fn id(&self) -> LogId {
            self.0.id()
        }

        fn partitions(&self) -> u16 {
            self.0.partitions()
        }

        fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
            self.0.append(partition, record)
        }

        fn watch(&self, watcher: Watcher) {
            self.0.watch(watcher);
        }
    };
}

/// Reads at what is visible instead of at what is durable.
pub(super) struct EarlyReads(pub(super) Arc<MemoryLog>);

impl EventLog for EarlyReads {
    as_the_log_within!();

    fn read(&self, partition: u16, from: u64, _: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let records = (0..).zip(self.0.visible(partition)).filter(|(index, _)| *index >= from);
        Ok(records.map(|(index, bytes)| StoredRecord { index, bytes }).collect())
    }

    fn end(&self, partition: u16) -> u64 {
        self.0.visible(partition).len() as u64
    }
}

/// Every frame of an upstream of sla-timer says that all before it is considered.
pub(super) struct SettledAtOnce(pub(super) Arc<MemoryLog>);

impl EventLog for SettledAtOnce {
    as_the_log_within!();

    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let records = self.0.read(partition, from, max_bytes)?.into_iter();
        Ok(records.map(|stored| StoredRecord { bytes: settled(&stored).unwrap_or(stored.bytes), ..stored }).collect())
    }

    fn end(&self, partition: u16) -> u64 {
        self.0.end(partition)
    }
}

/// The frame with another word about what is settled; `None`: it is no such frame.
fn settled(stored: &StoredRecord) -> Option<Bytes> {
    let record = RecordView::verify(&stored.bytes).ok()?;
    if record.is_claim() || !Service::SlaTimer.upstreams().contains(&record.service) {
        return None;
    }
    let mut frame = FrameBuilder::default();
    for event in record.events().ok()? {
        frame.push(&Event::decode(event).ok()?);
    }
    let mut header = record.header;
    header.settled_index = header.settled_index.max(stored.index);
    Some(frame.finish(&header))
}
