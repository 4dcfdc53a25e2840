//! The partition loop: one lane for each service and partition reads the log, decides, commits, reads
//! its commits back, and only then answers.
//!
//! Nothing here waits or sleeps: a lane is stepped by whoever drives it, a worker thread or the turns
//! of a replay.

mod ask;
mod clock;
mod inputs;
mod lane;
mod memory;
mod queue;
mod recover;
mod tenure;
mod turns;
mod worker;

pub use ask::{Ask, Decide};
pub use clock::{Clock, Guard, ManualClock, Reading, SystemClock};
pub use lane::{Failure, Lane, Options, Phase, Progress, Status};
pub use memory::Memory;
pub use queue::{JobQueue, Refused, Waker};
pub use tenure::Tenure;
pub use turns::{Turn, Turns};
pub use worker::Workers;

#[cfg(test)]
mod tests;
