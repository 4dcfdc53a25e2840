//! Lists and timers that follow from items and agents: brought up to date with each change of one.

use rejoinder_machine::{Own, TimerKey};
use rejoinder_model::{AgentKey, Millis, QueueKey, WorkItemId};

use crate::capacity;
use crate::key::{AgeKey, TodoKey, WaitKey, Work};
use crate::record::{Agent, Item, Phase, Queue, StaffEntry, Todo};
use crate::state::{GIVE_BACK, LIVE_GIVE_BACK, LOOK, PARK, Routing, WRAP};
use crate::waiting;

/// Puts everybody with work behind everybody without.
const WITH_WORK: Millis = 1 << 61;

/// A timer's key.
pub(super) fn timer(entity: u64, due: Millis, kind: u8) -> TimerKey {
    TimerKey { due, entity, kind }
}

/// Where an item is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Listed {
    wait: Option<WaitKey>,
    age: Option<AgeKey>,
    withheld: Option<AgeKey>,
    timer: Option<TimerKey>,
}

fn listed(id: u64, item: &Item) -> Listed {
    let due = |at: Millis, kind: u8| (at != 0).then(|| timer(id, at, kind));
    if item.phase != Phase::Queued {
        let timer = match item.phase {
            Phase::Assigned => due(item.park_at, PARK),
            Phase::Wrapping => due(item.wrap_until, WRAP),
            Phase::Queued | Phase::Offered | Phase::Parked | Phase::Done | Phase::Cancelled => None,
        };
        return Listed { wait: None, age: None, withheld: None, timer };
    }
    let queue = QueueKey::new(&item.workspace, &item.queue);
    let age = AgeKey { queue, since: item.eligible_since, item: id };
    let withheld = !item.preferred.is_empty() || !item.shunned.is_empty();
    let band = u8::try_from(item.band).unwrap_or_default();
    Listed {
        wait: Some(WaitKey { queue, class: waiting::class(item), band, order: item.waiting.order, item: id }),
        age: Some(age),
        withheld: withheld.then_some(age),
        timer: due(item.waiting.next_at, LOOK),
    }
}

/// Changes an item, and its lists with it; answers with who has it then.
pub(super) fn change_item(state: &mut Routing, own: Own, id: u64, change: impl FnOnce(&mut Item)) -> String {
    let key = WorkItemId(id);
    let Some(before) = state.items.get(&key) else { return String::new() };
    let old = listed(id, &before);
    drop(before);
    state.items.update(&key, |item| {
        change(item);
        item.version = own.own_seq;
    });
    let Some(after) = state.items.get(&key) else { return String::new() };
    let new = listed(id, &after);
    if old.wait != new.wait {
        old.wait.inspect(|key| state.waiting.remove(key));
        new.wait.inspect(|key| state.waiting.put(*key, ()));
        count(state, old.wait.map(|key| key.queue), new.wait.map(|key| key.queue));
    }
    if old.age != new.age {
        old.age.inspect(|key| state.ages.remove(key));
        new.age.inspect(|key| state.ages.put(*key, ()));
    }
    if old.withheld != new.withheld {
        old.withheld.inspect(|key| state.withheld.remove(key));
        new.withheld.inspect(|key| state.withheld.put(*key, ()));
    }
    if old.timer != new.timer {
        old.timer.inspect(|key| state.timers.disarm(key));
        new.timer.inspect(|key| state.timers.arm(*key, own.own_seq));
    }
    match (old.wait, new.wait) {
        (old, Some(new)) if old != Some(new) => find_agents(state, id),
        (Some(_), None) => done_with(state, id),
        _ => {}
    }
    after.agent.clone()
}

fn count(state: &mut Routing, from: Option<QueueKey>, to: Option<QueueKey>) {
    if from == to {
        return;
    }
    if let Some(from) = from {
        change_queue(state, from, |queue| queue.waiting = queue.waiting.saturating_sub(1));
    }
    if let Some(to) = to {
        change_queue(state, to, |queue| queue.waiting += 1);
    }
}

fn change_queue(state: &mut Routing, key: QueueKey, change: impl FnOnce(&mut Queue)) {
    if state.queues.get(&key).is_none() {
        state.queues.put(key, Queue::default());
    }
    state.queues.update(&key, change);
}

/// An item is to find an agent.
pub(super) fn find_agents(state: &mut Routing, id: u64) {
    let Some(item) = state.item(id).filter(|item| item.phase == Phase::Queued) else { return };
    let key = TodoKey { work: Work::Item, about: u128::from(id) };
    state.todo.put(key, Todo { workspace: item.workspace.clone(), ..Todo::default() });
}

/// Nothing is to be found for an item.
pub(super) fn done_with(state: &mut Routing, id: u64) {
    state.todo.remove(&TodoKey { work: Work::Item, about: u128::from(id) });
}

