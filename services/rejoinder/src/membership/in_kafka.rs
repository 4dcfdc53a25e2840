//! Groups of Kafka: one for each service.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_event_log_kafka::{GroupOptions, Member};
use rejoinder_model::Service;

use rejoinder_public_topics::{Options as PublisherOptions, Publisher};

use super::tenants::Tenants;
use crate::backend;
use crate::config::Config;
use crate::inside::Inside;

/// Memberships of this process.
pub(crate) struct Membership {
    members: Vec<Member>,
    publisher: Option<Publisher>,
}

impl Membership {
    /// Joins the groups of the services that run here. Waits for the brokers.
    ///
    /// # Errors
    /// When they do not answer, or refuse.
    pub(crate) fn join(config: &Config, inside: &Arc<Inside>, services: &[Service]) -> anyhow::Result<Self> {
        let name = config.instance_name()?;
        let mut members = Vec::new();
        for service in services {
            let session_timeout = Duration::from_millis(config.kafka_session_timeout_ms.into());
            let options = GroupOptions { session_timeout, ..GroupOptions::new(service.name(), &name) };
            let tenants = Arc::new(Tenants::new(inside.clone(), *service));
            members.push(Member::join(backend::kafka_options(config), options, tenants)?);
        }
        let publisher =
            if config.kafka_public_topics { Some(publisher(config, inside, services, &name)?) } else { None };
        Ok(Self { members, publisher })
    }

    /// Why it was put out of a group for good, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        let of_groups = self.members.iter().find_map(Member::failure).map(ToOwned::to_owned);
        let ended = self.publisher.as_ref().is_some_and(|publisher| !publisher.is_running());
        of_groups.or_else(|| ended.then(|| "the publisher of public topics ended: is its name another's?".to_owned()))
    }

    /// Lets all partitions go, and leaves.
    pub(crate) fn leave(self) {
        if let Some(publisher) = self.publisher {
            publisher.stop();
        }
        let leaving: Vec<_> = self.members.into_iter().map(|member| std::thread::spawn(|| member.leave())).collect();
        for left in leaving {
            if left.join().is_err() {
                tracing::error!("a group was left in a panic");
            }
        }
    }
}

/// Publishes what downstream systems read, as far as the group of publishers gives it to this process.
fn publisher(config: &Config, inside: &Arc<Inside>, services: &[Service], name: &str) -> anyhow::Result<Publisher> {
    // Processes of different services may have the same name: each service has a group of its own, but not this.
    let services: Vec<&str> = services.iter().map(|service| service.name()).collect();
    let name = format!("{name}-{}", services.join("-"));
    let connection = backend::cluster(config).connection()?;
    let options = PublisherOptions {
        replication: i32::from(config.kafka_replication),
        session_timeout: Duration::from_millis(config.kafka_session_timeout_ms.into()),
        ..PublisherOptions::new(connection, &backend::events_topic(config), &config.kafka_prefix, &name)
    };
    Ok(rejoinder_public_topics::start(inside.log.clone(), options)?)
}
