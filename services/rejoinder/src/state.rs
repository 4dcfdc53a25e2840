//! The stored state of a process: opened, restored from a snapshot, looked after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_event_log::EventLog;
use rejoinder_ingest::Admission;
use rejoinder_model::{Millis, Service};
use rejoinder_projection_store::snapshot::{Options as SnapshotOptions, Outcome, SnapshotError, Snapshots};
use rejoinder_projection_store::{OpenError, ProjectionStore};

use crate::config::Config;
use crate::inside::Inside;
use crate::server::StateDamaged;

/// What RocksDB keeps of the state in memory, besides the lanes.
const CACHE_BYTES: usize = 64 << 20;
/// How much of the state is read to look for damage: before the start, and then every second.
const PATROL_BYTES: usize = 8 << 20;
/// Seconds after which all of the state is looked at again.
const PATROL_EVERY: u32 = 3_600;
/// Seconds after which what was stored is made durable, so that a restart folds little.
const SYNC_EVERY: u32 = 15;
/// How often it is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// The state, and the snapshots of it.
pub(crate) struct State {
    pub(crate) store: Arc<ProjectionStore>,
    snapshots: Option<Arc<Snapshots>>,
    /// Where the look for damage goes on.
    patrol: Option<Vec<u8>>,
}

impl State {
    /// Opens the state in the data directory; where there is none, from a snapshot if there is one.
    ///
    /// # Errors
    /// When it is in use, or cannot be read or written; `StateDamaged` when a new start mends it.
    pub(crate) fn open(config: &Config, services: &[Service], log: &dyn EventLog, now: Millis) -> anyhow::Result<Self> {
        let dir = config.data_dir.join("state");
        let snapshots = match &config.snapshot_dir {
            Some(shared) => Some(Arc::new(Snapshots::new(SnapshotOptions {
                dir: shared.clone(),
                every_ms: config.snapshot_every_ms,
                keep: config.snapshot_keep,
                instance: config.instance_name()?,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                log_id: log.id(),
                services: services.to_vec(),
            }))),
            None => None,
        };
        let stored = if dir.exists() { usable(&dir, now)? } else { None };
        let store = match stored {
            Some(store) => store,
            None => {
                if let Some(snapshots) = &snapshots {
                    restore(snapshots, &dir, log);
                }
                ProjectionStore::open(&dir, CACHE_BYTES)?
            }
        };
        let store = Arc::new(store);
        let patrol = store.patrol(&[], PATROL_BYTES).map_err(StateDamaged)?;
        Ok(Self { store, snapshots, patrol })
    }

    /// Looks at the disk, looks for damage in the state, makes it durable now and then, and takes snapshots.
    pub(crate) async fn keep(
        mut self,
        inside: Arc<Inside>,
        admission: Arc<Admission>,
        stopped: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        tokio::pin!(stopped);
        for round in 1_u32.. {
            admission.free_bytes_are(inside.log.free_bytes().unwrap_or(u64::MAX));
            if round % SYNC_EVERY == 0 {
                let store = self.store.clone();
                if let Err(what) = tokio::task::spawn_blocking(move || store.sync()).await? {
                    tracing::error!(what, "the state cannot be written: a restart will fold more of the log");
                }
            }
            if round % PATROL_EVERY == 0 {
                self.patrol.get_or_insert_default();
            }
            if let Some(from) = self.patrol.take() {
                let store = self.store.clone();
                match tokio::task::spawn_blocking(move || store.patrol(&from, PATROL_BYTES)).await? {
                    Ok(next) => self.patrol = next,
                    Err(what) => tracing::error!(what, "the state cannot be read"),
                }
            }
            self.snapshot(&inside);
            if tokio::time::timeout(LOOK, &mut stopped).await.is_ok() {
                break;
            }
        }
        if let Some(snapshots) = &self.snapshots {
            snapshots.stop();
        }
        Ok(())
    }

    /// Takes a snapshot when one is due, beside everything else: copying takes its time.
    fn snapshot(&self, inside: &Arc<Inside>) {
        let now = inside.clock.wall_ms();
        let Some(snapshots) = self.snapshots.clone() else { return };
        inside.snapshots_are(snapshots.age_ms(now), snapshots.failures());
        if !snapshots.due(now) || !inside.is_ready() {
            return;
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || match snapshots.take(&store, now) {
            Ok(_) | Err(SnapshotError::Stopped) => {}
            Err(error) => tracing::error!(%error, "a snapshot cannot be taken"),
        });
    }
}

/// Makes a state from the best snapshot. Without one the event log is folded, which takes longer.
fn restore(snapshots: &Snapshots, dir: &Path, log: &dyn EventLog) {
    match snapshots.restore(dir, &|partition| log.end(partition)) {
        Ok(Outcome::Restored(manifest)) => {
            tracing::info!(instance = manifest.instance, "the state was restored from a snapshot");
        }
        Ok(Outcome::Nothing | Outcome::Kept) => {}
        Err(error) => tracing::warn!(%error, "no snapshot can be restored: the event log is folded"),
    }
}

/// The state in a directory; one that is damaged is put aside.
fn usable(dir: &Path, now: Millis) -> anyhow::Result<Option<ProjectionStore>> {
    match ProjectionStore::open(dir, CACHE_BYTES) {
        Err(OpenError::Damaged { what, .. }) => {
            let aside = PathBuf::from(format!("{}.damaged-{now}", dir.display()));
            tracing::error!(what, aside = %aside.display(), "the state is damaged: it is put aside and rebuilt");
            forget_older(dir);
            std::fs::rename(dir, &aside).with_context(|| format!("cannot move {} aside", dir.display()))?;
            Ok(None)
        }
        opened => Ok(Some(opened?)),
    }
}

/// Of states put aside the newest stays, for whoever looks for the cause: a bad disk must not fill.
fn forget_older(dir: &Path) {
    let prefix = format!("{}.damaged-", dir.file_name().unwrap_or_default().to_string_lossy());
    let entries = dir.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "an old damaged state cannot be removed");
        }
    }
}
