//! A publisher as a process of its own: `publish BROKERS EVENTS_TOPIC PARTITIONS PREFIX INSTANCE`. It ends
//! when its standard input does.

use std::io::Read as _;
use std::time::Duration;

use rejoinder_event_log_kafka::{Cluster, KafkaLog};
use rejoinder_public_topics::{Options, start};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, partitions, prefix, instance] = &arguments[..] else {
        return Err("publish BROKERS EVENTS_TOPIC PARTITIONS PREFIX INSTANCE".into());
    };
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_env_filter(std::env::var("RUST_LOG").unwrap_or_default())
        .init();
    let log = rejoinder_event_log_kafka::Options::new(brokers, topic);
    let log =
        KafkaLog::open(rejoinder_event_log_kafka::Options { partitions: partitions.parse()?, replication: 1, ..log })?;
    let connection = Cluster::from(brokers).connection()?;
    // Small transactions, one after the other: whoever is killed is in the middle of one.
    let options = Options {
        replication: 1,
        interval: Duration::from_millis(2),
        transaction_bytes: 16 << 10,
        transaction_timeout: Duration::from_secs(5),
        session_timeout: Duration::from_secs(6),
        ..Options::new(connection, topic, prefix, instance)
    };
    let publisher = start(log, options)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    publisher.stop();
    Ok(())
}
