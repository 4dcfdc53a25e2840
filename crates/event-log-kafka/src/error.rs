//! Why a log on Kafka cannot be opened, and the way out.

use rdkafka::error::KafkaError;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No broker answers, or it refuses.
    #[error("Kafka at {brokers}: {source}")]
    Kafka {
        /// As given.
        brokers: String,
        /// What librdkafka says.
        #[source]
        source: KafkaError,
    },
    /// The topic has another number of partitions.
    #[error("topic {topic} has {found} partitions, {wanted} are asked for: the number is fixed when a log is created")]
    Partitions {
        /// The topic.
        topic: String,
        /// As created.
        found: usize,
        /// As asked for.
        wanted: u16,
    },
    /// The topic would lose records, or take none that are large.
    #[error("topic {topic} has {name}={found}, and a log needs {wanted}; mend it with: {remedy}")]
    Setting {
        /// The topic.
        topic: String,
        /// The topic's setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        wanted: String,
        /// The command that sets it.
        remedy: String,
    },
    /// Fewer copies than asked for.
    #[error(
        "topic {topic} has {found} copies of partition {partition}, {wanted} are asked for: add some with \
         kafka-reassign-partitions.sh, or ask for {found}"
    )]
    Copies {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Copies that there are.
        found: usize,
        /// As asked for.
        wanted: i32,
    },
    /// Records are gone from the beginning.
    #[error("partition {partition} of topic {topic} begins at {first}: records before that are lost")]
    Cut {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u16,
        /// Its first record.
        first: i64,
    },
    /// A log that is to be read is not there.
    #[error("there is no topic {topic}: name the prefix of a log that there is")]
    Absent {
        /// The topic.
        topic: String,
    },
    /// The topic that names the log holds something else.
    #[error("topic {topic} should hold the id of a log, and does not: {what}")]
    Id {
        /// The topic.
        topic: String,
        /// What it holds.
        what: String,
    },
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}
