//! The appender: one thread that makes what all lanes queued durable, a group at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rejoinder_event_log::AppendError;

use crate::log::Shared;

#[derive(Default)]
struct Waiting {
    records: Vec<(u16, Bytes)>,
    bytes: usize,
    closed: bool,
}

/// Records on their way.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, partition: u16, record: Bytes, limit: usize) -> Result<(), AppendError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(AppendError::Stopped("it is being closed".into()));
        }
        if waiting.bytes + record.len() > limit && !waiting.records.is_empty() {
            return Err(AppendError::Full(waiting.bytes));
        }
        waiting.bytes += record.len();
        waiting.records.push((partition, record));
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// All that waits; `None` once it is closed and empty.
    fn take(&self) -> Option<Vec<(u16, Bytes)>> {
        let mut waiting = self.lock();
        while waiting.records.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes = 0;
        Some(std::mem::take(&mut waiting.records))
    }
}

/// Runs until the queue is closed or a write fails.
pub(crate) fn run(shared: &Arc<Shared>) {
    while let Some(group) = shared.queue.take() {
        if let Err(error) = shared.write(group, true) {
            // A failed write or fsync is never tried again: what the disk holds is not known.
            shared.stop(error.to_string());
            shared.queue.close();
            return;
        }
    }
}
