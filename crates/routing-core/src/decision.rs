//! A decision on its way: its events so far, and the agents as these leave them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_machine::{Context, event};
use rejoinder_model::{AgentKey, Millis};
use rejoinder_wire::event::{AgentLoadChanged, Event, event::Body};

use crate::capacity;
use crate::policy::Policy;
use crate::record::{Agent, Held, Item};
use crate::state::Routing;

/// One decision in a workspace.
pub(crate) struct Decision<'a> {
    pub(crate) state: &'a Routing,
    pub(crate) context: &'a Context,
    pub(crate) workspace: &'a str,
    pub(crate) policy: Arc<Policy>,
    /// Agents that this decision has changed.
    agents: BTreeMap<String, Agent>,
    out: &'a mut Vec<Event>,
    start: usize,
}

impl<'a> Decision<'a> {
    pub(crate) fn new(state: &'a Routing, context: &'a Context, workspace: &'a str, out: &'a mut Vec<Event>) -> Self {
        let (policy, start) = (state.policy(workspace), out.len());
        Self { state, context, workspace, policy, agents: BTreeMap::new(), out, start }
    }

    pub(crate) fn now(&self) -> Millis {
        self.context.now
    }

    pub(crate) fn push(&mut self, body: Body) {
        self.out.push(event(self.workspace, body));
    }

    /// The number that the next event's own_seq makes.
    pub(crate) fn next_number(&self) -> u64 {
        let seq = self.context.next_own_seq + (self.out.len() - self.start) as u64;
        rejoinder_model::WorkItemId::new(self.context.partition, seq).0
    }

    /// An agent as the decision has left it so far.
    pub(crate) fn agent(&self, id: &str) -> Agent {
        let stored = || {
            let key = AgentKey::new(self.workspace, id);
            let known = self.state.agents.get(&key);
            known.map_or_else(|| Agent::unseen(self.workspace, id), |agent| (*agent).clone())
        };
        self.agents.get(id).cloned().unwrap_or_else(stored)
    }

    /// An item that has not ended.
    pub(crate) fn item(&self, id: u64) -> Option<Item> {
        let item = self.state.item(id)?;
        (item.workspace == self.workspace && !item.phase.is_final()).then(|| (*item).clone())
    }

    /// The agent holds an item as `held` says, after the event that makes it so.
    pub(crate) fn hold(&mut self, agent: &str, held: Held) {
        self.change_load(agent, held.item, |agent| {
            agent.held.retain(|other| other.item != held.item);
            agent.held.push(held);
        });
    }

    /// The agent holds an item no more.
    pub(crate) fn release(&mut self, agent: &str, item: u64) {
        self.change_load(agent, item, |agent| agent.held.retain(|held| held.item != item));
    }

    fn change_load(&mut self, id: &str, item: u64, change: impl FnOnce(&mut Agent)) {
        if id.is_empty() {
            return;
        }
        let mut agent = self.agent(id);
        let rule = self.policy.agents.get(id);
        let before = capacity::load(rule, &agent);
        change(&mut agent);
        let after = capacity::load(rule, &agent);
        self.agents.insert(id.to_owned(), agent);
        if before != after {
            let (before, after, at) = (Some(before), Some(after), self.now());
            self.push(Body::AgentLoadChanged(AgentLoadChanged { agent: id.to_owned(), item, before, after, at }));
        }
    }
}
