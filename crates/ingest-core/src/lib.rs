//! What is accepted, and as what: duplicates, edits and deletes in any order, who the company is,
//! and the policies that a workspace publishes.

mod accept;
mod cursor;
mod policy;
mod state;

pub use accept::{Arrival, Outcome, Revision, accept};
pub use cursor::report_cursor;
pub use policy::{NewPolicy, StalePolicy, policy_version, publish_policy};
pub use state::{Accepted, Ingest, Version, Workspace};

#[cfg(test)]
mod tests;
