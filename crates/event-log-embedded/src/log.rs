//! Opening, appending, reading, verifying.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use rejoinder_event_log::{AppendError, EventLog, LogId, MAX_RECORD_BYTES, ReadError, Ring, StoredRecord, Watcher};
use rocksdb::{DB, Direction, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

use crate::appender::{self, Queue};
use crate::error::OpenError;
use crate::high_water::{self, HighWater};
use crate::store::{self, Meta};

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When an fsync of its group is done.
    EveryGroup,
    /// At once; synced when closed. For a log that can be made anew from its input.
    Deferred,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of partitions of a new log; an existing one must have it.
    pub partitions: u16,
    /// When a record counts as durable.
    pub sync: Sync,
    /// The id of a new log; random when not given.
    pub id: Option<LogId>,
    /// Bytes that may wait to become durable.
    pub queue_bytes: usize,
    /// Bytes of the newest records kept in memory, for each partition.
    pub ring_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { partitions: 16, sync: Sync::EveryGroup, id: None, queue_bytes: 64 << 20, ring_bytes: 4 << 20 }
    }
}

pub(crate) struct Shared {
    dir: PathBuf,
    db: DB,
    meta: Meta,
    options: Options,
    pub(crate) queue: Queue,
    rings: Vec<Mutex<Ring>>,
    watchers: RwLock<Vec<Watcher>>,
    high_water: Mutex<Option<HighWater>>,
    stopped: OnceLock<String>,
    /// Held as long as the log is open for writing.
    lock: OnceLock<File>,
}

