//! The event log: what a record is, who owns what, and the trait that every backend keeps.
//!
//! A service commits by appending one *frame*; it owns a lane, one (service, partition), by a *claim*
//! that stands in the log too. [`fold`] decides, for every reader alike, which of them count.

pub mod conformance;
pub mod fold;
mod log;
mod memory;
pub mod record;
mod ring;
pub mod settled;
mod verify;

pub use fold::{Lane, PartitionFold, Verdict};
pub use log::{AppendError, EventLog, LogId, ReadError, StoredRecord, Watcher};
pub use memory::MemoryLog;
pub use record::{Damage, FrameBuilder, MAX_FRAME_BYTES, MAX_RECORD_BYTES, RecordView};
pub use ring::Ring;
pub use verify::{Verified, verify};
