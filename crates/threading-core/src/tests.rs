//! Placement against its definition, and the laws of order and of unmerging.

mod laws;
mod oracle;
mod rules;
mod world;
