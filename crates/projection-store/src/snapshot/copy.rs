//! Copying files with their checksums, and making them durable.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{FileFact, SnapshotError};

/// How much is copied before somebody may stop it.
const PART_BYTES: usize = 1 << 20;

/// On which side copying failed.
pub(super) enum CopyError {
    /// What is copied cannot be read.
    Source(std::io::Error),
    /// The copy cannot be written.
    Target(std::io::Error),
    /// It was told to stop.
    Stopped,
}

/// Copies a file to a new, durable one, and says what was read.
pub(super) fn file(from: &Path, to: &Path, name: &str, stop: &AtomicBool) -> Result<FileFact, CopyError> {
    let mut source = File::open(from.join(name)).map_err(CopyError::Source)?;
    let mut target = File::create_new(to.join(name)).map_err(CopyError::Target)?;
    let mut part = vec![0; PART_BYTES];
    let (mut size, mut crc32c) = (0, 0);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(CopyError::Stopped);
        }
        let read = match source.read(&mut part) {
            Ok(0) => break,
            Ok(read) => &part[..read],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Source(error)),
        };
        target.write_all(read).map_err(CopyError::Target)?;
        size += read.len() as u64;
        crc32c = crc32c::crc32c_append(crc32c, read);
    }
    target.sync_all().map_err(CopyError::Target)?;
    Ok(FileFact { name: name.to_owned(), size, crc32c })
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SnapshotError> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // Some file systems over a network know no such thing.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced.map_err(SnapshotError::at(dir)),
    }
}

/// Removes a directory that may be there.
pub(super) fn remove(dir: &Path) -> Result<(), SnapshotError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(SnapshotError::at(dir)),
    }
}