/// The event log in a directory.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    appender: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or creates one there.
    ///
    /// # Errors
    /// When it is in use, damaged, or cannot be written.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        let storage = |source| OpenError::Storage { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(storage)?;
        let held = take(dir)?;
        let marked = high_water::read(&dir.join("high-water"), options.partitions).map_err(storage)?;
        let db_dir = dir.join("db");
        if marked.is_some() && !db_dir.join("CURRENT").exists() {
            let what = format!("{} has no database, but a high-water mark stands beside it", db_dir.display());
            return Err(OpenError::Damaged { dir: dir.to_owned(), what });
        }
        if db_dir.join("CURRENT").exists() {
            // RocksDB tidies up when it opens for writing. What is damaged must stay as it is.
            Self::look(dir, marked.as_deref())?;
        }
        let db = store::open(&db_dir)?;
        let meta = match store::read_meta(&db, dir)? {
            Some(meta) => meta,
            None if store::end(&db, 0).is_ok_and(|end| end > 0) => {
                let what = "its own description is missing".to_owned();
                return Err(OpenError::Damaged { dir: dir.to_owned(), what });
            }
            None => {
                let id = options.id.unwrap_or_else(|| uuid::Uuid::new_v4().as_u128());
                let meta = Meta { id, partitions: options.partitions };
                store::write_meta(&db, meta).map_err(|error| OpenError::from_rocksdb(dir, &error))?;
                meta
            }
        };
        if meta.partitions != options.partitions {
            let (found, wanted) = (meta.partitions, options.partitions);
            return Err(OpenError::Partitions { dir: dir.to_owned(), found, wanted });
        }
        let shared = Shared::new(dir, db, meta, options)?;
        let _ = shared.lock.set(held);
        shared.compare(marked.as_deref())?;
        if marked.is_none() && shared.ends().iter().any(|end| *end > 0) {
            let dir = dir.display();
            tracing::error!(%dir, "the event log has no high-water mark: that it ends where it did cannot be proved");
        }
        let failing = Arc::downgrade(&shared);
        let on_failure = move |what| {
            if let Some(shared) = failing.upgrade() {
                shared.stop(what);
            }
        };
        let high_water = HighWater::start(dir.join("high-water"), on_failure).map_err(storage)?;
        *lock(&shared.high_water) = Some(high_water);
        let appending = shared.clone();
        let appender = std::thread::Builder::new()
            .name("log-append".into())
            .spawn(move || appender::run(&appending))
            .map_err(storage)?;
        Ok(Arc::new(Self { shared, appender: Mutex::new(Some(appender)) }))
    }

    /// Opens the log of a stopped process for reading.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn open_read_only(dir: &Path) -> Result<Arc<Self>, OpenError> {
        let db = store::open_read_only(&dir.join("db"))?;
        let meta = store::read_meta(&db, dir)?.ok_or_else(|| OpenError::Absent { dir: dir.to_owned() })?;
        let options = Options { partitions: meta.partitions, ..Options::default() };
        let storage = |source| OpenError::Storage { dir: dir.to_owned(), source };
        let marked = high_water::read(&dir.join("high-water"), meta.partitions).map_err(storage)?;
        let shared = Shared::new(dir, db, meta, options)?;
        shared.compare(marked.as_deref())?;
        shared.queue.close();
        Ok(Arc::new(Self { shared, appender: Mutex::new(None) }))
    }

    /// Opens a log for reading and compares it with its mark.
    fn look(dir: &Path, marked: Option<&[u64]>) -> Result<(), OpenError> {
        let db = store::open_read_only(&dir.join("db"))?;
        match store::read_meta(&db, dir)? {
            Some(meta) => Shared::new(dir, db, meta, Options::default())?.compare(marked),
            None => Ok(()),
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes the directory for this process; it is let go when the file is closed.
fn take(dir: &Path) -> Result<File, OpenError> {
    let storage = |source| OpenError::Storage { dir: dir.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("in-use")).map_err(storage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(storage(source)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(dir: &Path, db: DB, meta: Meta, options: Options) -> Result<Arc<Self>, OpenError> {
        let ends = (0..meta.partitions).map(|partition| store::end(&db, partition));
        let ends = ends.collect::<Result<Vec<u64>, _>>().map_err(|error| OpenError::from_rocksdb(dir, &error))?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            db,
            meta,
            options,
            queue: Queue::default(),
            rings: ends.into_iter().map(|end| Mutex::new(Ring::starting_at(end))).collect(),
            watchers: RwLock::default(),
            high_water: Mutex::default(),
            stopped: OnceLock::new(),
            lock: OnceLock::new(),
        }))
    }

    /// Refuses a log that ends before its high-water mark.
    fn compare(&self, marked: Option<&[u64]>) -> Result<(), OpenError> {
        for (partition, (marked, end)) in marked.unwrap_or_default().iter().zip(self.ends()).enumerate() {
            if end < *marked {
                let what = format!(
                    "partition {partition} ends at {partition}/{end}, {partition}/{marked} was durable: {} records are lost",
                    marked - end
                );
                return Err(OpenError::Damaged { dir: self.dir.clone(), what });
            }
        }
        Ok(())
    }

    fn ends(&self) -> Vec<u64> {
        self.rings.iter().map(|ring| lock(ring).end()).collect()
    }

    pub(crate) fn stop(&self, what: String) {
        tracing::error!(what, "the event log has stopped");
        let _ = self.stopped.set(what);
    }

    /// Writes a group and lets readers see it.
    pub(crate) fn write(&self, group: Vec<(u16, Bytes)>, sync: bool) -> Result<(), rocksdb::Error> {
        let mut ends = self.ends();
        let mut batch = WriteBatch::default();
        for (partition, record) in &group {
            let end = &mut ends[usize::from(*partition)];
            batch.put(store::key(*partition, *end), record);
            *end += 1;
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options)?;
        let mut moved = vec![false; self.rings.len()];
        for (partition, record) in group {
            lock(&self.rings[usize::from(partition)]).push(record, self.options.ring_bytes);
            moved[usize::from(partition)] = true;
        }
        if sync && let Some(high_water) = lock(&self.high_water).as_ref() {
            high_water.mark(ends);
        }
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        for (partition, _) in moved.iter().enumerate().filter(|(_, moved)| **moved) {
            let partition = u16::try_from(partition).unwrap_or_default();
            watchers.iter().for_each(|watcher| watcher(partition));
        }
        Ok(())
    }

    fn read_stored(
        &self,
        partition: u16,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, ReadError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(store::key(partition, end));
        let start = store::key(partition, from);
        let mut records = Vec::new();
        let mut bytes = 0;
        for entry in self.db.iterator_opt(IteratorMode::From(&start, Direction::Forward), options) {
            let (key, value) = entry.map_err(|error| ReadError::Damaged {
                partition,
                index: from + records.len() as u64,
                what: error.to_string(),
            })?;
            let index = from + records.len() as u64;
            if store::index_of(&key, partition) != Some(index) {
                return Err(ReadError::Damaged { partition, index, what: "the record is missing".into() });
            }
            bytes += value.len();
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(StoredRecord { index, bytes: Bytes::from(value.into_vec()) });
        }
        Ok(records)
    }
}

impl EventLog for EmbeddedLog {
    fn id(&self) -> LogId {
        self.shared.meta.id
    }

    fn partitions(&self) -> u16 {
        self.shared.meta.partitions
    }

    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        if let Some(what) = self.stopped() {
            return Err(AppendError::Stopped(what.to_owned()));
        }
        if record.len() > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { size: record.len(), limit: MAX_RECORD_BYTES });
        }
        if partition >= self.partitions() {
            return Err(AppendError::Stopped(format!("partition {partition} does not exist")));
        }
        match self.shared.options.sync {
            Sync::EveryGroup => self.shared.queue.push(partition, record, self.shared.options.queue_bytes),
            Sync::Deferred => {
                // One writer at a time: the queue's lock is not needed, the appender sleeps.
                let _guard = lock(&self.appender);
                self.shared.write(vec![(partition, record)], false).map_err(|error| {
                    self.shared.stop(error.to_string());
                    AppendError::Stopped(error.to_string())
                })
            }
        }
    }

    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let Some(ring) = self.shared.rings.get(usize::from(partition)) else { return Ok(Vec::new()) };
        let end = {
            let ring = lock(ring);
            if let Some(records) = ring.read(from, max_bytes) {
                return Ok(records);
            }
            ring.end()
        };
        self.shared.read_stored(partition, from, end, max_bytes)
    }

    fn end(&self, partition: u16) -> u64 {
        self.shared.rings.get(usize::from(partition)).map_or(0, |ring| lock(ring).end())
    }

    fn watch(&self, watcher: Watcher) {
        self.shared.watchers.write().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(String::as_str)
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.shared.dir).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Also lets go of the directory.
    fn close(&self) {
        self.shared.queue.close();
        if let Some(appender) = lock(&self.appender).take() {
            let _ = appender.join();
            if let Err(error) = self.shared.db.flush_wal(true) {
                self.shared.stop(error.to_string());
            } else if let Some(high_water) = lock(&self.shared.high_water).as_ref() {
                high_water.mark(self.shared.ends());
            }
        }
        drop(lock(&self.shared.high_water).take());
    }
}

#[cfg(test)]
mod tests;
