//! The state of every lane on RocksDB: write-behind, without a write-ahead log, because the event log
//! covers what is missing.
//!
//! One database and one key space: service, partition, table, key. A flush writes all changes of a
//! lane and the record of how far they go in one batch, so what is stored is always the state as of
//! one position of the log.

mod meta;
pub mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use meta::{LaneMeta, STATE_FORMAT};
use rejoinder_machine::{Backing, Change};
use rejoinder_model::Service;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

/// Where a lane keeps what it says of itself: no table has this number.
const META_TABLE: u8 = 0;

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process: stop that one, or name another directory")]
    InUse(PathBuf),
    /// The disk does not let it be read or written: making it anew would not help.
    #[error("the state in {dir} cannot be opened: {what}")]
    Storage {
        /// The directory.
        dir: PathBuf,
        /// What RocksDB says.
        what: String,
    },
    /// It is damaged. The event log makes it anew.
    #[error("the state in {dir} is damaged: {what}; it can be rebuilt from the event log")]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What RocksDB says.
        what: String,
    },
}

impl OpenError {
    fn of(dir: &Path, error: &rocksdb::Error) -> Self {
        let (dir, what) = (dir.to_owned(), error.to_string());
        let says = |texts: &[&str]| texts.iter().any(|text| what.contains(text));
        if error.kind() != rocksdb::ErrorKind::IOError {
            Self::Damaged { dir, what }
        } else if says(&["While lock file", "lock hold by"]) {
            Self::InUse(dir)
        } else if says(&["No such file", "Input/output error"]) {
            Self::Damaged { dir, what }
        } else {
            Self::Storage { dir, what }
        }
    }
}

/// In the directory of a state that is damaged, with what was found: the next start makes it anew.
const CONDEMNED: &str = "CONDEMNED";

/// The database of all lanes.
pub struct ProjectionStore {
    db: Arc<DB>,
    damage: Arc<Damage>,
}

/// Damage found while the state is in use. A read or a compaction that meets it fails for ever, so no
/// lane can mend its own part: all of it must be made anew.
struct Damage {
    /// `None`: open for reading only.
    dir: Option<PathBuf>,
    what: OnceLock<String>,
}

impl Damage {
    /// Takes note of what RocksDB says, if that is damage.
    fn or(&self, error: &rocksdb::Error) -> String {
        if error.kind() == rocksdb::ErrorKind::Corruption && self.what.set(error.to_string()).is_ok() {
            let text = error.to_string();
            if let Some(dir) = &self.dir
                && let Err(error) = std::fs::write(dir.join(CONDEMNED), &text)
            {
                tracing::error!(%error, "the state is damaged, and no note of it can be made");
            }
        }
        error.to_string()
    }
}

