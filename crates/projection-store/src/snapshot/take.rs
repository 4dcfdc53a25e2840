//! Taking a snapshot of a state in use: a checkpoint beside it, read through once, copied file by file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rejoinder_event_log::LogId;
use rejoinder_model::{Millis, Service};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, IteratorMode, ReadOptions};

use super::copy::{self, CopyError};
use super::{FORMAT, Manifest, SnapshotError, beside, manifest, shelf};
use crate::{LaneMeta, META_TABLE, ProjectionStore, STATE_FORMAT, options};

/// What the manifest says that the state does not know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of which log the state is.
    pub log_id: LogId,
    /// The services with lanes here.
    pub services: Vec<Service>,
    /// Who takes it: no two at work may have the same name.
    pub instance: String,
    /// The version of the program.
    pub version: String,
    /// The time.
    pub now_ms: Millis,
}

/// How far each lane goes, by name of its service and partition.
type Applied = BTreeMap<String, BTreeMap<u16, u64>>;

impl ProjectionStore {
    /// Copies the state, as of now, into a new folder in `shared`. The state stays in use meanwhile.
    ///
    /// Everything is read once before it is copied, so that damage of this disk is not handed on. Until
    /// it is whole nobody sees it; what fails, or is told to `stop`, leaves nothing.
    ///
    /// # Errors
    /// When a disk cannot be read or written, or the state is damaged.
    pub fn snapshot(&self, shared: &Path, facts: &Facts, stop: &AtomicBool) -> Result<Manifest, SnapshotError> {
        if let Some(what) = self.damage() {
            return Err(SnapshotError::State(what.to_owned()));
        }
        let staging = beside(self.db.path(), ".snapshot");
        copy::remove(&staging)?;
        let taken = self.stage(&staging).and_then(|files| {
            let applied = self.read_through(&staging, facts, stop)?;
            publish(&staging, &files, applied, shared, facts, stop)
        });
        // Links cost nothing while the state has the same files. Later they hold what it let go.
        if let Err(error) = copy::remove(&staging) {
            tracing::warn!(%error, "the place where a snapshot was made ready is left until the next one");
        }
        taken
    }

    /// Makes a checkpoint, by links where the disk knows them, and lists its files.
    fn stage(&self, staging: &Path) -> Result<Vec<String>, SnapshotError> {
        // Nothing of the state is in a write-ahead log.
        self.sync().map_err(SnapshotError::State)?;
        let checkpoint = Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(staging));
        checkpoint.map_err(|error| SnapshotError::State(self.damage.or(&error)))?;
        let list = || {
            let entries =
                std::fs::read_dir(staging)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            entries.collect::<std::io::Result<Vec<_>>>()
        };
        let mut files = list().map_err(SnapshotError::at(staging))?;
        files.sort();
        Ok(files)
    }

    /// Reads every entry, and says how far the lanes go.
    fn read_through(&self, staging: &Path, facts: &Facts, stop: &AtomicBool) -> Result<Applied, SnapshotError> {
        let failed = |error: rocksdb::Error| SnapshotError::State(self.damage.or(&error));
        let db = DB::open_for_read_only(&options(8 << 20), staging, false).map_err(failed)?;
        let mut read = ReadOptions::default();
        read.fill_cache(false);
        read.set_readahead_size(1 << 20);
        let mut applied: Applied = facts.services.iter().map(|it| (it.name().to_owned(), BTreeMap::new())).collect();
        for entry in db.iterator_opt(IteratorMode::Start, read) {
            let (key, value) = entry.map_err(failed)?;
            if stop.load(Ordering::Relaxed) {
                return Err(SnapshotError::Stopped);
            }
            let Some((service, partition)) = lane_of(&key) else { continue };
            if let Some(lanes) = applied.get_mut(service.name()) {
                let meta = LaneMeta::decode(&value).map_err(SnapshotError::State)?;
                if meta.log_id == facts.log_id {
                    lanes.insert(partition, meta.applied);
                }
            }
        }
        Ok(applied)
    }
}

/// The lane whose word on itself has this key.
fn lane_of(key: &[u8]) -> Option<(Service, u16)> {
    match *key {
        [service, high, low, META_TABLE] => {
            Some((Service::from_number(service.into())?, u16::from_be_bytes([high, low])))
        }
        _ => None,
    }
}

/// Brings the files into the shared directory, and then the manifest.
fn publish(
    staging: &Path,
    files: &[String],
    applied: Applied,
    shared: &Path,
    facts: &Facts,
    stop: &AtomicBool,
) -> Result<Manifest, SnapshotError> {
    let Facts { log_id, instance, version, now_ms, .. } = facts;
    let folder = shared.join(manifest::folder_name(*log_id, *now_ms, instance));
    let create = || std::fs::create_dir_all(shared).and_then(|()| std::fs::create_dir(&folder));
    create().map_err(SnapshotError::at(&folder))?;
    let mut manifest = Manifest {
        format: FORMAT,
        state_format: STATE_FORMAT,
        log_id: manifest::text_of(*log_id),
        instance: instance.clone(),
        taken_ms: *now_ms,
        version: version.clone(),
        applied,
        files: Vec::new(),
    };
    let mut fill = || {
        for name in files {
            let fact = copy::file(staging, &folder, name, stop).map_err(|error| match error {
                CopyError::Source(source) => SnapshotError::Disk { path: staging.join(name), source },
                CopyError::Target(source) => SnapshotError::Disk { path: folder.join(name), source },
                CopyError::Stopped => SnapshotError::Stopped,
            })?;
            manifest.files.push(fact);
        }
        copy::sync_dir(&folder)?;
        copy::sync_dir(shared)?;
        manifest.publish(&folder)
    };
    if let Err(error) = fill() {
        if let Err(error) = shelf::remove(&folder) {
            tracing::warn!(%error, "half of a snapshot is left, and will be removed in a day");
        }
        return Err(error);
    }
    Ok(manifest)
}
