//! Reading what is older than the newest records in memory: rebuilds, restarts, readers from the past.
//!
//! Who reads so reads on: a consumer that stands where the next read begins is kept for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use rejoinder_event_log::{ReadError, StoredRecord};

use crate::connection::Connection;

/// Readers kept.
const READERS: usize = 8;
/// How long a broker may take for a record that is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// In so many parts.
const WAITS: u32 = 300;

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
}

fn unreadable(error: &KafkaError) -> ReadError {
    ReadError::Storage(error.to_string())
}

impl CatchUp {
    /// Records from an index on that is below the end.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        topic: &str,
        partition: u16,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, ReadError> {
        let mut reader = self.reader(connection, topic, partition, from)?;
        let records = reader.read(max_bytes)?;
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
                    Some(Err(error)) if waits >= WAITS => return Err(unreadable(&error)),
                    None if !records.is_empty() => return Ok(records),
                    None if waits >= WAITS => {
                        return Err(ReadError::Storage(format!("no broker answers for {} s", PATIENCE.as_secs())));
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
