//! The event log on Apache Kafka: one topic, a record for each frame, read at the high watermark.
//!
//! A Kafka partition that was never compacted and never saw a transaction has an offset for each record,
//! dense from 0: the offset is the index. One idempotent producer a process writes with `acks=all`, and
//! never gives a record up: whether a record counts is decided by who reads it, so that one which lands
//! late or twice does no harm. What is durable is what consumers are shown.

mod ahead;
mod catch_up;
mod error;
mod follower;
mod group;
mod log;
mod topic;
mod writer;

pub use error::OpenError;
pub use group::{GroupOptions, Member, Tenant};
pub use log::{KafkaLog, Options};
