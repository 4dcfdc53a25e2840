//! Copies of the state in a directory that instances share, so that one with an empty disk folds the
//! rest of the log and not all of it.
//!
//! A snapshot is a folder `<log id>-<time>-<instance>` with the files of a RocksDB checkpoint and a
//! manifest, which comes last: a folder without one does not exist for readers. It says nothing that
//! the log does not say, so whatever is wrong with it, the next older one or the log itself will do.

mod copy;
mod driver;
mod manifest;
mod restore;
mod shelf;
mod take;

use std::path::{Path, PathBuf};

pub use driver::{AGE, FAILURES, METRICS, Options, Snapshots};
pub use manifest::{FORMAT, FileFact, Manifest};
pub use restore::{Outcome, Wanted, restore};
pub use shelf::prune;
pub use take::Facts;

/// Why a snapshot could not be taken, brought back or removed. The state in use is not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A disk does not let it be read or written.
    #[error("{path}: {source}")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The state itself cannot be read or written.
    #[error("the state: {0}")]
    State(String),
    /// It was told to stop.
    #[error("it was stopped before it was whole")]
    Stopped,
}

impl SnapshotError {
    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Disk { path, source }
    }
}

/// The place for what is not whole yet, on the disk of `dir`.
fn beside(dir: &Path, what: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(what);
    dir.with_file_name(name)
}

#[cfg(test)]
mod tests;
