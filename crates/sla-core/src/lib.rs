//! The promises about answering: business hours, clocks, breaches, alarms.
//!
//! sla-timer keeps of each thread the facts that clocks go by: who wrote when, holds, resolves. What
//! clocks the thread should have follows from these facts alone (`metric`), in event time; what has
//! changed against the clocks it has becomes events (`review`). So a late message moves a start back,
//! splits a wait or takes a breach back by itself, in whatever order messages come.

mod apply;
pub mod calendar;
mod command;
mod consider;
mod count;
mod decision;
mod fire;
mod follow;
mod metric;
mod policy;
pub mod record;
mod review;
mod state;
mod timeline;

pub use command::{Asked, Refusal, acknowledge};
pub use metric::name as metric_name;
pub use state::SlaTimer;

#[cfg(test)]
mod tests;
