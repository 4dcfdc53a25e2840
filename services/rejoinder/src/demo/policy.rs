//! The demo's policy, as it lies in `deploy/demo-policy/`: published as any other, by PolicyService.

use std::collections::BTreeMap;

use rejoinder_api::ingest::policy_service_client::PolicyServiceClient;
use rejoinder_api::ingest::{ApplyPolicyRequest, PolicyFile};
use rejoinder_api::routing::ListAgentsRequest;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::sla::ListClocksRequest;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;

use crate::remote::{Remote, refused};

const FILES: [(&str, &str); 6] = [
    ("accounts.toml", include_str!("../../../../deploy/demo-policy/accounts.toml")),
    ("agents.toml", include_str!("../../../../deploy/demo-policy/agents.toml")),
    ("calendars.toml", include_str!("../../../../deploy/demo-policy/calendars.toml")),
    ("queues.toml", include_str!("../../../../deploy/demo-policy/queues.toml")),
    ("routing.toml", include_str!("../../../../deploy/demo-policy/routing.toml")),
    ("sla.toml", include_str!("../../../../deploy/demo-policy/sla.toml")),
];

/// Publishes the policy, and waits until every service goes by it.
pub(super) async fn apply(remote: &Remote) -> anyhow::Result<()> {
    let files = FILES.iter().map(|(name, text)| PolicyFile { name: (*name).into(), text: (*text).into() }).collect();
    let request = ApplyPolicyRequest { files, ..ApplyPolicyRequest::default() };
    let applied = PolicyServiceClient::new(remote.channel.clone()).apply_policy(remote.request(request)).await;
    let wait_for = applied.map_err(|status| refused(&status))?.into_inner().as_of;
    let agents = ListAgentsRequest { wait_for: wait_for.clone(), ..ListAgentsRequest::default() };
    let clocks = ListClocksRequest { wait_for, page_size: 1, ..ListClocksRequest::default() };
    let (mut of_agents, mut of_clocks) =
        (AgentServiceClient::new(remote.channel.clone()), ClockServiceClient::new(remote.channel.clone()));
    tokio::try_join!(of_agents.list_agents(remote.request(agents)), of_clocks.list_clocks(remote.request(clocks)))
        .map_err(|status| refused(&status))?;
    Ok(())
}

/// The agents with their capacity, as the policy has them.
pub(super) fn agents() -> anyhow::Result<BTreeMap<String, u32>> {
    let files: Vec<(String, String)> = FILES.iter().map(|(n, text)| ((*n).to_owned(), (*text).to_owned())).collect();
    let policy = rejoinder_policy::check(&files).map_err(|problems| {
        anyhow::anyhow!(
            "the demo's policy: {}",
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        )
    })?;
    let general = policy.routing.total;
    let total = |own: u32| if own == 0 { general } else { own };
    Ok(policy.routing.agents.into_iter().map(|agent| (agent.id, total(agent.total))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_right_and_has_its_agents() {
        let agents = agents().unwrap();
        assert_eq!((agents.len(), agents["paul"], agents["ann"]), (24, 60, 100));
    }
}
