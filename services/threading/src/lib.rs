//! The threading service: threads and persons over gRPC.

mod acceptance;
mod content;
pub mod metric_definitions;
mod person_service;
mod refusal;
mod thread_service;
mod view;
mod watch;

pub use person_service::Persons;
pub use thread_service::Threads;
