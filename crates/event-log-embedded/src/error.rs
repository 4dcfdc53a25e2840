//! Why a log cannot be opened, and the way out.

use std::path::PathBuf;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{dir} is in use by another process: stop that one, or name another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be written to.
    #[error("{dir} cannot be written: {source}")]
    Storage {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It has another number of partitions.
    #[error("{dir} has {found} partitions, {wanted} are asked for: the number is fixed when a log is created")]
    Partitions {
        /// The directory.
        dir: PathBuf,
        /// As created.
        found: u16,
        /// As asked for.
        wanted: u16,
    },
    /// Acknowledged records are missing or damaged.
    #[error("the event log in {dir} is damaged: {what}; restore it from a copy, nothing was changed")]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What does not hold, with the position or the file.
        what: String,
    },
    /// There is no log to read.
    #[error("{dir} holds no event log")]
    Absent {
        /// The directory.
        dir: PathBuf,
    },
}

impl OpenError {
    /// What RocksDB's answer at opening means.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else RocksDB says at opening is damage")]
    pub(crate) fn from_rocksdb(dir: &std::path::Path, error: &rocksdb::Error) -> Self {
        let dir = dir.to_owned();
        let text = error.to_string();
        match error.kind() {
            rocksdb::ErrorKind::IOError if text.contains("While lock file") || text.contains("lock hold by") => {
                Self::InUse { dir }
            }
            rocksdb::ErrorKind::IOError => Self::Storage { dir, source: std::io::Error::other(text) },
            _ => Self::Damaged { dir, what: text },
        }
    }
}
