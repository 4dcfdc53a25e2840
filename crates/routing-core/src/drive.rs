//! Work that changes have left behind, one decision a piece: agents for items, items for agents, what a
//! new policy means for each agent and each waiting item.
//!
//! What is left stands in a list with where it goes on, so that a change which concerns thousands takes
//! turns with everything else and goes on after a restart.

use rejoinder_machine::{Context, TableKey};
use rejoinder_model::QueueKey;
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{Event, QueueDriven, overcommitted, queue_driven, work_item_transferred};

use crate::capacity;
use crate::decision::Decision;
use crate::key::{AgeKey, TodoKey, Work};
use crate::matching;
use crate::record::{Cursor, Phase, Todo};
use crate::state::Routing;

/// Items or agents looked at in one decision.
const STEP: usize = 64;

/// The next decision of what is left; none when nothing is.
pub(crate) fn follow_up(state: &Routing, context: &Context, out: &mut Vec<Event>) {
    let Some(key) = state.todo.first().copied() else { return };
    let Some(todo) = state.todo.get(&key) else { return };
    let mut decision = Decision::new(state, context, &todo.workspace, out);
    match key.work {
        Work::Item => decision.find_agents(key),
        Work::Agent => decision.find_items(key, &todo),
        Work::Queue => decision.look_at_withheld(key, &todo),
        Work::Policy => decision.follow_policy(key, &todo),
    }
}

impl Decision<'_> {
    fn driven(&mut self, key: TodoKey, cursor: Option<Cursor>) {
        let work = match key.work {
            Work::Item | Work::Agent => queue_driven::Work::Agent,
            Work::Queue => queue_driven::Work::Queue,
            Work::Policy => queue_driven::Work::Policy,
        };
        let cursor = cursor.map(|cursor| cursor.to_wire()).unwrap_or_default();
        let at = self.now();
        self.push(Body::QueueDriven(QueueDriven { work: work as i32, key: key.to_wire(), at, cursor }));
    }

    /// Offers an item to who is best, or says why nobody is.
    fn find_agents(&mut self, key: TodoKey) {
        let id = u64::try_from(key.about).unwrap_or_default();
        match self.item(id).filter(|item| item.phase == Phase::Queued) {
            Some(item) => {
                self.offer_item(id, &item);
            }
            None => self.driven(key, None),
        }
    }

    fn offer_item(&mut self, id: u64, item: &crate::record::Item) -> bool {
        let explained = matching::explain(self.state, &self.policy, self.context, id, item);
        for agent in &explained.chosen {
            self.offer(id, item, agent);
        }
        let found = !explained.chosen.is_empty();
        self.push(Body::DecisionExplained(Box::new(explained)));
        found
    }

    /// The first item that an agent may have; the strategy may give it to another who is free too.
    fn find_items(&mut self, key: TodoKey, todo: &Todo) {
        let agent = self.agent(&todo.name);
        let next = matching::next_for(self.state, &self.policy, self.context, &agent);
        let found = next.and_then(|id| self.item(id).map(|item| self.offer_item(id, &item)));
        if found != Some(true) {
            self.driven(key, None);
        }
    }

    /// Somebody has left a queue: who declined its items may be the only one now, and who was waited
    /// for may be gone.
    fn look_at_withheld(&mut self, key: TodoKey, todo: &Todo) {
        let queue = QueueKey::new(self.workspace, &todo.name);
        let from = AgeKey { queue, since: todo.cursor.since, item: todo.cursor.item };
        let mut looked_at = 0;
        for age in self.state.withheld.from(&from).take_while(|age| age.queue == queue) {
            looked_at += 1;
            let next = Cursor { names: 0, since: age.since, item: age.item + 1 };
            let Some(item) = self.item(age.item).filter(|item| item.phase == Phase::Queued) else { continue };
            if !item.preferred.is_empty() && !self.agent(&item.preferred).is_available() {
                let mut free = item.clone();
                (free.preferred, free.preferred_until) = (String::new(), 0);
                self.prioritise(age.item, &item, free);
                return self.driven(key, Some(next));
            }
            let explained = matching::explain(self.state, &self.policy, self.context, age.item, &item);
            if !explained.chosen.is_empty() {
                self.offer_item(age.item, &item);
                return self.driven(key, Some(next));
            }
            if looked_at == STEP {
                return self.driven(key, Some(next));
            }
        }
        self.driven(key, None);
    }

    /// Brings agents, then waiting items in line with the policy.
    fn follow_policy(&mut self, key: TodoKey, todo: &Todo) {
        let sweep = self.state.workspace(self.workspace);
        let at = todo.cursor.names as usize;
        let next = |names: usize| Cursor { names: u32::try_from(names).unwrap_or(u32::MAX), ..Cursor::default() };
        if let Some(agent) = sweep.sweep_agents.get(at) {
            self.follow_policy_with_agent(agent);
            return self.driven(key, Some(next(at + 1)));
        }
        let Some(name) = sweep.sweep_queues.get(at - sweep.sweep_agents.len()) else {
            return self.driven(key, None);
        };
        let queue = QueueKey::new(self.workspace, name);
        let from = AgeKey { queue, since: todo.cursor.since, item: todo.cursor.item };
        let mut cursor = Some(next(at + 1));
        let due = self.state.ages.from(&from).take_while(|age| age.queue == queue).take(STEP);
        let ages: Vec<AgeKey> = due.copied().collect();
        if ages.len() == STEP
            && let Some(last) = ages.last()
        {
            cursor = Some(Cursor { names: todo.cursor.names, since: last.since, item: last.item + 1 });
        }
        for age in ages {
            self.follow_policy_with_item(age.item);
        }
        self.driven(key, cursor);
    }

    fn follow_policy_with_agent(&mut self, id: &str) {
        let Some(rule) = self.policy.agents.get(id).cloned() else { return self.dismiss(id) };
        let agent = self.agent(id);
        for held in agent.held.iter().filter(|held| held.phase == Phase::Offered) {
            let serves = self.item(held.item).is_some_and(|item| rule.membership(&item.queue).is_some());
            if !serves {
                return self.revoke_offers_of(id, rejoinder_wire::event::offer_revoked::Reason::Policy);
            }
        }
        if capacity::used(&agent) > rule.total {
            let newest = agent.held.last().map_or(0, |held| held.item);
            self.overcommitted(newest, id, overcommitted::Cause::Policy);
        }
    }

    fn follow_policy_with_item(&mut self, id: u64) {
        let Some(item) = self.item(id).filter(|item| item.phase == Phase::Queued) else { return };
        let mut changed = item.clone();
        changed.kind = self.policy.kind_of(&item.channel, item.private).to_owned();
        if self.policy.queue(&item.queue).is_none() {
            let (queue, band) = self.policy.route(&item.channel, &changed.kind, item.private);
            let queue = queue.to_owned();
            changed.band = band as i32;
            return self.transfer(id, changed, &queue, "", work_item_transferred::Cause::Policy, "");
        }
        self.prioritise(id, &item, changed);
    }
}

impl Cursor {
    fn to_wire(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20);
        u64::from(self.names).encode(&mut bytes);
        self.since.cast_unsigned().encode(&mut bytes);
        self.item.encode(&mut bytes);
        bytes
    }

    /// `None`: the work is over.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
        let (names, rest) = bytes.split_first_chunk::<8>()?;
        let (since, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            names: u32::try_from(u64::from_be_bytes(*names)).ok()?,
            since: u64::from_be_bytes(*since).cast_signed(),
            item: u64::decode(rest)?,
        })
    }
}
