//! Who should take it: work items of threads that need an agent, offers, agents, queues.
//!
//! A work item is the routing side of a thread. Threading's events open, wake and end it; between that
//! it waits in a queue, is offered to agents, belongs to one of them, or is parked. Every change of an
//! item, an agent or the policy leaves work behind in a list (`drive`), and each piece of it is one
//! decision: nobody waits while an agent is free who may have the item.
//!
//! Left for later, with their places: interruptible work (`capacity`), rotation slots and certification
//! (`eligible`), fair share (`strategy`), escalation ladders (owned by sla-timer), surge overlays
//! (`policy`), intent, sentiment, tier and velocity facts (`priority`).

mod agent;
mod apply;
mod capacity;
mod command;
mod consider;
mod decision;
mod drive;
mod eligible;
mod explain;
mod index;
mod item;
mod key;
mod matching;
mod offer;
pub mod policy;
pub mod priority;
pub mod record;
mod state;
mod strategy;
mod waiting;

pub use command::{Asked, Command, Done, Refusal, Session, decide as decide_command};
pub use explain::{WhyNot, why_not};
pub use key::{StaffKey, WaitKey};
pub use state::{QueueView, Routing};

#[cfg(test)]
mod tests;
