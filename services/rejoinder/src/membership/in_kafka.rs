//! Groups of Kafka: one for each service.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_event_log_kafka::{GroupOptions, Member};
use rejoinder_model::Service;

use super::tenants::Tenants;
use crate::backend;
use crate::config::Config;
use crate::inside::Inside;

/// Memberships of this process.
pub(crate) struct Membership {
    members: Vec<Member>,
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
        Ok(Self { members })
    }

    /// Why it was put out of a group for good, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.members.iter().find_map(Member::failure).map(ToOwned::to_owned)
    }

    /// Lets all partitions go, and leaves.
    pub(crate) fn leave(self) {
        let leaving: Vec<_> = self.members.into_iter().map(|member| std::thread::spawn(|| member.leave())).collect();
        for left in leaving {
            if left.join().is_err() {
                tracing::error!("a group was left in a panic");
            }
        }
    }
}
