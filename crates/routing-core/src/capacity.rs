//! How much an agent can hold: a total, a maximum for each kind and group, and what stands beside what.
//!
//! Interruptible work will give room to live items here: its place is `fits`.

use rejoinder_model::Millis;
use rejoinder_wire::event::agent_load_changed::Load;
use rejoinder_wire::event::decision_explained::Reason;

use crate::policy::{self, Kind, Policy};
use crate::record::{Agent, Held, Phase};

/// What an agent holds, as the capacity counts it.
#[must_use]
pub(crate) fn load(rule: Option<&policy::Agent>, agent: &Agent) -> Load {
    let parked = |held: &&Held| held.phase == Phase::Parked;
    Load {
        used: used(agent),
        total: rule.map_or(0, |rule| rule.total),
        items: count(agent.held.iter().filter(|held| !parked(held))),
        parked: count(agent.held.iter().filter(parked)),
    }
}

fn count<'a>(held: impl Iterator<Item = &'a Held>) -> u32 {
    u32::try_from(held.count()).unwrap_or(u32::MAX)
}

/// The sum of the costs.
pub(crate) fn used(agent: &Agent) -> u32 {
    agent.held.iter().map(|held| held.cost).fold(0, u32::saturating_add)
}

/// Offered, assigned and wrapping items.
pub(crate) fn active(agent: &Agent) -> impl Iterator<Item = &Held> {
    agent.held.iter().filter(|held| held.phase != Phase::Parked)
}

/// Has it items that take its time?
pub(crate) fn is_busy(agent: &Agent) -> bool {
    active(agent).next().is_some()
}

/// Is nothing left, whatever the kind?
pub(crate) fn is_full(rule: &policy::Agent, agent: &Agent) -> bool {
    used(agent) >= rule.total
}

fn max(rule: &policy::Agent, name: &str, general: u32) -> u32 {
    rule.max.get(name).copied().unwrap_or(general)
}

/// Why another item of a kind does not fit, in this order; empty: it does. An item that the agent
/// holds already, as parked, does not count twice.
pub(crate) fn obstacles(policy: &Policy, rule: &policy::Agent, agent: &Agent, kind: &Kind, item: u64) -> Vec<Reason> {
    let mut found = Vec::new();
    let others = || active(agent).filter(|held| held.item != item);
    if count(others().filter(|held| held.kind == kind.name)) >= max(rule, &kind.name, kind.max) {
        found.push(Reason::MaxOfKind);
    }
    if let Some(general) = policy.groups.get(&kind.group) {
        let in_group = |held: &&Held| policy.kind(&held.kind).is_some_and(|other| other.group == kind.group);
        if count(others().filter(in_group)) >= max(rule, &kind.group, *general) {
            found.push(Reason::MaxOfGroup);
        }
    }
    let held = agent.held.iter().filter(|held| held.item != item);
    let others_used = held.map(|held| held.cost).fold(0, u32::saturating_add);
    if others_used.saturating_add(kind.cost) > rule.total {
        found.push(Reason::NoCapacity);
    }
    let beside = |held: &Held| {
        let allowed = policy.kind(&held.kind).is_none_or(|other| other.allows(&kind.name));
        allowed && kind.allows(&held.kind)
    };
    if !others().all(beside) {
        found.push(Reason::NotBeside);
    }
    found
}

/// How a parked item that wakes comes back to its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// It fits.
    Fits,
    /// It is the one item that may exceed the total.
    Exceeds,
    /// Somebody else must take it.
    Elsewhere,
}

/// May a parked item wake with its agent?
pub(crate) fn wakes(policy: &Policy, rule: &policy::Agent, agent: &Agent, kind: &Kind, item: u64) -> Wakes {
    let obstacles = obstacles(policy, rule, agent, kind, item);
    if obstacles.is_empty() {
        return Wakes::Fits;
    }
    let over_by_now = used(agent) > rule.total
        || count(active(agent).filter(|held| held.kind == kind.name)) > max(rule, &kind.name, kind.max);
    if over_by_now || obstacles.contains(&Reason::NotBeside) { Wakes::Elsewhere } else { Wakes::Exceeds }
}

/// Is there room for another parked item at `now`? What wakes here no more does not count.
pub(crate) fn may_park(policy: &Policy, agent: &Agent, item: u64, now: Millis) -> bool {
    let parked = |held: &&Held| held.phase == Phase::Parked && held.item != item && held.until > now;
    count(agent.held.iter().filter(parked)) < policy.max_parked
}

/// Load for the least loaded: thousandths of the total, less the heavier the agent weighs.
pub(crate) fn weighted_load(rule: &policy::Agent, agent: &Agent) -> i64 {
    let permille = u64::from(used(agent)) * 1_000 / u64::from(rule.total.max(1));
    i64::try_from(permille * 100 / u64::from(rule.weight.max(1))).unwrap_or(i64::MAX)
}
