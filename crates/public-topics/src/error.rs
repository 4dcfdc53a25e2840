//! Why a publisher cannot start, and what Kafka said.

use rdkafka::error::KafkaError;
use rejoinder_event_log_kafka::OpenError;

/// Why a publisher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No broker answers, or it refuses.
    #[error("the public topics cannot be reached: {}", told(source))]
    Kafka {
        /// What librdkafka says.
        #[from]
        source: KafkaError,
    },
    /// A public topic does not fit the log.
    #[error(
        "topic {topic} has {found} partitions, the event log has {wanted}, and a public topic needs as many: \
         choose another prefix, or delete the topic if nobody reads it"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// As created.
        found: usize,
        /// Those of the log.
        wanted: u16,
    },
    /// Another thing about a topic, as it would be with one of the log.
    #[error(transparent)]
    Topic(#[from] OpenError),
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// An error of Kafka with all that librdkafka knows of it.
pub(crate) fn told(error: &KafkaError) -> String {
    let KafkaError::Transaction(inner) = error else { return error.to_string() };
    let flags = [
        (inner.is_fatal(), "fatal"),
        (inner.is_retriable(), "can be tried again"),
        (inner.txn_requires_abort(), "must be aborted"),
    ];
    let flags: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    format!("{} ({}; {})", inner.string(), inner.name(), flags.join(", "))
}
