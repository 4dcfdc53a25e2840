//! The one place that asks what time it is.

use std::sync::atomic::{AtomicI64, Ordering};

use rejoinder_model::Millis;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC.
    fn wall_ms(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> Millis {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
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
}