impl ProjectionStore {
    /// Opens the state in `dir`, or creates one there, with a cache of `cache_bytes`.
    ///
    /// # Errors
    /// When it is in use or damaged.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        if let Ok(what) = std::fs::read_to_string(dir.join(CONDEMNED)) {
            return Err(OpenError::Damaged { dir: dir.to_owned(), what });
        }
        Self::with(dir, DB::open(&options(cache_bytes), dir), true)
    }

    /// Opens the state of a stopped process for reading.
    ///
    /// # Errors
    /// When it is damaged or absent.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        Self::with(dir, DB::open_for_read_only(&options(8 << 20), dir, false), false)
    }

    fn with(dir: &Path, opened: Result<DB, rocksdb::Error>, writes: bool) -> Result<Self, OpenError> {
        match opened {
            Ok(db) => {
                let damage = Damage { dir: writes.then(|| dir.to_owned()), what: OnceLock::new() };
                Ok(Self { db: Arc::new(db), damage: Arc::new(damage) })
            }
            Err(error) => Err(OpenError::of(dir, &error)),
        }
    }

    /// The part of a lane.
    #[must_use]
    pub fn lane(&self, service: Service, partition: u16) -> LaneStore {
        let mut prefix = vec![service as u8];
        prefix.extend_from_slice(&partition.to_be_bytes());
        LaneStore { db: self.db.clone(), prefix, failure: Arc::default(), damage: self.damage.clone() }
    }

    /// Reads about `max_bytes` of entries from a key on, so that damage is found before it is in the way.
    /// Returns where to go on; `None` at the end.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn patrol(&self, from: &[u8], max_bytes: usize) -> Result<Option<Vec<u8>>, String> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut bytes = 0;
        for entry in self.db.iterator_opt(IteratorMode::From(from, Direction::Forward), options) {
            let (key, value) = entry.map_err(|error| self.damage.or(&error))?;
            bytes += key.len() + value.len();
            if bytes >= max_bytes {
                return Ok(Some(key.into_vec()));
            }
        }
        Ok(None)
    }

    /// What damage was found since it was opened. The next one to open it is told too.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.what.get().map(String::as_str)
    }

    /// Removes all that is stored of a service.
    fn clear_service(&self, service: Service) -> Result<(), String> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let mut batch = WriteBatch::default();
        batch.delete_range([service as u8], [service as u8 + 1]);
        self.db.write_opt(batch, &options).map_err(|error| self.damage.or(&error))
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn sync(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| self.damage.or(&error))
    }
}

fn options(cache_bytes: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(16 << 20);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(512);
    options.set_paranoid_checks(true);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(cache_bytes));
    table.set_bloom_filter(10.0, false);
    // In parts: whole filters of large files have megabytes, and would push each other out of the cache.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4 << 10);
    table.set_pin_top_level_index_and_filter(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    options.set_block_based_table_factory(&table);
    options
}

/// The stored state of one lane.
#[derive(Clone)]
pub struct LaneStore {
    db: Arc<DB>,
    prefix: Vec<u8>,
    failure: Arc<Mutex<Option<String>>>,
    damage: Arc<Damage>,
}

impl LaneStore {
    fn key(&self, table: u8, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(self.prefix.len() + 1 + key.len());
        full.extend_from_slice(&self.prefix);
        full.push(table);
        full.extend_from_slice(key);
        full
    }

    /// What the lane says of itself; `None` when nothing is stored.
    ///
    /// # Errors
    /// When it cannot be read: the state must be rebuilt.
    pub fn meta(&self) -> Result<Option<LaneMeta>, String> {
        let stored = self.db.get(self.key(META_TABLE, &[])).map_err(|error| self.damage.or(&error))?;
        stored.map(|bytes| LaneMeta::decode(&bytes)).transpose()
    }

