//! The state of every lane on RocksDB: write-behind, without a write-ahead log, because the event log
//! covers what is missing.
//!
//! One database and one key space: service, partition, table, key. A flush writes all changes of a
//! lane and the record of how far they go in one batch, so what is stored is always the state as of
//! one position of the log.

mod meta;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// It is damaged. The event log makes it anew.
    #[error("the state in {dir} is damaged: {what}; it can be rebuilt from the event log")]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What RocksDB says.
        what: String,
    },
}

/// The database of all lanes.
pub struct ProjectionStore {
    db: Arc<DB>,
}

impl ProjectionStore {
    /// Opens the state in `dir`, or creates one there, with a cache of `cache_bytes`.
    ///
    /// # Errors
    /// When it is in use or damaged.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        Self::with(dir, DB::open(&options(cache_bytes), dir))
    }

    /// Opens the state of a stopped process for reading.
    ///
    /// # Errors
    /// When it is damaged or absent.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        Self::with(dir, DB::open_for_read_only(&options(8 << 20), dir, false))
    }

    fn with(dir: &Path, opened: Result<DB, rocksdb::Error>) -> Result<Self, OpenError> {
        match opened {
            Ok(db) => Ok(Self { db: Arc::new(db) }),
            Err(error) if error.to_string().contains("lock") => Err(OpenError::InUse(dir.to_owned())),
            Err(error) => Err(OpenError::Damaged { dir: dir.to_owned(), what: error.to_string() }),
        }
    }

    /// The part of a lane.
    #[must_use]
    pub fn lane(&self, service: Service, partition: u16) -> LaneStore {
        let mut prefix = vec![service as u8];
        prefix.extend_from_slice(&partition.to_be_bytes());
        LaneStore { db: self.db.clone(), prefix, failure: Arc::default() }
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn sync(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| error.to_string())
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
        let stored = self.db.get(self.key(META_TABLE, &[])).map_err(|error| error.to_string())?;
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
        self.db.write_opt(batch, &options).map_err(|error| error.to_string())
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
        self.db.write_opt(batch, &options).map_err(|error| error.to_string())
    }

    /// Every stored entry of the lane but its meta record, in key order.
    ///
    /// # Errors
    /// What RocksDB says.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
        for entry in self.db.iterator(IteratorMode::From(&self.key(META_TABLE + 1, &[]), Direction::Forward)) {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            match key.strip_prefix(&self.prefix[..]) {
                Some(key) => each(key, &value),
                None => break,
            }
        }
        Ok(())
    }

    /// Why the lane must stop, if a read failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backing for LaneStore {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.db.get(self.key(table, key)).map_err(|error| error.to_string())
    }

    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(self.key(table + 1, &[]));
        let start = self.key(table, from);
        let entries = self.db.iterator_opt(IteratorMode::From(&start, Direction::Forward), options).take(limit);
        entries
            .map(|entry| {
                let (key, value) = entry.map_err(|error| error.to_string())?;
                Ok((key[self.prefix.len() + 1..].to_vec(), value.into_vec()))
            })
            .collect()
    }

    fn failed(&self, what: String) {
        tracing::error!(what, "the state of a lane cannot be read");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_event_log::PartitionFold;

    fn meta(own_seq: u64) -> LaneMeta {
        let fold = PartitionFold::default();
        LaneMeta { log_id: 7, fold, applied: 3, checksum: 9, digests: vec![(1, 5)], next_own_seq: own_seq }
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
