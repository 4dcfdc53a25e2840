//! Publishing a policy: one version for all files of a workspace.

use rejoinder_machine::event;
use rejoinder_wire::event::{Event, PolicyPublished, ThreadingPolicy, event::Body, policy_published::File};

use crate::state::Ingest;

/// The version of the policy in force in a workspace; 0 is the built-in one.
#[must_use]
pub fn policy_version(state: &Ingest, workspace: &str) -> u64 {
    state.workspace(workspace).map_or(0, |known| known.policy_version)
}

/// Publishes the next version of a workspace's policy; the workspace exists from then on.
#[must_use]
pub fn policy_published(
    state: &Ingest,
    now: i64,
    workspace: &str,
    files: Vec<File>,
    threading: ThreadingPolicy,
) -> Event {
    let version = policy_version(state, workspace) + 1;
    let policy = PolicyPublished { version, files, published_at: now, threading: Some(threading) };
    event(workspace, Body::PolicyPublished(policy))
}