    /// Stores changes, and how far they go, as one.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn write(&self, changes: impl IntoIterator<Item = Change>, meta: &LaneMeta) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        for Change { key, value } in changes {
            let full = [&self.prefix[..], &key].concat();
            match value {
                Some(value) => batch.put(full, value),
                None => batch.delete(full),
            }
        }
        batch.put(self.key(META_TABLE, &[]), meta.encode()?);
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(|error| self.damage.or(&error))
    }

    /// Removes all that is stored of the lane, and forgets what failed.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn clear(&self) -> Result<(), String> {
        let mut after = self.prefix.clone();
        for byte in after.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let mut batch = WriteBatch::default();
        batch.delete_range(&self.prefix[..], &after[..]);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.db.write_opt(batch, &options).map_err(|error| self.damage.or(&error))
    }

    /// Every stored entry of the lane but its meta record, in key order.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
        for entry in self.db.iterator(IteratorMode::From(&self.key(META_TABLE + 1, &[]), Direction::Forward)) {
            let (key, value) = entry.map_err(|error| self.damage.or(&error))?;
            match key.strip_prefix(&self.prefix[..]) {
                Some(key) => each(key, &value),
                None => break,
            }
        }
        Ok(())
    }

    /// Is the database itself damaged, so that clearing a lane's part helps nothing?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damage.what.get().is_some()
    }

    /// Why the lane must stop, if a read failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backing for LaneStore {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.db.get(self.key(table, key)).map_err(|error| self.damage.or(&error))
    }

    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(self.key(table + 1, &[]));
        let start = self.key(table, from);
        let entries = self.db.iterator_opt(IteratorMode::From(&start, Direction::Forward), options).take(limit);
        entries
            .map(|entry| {
                let (key, value) = entry.map_err(|error| self.damage.or(&error))?;
                Ok((key[self.prefix.len() + 1..].to_vec(), value.into_vec()))
            })
            .collect()
    }

    fn failed(&self, what: String) {
        // The first one stops the lane; what the same step meets after it says nothing new.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| {
            tracing::error!(what, "the state of a lane cannot be read");
            what
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_event_log::PartitionFold;

    fn meta(own_seq: u64) -> LaneMeta {
        let fold = PartitionFold::default();
        let (digests, fires_from) = (vec![(1, 5)], [0, 7, 0, i64::MIN]);
        LaneMeta { log_id: 7, fold, applied: 3, checksum: 9, digests, next_own_seq: own_seq, fires_from }
    }

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change { key: key.to_vec(), value: Some(value.to_vec()) }
    }

    #[test]
    fn a_lane_reads_what_it_wrote_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 1 << 20).unwrap();
        let (one, other) = (store.lane(Service::Ingest, 1), store.lane(Service::Ingest, 2));
        one.write([put(&[1, 5], b"five"), put(&[1, 6], b"six"), put(&[2, 1], b"else")], &meta(4)).unwrap();
        other.write([put(&[1, 5], b"theirs")], &meta(2)).unwrap();
        assert_eq!(one.get(1, &[5]).unwrap().unwrap(), b"five");
        assert_eq!(one.scan(1, &[], 10).unwrap().len(), 2);
        assert_eq!(one.scan(1, &[6], 10).unwrap(), [(vec![6], b"six".to_vec())]);
        assert_eq!(one.meta().unwrap(), Some(meta(4)));
        one.clear().unwrap();
        assert_eq!((one.meta().unwrap(), one.scan(1, &[], 10).unwrap().len()), (None, 0));
        assert_eq!(other.get(1, &[5]).unwrap().unwrap(), b"theirs");
    }

    #[test]
    fn a_patrol_reads_everything_in_parts_and_damage_condemns_the_whole_state() {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 1 << 20).unwrap();
        let changes = (0..200_u8).map(|n| put(&[1, n], &[n; 100]));
        store.lane(Service::Ingest, 1).write(changes, &meta(4)).unwrap();
        store.sync().unwrap();
        let (mut from, mut parts) = (Vec::new(), 0);
        while let Some(next) = store.patrol(&from, 2_000).unwrap() {
            (from, parts) = (next, parts + 1);
        }
        assert!(parts >= 10, "{parts}");
        drop(store);
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let table = files.filter(|path| path.extension().is_some_and(|it| it == "sst")).last().unwrap();
        let mut bytes = std::fs::read(&table).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&table, bytes).unwrap();
        let store = ProjectionStore::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(store.damage(), None);
        assert!(store.patrol(&[], usize::MAX).is_err());
        assert!(store.damage().is_some() && store.lane(Service::Ingest, 1).is_damaged());
        drop(store);
        assert!(matches!(ProjectionStore::open(dir.path(), 1 << 20), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn what_was_synced_is_there_after_reopening_and_a_second_open_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 1 << 20).unwrap();
        store.lane(Service::Threading, 0).write([put(&[1, 1], b"x")], &meta(8)).unwrap();
        assert!(matches!(ProjectionStore::open(dir.path(), 1 << 20), Err(OpenError::InUse(_))));
        store.sync().unwrap();
        drop(store);
        let store = ProjectionStore::open_read_only(dir.path()).unwrap();
        assert_eq!(store.lane(Service::Threading, 0).meta().unwrap().unwrap().next_own_seq, 8);
    }
}
