//! The high-water mark: how far each partition was durable, in a small file of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The file begins anew when it is larger.
const ROTATE_BYTES: u64 = 1 << 20;

fn entry(ends: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The last mark of a file, if there is one. A cut or damaged last entry leaves the one before.
pub(crate) fn read(path: &Path, partitions: u16) -> io::Result<Option<Vec<u64>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let width = usize::from(partitions) * 8 + 4;
    let mut whole = bytes.chunks_exact(width).filter_map(|chunk| {
        let (ends, checksum) = chunk.split_last_chunk::<4>()?;
        let ends_at = |at: &[u8]| at.try_into().map(u64::from_le_bytes).unwrap_or_default();
        (crc32c::crc32c(ends) == u32::from_le_bytes(*checksum)).then(|| ends.chunks_exact(8).map(ends_at).collect())
    });
    Ok(whole.next_back())
}

#[derive(Default)]
struct Wanted {
    ends: Option<Vec<u64>>,
    stop: bool,
}

/// Writes marks on a thread of its own, the newest one only.
pub(crate) struct HighWater {
    wanted: Arc<(Mutex<Wanted>, Condvar)>,
    writer: Option<JoinHandle<()>>,
}

impl HighWater {
    pub(crate) fn start(path: PathBuf, on_failure: impl Fn(String) + Send + 'static) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let wanted = Arc::new((Mutex::new(Wanted::default()), Condvar::new()));
        let shared = wanted.clone();
        let writer = std::thread::Builder::new().name("log-high-water".into()).spawn(move || {
            let (lock, changed) = &*shared;
            loop {
                let (ends, stop) = {
                    let mut wanted = lock.lock().unwrap_or_else(PoisonError::into_inner);
                    while wanted.ends.is_none() && !wanted.stop {
                        wanted = changed.wait(wanted).unwrap_or_else(PoisonError::into_inner);
                    }
                    (wanted.ends.take(), wanted.stop)
                };
                if let Some(ends) = ends
                    && let Err(error) = write(&path, &mut file, &ends)
                {
                    on_failure(format!("{}: {error}", path.display()));
                    return;
                }
                if stop {
                    return;
                }
            }
        })?;
        Ok(Self { wanted, writer: Some(writer) })
    }

    pub(crate) fn mark(&self, ends: Vec<u64>) {
        let (lock, changed) = &*self.wanted;
        lock.lock().unwrap_or_else(PoisonError::into_inner).ends = Some(ends);
        changed.notify_one();
    }
}

impl Drop for HighWater {
    fn drop(&mut self) {
        let (lock, changed) = &*self.wanted;
        lock.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write(path: &Path, file: &mut File, ends: &[u64]) -> io::Result<()> {
    if file.metadata()?.len() < ROTATE_BYTES {
        file.write_all(&entry(ends))?;
        return file.sync_data();
    }
    let fresh = path.with_extension("new");
    let mut next = File::create(&fresh)?;
    next.write_all(&entry(ends))?;
    next.sync_all()?;
    std::fs::rename(&fresh, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    *file = OpenOptions::new().append(true).open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_mark_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        assert_eq!(read(&path, 2).unwrap(), None);
        let marks = HighWater::start(path.clone(), |error| panic!("{error}")).unwrap();
        marks.mark(vec![1, 2]);
        drop(marks);
        let marks = HighWater::start(path.clone(), |error| panic!("{error}")).unwrap();
        marks.mark(vec![3, 4]);
        drop(marks);
        assert_eq!(read(&path, 2).unwrap(), Some(vec![3, 4]));
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 10;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path, 2).unwrap(), Some(vec![1, 2]));
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(read(&path, 2).unwrap(), Some(vec![1, 2]));
    }
}