/// An agent is to find items, if any wait where it serves.
pub(super) fn find_items(state: &mut Routing, workspace: &str, id: &str) {
    let Some(agent) = state.agents.get(&AgentKey::new(workspace, id)) else { return };
    let waits = |entry: &StaffEntry| state.queue_counts(workspace, &entry.queue).waiting > 0;
    if agent.staffed.iter().any(|entry| !entry.full && waits(entry)) {
        let key = TodoKey { work: Work::Agent, about: AgentKey::new(workspace, id).0 };
        state.todo.put(key, Todo { workspace: workspace.to_owned(), name: id.to_owned(), ..Todo::default() });
    }
}

/// Changes an agent, and its lists with it.
pub(super) fn change_agent(state: &mut Routing, own: Own, workspace: &str, id: &str, change: impl FnOnce(&mut Agent)) {
    if id.is_empty() {
        return;
    }
    let key = AgentKey::new(workspace, id);
    if state.agents.get(&key).is_none() {
        let number = WorkItemId::new(own.partition, own.own_seq).0;
        state.agent_numbers.put(number, key);
        state.agents.put(key, Agent { number, ..Agent::unseen(workspace, id) });
    }
    let Some(before) = state.agents.get(&key).map(|agent| Before::of(&agent)) else { return };
    state.agents.update(&key, |agent| {
        change(agent);
        agent.version = own.own_seq;
    });
    let Some(after) = state.agents.get(&key) else { return };
    let timers = [
        (before.live_give_back_at, after.live_give_back_at, LIVE_GIVE_BACK),
        (before.give_back_at, after.give_back_at, GIVE_BACK),
    ];
    for (from, to, kind) in timers.into_iter().filter(|(from, to, _)| from != to) {
        if from != 0 {
            state.timers.disarm(&timer(before.number, from, kind));
        }
        if to != 0 {
            state.timers.arm(timer(before.number, to, kind), own.own_seq);
        }
    }
    let gained = before.gained(&after);
    let staffed = staffed(state, &after);
    let is_full = staffed.iter().all(|entry| entry.full);
    if staffed != after.staffed {
        restaff(state, &after, &staffed);
        // Whoever holds the agent when it changes makes it be copied.
        drop(after);
        state.agents.update(&key, |agent| agent.staffed = staffed);
    }
    if is_full {
        state.todo.remove(&TodoKey { work: Work::Agent, about: key.0 });
    } else if gained {
        find_items(state, workspace, id);
    }
}

/// What is asked about an agent as it was before a change.
struct Before {
    number: u64,
    live_give_back_at: Millis,
    give_back_at: Millis,
    available: bool,
    used: u32,
    active: usize,
}

impl Before {
    fn of(agent: &Agent) -> Self {
        Self {
            number: agent.number,
            live_give_back_at: agent.live_give_back_at,
            give_back_at: agent.give_back_at,
            available: agent.is_available(),
            used: capacity::used(agent),
            active: capacity::active(agent).count(),
        }
    }

    /// Has the agent room that it had not?
    fn gained(&self, after: &Agent) -> bool {
        (after.is_available() && !self.available)
            || capacity::used(after) < self.used
            || capacity::active(after).count() < self.active
    }
}

/// Where an agent is listed as available.
fn staffed(state: &Routing, agent: &Agent) -> Vec<StaffEntry> {
    if !agent.is_available() {
        return Vec::new();
    }
    let policy = state.policy(&agent.workspace);
    let Some(rule) = policy.agents.get(&agent.id) else { return Vec::new() };
    let full = capacity::is_full(rule, agent);
    let busy = capacity::is_busy(agent);
    let idle_since = if busy { WITH_WORK.saturating_add(agent.last_assigned) } else { agent.idle_since };
    let entry = |membership: &crate::policy::Membership| StaffEntry {
        queue: membership.queue.clone(),
        full,
        priority: u8::try_from(membership.priority).unwrap_or(u8::MAX),
        idle_since,
    };
    rule.memberships.iter().map(entry).collect()
}

/// Lists an agent anew that is listed as it was before.
fn restaff(state: &mut Routing, agent: &Agent, staffed: &[StaffEntry]) {
    let key = AgentKey::new(&agent.workspace, &agent.id);
    for entry in &agent.staffed {
        state.staff.remove(&entry.key(&agent.workspace, key));
    }
    for entry in staffed {
        state.staff.put(entry.key(&agent.workspace, key), ());
    }
    let among = |entries: &[StaffEntry], queue: &str| entries.iter().any(|entry| entry.queue == queue);
    for entry in agent.staffed.iter().filter(|entry| !among(staffed, &entry.queue)) {
        let queue = QueueKey::new(&agent.workspace, &entry.queue);
        change_queue(state, queue, |queue| queue.available = queue.available.saturating_sub(1));
        let from = AgeKey { queue, since: Millis::MIN, item: 0 };
        if state.withheld.from(&from).next().is_some_and(|age| age.queue == queue) {
            let about = Todo { workspace: agent.workspace.clone(), name: entry.queue.clone(), ..Todo::default() };
            state.todo.put(TodoKey { work: Work::Queue, about: queue.0 }, about);
        }
    }
    for entry in staffed.iter().filter(|entry| !among(&agent.staffed, &entry.queue)) {
        let queue = QueueKey::new(&agent.workspace, &entry.queue);
        change_queue(state, queue, |queue| queue.available += 1);
    }
}
