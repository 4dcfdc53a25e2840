//! Reading what is older than the newest records in memory: rebuilds, restarts, readers from the past.
//!
//! Who reads so reads on: a consumer that stands where the next read begins is kept for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use rejoinder_event_log::{ReadError, StoredRecord};

use crate::connection::Connection;

/// Readers kept.
const READERS: usize = 32;
/// How long a broker may take for a record that is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// In so many parts.
const WAITS: u32 = 20;
/// After a broker did not answer, nobody asks again for so long: who reads has other partitions to look after.
const NOT_AGAIN: Duration = Duration::from_secs(1);

struct Reader {
    partition: u16,
    next: u64,
    consumer: BaseConsumer,
    /// Was read, and had no room in the last answer.
    left: Option<Bytes>,
}

/// Consumers that stand somewhere in the past.
#[derive(Default)]
pub(crate) struct CatchUp {
    readers: Mutex<Vec<Reader>>,
    /// When a broker did not answer last.
    silent_at: Mutex<Option<Instant>>,
}

#[expect(clippy::disallowed_methods, reason = "how long a broker is left alone is no business of the log")]
fn now() -> Instant {
    Instant::now()
}

fn unavailable() -> ReadError {
    ReadError::Unavailable(format!("no broker answers for {} s", PATIENCE.as_secs()))
}

fn unreadable(error: &KafkaError) -> ReadError {
    ReadError::Storage(error.to_string())
}

impl CatchUp {
    /// Records from an index on that is below `in_memory`, from where on nobody needs a broker.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        topic: &str,
        (partition, from, in_memory): (u16, u64, u64),
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, ReadError> {
        let silent_at = *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        if silent_at.is_some_and(|at| now() - at < NOT_AGAIN) {
            return Err(unavailable());
        }
        let mut reader = self.reader(connection, topic, partition, from)?;
        let read = reader.read(max_bytes);
        if let Err(ReadError::Unavailable(_)) = &read {
            *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
        }
        let records = read?;
        if reader.next >= in_memory {
            return Ok(records);
        }
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() == READERS {
            // The one that was not used for the longest time.
            readers.remove(0);
        }
        readers.push(reader);
        Ok(records)
    }

    fn reader(&self, connection: &Connection, topic: &str, partition: u16, from: u64) -> Result<Reader, ReadError> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = readers.iter().position(|reader| (reader.partition, reader.next) == (partition, from)) {
            return Ok(readers.remove(at));
        }
        drop(readers);
        let consumer: BaseConsumer = connection.consumer(topic).create().map_err(|error| unreadable(&error))?;
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, i32::from(partition), offset).map_err(|error| unreadable(&error))?;
        consumer.assign(&list).map_err(|error| unreadable(&error))?;
        Ok(Reader { partition, next: from, consumer, left: None })
    }
}

impl Reader {
    fn read(&mut self, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let (mut records, mut bytes, mut waits) = (Vec::new(), 0, 0);
        loop {
            let wait = if records.is_empty() { PATIENCE / WAITS } else { Duration::ZERO };
            let record = match self.left.take() {
                Some(record) => record,
                None => match self.consumer.poll(wait) {
                    Some(Ok(message)) => {
                        let found = u64::try_from(message.offset()).unwrap_or_default();
                        if found != self.next {
                            let what = format!("the next record there is {found}");
                            return Err(ReadError::Damaged { partition: self.partition, index: self.next, what });
                        }
                        Bytes::copy_from_slice(message.payload().unwrap_or_default())
                    }
                    Some(Err(error)) if waits >= WAITS => return Err(ReadError::Unavailable(error.to_string())),
                    None if !records.is_empty() => return Ok(records),
                    None if waits >= WAITS => {
                        return Err(unavailable());
                    }
                    None | Some(Err(_)) => {
                        waits += 1;
                        continue;
                    }
                },
            };
            bytes += record.len();
            if !records.is_empty() && bytes > max_bytes {
                self.left = Some(record);
                return Ok(records);
            }
            records.push(StoredRecord { index: self.next, bytes: record });
            self.next += 1;
        }
    }
}
