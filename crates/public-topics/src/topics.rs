//! The public topics on Kafka: created with as many partitions as the log has, or checked.

use rejoinder_event_log_kafka::topic::{self, Topic as Wanted};
use rejoinder_event_log_kafka::{Connection, OpenError};

use crate::error::StartError;

/// Creates the topics that are not there, and looks whether all fit the log.
pub(crate) fn prepare(
    connection: &Connection,
    names: &[String],
    partitions: u16,
    replication: i32,
) -> Result<(), StartError> {
    let settings = [
        ("cleanup.policy", "delete"),
        // Readers may begin at the beginning, until somebody says otherwise.
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        // What keeps events for a time counts from when they were published, not from when they happened.
        ("message.timestamp.type", "LogAppendTime"),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let wanted = |name: &String| Wanted { name: name.clone(), partitions, replication, settings: settings.clone() };
    let topics: Vec<Wanted> = names.iter().map(wanted).collect();
    topic::create(connection, &topics)?;
    let fit = topic::check_copies(connection, &topics);
    if let Err(OpenError::Partitions { topic, found, wanted }) = fit {
        return Err(StartError::Partitions { topic, found, wanted });
    }
    Ok(fit?)
}
