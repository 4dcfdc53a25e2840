//! May an agent have an item? Every reason why not (domain rules, section 3).
//!
//! Rotation slots and certification will be further reasons here.

use rejoinder_model::{Millis, QueueKey};
use rejoinder_wire::event::decision_explained::Reason;

use crate::capacity;
use crate::policy::{self, Kind, Policy, Queue};
use crate::record::{Agent, Item};
use crate::state::Routing;

/// An item that looks for an agent, with the rules that hold for it.
pub(crate) struct Search<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) queue: &'a Queue,
    pub(crate) kind: &'a Kind,
    pub(crate) id: u64,
    pub(crate) item: &'a Item,
    pub(crate) now: Millis,
}

/// A reason that passes by itself once the agent has room.
pub(crate) fn is_of_capacity(reason: Reason) -> bool {
    matches!(reason, Reason::MaxOfKind | Reason::MaxOfGroup | Reason::NoCapacity | Reason::NotBeside)
}

impl Search<'_> {
    /// Why an agent may not have the item, the first reason first; empty: it may.
    pub(crate) fn reasons(&self, agent: &Agent) -> Vec<Reason> {
        let mut found = Vec::new();
        if !agent.is_available() {
            found.push(Reason::NotAvailable);
        }
        let Some(rule) = self.policy.agents.get(&agent.id) else {
            found.push(Reason::UnknownAgent);
            return found;
        };
        match rule.membership(&self.queue.name) {
            None => found.push(Reason::NotInQueue),
            Some(membership) if membership.delay_ms > self.item.waiting.widened_ms => found.push(Reason::TooEarly),
            Some(_) => {}
        }
        if self.waits_for_other(&agent.id) {
            found.push(Reason::WaitsForOther);
        }
        if !self.has_skills(rule) {
            found.push(Reason::Skills);
        }
        if agent.held.iter().any(|held| held.item == self.id && held.phase != crate::record::Phase::Parked) {
            found.push(Reason::HasIt);
        }
        found.extend(capacity::obstacles(self.policy, rule, agent, self.kind, self.id));
        if self.is_shunned(&agent.id) {
            found.push(Reason::Declined);
        }
        found
    }

    fn waits_for_other(&self, agent: &str) -> bool {
        !self.item.preferred.is_empty() && self.item.preferred_until > self.now && self.item.preferred != agent
    }

    fn is_shunned(&self, agent: &str) -> bool {
        self.item.shunned.iter().any(|(shunned, until)| shunned == agent && *until > self.now)
    }

    fn has_skills(&self, rule: &policy::Agent) -> bool {
        let level = |name: &str| rule.skills.get(name).copied().unwrap_or_default();
        let waited = self.item.waiting.widened_ms;
        let required = self.queue.required.iter().all(|name| level(name) > 0);
        let wanted = || self.queue.skills.iter().all(|skill| level(&skill.name) >= skill.level_after(waited));
        required && (self.queue.takes_anybody(waited) || wanted())
    }
}

impl Routing {
    /// Runs `with` on the search for an item; `None` when it waits in a queue that is no more.
    pub(crate) fn searching<R>(
        &self,
        policy: &Policy,
        id: u64,
        item: &Item,
        now: Millis,
        with: impl FnOnce(&Search<'_>) -> R,
    ) -> Option<R> {
        let queue = policy.queue(&item.queue)?;
        let unknown;
        let kind = match policy.kind(&item.kind) {
            Some(kind) => kind,
            None => {
                unknown = Kind::unknown(&item.kind);
                &unknown
            }
        };
        Some(with(&Search { policy, queue, kind, id, item, now }))
    }

    /// The available agents of a queue, who has room first.
    pub(crate) fn staff(&self, workspace: &str, queue: &str) -> impl Iterator<Item = &crate::key::StaffKey> {
        let queue = QueueKey::new(workspace, queue);
        self.staff.from(&crate::state::first_of_staff(queue)).take_while(move |key| key.queue == queue)
    }
}
