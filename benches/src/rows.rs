//! What is measured, one file for each part of the table.

pub(crate) mod kafka;
pub(crate) mod large;
pub(crate) mod latency;
pub(crate) mod queries;
pub(crate) mod slots;
pub(crate) mod surge;
pub(crate) mod throughput;
