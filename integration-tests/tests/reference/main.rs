//! The papers against the code: each page of the reference says what the code does, each alert has its
//! runbook, and the README's example is a file that runs.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod alerts;
mod architecture;
mod command_line;
mod connector;
mod errors;
mod limits;
mod metrics;
mod past;
mod protocol;
