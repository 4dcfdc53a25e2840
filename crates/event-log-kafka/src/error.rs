//! Why a log on Kafka cannot be opened, and the way out.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::connection::ConnectionError;
use crate::contact::Refusal;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// How the brokers are reached is configured wrongly.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A broker does not let us in, or we do not trust it.
    #[error("Kafka at {brokers} {refusal}: {reason}")]
    Refused {
        /// As given.
        brokers: String,
        /// What is wrong.
        refusal: Refusal,
        /// What librdkafka says.
        reason: String,
    },
    /// No broker answers.
    #[error(
        "Kafka at {brokers} does not answer; is that the address of a listener that speaks as security says? {reason}"
    )]
    Unreached {
        /// As given.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// A broker answers that it cannot, or will not.
    #[error("Kafka at {brokers}: {source}{}", way_out(source))]
    Kafka {
        /// As given.
        brokers: String,
        /// What librdkafka says.
        #[source]
        source: KafkaError,
    },
    /// Copies that miss records may lead.
    #[error(
        "the cluster at {brokers} has no eligible leader replicas, so that a copy which misses acknowledged records \
         may come to lead; mend it with: kafka-features.sh --bootstrap-server {brokers} upgrade \
         --feature eligible.leader.replicas.version=1 (Kafka 4.0 or later)"
    )]
    EligibleLeaders {
        /// As given.
        brokers: String,
    },
    /// There is no such topic, and this user may not make it.
    #[error(
        "topic {topic} is not there, or is not shown to this user, who may not create it; have it made with: {remedy}"
    )]
    MayNotCreate {
        /// The topic.
        topic: String,
        /// The command that makes it.
        remedy: String,
    },
    /// The topic has another number of partitions.
    #[error(
        "topic {topic} has {found} partitions, {wanted} are asked for: the number is fixed when a log is created; set \
         `partitions` to {found}"
    )]
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

/// What whoever began with one broker has to say.
fn way_out(error: &KafkaError) -> &'static str {
    if *error == KafkaError::AdminOp(RDKafkaErrorCode::InvalidReplicationFactor) {
        "; there are fewer brokers than copies are asked for: add brokers, or set `replication` to fewer, 1 is for \
         development"
    } else {
        ""
    }
}
