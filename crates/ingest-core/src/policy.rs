//! Publishing a policy: one version for all files of a workspace.

use rejoinder_machine::{Context, event};
use rejoinder_model::DAY_MS;
use rejoinder_wire::event::{
    Event, PolicyPublished, RoutingPolicy, SlaPolicy, ThreadingPolicy, event::Body, policy_published::File,
};

use crate::state::Ingest;

/// Why a policy was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy has changed: version {current} is in force; read it again and repeat the command")]
pub struct StalePolicy {
    /// The version in force.
    pub current: u64,
}

/// The version of the policy in force in a workspace; 0 is the built-in one.
#[must_use]
pub fn policy_version(state: &Ingest, workspace: &str) -> u64 {
    state.workspace(workspace).map_or(0, |known| known.policy_version)
}

/// What is to be published, checked before.
#[derive(Clone, Debug, Default)]
pub struct NewPolicy {
    /// The files as they were given.
    pub files: Vec<File>,
    /// What threading takes from them.
    pub threading: ThreadingPolicy,
    /// What routing takes from them.
    pub routing: RoutingPolicy,
    /// What sla-timer takes from them; `None`: the built-in targets.
    pub sla: Option<SlaPolicy>,
    /// The request, whose repeat within a day does nothing; empty: none.
    pub request_id: String,
    /// The version that it follows; `None`: whatever is in force.
    pub follows: Option<u64>,
}

/// Publishes the next version of a workspace's policy; the workspace exists from then on.
///
/// # Errors
/// When another version is in force than the one it follows.
pub fn publish_policy(
    state: &Ingest,
    context: &Context,
    workspace: &str,
    new: NewPolicy,
    out: &mut Vec<Event>,
) -> Result<u64, StalePolicy> {
    let known = state.workspace(workspace).unwrap_or_default();
    let current = known.policy_version;
    let repeated = known.versions.iter().rev().find(|version| {
        version.request_id == new.request_id && version.published_at > context.now.saturating_sub(DAY_MS)
    });
    if let (false, Some(repeated)) = (new.request_id.is_empty(), repeated) {
        return Ok(repeated.number);
    }
    if new.follows.is_some_and(|follows| follows != current) {
        return Err(StalePolicy { current });
    }
    let version = current + 1;
    let NewPolicy { files, threading, routing, sla, request_id, .. } = new;
    let policy = PolicyPublished {
        version,
        files,
        published_at: context.now,
        threading: Some(threading),
        request_id,
        routing: Some(routing),
        sla,
    };
    out.push(event(workspace, Body::PolicyPublished(policy)));
    Ok(version)
}
