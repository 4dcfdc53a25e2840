//! The one place that asks what time it is, and whether to believe it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rejoinder_model::{MINUTE_MS, Millis};

/// A wall clock further than this from where the monotonic clock puts it has jumped.
pub(crate) const JUMP_MS: Millis = MINUTE_MS;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC.
    fn wall_ms(&self) -> Millis;

    /// Milliseconds since whenever, by a clock that never jumps.
    fn monotonic_ms(&self) -> Millis;

    /// May timers fire by it? Not after a jump, until both clocks agree again or somebody accepts it.
    fn is_trusted(&self) -> bool {
        true
    }

    /// Takes the wall clock as right from now on.
    fn accept(&self) {}
}

/// What was read at the same moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The wall clock, since 1970.
    pub wall: Millis,
    /// The monotonic clock, since whenever.
    pub monotonic: Millis,
}

/// Compares the two clocks of a machine.
#[derive(Debug)]
pub struct Guard {
    agreed: Reading,
    jumped: bool,
}

impl Guard {
    /// Believes both clocks as they are now.
    #[must_use]
    pub fn new(agreed: Reading) -> Self {
        Self { agreed, jumped: false }
    }

    /// Has the wall clock jumped, as of the last reading?
    #[must_use]
    pub fn has_jumped(&self) -> bool {
        self.jumped
    }

    /// The time to stamp with: the wall clock's, or after a jump the one that the monotonic clock
    /// goes on to.
    pub fn time(&mut self, now: Reading) -> Millis {
        let expected = self.agreed.wall.saturating_add(now.monotonic - self.agreed.monotonic);
        let off = now.wall.saturating_sub(expected);
        let jumped = off.abs() > JUMP_MS;
        if jumped != self.jumped {
            self.jumped = jumped;
            if jumped {
                tracing::error!(off_ms = off, "the clock has jumped: no timer fires until it is accepted");
            } else {
                tracing::info!("the clocks agree again: timers fire");
            }
        }
        if jumped { expected } else { now.wall }
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    guard: Mutex<Guard>,
}

impl SystemClock {
    /// The clock, believed as it is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn new() -> Self {
        let agreed = Reading { wall: wall(), monotonic: 0 };
        Self { start: Instant::now(), guard: Mutex::new(Guard::new(agreed)) }
    }

    fn read(&self) -> Reading {
        Reading { wall: wall(), monotonic: self.monotonic_ms() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn wall() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> Millis {
        let now = self.read();
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).time(now)
    }

    fn monotonic_ms(&self) -> Millis {
        Millis::try_from(self.start.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn is_trusted(&self) -> bool {
        !self.guard.lock().unwrap_or_else(PoisonError::into_inner).has_jumped()
    }

    fn accept(&self) {
        let now = self.read();
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = Guard::new(now);
    }
}

/// A clock that stands still until it is told: for tests, simulation and replay.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock at a time.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Lets it be a later time; an earlier one is passed over.
    pub fn advance_to(&self, now: Millis) {
        self.0.fetch_max(now, Ordering::SeqCst);
    }

    /// Sets it, back too.
    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> Millis {
        self.wall_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_model::HOUR_MS;

    #[test]
    fn a_jump_is_not_followed_until_both_clocks_agree_again() {
        let mut guard = Guard::new(Reading { wall: 1_000_000, monotonic: 0 });
        let mut at = |monotonic, off: Millis| {
            let time = guard.time(Reading { wall: 1_000_000 + monotonic + off, monotonic });
            (time - 1_000_000 - monotonic, guard.jumped)
        };
        assert_eq!(at(1_000, 59_000), (59_000, false), "a small correction is followed");
        assert_eq!(at(2_000, 5 * HOUR_MS), (0, true));
        assert_eq!(at(3_000, -5 * HOUR_MS), (0, true));
        assert_eq!(at(4_000, 10), (10, false));
    }
}
