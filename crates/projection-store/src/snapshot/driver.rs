//! When a snapshot is due: as often as is wished, by whichever instance comes first.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rejoinder_event_log::LogId;
use rejoinder_model::{Millis, Service};

use super::{Facts, Manifest, Outcome, SnapshotError, Wanted, prune, restore, shelf};
use crate::{ProjectionStore, STATE_FORMAT};

/// The metric of `Snapshots::age_ms`, in seconds.
pub const AGE: &str = "rejoinder_snapshot_age_seconds";
/// The metric of `Snapshots::failures`.
pub const FAILURES: &str = "rejoinder_snapshot_failures_total";
/// Names and helps, for the reference.
pub const METRICS: [(&str, &str); 2] = [
    (AGE, "Age of the newest snapshot of these services, whoever took it."),
    (FAILURES, "Snapshots that this instance could not take."),
];

/// How snapshots are taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// The shared directory.
    pub dir: PathBuf,
    /// The time between two snapshots of the same services.
    pub every_ms: Millis,
    /// How many of the same services stay.
    pub keep: usize,
    /// The name of this instance: no two at work have the same.
    pub instance: String,
    /// The version of this program.
    pub version: String,
    /// Of which log the state is.
    pub log_id: LogId,
    /// The services with lanes here.
    pub services: Vec<Service>,
}

/// Takes snapshots when they are due, one at a time.
pub struct Snapshots {
    options: Options,
    stop: AtomicBool,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    /// Not before this time.
    next_ms: Option<Millis>,
    newest_ms: Option<Millis>,
    failures: u64,
    taking: bool,
}

impl Snapshots {
    /// One that has not looked at the directory yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, stop: AtomicBool::new(false), standing: Mutex::default() }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it time to `take` one, or to look whether somebody else has?
    #[must_use]
    pub fn due(&self, now_ms: Millis) -> bool {
        let standing = self.standing();
        !standing.taking && !self.stop.load(Ordering::Relaxed) && standing.next_ms.is_none_or(|next| next <= now_ms)
    }

    /// Takes a snapshot and removes old ones, unless another instance with the same services took one
    /// lately: then `None`. Takes as long as copying the state does, so not for a thread that others
    /// wait for. Only a state that has caught up with the log is worth it.
    ///
    /// After a failure the next one is due after a quarter of the time.
    ///
    /// # Errors
    /// When it could not be taken. It is counted, unless it was stopped.
    pub fn take(&self, store: &ProjectionStore, now_ms: Millis) -> Result<Option<Manifest>, SnapshotError> {
        if std::mem::replace(&mut self.standing().taking, true) {
            return Ok(None);
        }
        let taken = self.take_if_none_is_fresh(store, now_ms);
        let mut standing = self.standing();
        standing.taking = false;
        match &taken {
            Ok(_) => standing.next_ms = standing.newest_ms.map(|newest| newest + self.options.every_ms),
            Err(error) => {
                standing.next_ms = Some(now_ms + self.options.every_ms / 4);
                standing.failures += u64::from(!matches!(error, SnapshotError::Stopped));
            }
        }
        taken
    }

    fn take_if_none_is_fresh(
        &self,
        store: &ProjectionStore,
        now_ms: Millis,
    ) -> Result<Option<Manifest>, SnapshotError> {
        let Options { dir, every_ms, keep, instance, version, log_id, services } = &self.options;
        let newest = self.newest()?;
        self.standing().newest_ms = newest;
        // One of the future is of a clock that was wrong, and nothing to wait for.
        if newest.is_some_and(|newest| (0..*every_ms).contains(&(now_ms - newest))) {
            return Ok(None);
        }
        let (instance, version, services) = (instance.clone(), version.clone(), services.clone());
        let facts = Facts { log_id: *log_id, services, instance, version, now_ms };
        let manifest = store.snapshot(dir, &facts, &self.stop)?;
        self.standing().newest_ms = Some(now_ms);
        if let Err(error) = prune(dir, *log_id, *keep, now_ms) {
            tracing::warn!(%error, "old snapshots are left");
        }
        Ok(Some(manifest))
    }

    /// When the newest snapshot of exactly these services was taken.
    fn newest(&self) -> Result<Option<Millis>, SnapshotError> {
        let Options { dir, log_id, services, .. } = &self.options;
        let manifests = shelf::folders(dir, *log_id)?.into_iter().filter_map(|found| found.manifest.ok().flatten());
        let alike =
            |it: &Manifest| it.state_format == STATE_FORMAT && it.has(services) && it.applied.len() == services.len();
        Ok(manifests.filter(alike).map(|manifest| manifest.taken_ms).max())
    }

    /// Makes the state in `into` from a snapshot, as `restore`. `ends` tells where the log's partitions end.
    ///
    /// # Errors
    /// As `restore`.
    pub fn restore(&self, into: &Path, ends: &dyn Fn(u16) -> u64) -> Result<Outcome, SnapshotError> {
        let Options { dir, log_id, services, .. } = &self.options;
        restore(dir, &Wanted { log_id: *log_id, services, ends }, into)
    }

    /// Ends what is being taken; nothing of it stays. No other is taken from now on.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How old the newest snapshot of these services is; `None` before the first.
    #[must_use]
    pub fn age_ms(&self, now_ms: Millis) -> Option<Millis> {
        self.standing().newest_ms.map(|newest| now_ms - newest)
    }

    /// How many could not be taken.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.standing().failures
    }
}
