//! Lanes that take turns in a fixed order on one thread: virtual time, simulation, rebuilds.

use rejoinder_machine::State;
use rejoinder_model::Millis;

use crate::lane::{Failure, Lane, Phase, Progress};
use crate::queue::Waker;

/// A lane of any service.
pub trait Turn {
    /// One step: one frame at the most.
    fn step(&mut self) -> Progress;
    /// When the earliest timer is due.
    fn next_deadline(&mut self) -> Option<Millis>;
    /// Stores what is done.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn flush(&mut self) -> Result<(), Failure>;
    /// In how many milliseconds the earliest timer is due; `None` when there is none.
    fn due_in_ms(&mut self) -> Option<u64>;
    /// Is nothing on its way?
    fn is_quiet(&self) -> bool;
    /// Whom to wake when a job comes.
    fn wake_by(&mut self, waker: Waker);
    /// Why it stopped, if it did.
    fn failure(&self) -> Option<Failure>;
}

impl<S: State> Turn for Lane<S> {
    fn step(&mut self) -> Progress {
        Lane::step(self)
    }

    fn next_deadline(&mut self) -> Option<Millis> {
        Lane::next_deadline(self)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Lane::flush(self)
    }

    fn due_in_ms(&mut self) -> Option<u64> {
        Lane::due_in_ms(self)
    }

    fn is_quiet(&self) -> bool {
        Lane::is_quiet(self) || self.failure().is_some()
    }

    fn wake_by(&mut self, waker: Waker) {
        Lane::wake_by(self, waker);
    }

    fn failure(&self) -> Option<Failure> {
        match self.status().phase {
            Phase::Stopped(failure) => Some(failure),
            Phase::Warm | Phase::Claiming | Phase::Live => None,
        }
    }
}

/// Lanes in a fixed order.
pub struct Turns<'a>(pub Vec<&'a mut dyn Turn>);

impl Turns<'_> {
    /// Steps all lanes in turn until none has anything to do.
    ///
    /// # Errors
    /// When a lane stopped.
    pub fn run_to_quiescence(&mut self) -> Result<(), Failure> {
        loop {
            let mut worked = false;
            for lane in &mut self.0 {
                worked |= lane.step() == Progress::Worked;
                if let Some(failure) = lane.failure() {
                    return Err(failure);
                }
            }
            if !worked {
                return Ok(());
            }
        }
    }

    /// When the earliest timer of all is due.
    pub fn next_deadline(&mut self) -> Option<Millis> {
        self.0.iter_mut().filter_map(|lane| lane.next_deadline()).min()
    }

    /// Stores what is done.
    ///
    /// # Errors
    /// When a state cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|lane| lane.flush())
    }
}
