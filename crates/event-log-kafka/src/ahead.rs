//! Records that were shown before they were durable: each is compared with what the topic got.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

/// How often it is looked whether all has landed.
const LOOK: Duration = Duration::from_millis(2);

struct Partition {
    next: u64,
    waiting: VecDeque<Bytes>,
}

/// By partition what has not landed yet. Bounded by what the writer may hold.
pub(crate) struct Ahead {
    partitions: Vec<Mutex<Partition>>,
}

fn lock(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ahead {
    /// Nothing; the next record of each partition lands at its end.
    pub(crate) fn of(ends: &[u64]) -> Self {
        let partition = |next: &u64| Mutex::new(Partition { next: *next, waiting: VecDeque::new() });
        Self { partitions: ends.iter().map(partition).collect() }
    }

    pub(crate) fn expect(&self, partition: u16, record: &Bytes) {
        if let Some(partition) = self.partitions.get(usize::from(partition)) {
            lock(partition).waiting.push_back(record.clone());
        }
    }

    /// The topic has got a record: is it the one that was shown there?
    pub(crate) fn landed(&self, partition: u16, index: i64, record: &Bytes) -> Result<(), String> {
        let Some(of) = self.partitions.get(usize::from(partition)) else {
            return Err(format!("the topic has got a partition {partition}"));
        };
        let mut of = lock(of);
        let shown = of.waiting.pop_front();
        if u64::try_from(index) != Ok(of.next) || shown.as_ref() != Some(record) {
            return Err(format!("{partition}/{index} is not what was written there: others write to the topic"));
        }
        of.next += 1;
        Ok(())
    }

    pub(crate) fn is_empty_within(&self, patience: Duration) -> bool {
        let is_empty = || self.partitions.iter().all(|partition| lock(partition).waiting.is_empty());
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if is_empty() {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        is_empty()
    }
}
