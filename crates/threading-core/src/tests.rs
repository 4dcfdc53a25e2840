//! Placement against its definition, and the laws of order and of unmerging.

mod drawn;
mod laws;
mod oracle;
mod people;
mod rules;
mod splits;
mod states;
mod store;
mod world;
