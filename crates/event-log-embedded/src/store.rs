//! The database below the log: its options, its keys, what it says of itself.

use std::path::Path;

use rejoinder_event_log::LogId;
use rocksdb::{DB, DBRecoveryMode, IteratorMode, Options, ReadOptions};

use crate::error::OpenError;

/// Sorts after all records.
const META_KEY: &[u8] = &[0xff; 12];
const FORMAT: u8 = 1;

/// What the log says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: LogId,
    pub(crate) partitions: u16,
}

pub(crate) fn key(partition: u16, index: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&partition.to_be_bytes());
    key[2..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(crate) fn index_of(key: &[u8], partition: u16) -> Option<u64> {
    let (prefix, index) = key.split_first_chunk::<2>()?;
    (u16::from_be_bytes(*prefix) == partition).then(|| index.try_into().map(u64::from_be_bytes).ok()).flatten()
}

fn options(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    // The default mode drops synced records silently after one flipped bit.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    options.set_paranoid_checks(true);
    // Records come in key order: tables move down the levels without being written again.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(32 << 20);
    options.set_max_write_buffer_number(4);
    options.set_target_file_size_base(64 << 20);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(256);
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_size(64 << 10);
    table.set_block_cache(&rocksdb::Cache::new_lru_cache(16 << 20));
    options.set_block_based_table_factory(&table);
    options
}

pub(crate) fn open(dir: &Path) -> Result<DB, OpenError> {
    DB::open(&options(true), dir).map_err(|error| OpenError::from_rocksdb(dir, &error))
}

pub(crate) fn open_read_only(dir: &Path) -> Result<DB, OpenError> {
    if !dir.join("CURRENT").exists() {
        return Err(OpenError::Absent { dir: dir.to_owned() });
    }
    DB::open_for_read_only(&options(false), dir, false).map_err(|error| OpenError::from_rocksdb(dir, &error))
}

pub(crate) fn read_meta(db: &DB, dir: &Path) -> Result<Option<Meta>, OpenError> {
    let damaged = |what: &str| OpenError::Damaged { dir: dir.to_owned(), what: what.to_owned() };
    let stored = db.get(META_KEY).map_err(|error| OpenError::from_rocksdb(dir, &error))?;
    let Some(stored) = stored else { return Ok(None) };
    let parse = || {
        let (format, rest) = stored.split_first()?;
        let (id, partitions) = rest.split_first_chunk::<16>()?;
        let partitions = u16::from_le_bytes(partitions.try_into().ok()?);
        (*format == FORMAT).then_some(Meta { id: LogId::from_le_bytes(*id), partitions })
    };
    parse().map(Some).ok_or_else(|| damaged("its own description is of no format that this version knows"))
}

pub(crate) fn write_meta(db: &DB, meta: Meta) -> Result<(), rocksdb::Error> {
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(&meta.id.to_le_bytes());
    bytes.extend_from_slice(&meta.partitions.to_le_bytes());
    let mut options = rocksdb::WriteOptions::default();
    options.set_sync(true);
    db.put_opt(META_KEY, bytes, &options)
}

/// The index after the last record of a partition.
pub(crate) fn end(db: &DB, partition: u16) -> Result<u64, rocksdb::Error> {
    let last = key(partition, u64::MAX);
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(key(partition, 0));
    let mut entries = db.iterator_opt(IteratorMode::From(&last, rocksdb::Direction::Reverse), options);
    match entries.next() {
        None => Ok(0),
        Some(entry) => Ok(index_of(&entry?.0, partition).map_or(0, |index| index + 1)),
    }
}
