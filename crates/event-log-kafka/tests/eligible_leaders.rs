//! A cluster whose copies may lose records is refused, with the command that mends it, which is tried.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod broker;
mod own_broker;
mod tools;

use own_broker::OwnBroker;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rejoinder_event_log_kafka::{KafkaLog, OpenError, Options};
use tools::{run, tool};

/// With three copies, for which one broker is too few: it gets as far as to say so, or is refused before.
fn open(address: &str) -> OpenError {
    let Err(error) = KafkaLog::open(Options::new(address, "events")) else { panic!("one broker is too few") };
    error
}

#[track_caller]
fn passes(address: &str) {
    let error = open(address);
    let too_few = KafkaError::AdminOp(RDKafkaErrorCode::InvalidReplicationFactor);
    assert!(matches!(&error, OpenError::Kafka { source, .. } if *source == too_few), "{error:?}");
}

#[test]
fn a_cluster_without_eligible_leader_replicas_is_refused_with_the_remedy() {
    let own = OwnBroker(9_710);
    let address = broker::script(Some(own.0), &["start"]);
    passes(&address);

    tool(&own, &["features", "downgrade", "--feature", "eligible.leader.replicas.version=0"]);
    // A trace of it stays until somebody removes it: until then nothing is said for certain.
    passes(&address);
    let trace = ["--entity-type", "brokers", "--entity-default", "--delete-config", "min.insync.replicas"];
    tool(&own, &[&["configs", "--alter"], &trace[..]].concat());
    let error = open(&address);
    assert!(matches!(error, OpenError::EligibleLeaders { .. }), "{error:?}");

    let text = error.to_string();
    let (_, remedy) = text.split_once("mend it with: ").unwrap();
    run(&own, remedy.split_once(" (").unwrap().0);
    passes(&address);
}
