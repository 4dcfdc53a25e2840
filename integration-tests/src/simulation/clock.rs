//! Time outside and what the machines' clocks say of it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rejoinder_model::Millis;
use rejoinder_runtime::{Clock, Guard, Reading};

/// Time as it passes, and how wrong the wall clock is.
#[derive(Default)]
pub(super) struct Sky {
    passed: AtomicI64,
    off: AtomicI64,
}

impl Sky {
    pub(super) fn starting_at(now: Millis) -> Arc<Self> {
        Arc::new(Self { passed: AtomicI64::new(now), off: AtomicI64::new(0) })
    }

    pub(super) fn now(&self) -> Millis {
        self.passed.load(Ordering::SeqCst)
    }

    pub(super) fn pass(&self, ms: Millis) {
        self.passed.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock wrong, or right again.
    pub(super) fn set_off(&self, ms: Millis) {
        self.off.store(ms, Ordering::SeqCst);
    }

    fn read(&self) -> Reading {
        let monotonic = self.now();
        Reading { wall: monotonic + self.off.load(Ordering::SeqCst), monotonic }
    }
}

/// The clock of one process: it believes the wall clock as it was when the process started.
pub(super) struct ProcessClock {
    sky: Arc<Sky>,
    guard: Mutex<Guard>,
}

impl ProcessClock {
    pub(super) fn new(sky: &Arc<Sky>) -> Arc<Self> {
        Arc::new(Self { sky: sky.clone(), guard: Mutex::new(Guard::new(sky.read())) })
    }
}

impl Clock for ProcessClock {
    fn wall_ms(&self) -> Millis {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).time(self.sky.read())
    }

    fn monotonic_ms(&self) -> Millis {
        self.sky.read().monotonic
    }

    fn is_trusted(&self) -> bool {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.time(self.sky.read());
        !guard.has_jumped()
    }
}
