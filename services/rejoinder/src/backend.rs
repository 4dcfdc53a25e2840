//! The event log that a configuration names: in the data directory, or in Apache Kafka.

use std::sync::Arc;

use anyhow::ensure;
use rejoinder_event_log::{EventLog, LogId};
use rejoinder_event_log_embedded::{EmbeddedLog, Options as EmbeddedOptions, Sync};
#[cfg(feature = "kafka")]
use rejoinder_event_log_kafka::{Cluster, KafkaLog, Options as KafkaOptions, Security};

#[cfg(feature = "kafka")]
use crate::config::KafkaSecurity;
use crate::config::{Config, LogKind};

/// Bytes of frames that may wait to become durable: more than all lanes together have in flight.
const QUEUE_BYTES: usize = 256 << 20;

/// How a log is made that only its maker writes.
pub(crate) struct New {
    pub(crate) id: LogId,
    /// Readable before it is durable: for what starts over when it is interrupted.
    pub(crate) deferred: bool,
}

#[cfg(not(feature = "kafka"))]
fn no_kafka() -> anyhow::Error {
    anyhow::anyhow!("this binary was built without the feature `kafka`")
}

fn embedded_options(config: &Config) -> EmbeddedOptions {
    EmbeddedOptions { partitions: config.partitions, queue_bytes: QUEUE_BYTES, ..EmbeddedOptions::default() }
}

/// Opens the log for writing, or creates it.
///
/// # Errors
/// When it is in use, damaged, cannot be reached, or would not keep everything.
pub(crate) fn open(config: &Config) -> anyhow::Result<Arc<dyn EventLog>> {
    match config.log {
        LogKind::Embedded => Ok(EmbeddedLog::open(&config.data_dir.join("log"), embedded_options(config))?),
        #[cfg(feature = "kafka")]
        LogKind::Kafka => Ok(KafkaLog::open(kafka_options(config))?),
        #[cfg(not(feature = "kafka"))]
        LogKind::Kafka => Err(no_kafka()),
    }
}

/// Opens a log as it stands. In Kafka others may go on writing.
///
/// # Errors
/// When there is none, it is in use, damaged, or cannot be reached.
pub(crate) fn open_read_only(config: &Config) -> anyhow::Result<Arc<dyn EventLog>> {
    match config.log {
        LogKind::Embedded => {
            let dir = config.data_dir.join("log");
            ensure!(dir.is_dir(), "{} is no data directory: it has no event log", config.data_dir.display());
            Ok(EmbeddedLog::open_read_only(&dir)?)
        }
        #[cfg(feature = "kafka")]
        LogKind::Kafka => Ok(KafkaLog::open(KafkaOptions { create: false, ..kafka_options(config) })?),
        #[cfg(not(feature = "kafka"))]
        LogKind::Kafka => Err(no_kafka()),
    }
}

/// Makes a log; one that holds something is refused.
///
/// # Errors
/// As `open`, and when it is not empty.
pub(crate) fn create(config: &Config, new: New) -> anyhow::Result<Arc<dyn EventLog>> {
    let (log, named): (Arc<dyn EventLog>, _) = match config.log {
        LogKind::Embedded => {
            let sync = if new.deferred { Sync::Deferred } else { Sync::EveryGroup };
            let options = EmbeddedOptions { sync, id: Some(new.id), ..embedded_options(config) };
            let dir = config.data_dir.join("log");
            (EmbeddedLog::open(&dir, options)?, dir.display().to_string())
        }
        #[cfg(feature = "kafka")]
        LogKind::Kafka => {
            let options = KafkaOptions { id: Some(new.id), deferred: new.deferred, ..kafka_options(config) };
            (KafkaLog::open(options)?, events_topic(config))
        }
        #[cfg(not(feature = "kafka"))]
        LogKind::Kafka => return Err(no_kafka()),
    };
    ensure!((0..log.partitions()).all(|partition| log.end(partition) == 0), "{named} is not empty");
    ensure!(log.id() == new.id, "{named} is the place of another log already; name another with --prefix");
    Ok(log)
}

/// How the log in Kafka is opened.
#[cfg(feature = "kafka")]
pub(crate) fn kafka_options(config: &Config) -> KafkaOptions {
    KafkaOptions {
        partitions: config.partitions,
        replication: i32::from(config.kafka_replication),
        queue_bytes: QUEUE_BYTES,
        ..KafkaOptions::new(cluster(config), &events_topic(config))
    }
}

/// How the brokers are reached.
#[cfg(feature = "kafka")]
pub(crate) fn cluster(config: &Config) -> Cluster {
    Cluster {
        brokers: config.kafka_brokers.clone(),
        security: match config.kafka_security {
            KafkaSecurity::Plaintext => Security::Plaintext,
            KafkaSecurity::Tls => Security::Tls,
            KafkaSecurity::SaslTls => Security::SaslTls,
        },
        ca_file: config.kafka_ca_file.clone(),
        certificate_file: config.kafka_certificate_file.clone(),
        key_file: config.kafka_key_file.clone(),
        username: config.kafka_username.clone(),
        password_file: config.kafka_password_file.clone(),
        insecure_plaintext: config.kafka_insecure_plaintext,
        properties: config.kafka_properties.clone(),
    }
}

/// The topic of the log.
#[cfg(feature = "kafka")]
pub(crate) fn events_topic(config: &Config) -> String {
    format!("{}.events", config.kafka_prefix)
}
