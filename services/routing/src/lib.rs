//! The routing service: work items, queues and agents over gRPC, and the streams of agents at work.

mod agent_service;
mod command;
mod context;
mod desk;
pub mod metric_definitions;
mod refusal;
mod routing_service;
mod sessions;
mod told;
mod view;
mod work;

pub use agent_service::Agents;
pub use context::{About, AskContext, Asked, no_context};
pub use routing_service::Items;
