//! The public topics on Kafka: created with as many partitions as the log has, or checked.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::StartError;

/// How long a broker may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile about what it does not know yet.
const TRIES: u32 = 200;

/// Creates the topics that are not there, and looks whether all fit the log.
pub(crate) fn prepare(
    client: &ClientConfig,
    names: &[String],
    partitions: u16,
    replication: i32,
) -> Result<(), StartError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let min_insync = (replication - 1).max(1).to_string();
    let topic = |name| {
        NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(replication))
            .set("cleanup.policy", "delete")
            // Readers may begin at the beginning, until somebody says otherwise.
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            // What keeps events for a time counts from when they were published, not from when they happened.
            .set("message.timestamp.type", "LogAppendTime")
            .set("min.insync.replicas", &min_insync)
    };
    let topics: Vec<NewTopic<'_>> = names.iter().map(|name| topic(name)).collect();
    let patience = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for outcome in futures_executor::block_on(admin.create_topics(&topics, &patience))? {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
        }
    }
    names.iter().try_for_each(|name| check(&admin, name, partitions, replication))
}

fn check(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    partitions: u16,
    replication: i32,
) -> Result<(), StartError> {
    for _ in 0..TRIES {
        match look(admin, name, partitions, replication) {
            // Brokers need a moment to hear of a topic that was just created.
            Err(StartError::Partitions { found: 0, .. }) => std::thread::sleep(PATIENCE / TRIES),
            outcome => return outcome,
        }
    }
    look(admin, name, partitions, replication)
}

fn look(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    partitions: u16,
    replication: i32,
) -> Result<(), StartError> {
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let found = topic.map_or(0, |topic| topic.partitions().len());
    if found != usize::from(partitions) {
        return Err(StartError::Partitions { topic: name.to_owned(), found, wanted: partitions });
    }
    for partition in topic.into_iter().flat_map(|topic| topic.partitions()) {
        let found = partition.replicas().len();
        if i32::try_from(found).unwrap_or(i32::MAX) < replication {
            let (topic, partition, wanted) = (name.to_owned(), partition.id(), replication);
            return Err(StartError::Copies { topic, partition, found, wanted });
        }
    }
    Ok(())
}
