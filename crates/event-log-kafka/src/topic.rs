//! Topics: created as they must be, or checked.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rejoinder_event_log::MAX_RECORD_BYTES;

use crate::connection::Connection;
use crate::error::OpenError;

/// How long a broker may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile about what it does not know yet.
const TRIES: u32 = 1_000;
/// A record with Kafka's own overhead.
const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + (64 << 10);

/// A topic as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Exactly so many.
    pub partitions: u16,
    /// Copies of each partition, at least.
    pub replication: i32,
    /// Settings that a new one is made with, besides `min.insync.replicas`.
    pub settings: Vec<(&'static str, String)>,
}

impl Topic {
    /// One that keeps everything. An existing one must have the least one of `max.message.bytes` and
    /// `min.insync.replicas`, the others as they stand.
    pub(crate) fn that_keeps_all(name: &str, partitions: u16, replication: i32) -> Self {
        let settings = vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
        ];
        Self { name: name.to_owned(), partitions, replication, settings }
    }

    /// With the copies that must have a record before it is acknowledged.
    fn all_settings(&self) -> Vec<(&'static str, String)> {
        let min_insync = (self.replication - 1).max(1).to_string();
        self.settings.iter().cloned().chain([("min.insync.replicas", min_insync)]).collect()
    }
}

fn suffices(name: &str, found: &str, wanted: &str) -> bool {
    let at_least = matches!(name, "max.message.bytes" | "min.insync.replicas");
    match (at_least, found.parse::<u64>(), wanted.parse::<u64>()) {
        (true, Ok(found), Ok(wanted)) => found >= wanted,
        _ => found == wanted,
    }
}

fn failed(connection: &Connection, source: KafkaError) -> OpenError {
    OpenError::Kafka { brokers: connection.brokers().to_owned(), source }
}

/// Creates topics unless they are there.
///
/// # Errors
/// When a broker refuses, or the user may not and has to have them made.
pub fn create(connection: &Connection, topics: &[Topic]) -> Result<(), OpenError> {
    let admin = admin(connection)?;
    let settings: Vec<_> = topics.iter().map(Topic::all_settings).collect();
    let mut new = Vec::new();
    for (topic, settings) in topics.iter().zip(&settings) {
        let copies = TopicReplication::Fixed(topic.replication);
        let bare = NewTopic::new(&topic.name, i32::from(topic.partitions), copies);
        new.push(settings.iter().fold(bare, |new, (name, value)| new.set(name, value)));
    }
    let patience = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let created = futures_executor::block_on(admin.create_topics(&new, &patience));
    for (topic, outcome) in topics.iter().zip(created.map_err(|error| failed(connection, error))?) {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            // Rights are looked at first: it may be there, made by who may.
            Err((_, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {
                let seen = admin.inner().fetch_metadata(Some(&topic.name), PATIENCE);
                let seen = seen.map_err(|error| failed(connection, error))?;
                if seen.topics().iter().all(|topic| topic.partitions().is_empty()) {
                    let remedy = command_that_creates(connection, topic);
                    return Err(OpenError::MayNotCreate { topic: topic.name.clone(), remedy });
                }
            }
            Err((_, code)) => return Err(failed(connection, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

fn command_that_creates(connection: &Connection, topic: &Topic) -> String {
    let settings = topic.all_settings().into_iter().map(|(name, value)| format!(" --config {name}={value}"));
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {}{}",
        connection.brokers(),
        topic.name,
        topic.partitions,
        topic.replication,
        settings.collect::<String>(),
    )
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
pub(crate) fn partitions(connection: &Connection, name: &str) -> Result<u16, OpenError> {
    let admin = admin(connection)?;
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(|error| failed(connection, error))?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name).map_or(0, |topic| topic.partitions().len());
    match u16::try_from(found) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(OpenError::Absent { topic: name.to_owned() }),
    }
}

/// Looks whether topics have the partitions and copies that they should have; waits for those that were just
/// created.
///
/// # Errors
/// When one has not, or no broker answers.
pub fn check_copies(connection: &Connection, topics: &[Topic]) -> Result<(), OpenError> {
    let admin = admin(connection)?;
    topics.iter().try_for_each(|topic| once_known(|| copies(connection, &admin, topic), is_news))
}

/// Looks whether a topic keeps what is written to it.
pub(crate) fn check(connection: &Connection, topic: &Topic) -> Result<(), OpenError> {
    let admin = admin(connection)?;
    let look = || copies(connection, &admin, topic).and_then(|()| settings(connection, &admin, topic));
    once_known(look, is_news)
}

/// Is it only that a broker has not heard of the topic yet?
fn is_news(error: &OpenError) -> bool {
    match error {
        OpenError::Kafka { source, .. } => is_new(source),
        OpenError::Partitions { found, .. } => *found == 0,
        OpenError::Setting { .. }
        | OpenError::Copies { .. }
        | OpenError::Cut { .. }
        | OpenError::Id { .. }
        | OpenError::Connection(_)
        | OpenError::Refused { .. }
        | OpenError::Unreached { .. }
        | OpenError::EligibleLeaders { .. }
        | OpenError::MayNotCreate { .. }
        | OpenError::Absent { .. }
        | OpenError::Thread(_) => false,
    }
}

type Admin = AdminClient<DefaultClientContext>;

fn copies(connection: &Connection, admin: &Admin, wanted: &Topic) -> Result<(), OpenError> {
    let name = &wanted.name;
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(|error| failed(connection, error))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let found = topic.map_or(0, |topic| topic.partitions().len());
    if found != usize::from(wanted.partitions) {
        return Err(OpenError::Partitions { topic: name.clone(), found, wanted: wanted.partitions });
    }
    for partition in topic.into_iter().flat_map(|topic| topic.partitions()) {
        let found = partition.replicas().len();
        if i32::try_from(found).unwrap_or(i32::MAX) < wanted.replication {
            let (topic, partition, wanted) = (name.clone(), partition.id(), wanted.replication);
            return Err(OpenError::Copies { topic, partition, found, wanted });
        }
    }
    Ok(())
}

fn settings(connection: &Connection, admin: &Admin, topic: &Topic) -> Result<(), OpenError> {
    let name = topic.name.as_str();
    let patience = AdminOptions::new().request_timeout(Some(PATIENCE));
    let asked = [ResourceSpecifier::Topic(name)];
    let described = futures_executor::block_on(admin.describe_configs(asked.iter(), &patience));
    let mut values = BTreeMap::new();
    for resource in described.map_err(|error| failed(connection, error))? {
        let resource = resource.map_err(|code| failed(connection, KafkaError::AdminOp(code)))?;
        values.extend(resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())));
    }
    for (setting, wanted) in topic.all_settings() {
        let found = values.get(setting).cloned().unwrap_or_default();
        if !suffices(setting, &found, &wanted) {
            let remedy = format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {name} \
                 --add-config {setting}={wanted}",
                connection.brokers()
            );
            return Err(OpenError::Setting { topic: name.to_owned(), name: setting, found, wanted, remedy });
        }
    }
    Ok(())
}

fn admin(connection: &Connection) -> Result<Admin, OpenError> {
    connection.client().create().map_err(|error| failed(connection, error))
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
