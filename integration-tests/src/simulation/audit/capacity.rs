//! Capacity: nobody holds more than the policy in force says, except by an Overcommitted event.
//!
//! Costs are those of the published policy, not those that events tell.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_routing_core::policy::{Agent, Kind, Policy};
use rejoinder_wire::event::agent_load_changed::Load;
use rejoinder_wire::event::{Event, PolicyPublished, WorkItemAssigned, event::Body};
use rejoinder_wire::event::{overcommitted, work_item_assigned};

use super::offers::ending;
use crate::simulation::Wrong;
use crate::simulation::promises::Outcome;

#[derive(Clone)]
struct Held {
    kind: String,
    cost: u32,
    parked: bool,
}

/// An agent of a workspace.
type Who = (String, String);

/// What everybody holds.
#[derive(Default)]
pub(super) struct Capacity {
    published: BTreeMap<(String, u64), Policy>,
    in_force: BTreeMap<String, Policy>,
    held: BTreeMap<Who, BTreeMap<u64, Held>>,
    /// Kinds of items.
    kinds: BTreeMap<u64, String>,
    /// Who holds too much by an event of this frame that is to be said.
    unsaid: BTreeSet<(Who, u64)>,
    /// Who holds too much, as has been said.
    over: BTreeSet<Who>,
}

fn used(held: &BTreeMap<u64, Held>) -> u32 {
    held.values().map(|held| held.cost).sum()
}

