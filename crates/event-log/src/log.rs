//! The trait of a log backend: append, and read what is durable.

use std::sync::Arc;

use bytes::Bytes;

/// Tells one log from another: equal positions do not prove equal logs.
pub type LogId = u128;

/// Called with a partition whenever its durable end has moved.
pub type Watcher = Arc<dyn Fn(u16) + Send + Sync>;

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its index in the partition, dense from 0.
    pub index: u64,
    /// An encoded `rejoinder.log.v1.Record`.
    pub bytes: Bytes,
}

/// Why a record was not taken. Nothing of it will ever be read.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log has stopped: no durable write can be promised any more.
    #[error("the event log has stopped: {0}; restart the process when its cause is gone")]
    Stopped(String),
    /// So much is waiting to become durable that no more is taken.
    #[error("the event log has {0} bytes waiting to become durable; try again")]
    Full(usize),
    /// The record is larger than a log record may be.
    #[error("a record of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// Bytes of the record.
        size: usize,
        /// The most it may have.
        limit: usize,
    },
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is stored is not what was written.
    #[error("the event log is damaged at {partition}/{index}: {what}; restore it from a copy")]
    Damaged {
        /// The partition.
        partition: u16,
        /// The index of the record.
        index: u64,
        /// What does not hold.
        what: String,
    },
    /// The storage below failed.
    #[error("the event log cannot be read: {0}")]
    Storage(String),
    /// What holds it is away; it is to be asked again.
    #[error("the event log cannot be reached now: {0}")]
    Unavailable(String),
}

/// A log of P partitions, each a dense sequence of opaque records.
///
/// An append is atomic: a record is in the log whole or not at all. Its outcome is learnt by
/// reading only, and reading shows only what is durable.
pub trait EventLog: Send + Sync + 'static {
    /// Made when the log was created.
    fn id(&self) -> LogId;

    /// Number of partitions, fixed when the log was created.
    fn partitions(&self) -> u16;

    /// Queues a record for the end of a partition. Records of one caller and partition keep their
    /// order. Does not wait until it is durable.
    ///
    /// # Errors
    /// When the record was not taken; it will then never be read.
    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError>;

    /// Durable records from index `from` on: as many as fit `max_bytes`, one at least when there is
    /// one. Empty at the end.
    ///
    /// # Errors
    /// When the log is damaged or its storage fails.
    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError>;

    /// The index after the last durable record.
    fn end(&self, partition: u16) -> u64;

    /// Has `watcher` called whenever a durable end moves. Watchers stay for the log's life.
    fn watch(&self, watcher: Watcher);

    /// Why the log takes nothing any more, if so: the process must end.
    fn stopped(&self) -> Option<&str> {
        None
    }

    /// Free bytes where it lies, if that is of this machine.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// Writes what was taken, and ends. Appends fail from now on.
    fn close(&self) {}
}
