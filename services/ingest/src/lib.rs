//! The ingest service: what comes in becomes jobs of its lane.

mod convert;
mod publish;

pub use convert::arrival;
pub use publish::{Publish, Published};
