//! Groups of Kafka: one for each service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_event_log_kafka::{GroupOptions, Member};
use rejoinder_model::Service;

use super::tenants::Tenants;
use crate::backend;
use crate::config::Config;
use crate::inside::Inside;

/// The file in the data directory with the name that was made up.
const NAME_FILE: &str = "instance";

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
        let name = match &config.instance {
            Some(name) => name.clone(),
            None => kept_name(&config.data_dir)?,
        };
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
        self.members.into_iter().for_each(Member::leave);
    }
}

/// The name that this data directory was given at its first start.
fn kept_name(data_dir: &Path) -> anyhow::Result<String> {
    let file = data_dir.join(NAME_FILE);
    match std::fs::read_to_string(&file) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => {
            let name = uuid::Uuid::new_v4().simple().to_string();
            std::fs::write(&file, &name).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(name)
        }
    }
}
