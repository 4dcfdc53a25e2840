//! Bringing a snapshot back to an empty disk: all of it, checked, or nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rejoinder_event_log::LogId;
use rejoinder_model::Service;

use super::copy::{self, CopyError};
use super::shelf::{self, Found};
use super::{Manifest, SnapshotError, beside};
use crate::{OpenError, ProjectionStore, STATE_FORMAT};

/// What a snapshot must be to be of use.
pub struct Wanted<'a> {
    /// Of this log.
    pub log_id: LogId,
    /// With all lanes of these services. What it has of others is cleared.
    pub services: &'a [Service],
    /// Not ahead of the log, as far as its end is known here: by partition, the index after the last
    /// record.
    pub ends: &'a dyn Fn(u16) -> u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state of this snapshot is there.
    Restored(Manifest),
    /// No snapshot is of use: the log is folded from its start.
    Nothing,
    /// There is a state already: nothing was done.
    Kept,
}

/// Why a snapshot did not become the state.
enum Refusal {
    /// It is damaged: another one may do.
    Damaged(String),
    /// The disk of the state does not take it; it would take no other one either.
    Failed(SnapshotError),
}

/// Makes the state in `into`, which is empty or not there yet, from the snapshot with which the least is
/// left to fold: the one that reaches furthest, the newest of equal ones.
///
/// Sizes and checksums are compared while it is copied. One that is damaged is named in the log and the
/// next one is taken. What is not whole lies beside `into` and is removed by the next try.
///
/// # Errors
/// When the shared directory cannot be read, or the disk of the state cannot be written.
pub fn restore(shared: &Path, wanted: &Wanted<'_>, into: &Path) -> Result<Outcome, SnapshotError> {
    if std::fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(Outcome::Kept);
    }
    let fresh = beside(into, ".restoring");
    let parent = into.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(SnapshotError::at(parent))?;
    copy::remove(&fresh)?;
    let mut fitting: Vec<_> =
        shelf::folders(shared, wanted.log_id)?.into_iter().filter_map(|found| wanted.fitting(found)).collect();
    fitting.sort_by_key(|(_, manifest)| (manifest.reach(wanted.services), manifest.taken_ms));
    while let Some((folder, manifest)) = fitting.pop() {
        match fetch(&folder, &manifest, wanted.services, &fresh) {
            Ok(()) => {
                // An empty directory gives way.
                std::fs::rename(&fresh, into).map_err(SnapshotError::at(into))?;
                copy::sync_dir(parent)?;
                return Ok(Outcome::Restored(manifest));
            }
            Err(refusal) => {
                copy::remove(&fresh)?;
                match refusal {
                    Refusal::Damaged(what) => pass_over(&folder, &what),
                    Refusal::Failed(error) => return Err(error),
                }
            }
        }
    }
    Ok(Outcome::Nothing)
}

fn pass_over(folder: &Path, what: &str) {
    tracing::warn!(snapshot = %folder.display(), what, "a snapshot is passed over");
}

impl Wanted<'_> {
    /// The folder with its manifest, if by that it is of use; what is not as it should be is named.
    fn fitting(&self, found: Found) -> Option<(PathBuf, Manifest)> {
        let Found { folder, manifest, .. } = found;
        match manifest {
            Ok(Some(manifest)) => match self.against(&manifest) {
                None => return Some((folder, manifest)),
                Some(what) => pass_over(&folder, &what),
            },
            Ok(None) => {}
            Err(what) => pass_over(&folder, &what),
        }
        None
    }

    fn against(&self, manifest: &Manifest) -> Option<String> {
        if manifest.state_format != STATE_FORMAT {
            return Some(format!("its state has format {}, this version has {STATE_FORMAT}", manifest.state_format));
        }
        if !manifest.has(self.services) {
            let has: Vec<_> = manifest.applied.keys().map(String::as_str).collect();
            return Some(format!("it has only the services {}", has.join(", ")));
        }
        let mut lanes = self.services.iter().flat_map(|service| manifest.lanes(*service));
        let ahead = lanes.find(|(partition, applied)| *applied > (self.ends)(*partition));
        ahead.map(|(partition, applied)| format!("it is ahead of the event log, at {partition}/{applied}"))
    }
}

/// Copies a snapshot to a new directory and makes it a state that opens.
fn fetch(folder: &Path, manifest: &Manifest, services: &[Service], fresh: &Path) -> Result<(), Refusal> {
    let failed = |error: std::io::Error| Refusal::Failed(SnapshotError::at(fresh)(error));
    std::fs::create_dir(fresh).map_err(failed)?;
    let never = AtomicBool::new(false);
    for file in &manifest.files {
        if Path::new(&file.name).file_name() != Some(file.name.as_ref()) {
            return Err(Refusal::Damaged(format!("{:?} is no name of a file", file.name)));
        }
        let read = copy::file(folder, fresh, &file.name, &never).map_err(|error| match error {
            CopyError::Source(error) => Refusal::Damaged(format!("{} cannot be read: {error}", file.name)),
            CopyError::Target(error) => failed(error),
            CopyError::Stopped => Refusal::Failed(SnapshotError::Stopped),
        })?;
        if read.size != file.size {
            return Err(Refusal::Damaged(format!("{} has {} bytes of {}", file.name, read.size, file.size)));
        }
        if read.crc32c != file.crc32c {
            return Err(Refusal::Damaged(format!("the checksum of {} is wrong", file.name)));
        }
    }
    let store = ProjectionStore::open(fresh, 8 << 20).map_err(|error| match error {
        OpenError::Damaged { what, .. } => Refusal::Damaged(what),
        OpenError::InUse(_) | OpenError::Storage { .. } => Refusal::Failed(SnapshotError::State(error.to_string())),
    })?;
    settle(&store, manifest, services)?;
    drop(store);
    copy::sync_dir(fresh).map_err(Refusal::Failed)
}

/// Keeps the lanes of these services, each as far as the manifest says, and nothing else.
fn settle(store: &ProjectionStore, manifest: &Manifest, services: &[Service]) -> Result<(), Refusal> {
    for service in services {
        for (partition, applied) in manifest.lanes(*service) {
            let stored = store.lane(*service, partition).meta().map_err(Refusal::Damaged)?.map(|meta| meta.applied);
            if stored != Some(applied) {
                let lane = format!("{} of partition {partition}", service.name());
                return Err(Refusal::Damaged(format!("{lane} goes to {stored:?}, not to {applied}")));
            }
        }
    }
    let mut others = Service::ALL.into_iter().filter(|service| !services.contains(service));
    let cleared = others.try_for_each(|service| store.clear_service(service));
    cleared.and_then(|()| store.sync()).map_err(|what| Refusal::Failed(SnapshotError::State(what)))
}
