//! The sla-timer service: clocks and alarms over gRPC.

mod alarm_service;
mod clock_service;
pub mod metric_definitions;
mod refusal;
mod view;
mod watch;

pub use alarm_service::Alarms;
pub use clock_service::Clocks;
