//! The follower: one thread that reads what every partition gets, from the end at the start on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message as _, Statistics};

use crate::connection::Connection;
use crate::log::Shared;
use crate::metric_definitions::{ClientMetrics, measured};

/// How long a look for a stop may wait.
const LOOK: Duration = Duration::from_millis(100);

/// What the consumer tells.
pub(crate) struct Following(ClientMetrics);

impl ClientContext for Following {
    fn stats(&self, statistics: Statistics) {
        self.0.tell(&statistics);
    }

    /// Comes by `poll` as well.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka cannot be read now");
    }
}

impl ConsumerContext for Following {}

pub(crate) fn consumer(connection: &Connection, topic: &str) -> KafkaResult<BaseConsumer<Following>> {
    measured(connection.consumer(topic)).create_with_context(Following(ClientMetrics::of_consumer("follower")))
}

/// Runs until the log is closed or stops.
fn run(shared: &Shared, consumer: &BaseConsumer<Following>) {
    while !shared.is_closed() {
        match consumer.poll(LOOK) {
            Some(Err(KafkaError::MessageConsumption(code))) if is_loss(code) => {
                let what =
                    "the topic does not have any more what was read of it: records are lost, or it was made anew";
                shared.stop(what.to_owned());
                return;
            }
            // Brokers come back; librdkafka tries again by itself, and the context has said why.
            None | Some(Err(_)) => {}
            Some(Ok(message)) => {
                let partition = u16::try_from(message.partition()).unwrap_or(u16::MAX);
                let (index, bytes) = (message.offset(), message.payload().unwrap_or_default());
                if let Err(what) = shared.take(partition, index, Bytes::copy_from_slice(bytes)) {
                    shared.stop(what);
                    return;
                }
            }
        }
    }
}

/// Does a broker say that the place where reading goes on does not exist?
fn is_loss(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
}

/// A thread that ends with its log.
pub(crate) fn start(
    shared: &Arc<Shared>,
    consumer: BaseConsumer<Following>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let shared = shared.clone();
    std::thread::Builder::new().name("log-follow".into()).spawn(move || run(&shared, &consumer))
}
