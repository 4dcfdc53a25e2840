//! The transactional producer: many records and the positions after them, all or nothing.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::cloud_event::PublicRecord;
use crate::error::told;
use crate::publisher::Options;
use crate::table::Topic;

/// How often the producer is looked after while something is on its way.
const LOOK: Duration = Duration::from_millis(1);

struct Deliveries;

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = told(&error), reason, "Kafka, in the publisher's producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    /// A record that is not delivered fails its transaction.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Writes to the public topics.
pub(crate) struct Writer {
    producer: BaseProducer<Deliveries>,
    topics: [String; Topic::ALL.len()],
    patience: Duration,
}

/// The record of a partition of the log.
pub(crate) type Addressed = (u16, PublicRecord);

impl Writer {
    /// A producer, once whatever its transactional id had begun before is over.
    pub(crate) fn start(options: &Options) -> Result<Self, KafkaError> {
        let patience = options.transaction_timeout;
        let mut config = options.connection.client();
        config
            .set("transactional.id", format!("{}-{}", crate::group::name(&options.events_topic), options.instance))
            .set("transaction.timeout.ms", patience.as_millis().to_string())
            // A transaction right after another may have to ask again while the broker ends that one.
            .set("retry.backoff.ms", "10")
            .set("compression.type", "lz4")
            .set("linger.ms", "1")
            .set("message.max.bytes", "2000000")
            .set("queue.buffering.max.kbytes", "65536");
        let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries)?;
        producer.init_transactions(patience)?;
        let topics = Topic::ALL.map(|topic| topic.name(&options.prefix));
        Ok(Self { producer, topics, patience })
    }

    /// Writes records and positions in one transaction. After an error its outcome may be unknown.
    pub(crate) fn write(
        &self,
        records: &[Addressed],
        positions: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        records.iter().try_for_each(|(partition, record)| self.send(*partition, record))?;
        self.producer.send_offsets_to_transaction(positions, group, self.patience)?;
        // The library's own flush sleeps for a tenth of a second once anything is on its way.
        let mut looks = self.patience.as_millis() / LOOK.as_millis();
        while self.producer.in_flight_count() > 0 && looks > 0 {
            self.producer.poll(LOOK);
            looks -= 1;
        }
        self.producer.commit_transaction(self.patience)
    }

    fn send(&self, partition: u16, record: &PublicRecord) -> Result<(), KafkaError> {
        let topic = &self.topics[record.topic as usize];
        let mut looks = self.patience.as_millis() / LOOK.as_millis();
        loop {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let message = BaseRecord::to(topic)
                .partition(i32::from(partition))
                .key(&record.key)
                .payload(&record.payload[..])
                .headers(headers);
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) && looks > 0 => {
                    self.producer.poll(LOOK);
                    looks -= 1;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Gives up what a failed `write` began; `None` if the producer is of no use any more.
    pub(crate) fn after(self, failure: &KafkaError) -> Option<Self> {
        let KafkaError::Transaction(inner) = failure else { return None };
        if !inner.txn_requires_abort() {
            return None;
        }
        match self.producer.abort_transaction(self.patience) {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::warn!(error = told(&error), "a transaction cannot be aborted");
                None
            }
        }
    }
}
