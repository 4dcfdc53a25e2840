//! A world in one thread and from one seed: the services' real lanes over the log in memory, clients
//! that repeat themselves, machines that crash, pause and come back, clocks that are set wrong; and an
//! audit of what the log says in the end.
//!
//! The same seed gives the same log, byte for byte.

mod audit;
mod clients;
mod clock;
mod desk;
mod disk;
mod draft;
mod grouping;
mod house;
mod order;
mod plant;
mod promises;
mod scene;
mod trace;
mod world;

pub use plant::Plant;
pub use scene::{Scene, TARGET_MS};
pub use trace::{Roughness, Trace};
pub use world::run;

/// What is wrong, in words.
type Wrong = String;