impl Capacity {
    pub(super) fn publish(&mut self, workspace: &str, policy: &PolicyPublished) {
        let rules = Policy::of_wire(policy.version, &policy.routing.clone().unwrap_or_default());
        self.published.insert((workspace.to_owned(), policy.version), rules);
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), Wrong> {
        let who = |agent: &str| (event.workspace.clone(), agent.to_owned());
        if let Some((_, item, agent, outcome)) = ending(event)
            && outcome != Outcome::Accepted
        {
            self.release(&who(agent), item);
        }
        match &event.body {
            Some(Body::RoutingPolicyAdopted(adopted)) => self.adopt(&event.workspace, adopted.version)?,
            Some(Body::WorkItemQueued(queued)) => {
                self.kinds.insert(queued.item, queued.kind.clone());
                self.release(&who(&queued.from_agent), queued.item);
            }
            Some(Body::WorkItemPrioritised(changed)) => {
                self.kinds.insert(changed.item, changed.kind.clone());
            }
            Some(Body::OfferMade(made)) => {
                let who = who(&made.agent);
                if let Some(obstacle) = self.obstacle(&who, made.item) {
                    return Err(format!("item {} is offered to {}: {obstacle}", made.item, made.agent));
                }
                self.hold(&who, made.item);
            }
            Some(Body::WorkItemAssigned(assigned)) => self.assign(&who(&assigned.agent), assigned)?,
            Some(Body::WorkItemParked(parked)) => self.park(&event.workspace, parked),
            Some(Body::WorkItemDone(done)) => self.release(&who(&done.agent), done.item),
            Some(Body::WorkItemCancelled(cancelled)) => self.release(&who(&cancelled.agent), cancelled.item),
            Some(Body::Overcommitted(over)) => self.overcommit(who(&over.agent), over)?,
            Some(Body::AgentLoadChanged(changed)) => {
                let (is, told) = (self.load(&who(&changed.agent)), changed.after.unwrap_or_default());
                if is != told {
                    return Err(format!("{} holds {is:?}, and the log says {told:?}", changed.agent));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn adopt(&mut self, workspace: &str, version: u64) -> Result<(), Wrong> {
        let rules = self.published.get(&(workspace.to_owned(), version));
        let rules = rules.ok_or_else(|| format!("policy {version} of {workspace} is adopted and was not published"))?;
        self.in_force.insert(workspace.to_owned(), rules.clone());
        let within: Vec<Who> = self.over.iter().filter(|who| !self.is_over(who)).cloned().collect();
        within.iter().for_each(|who| _ = self.over.remove(who));
        Ok(())
    }

    fn rule(&self, who: &Who) -> Option<(&Policy, &Agent)> {
        let policy = self.in_force.get(&who.0)?;
        Some((policy, policy.agents.get(&who.1)?))
    }

    fn kind(&self, workspace: &str, item: u64) -> Kind {
        let name = self.kinds.get(&item).map_or("", String::as_str);
        let known = self.in_force.get(workspace).and_then(|policy| policy.kind(name)).cloned();
        known.unwrap_or_else(|| Kind::unknown(name))
    }

    fn load(&self, who: &Who) -> Load {
        let held = self.held.get(who).cloned().unwrap_or_default();
        let count =
            |parked| u32::try_from(held.values().filter(|held| held.parked == parked).count()).unwrap_or(u32::MAX);
        let total = self.rule(who).map_or(0, |(_, rule)| rule.total);
        Load { used: used(&held), total, items: count(false), parked: count(true) }
    }

    fn is_over(&self, who: &Who) -> bool {
        let load = self.load(who);
        load.used > load.total && self.rule(who).is_some()
    }

    /// Why an agent may not have another item.
    fn obstacle(&self, who: &Who, item: u64) -> Option<String> {
        let Some((policy, rule)) = self.rule(who) else { return Some("the policy does not name the agent".into()) };
        let kind = self.kind(&who.0, item);
        let held = self.held.get(who).cloned().unwrap_or_default();
        let others: Vec<&Held> = held.iter().filter(|(id, _)| **id != item).map(|(_, held)| held).collect();
        let active = || others.iter().filter(|held| !held.parked);
        let max = |name: &str, general: u32| rule.max.get(name).copied().unwrap_or(general) as usize;
        let of = |name: &str| policy.kind(name);
        if active().filter(|held| held.kind == kind.name).count() >= max(&kind.name, kind.max) {
            return Some(format!("enough of {}", kind.name));
        }
        if let Some(general) = policy.groups.get(&kind.group)
            && active().filter(|held| of(&held.kind).is_some_and(|other| other.group == kind.group)).count()
                >= max(&kind.group, *general)
        {
            return Some(format!("enough of group {}", kind.group));
        }
        let sum: u32 = others.iter().map(|held| held.cost).sum();
        if sum + kind.cost > rule.total {
            return Some(format!("{sum} and {} are more than {}", kind.cost, rule.total));
        }
        let apart =
            |held: &&&Held| !of(&held.kind).is_none_or(|other| other.allows(&kind.name)) || !kind.allows(&held.kind);
        active().find(apart).map(|held| format!("{} is not held beside {}", kind.name, held.kind))
    }

    fn hold(&mut self, who: &Who, item: u64) {
        let kind = self.kind(&who.0, item);
        let held = Held { kind: kind.name, cost: kind.cost, parked: false };
        self.held.entry(who.clone()).or_default().insert(item, held);
    }

    fn release(&mut self, who: &Who, item: u64) {
        if let Some(held) = self.held.get_mut(who) {
            held.remove(&item);
        }
        if !self.is_over(who) {
            self.over.remove(who);
        }
    }

    fn assign(&mut self, who: &Who, assigned: &WorkItemAssigned) -> Result<(), Wrong> {
        let by_hand = [work_item_assigned::Cause::Taken, work_item_assigned::Cause::Woken].contains(&assigned.cause());
        if by_hand && let Some(obstacle) = self.obstacle(who, assigned.item) {
            let may = if assigned.cause() == work_item_assigned::Cause::Taken {
                self.rule(who).is_some_and(|(_, rule)| rule.may_overcommit)
            } else {
                !self.is_over(who)
            };
            if !may {
                return Err(format!("{} has item {} by {:?}: {obstacle}", who.1, assigned.item, assigned.cause()));
            }
            self.unsaid.insert((who.clone(), assigned.item));
        }
        self.hold(who, assigned.item);
        Ok(())
    }

    fn park(&mut self, workspace: &str, parked: &rejoinder_wire::event::WorkItemParked) {
        let from = (workspace.to_owned(), parked.from_agent.clone());
        self.release(&from, parked.item);
        if !parked.agent.is_empty() {
            let kind = self.kind(workspace, parked.item);
            let held = Held { kind: kind.name, cost: kind.parked_cost, parked: true };
            self.held.entry((workspace.to_owned(), parked.agent.clone())).or_default().insert(parked.item, held);
        }
    }

    fn overcommit(&mut self, who: Who, over: &rejoinder_wire::event::Overcommitted) -> Result<(), Wrong> {
        let load = self.load(&who);
        let by_policy = over.cause() == overcommitted::Cause::Policy;
        let called_for = self.unsaid.remove(&(who.clone(), over.item)) || (by_policy && load.used > load.total);
        if !called_for || (load.used, load.total) != (over.used, over.total) {
            return Err(format!("{} holds {load:?}, and the log says {over:?}", who.1));
        }
        if load.used > load.total {
            self.over.insert(who);
        }
        Ok(())
    }

    /// What is more than the capacity has been said.
    pub(super) fn end_of_frame(&self) -> Result<(), Wrong> {
        match self.unsaid.first() {
            Some(((_, agent), item)) => Err(format!("{agent} has item {item} above capacity, and nothing says so")),
            None => Ok(()),
        }
    }

    /// In the end it is said of everybody who holds more than the policy in force allows.
    pub(super) fn conclude(&self) -> Result<(), Wrong> {
        let unsaid = self.held.keys().find(|who| self.is_over(who) && !self.over.contains(*who));
        unsaid
            .map_or(Ok(()), |who| Err(format!("{} holds {:?} in the end, and nothing says so", who.1, self.load(who))))
    }
}
