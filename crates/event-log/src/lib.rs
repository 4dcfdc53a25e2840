//! The event log: what a record is, who owns what, and the trait that every backend keeps.

mod log;

pub use log::{AppendError, EventLog, LogId, ReadError, StoredRecord, Watcher};
