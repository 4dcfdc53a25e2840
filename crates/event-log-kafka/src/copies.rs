//! What the copies of a partition protect from: with one, from nothing; with several, only in a cluster
//! that knows which of them have everything.
//!
//! A broker acknowledges what is in its page cache. When all copies go down at once and one comes back
//! without its last records, it must not lead before one that has them. *Eligible leader replicas*
//! (KIP-966, Kafka 4.0; on by default in clusters made with 4.1 or later) see to that. librdkafka cannot
//! ask for the features of a cluster, but controllers leave a trace: while the feature is on, they keep
//! `min.insync.replicas` as a default of the whole cluster, and refuse to remove it. Where it is missing,
//! the feature is off for certain; where it stands, somebody may have set it by hand, and only
//! `kafka-features.sh --bootstrap-server … describe` says it for certain.

use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

use crate::connection::Connection;
use crate::error::OpenError;
use crate::topic::PATIENCE;

/// What is left behind.
const TRACE: &str = "min.insync.replicas";

/// Refuses a cluster whose copies may lose records for certain; warns where there is only one.
pub(crate) fn check(connection: &Connection, replication: i32) -> Result<(), OpenError> {
    if replication <= 1 {
        tracing::warn!(
            "the event log has one copy of each record, and its broker keeps the newest in the page cache, not on \
             the disk: a power cut loses what was acknowledged; ask for three copies outside of development"
        );
        return Ok(());
    }
    match default_min_insync(connection) {
        Ok(Some(ConfigSource::DynamicDefaultBroker)) => Ok(()),
        Ok(Some(_)) => Err(OpenError::EligibleLeaders { brokers: connection.brokers().to_owned() }),
        Ok(None) => {
            tracing::warn!("the brokers do not tell {TRACE}: see that eligible leader replicas are on");
            Ok(())
        }
        // Nobody needs the right to describe brokers for anything else.
        Err(error) => {
            tracing::warn!(%error, "cannot ask the brokers whether eligible leader replicas are on");
            Ok(())
        }
    }
}

/// Where a broker has it from.
fn default_min_insync(connection: &Connection) -> Result<Option<ConfigSource>, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = connection.client().create()?;
    let metadata = admin.inner().fetch_metadata(Some("__consumer_offsets"), PATIENCE)?;
    let Some(broker) = metadata.brokers().first() else { return Ok(None) };
    let (asked, patience) =
        ([ResourceSpecifier::Broker(broker.id())], AdminOptions::new().request_timeout(Some(PATIENCE)));
    let described = futures_executor::block_on(admin.describe_configs(asked.iter(), &patience))?;
    for resource in described {
        let resource = resource.map_err(KafkaError::AdminOp)?;
        if let Some(entry) = resource.entries.into_iter().find(|entry| entry.name == TRACE) {
            return Ok(Some(entry.source));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cluster::Cluster;

    #[derive(Clone, Default)]
    struct Journal(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Journal {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_copy_is_taken_with_a_warning() {
        let journal = Journal::default();
        let writer = journal.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let connection = Cluster::default().connection().unwrap();
        tracing::subscriber::with_default(subscriber, || check(&connection, 1)).unwrap();
        let told = String::from_utf8(journal.0.lock().unwrap().clone()).unwrap();
        assert!(told.contains("WARN") && told.contains("a power cut loses what was acknowledged"), "{told}");
    }
}
