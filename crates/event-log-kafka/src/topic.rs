//! The topic of a log: created as it must be, or checked.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rejoinder_event_log::MAX_RECORD_BYTES;

use crate::error::OpenError;
use crate::log::Options;

/// How long a broker may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile about what it does not know yet.
const TRIES: u32 = 1_000;
/// A record with Kafka's own overhead.
const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + (64 << 10);

/// What a topic must have, so that it keeps everything. The least one of `max.message.bytes` and
/// `min.insync.replicas`, the others as they stand.
fn settings(options: &Options) -> [(&'static str, String); 6] {
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
        ("min.insync.replicas", options.min_insync().to_string()),
    ]
}

fn suffices(name: &str, found: &str, wanted: &str) -> bool {
    let at_least = matches!(name, "max.message.bytes" | "min.insync.replicas");
    match (at_least, found.parse::<u64>(), wanted.parse::<u64>()) {
        (true, Ok(found), Ok(wanted)) => found >= wanted,
        _ => found == wanted,
    }
}

fn failed(options: &Options, source: KafkaError) -> OpenError {
    OpenError::Kafka { brokers: options.brokers.clone(), source }
}

/// Creates a topic unless it is there.
pub(crate) fn create(options: &Options, name: &str, partitions: u16) -> Result<(), OpenError> {
    let admin = admin(options)?;
    let settings = settings(options);
    let mut topic = NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(options.replication));
    for (name, value) in &settings {
        topic = topic.set(name, value);
    }
    let patience = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let created = futures_executor::block_on(admin.create_topics([&topic], &patience));
    for outcome in created.map_err(|error| failed(options, error))? {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(options, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// Does something once the brokers know a topic that was just created, which takes them a moment.
pub(crate) fn once_known<T, E>(mut step: impl FnMut() -> Result<T, E>, is_new: impl Fn(&E) -> bool) -> Result<T, E> {
    for _ in 0..TRIES {
        match step() {
            Err(error) if is_new(&error) => std::thread::sleep(PATIENCE / TRIES),
            outcome => return outcome,
        }
    }
    step()
}

/// What a broker says of a topic that it does not know yet.
pub(crate) fn is_new(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
    };
    let of_admin = if let KafkaError::AdminOp(code) = error { Some(*code) } else { None };
    let code = of_admin.or_else(|| error.rdkafka_error_code());
    let news = [LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopic, UnknownTopicOrPartition];
    code.is_some_and(|code| news.contains(&code))
}

/// How many partitions a topic has.
pub(crate) fn partitions(options: &Options, name: &str) -> Result<u16, OpenError> {
    let admin = admin(options)?;
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(|error| failed(options, error))?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name).map_or(0, |topic| topic.partitions().len());
    match u16::try_from(found) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(OpenError::Absent { topic: name.to_owned() }),
    }
}

/// Looks whether a topic keeps what is written to it.
pub(crate) fn check(options: &Options, name: &str, partitions: u16) -> Result<(), OpenError> {
    let new = |error: &OpenError| match error {
        OpenError::Kafka { source, .. } => is_new(source),
        OpenError::Partitions { found, .. } => *found == 0,
        OpenError::Setting { .. }
        | OpenError::Copies { .. }
        | OpenError::Cut { .. }
        | OpenError::Id { .. }
        | OpenError::Absent { .. }
        | OpenError::Thread(_) => false,
    };
    once_known(|| look(options, name, partitions), new)
}

fn look(options: &Options, name: &str, partitions: u16) -> Result<(), OpenError> {
    let admin = admin(options)?;
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(|error| failed(options, error))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let found = topic.map_or(0, |topic| topic.partitions().len());
    if found != usize::from(partitions) {
        return Err(OpenError::Partitions { topic: name.to_owned(), found, wanted: partitions });
    }
    for partition in topic.into_iter().flat_map(|topic| topic.partitions()) {
        let found = partition.replicas().len();
        if i32::try_from(found).unwrap_or(i32::MAX) < options.replication {
            let (topic, partition, wanted) = (name.to_owned(), partition.id(), options.replication);
            return Err(OpenError::Copies { topic, partition, found, wanted });
        }
    }
    let patience = AdminOptions::new().request_timeout(Some(PATIENCE));
    let asked = [ResourceSpecifier::Topic(name)];
    let described = futures_executor::block_on(admin.describe_configs(asked.iter(), &patience));
    let mut values = BTreeMap::new();
    for resource in described.map_err(|error| failed(options, error))? {
        let resource = resource.map_err(|code| failed(options, KafkaError::AdminOp(code)))?;
        values.extend(resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())));
    }
    for (setting, wanted) in settings(options) {
        let found = values.get(setting).cloned().unwrap_or_default();
        if !suffices(setting, &found, &wanted) {
            let remedy = format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {name} \
                 --add-config {setting}={wanted}",
                options.brokers
            );
            return Err(OpenError::Setting { topic: name.to_owned(), name: setting, found, wanted, remedy });
        }
    }
    Ok(())
}

fn admin(options: &Options) -> Result<AdminClient<DefaultClientContext>, OpenError> {
    options.client().create().map_err(|error| failed(options, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_messages_and_more_copies_do_no_harm() {
        assert!(suffices("max.message.bytes", "2000000", "1000000"));
        assert!(!suffices("max.message.bytes", "1000", "1000000"));
        assert!(!suffices("min.insync.replicas", "1", "2"));
        assert!(!suffices("retention.ms", "604800000", "-1"));
        assert!(!suffices("cleanup.policy", "compact,delete", "delete"));
    }
}
