//! The event log on RocksDB: one process, group commits, read back when durable.
//!
//! `DIR/db` is the database: partition and index, big endian, to the record's bytes. `DIR/high-water`
//! says how far each partition was durable; a database that ends before it has lost acknowledged
//! records and is refused. The mark is written right after a group commit, beside the
//! acknowledgement, not before it: what was acknowledged in the last milliseconds before a crash is
//! covered by RocksDB's own checksums alone.

mod appender;
mod error;
mod high_water;
mod log;
mod store;

pub use error::OpenError;
pub use log::{EmbeddedLog, Options, Sync};
