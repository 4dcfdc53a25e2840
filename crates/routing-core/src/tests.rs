//! Tests of the rules: a small world, the vectors of the domain pages, and laws over random histories.

mod laws;
mod rules;
mod world;
