//! The event log on RocksDB.
