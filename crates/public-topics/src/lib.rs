//! Public Kafka topics: what downstream systems read instead of the log, which is ours alone.
//!
//! Each event of interest is a record of its own: keyed by its thread, with the headers of a `CloudEvent`,
//! its bytes as they stand in the log. A publisher in every process reads the log and writes them, each
//! once and in the log's order, in few large transactions that hold the position too.

mod cloud_event;
mod error;
mod group;
pub mod metric_definitions;
mod position;
mod publisher;
mod publishing;
mod table;
mod topics;
mod transaction;

pub use cloud_event::{Origin, PublicRecord, Unreadable, public_record};
pub use error::StartError;
pub use publisher::{Options, Publisher, start};
pub use table::Topic;
