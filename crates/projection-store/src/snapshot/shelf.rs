//! What lies in the shared directory, and what of it may go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rejoinder_event_log::LogId;
use rejoinder_model::{DAY_MS, Millis};

use super::{Manifest, SnapshotError, copy, manifest};
use crate::STATE_FORMAT;

/// A folder of a log.
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) begun_ms: Millis,
    /// `None`: it is being written, or was left half-written.
    pub(super) manifest: Result<Option<Manifest>, String>,
}

/// The folders of a log, the oldest first. Of other logs nothing is said.
pub(super) fn folders(shared: &Path, log_id: LogId) -> Result<Vec<Found>, SnapshotError> {
    let entries = match std::fs::read_dir(shared) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(SnapshotError::at(shared))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(SnapshotError::at(shared))?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(begun_ms) = manifest::begun_ms(log_id, &name) else { continue };
        let manifest = Manifest::read(&folder).and_then(|manifest| match manifest {
            Some(manifest) if manifest.log_id != manifest::text_of(log_id) => {
                Err(format!("its manifest is of another event log, {}", manifest.log_id))
            }
            manifest => Ok(manifest),
        });
        found.push(Found { folder, begun_ms, manifest });
    }
    found.sort_by(|one, other| (one.begun_ms, &one.folder).cmp(&(other.begun_ms, &other.folder)));
    Ok(found)
}

/// Removes a folder, so that at no time somebody sees half of a snapshot.
pub(super) fn remove(folder: &Path) -> Result<(), SnapshotError> {
    Manifest::withdraw(folder).map_err(SnapshotError::at(folder))?;
    copy::remove(folder)
}

/// Removes old snapshots of a log, and says how many. Of each set of services the newest `keep` stay (one
/// at least), and the one that reaches furthest, if that is another: who begins anew and takes snapshots
/// on the way must not push it out. What no reader of this version can use (half
/// written, damaged, of another state format) stays for a day: somebody may be at work on it, or a
/// roll-back may want it.
///
/// # Errors
/// When the directory cannot be read, or something in it cannot be removed.
pub fn prune(shared: &Path, log_id: LogId, keep: usize, now_ms: Millis) -> Result<usize, SnapshotError> {
    let mut sets: BTreeMap<Vec<String>, Vec<(u64, PathBuf)>> = BTreeMap::new();
    let mut old = Vec::new();
    for Found { folder, begun_ms, manifest } in folders(shared, log_id)? {
        match manifest {
            Ok(Some(manifest)) if manifest.state_format == STATE_FORMAT => {
                let reach = manifest.applied.values().flat_map(BTreeMap::values).sum();
                sets.entry(manifest.applied.into_keys().collect()).or_default().push((reach, folder));
            }
            Ok(_) | Err(_) if now_ms - begun_ms > DAY_MS => old.push(folder),
            Ok(_) | Err(_) => {}
        }
    }
    for snapshots in sets.into_values() {
        let newest = snapshots.iter().rev().take(keep.max(1));
        let furthest = snapshots.iter().max_by_key(|(reach, _)| reach);
        let stay: BTreeSet<PathBuf> = newest.chain(furthest).map(|(_, folder)| folder.clone()).collect();
        old.extend(snapshots.into_iter().map(|(_, folder)| folder).filter(|folder| !stay.contains(folder)));
    }
    old.iter().try_for_each(|folder| remove(folder))?;
    Ok(old.len())
}
