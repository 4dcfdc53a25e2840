//! Metrics of routing: each declared once, with its help. They are read from the state when somebody
//! looks, so that a restart changes none of them.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rejoinder_model::Millis;
use rejoinder_routing_core::Routing;
use rejoinder_routing_core::record::Outcomes;
use rejoinder_service_kit::Lanes;
use rejoinder_wire::event::Presence;
use tokio::task::JoinSet;

const OFFERS: &str = "rejoinder_routing_offers_total";
const ITEMS: &str = "rejoinder_routing_items_total";
const OVERCOMMITTED: &str = "rejoinder_routing_overcommitted_total";
const WAITING: &str = "rejoinder_routing_waiting_items";
const OLDEST: &str = "rejoinder_routing_oldest_waiting_seconds";
const AGENTS: &str = "rejoinder_routing_agents";
const USED: &str = "rejoinder_routing_capacity_used";
const CAPACITY: &str = "rejoinder_routing_capacity";

/// Names and helps, for the reference.
pub const ALL: [(&str, &str); 8] = [
    (OFFERS, "Offers, by outcome and partition: made, accepted, declined, timed_out, revoked."),
    (ITEMS, "Work items, by outcome and partition: opened, done, cancelled."),
    (OVERCOMMITTED, "Times that an agent held more than its capacity by a rule that allows it, by partition."),
    (WAITING, "Items that wait for an agent, by workspace and queue."),
    (OLDEST, "Age of the oldest waiting item, by workspace and queue."),
    (AGENTS, "Agents, by workspace and presence: available, away, not_responding."),
    (USED, "Capacity in use of agents with a session, by workspace."),
    (CAPACITY, "Capacity of agents with a session, by workspace."),
];

/// How long a look waits for a lane.
const PATIENCE: Duration = Duration::from_millis(500);
/// Workspaces of a partition that have series of their own.
const MAX_WORKSPACES: usize = 100;
/// Entries read at a time.
const PAGE: usize = 1_000;
/// Queues of a workspace that do.
const MAX_QUEUES: usize = 100;

/// Declares the metrics.
pub fn describe() {
    for (name, help) in ALL {
        if name.ends_with("_total") {
            describe_counter!(name, help);
        } else {
            describe_gauge!(name, help);
        }
    }
}

/// What a partition shows.
struct Figures {
    outcomes: Outcomes,
    workspaces: Vec<Observed>,
}

/// What the gauges of a workspace show.
struct Observed {
    workspace: String,
    queues: Vec<(String, u64, Millis)>,
    agents: [(&'static str, u32); 3],
    capacity: (u64, u64),
}

fn outcomes(state: &Routing) -> Outcomes {
    let mut sum = Outcomes::default();
    let mut from = String::new();
    loop {
        let page = state.outcomes.page(&from, PAGE);
        page.iter().for_each(|(_, of_workspace)| sum.add(of_workspace));
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = format!("{last}\0"),
            _ => return sum,
        }
    }
}

fn figures(state: &Routing) -> Figures {
    Figures { outcomes: outcomes(state), workspaces: observed(state) }
}

fn observed(state: &Routing) -> Vec<Observed> {
    let known = state.policies.page(&String::new(), MAX_WORKSPACES);
    let names = known.into_iter().map(|(name, _)| name);
    // `default` has a queue before it has a policy.
    let mut names: Vec<String> = names.chain(["default".to_owned()]).collect();
    names.sort();
    names.dedup();
    let of_workspace = |workspace: String| {
        let policy = state.policy(&workspace);
        let queues = policy.queues.iter().take(MAX_QUEUES).map(|queue| {
            let view = state.queue_view(&workspace, &queue.name);
            (queue.name.clone(), view.waiting, view.oldest_since)
        });
        let queues: Vec<_> = queues.collect();
        let mut agents = [("available", 0), ("away", 0), ("not_responding", 0)];
        let mut capacity = (0, 0);
        for (id, rule) in &policy.agents {
            let Some(agent) = state.agent(&workspace, id).filter(|agent| agent.session != 0) else { continue };
            let slot = match agent.presence() {
                Presence::Available => 0,
                Presence::Away => 1,
                Presence::NotResponding => 2,
                Presence::Offline | Presence::Unspecified => continue,
            };
            agents[slot].1 += 1;
            capacity.0 += agent.held.iter().map(|held| u64::from(held.cost)).sum::<u64>();
            capacity.1 += u64::from(rule.total);
        }
        Observed { workspace, queues, agents, capacity }
    };
    names.into_iter().map(of_workspace).collect()
}

/// Sets the gauges from the states; they are right again after a restart. A lane that does not answer
/// keeps its last values.
pub async fn look(lanes: &Arc<Lanes<Routing>>, now: Millis) {
    let mut asked = JoinSet::new();
    for partition in 0..lanes.log().partitions() {
        let lanes = lanes.clone();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, lanes.ask_lane(partition, figures)).await;
            let (mut figures, _) = answer.ok()?.ok()?;
            // `default` is looked for in every partition.
            figures.workspaces.retain(|of| lanes.partition(&of.workspace) == partition);
            Some((partition, figures))
        });
    }
    for (partition, figures) in asked.join_all().await.into_iter().flatten() {
        count(partition, &figures.outcomes);
        figures.workspaces.into_iter().for_each(|observed| set(observed, now));
    }
}

fn count(partition: u16, outcomes: &Outcomes) {
    let of = partition.to_string();
    let set = |name: &'static str, outcome: &'static str, count: u64| {
        counter!(name, "outcome" => outcome, "partition" => of.clone()).absolute(count);
    };
    set(OFFERS, "made", outcomes.made);
    set(OFFERS, "accepted", outcomes.accepted);
    set(OFFERS, "declined", outcomes.declined);
    set(OFFERS, "timed_out", outcomes.timed_out);
    set(OFFERS, "revoked", outcomes.revoked);
    set(ITEMS, "opened", outcomes.opened);
    set(ITEMS, "done", outcomes.done);
    set(ITEMS, "cancelled", outcomes.cancelled);
    counter!(OVERCOMMITTED, "partition" => of).absolute(outcomes.overcommitted);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn set(Observed { workspace, queues, agents, capacity }: Observed, now: Millis) {
    for (queue, waiting, oldest_since) in queues {
        let age = if oldest_since == 0 { 0 } else { now.saturating_sub(oldest_since).max(0) / 1_000 };
        gauge!(WAITING, "workspace" => workspace.clone(), "queue" => queue.clone()).set(waiting as f64);
        gauge!(OLDEST, "workspace" => workspace.clone(), "queue" => queue).set(age as f64);
    }
    for (presence, count) in agents {
        gauge!(AGENTS, "workspace" => workspace.clone(), "presence" => presence).set(f64::from(count));
    }
    gauge!(USED, "workspace" => workspace.clone()).set(capacity.0 as f64);
    gauge!(CAPACITY, "workspace" => workspace).set(capacity.1 as f64);
}
