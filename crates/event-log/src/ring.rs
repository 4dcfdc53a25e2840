//! The newest records of a partition in memory, so that who reads at the tail never asks the disk.

use std::collections::VecDeque;

use crate::log::StoredRecord;
use bytes::Bytes;

/// The newest records of one partition.
#[derive(Debug, Default)]
pub struct Ring {
    records: VecDeque<Bytes>,
    first: u64,
    bytes: usize,
}

impl Ring {
    /// An empty one whose first record will have this index.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// The index after the last durable record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// The index of the oldest record that it has.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Takes the next record, and lets the oldest go beyond `limit` bytes.
    pub fn push(&mut self, record: Bytes, limit: usize) {
        self.bytes += record.len();
        self.records.push_back(record);
        while self.bytes > limit && self.records.len() > 1 {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.len();
                self.first += 1;
            }
        }
    }

    /// Records from `from` on, or `None` when it no longer has them.
    #[must_use]
    pub fn read(&self, from: u64, max_bytes: usize) -> Option<Vec<StoredRecord>> {
        if from >= self.end() {
            return Some(Vec::new());
        }
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        let mut bytes = 0;
        let records = self.records.iter().skip(skip).enumerate().take_while(|(n, record)| {
            bytes += record.len();
            *n == 0 || bytes <= max_bytes
        });
        Some(records.map(|(n, bytes)| StoredRecord { index: from + n as u64, bytes: bytes.clone() }).collect())
    }
}
