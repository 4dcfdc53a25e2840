//! The decide and apply kernel that every service stands on: tables that remember, timers, digests,
//! and the traits between a pure core and the shell that feeds it.
//!
//! State is the fold of a service's own events. `decide` reads it and returns events or a refusal;
//! `apply` changes it, never refuses and reads nothing but the event.

mod filter;
mod kernel;
pub mod quarantine;
pub mod request;
mod table;
mod timers;

pub use kernel::{Context, DueTimer, Failure, Job, Own, Source, State, TableVisitor, event};
pub use table::{Backing, Change, DIGEST_VERSION, NoBacking, StoredEntries, Table, TableKey, TableOps};
pub use timers::{TimerKey, Timers};
