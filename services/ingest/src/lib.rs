//! The ingest service: what comes in becomes jobs of its lane, and is answered once it is durable.

mod admission;
mod convert;
mod limits;
pub mod metric_definitions;
mod policy_service;
mod publish;
mod service;

pub use admission::{Admission, Quota};
pub use convert::{arrival, as_given};
pub use limits::{interaction, to_api};
pub use policy_service::Policies;
pub use publish::{Publish, Published};
pub use service::Ingestion;
