//! The event log on Apache Kafka: one topic, a record for each frame, read at the high watermark.
//!
//! A Kafka partition that was never compacted and never saw a transaction has an offset for each record,
//! dense from 0: the offset is the index. One idempotent producer a process writes with `acks=all`, and
//! never gives a record up: whether a record counts is decided by who reads it, so that one which lands
//! late or twice does no harm. What is durable is what consumers are shown.
//!
//! A [`Cluster`] says how the brokers are reached, its [`Connection`] is what every client of them begins
//! with. The cluster must have `eligible.leader.replicas.version` 1, which `kafka-features.sh describe`
//! shows and `kafka-features.sh upgrade --feature eligible.leader.replicas.version=1` sets: without it, a
//! copy that misses acknowledged records may come to lead. An open refuses a cluster where it is off for
//! certain; librdkafka cannot ask whether it is on.

mod ahead;
mod catch_up;
mod cluster;
mod connection;
mod contact;
mod copies;
mod error;
mod follower;
mod group;
mod log;
mod loopback;
pub mod metric_definitions;
pub mod topic;
mod writer;

pub use cluster::{Cluster, PASSWORD_VARIABLE, Security};
pub use connection::{Connection, ConnectionError};
pub use contact::Refusal;
pub use error::OpenError;
pub use group::{GroupOptions, Member, Tenant, leave};
pub use log::{KafkaLog, Options};
