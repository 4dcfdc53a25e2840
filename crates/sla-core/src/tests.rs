//! Tests of the core as a whole.

mod alarms;
mod laws;
mod reference;
mod rules;
pub(crate) mod world;
