//! The producer of a process: idempotent, with every copy acknowledged, and no record given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rejoinder_event_log::{AppendError, MAX_RECORD_BYTES};

use crate::log::Options;

/// What the producer tells.
struct Deliveries {
    waiting: Arc<AtomicUsize>,
    stopped: Arc<OnceLock<String>>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            // The first cause stays.
            let _ = self.stopped.set(reason.to_owned());
        }
    }
}

impl ProducerContext for Deliveries {
    /// The bytes of the record.
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, bytes: Box<usize>) {
        self.waiting.fetch_sub(*bytes, Ordering::Relaxed);
        if let Err((error, _)) = result {
            // Records have no time-out: one that fails will never be tried again.
            let _ = self.stopped.set(error.to_string());
        }
    }
}

/// Writes records to the partitions of a topic.
pub(crate) struct Writer {
    topic: String,
    producer: ThreadedProducer<Deliveries>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    stopped: Arc<OnceLock<String>>,
}

impl Writer {
    pub(crate) fn start(options: &Options, stopped: Arc<OnceLock<String>>) -> Result<Self, KafkaError> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let producer = options
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // 0: never. What an outage holds back is bounded by bytes, and sheds at the edge.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "0")
            .set("message.max.bytes", "2000000")
            // A batch counts as one message for the topic: no batch is larger than the largest record.
            .set("batch.size", MAX_RECORD_BYTES.to_string())
            .set("queue.buffering.max.kbytes", (options.queue_bytes / 512).max(4_096).to_string())
            .set("queue.buffering.max.messages", "1000000")
            .create_with_context(Deliveries { waiting: waiting.clone(), stopped: stopped.clone() })?;
        Ok(Self { topic: options.topic.clone(), producer, waiting, limit: options.queue_bytes, stopped })
    }

    pub(crate) fn send(&self, partition: u16, record: &Bytes) -> Result<(), AppendError> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting + record.len() > self.limit {
            return Err(AppendError::Full(waiting));
        }
        let bytes = Box::new(record.len());
        let message = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, bytes)
            .partition(i32::from(partition))
            .payload(&record[..]);
        self.waiting.fetch_add(record.len(), Ordering::Relaxed);
        let Err((error, _)) = self.producer.send(message) else { return Ok(()) };
        self.waiting.fetch_sub(record.len(), Ordering::Relaxed);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Err(AppendError::Full(waiting)),
            _ => {
                let _ = self.stopped.set(error.to_string());
                Err(AppendError::Stopped(error.to_string()))
            }
        }
    }

    /// Waits until all that was taken is written, or until the time is over.
    pub(crate) fn flush(&self, patience: Duration) {
        const LOOK: Duration = Duration::from_millis(2);
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if self.producer.in_flight_count() == 0 {
                break;
            }
            std::thread::sleep(LOOK);
        }
    }
}
