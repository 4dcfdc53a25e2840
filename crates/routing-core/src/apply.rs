//! The fold: what each own event changes. Never refuses, reads nothing but the event and the state.

mod lists;

use rejoinder_machine::request;
use rejoinder_machine::{Own, TableKey};
use rejoinder_model::{Millis, OfferId, PersonId, ThreadId, WorkItemId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    AgentPresenceChanged, DecisionExplained, Event, OfferDeclined, OfferMade, Priority, QueueDriven,
    RoutingPolicyAdopted, WorkItemAssigned, WorkItemCancelled, WorkItemMoved, WorkItemParked, WorkItemPrioritised,
    WorkItemQueued, WorkItemWoken, work_item_cancelled, work_item_parked,
};

use crate::item::fresh;
use crate::key::{TodoKey, Work};
use crate::policy::Policy;
use crate::record::{
    Agent, Candidate, Cursor, Decision, Held, Item, Offer, OfferState, Outcomes, Phase, Request, Thread, Todo,
    Workspace,
};
use crate::state::{OFFER, Routing};
use lists::{change_agent, change_item, timer};

/// Decisions kept of an item.
const DECISIONS: usize = 5;

pub(crate) fn apply(state: &mut Routing, own: Own, event: &Event) {
    if let (Some(request), Some(body)) = (request::Request::of(event), &event.body) {
        remember(state, request, event.decided_at, body);
    }
    let workspace = event.workspace.as_str();
    count(state, workspace, event.body.as_ref());
    match &event.body {
        Some(Body::RoutingPolicyAdopted(adopted)) => adopt(state, workspace, adopted),
        Some(Body::AgentPresenceChanged(changed)) => change_presence(state, own, workspace, changed),
        Some(Body::WorkItemQueued(queued)) => queue(state, own, workspace, queued),
        Some(Body::WorkItemPrioritised(prioritised)) => prioritise(state, own, prioritised),
        Some(Body::OfferMade(made)) => make_offer(state, own, workspace, made),
        Some(Body::OfferAccepted(ended)) => end_offer(state, own, ended.offer, OfferState::Accepted, ended.at),
        Some(Body::OfferDeclined(ended)) => {
            end_offer(state, own, ended.offer, OfferState::Declined, ended.at);
            shun(state, own, ended);
        }
        Some(Body::OfferTimedOut(ended)) => end_offer(state, own, ended.offer, OfferState::TimedOut, ended.at),
        Some(Body::OfferRevoked(ended)) => {
            end_offer(state, own, ended.offer, OfferState::Revoked, ended.at);
            state.offers.update(&OfferId(ended.offer), |offer| offer.because = ended.reason);
        }
        Some(Body::WorkItemAssigned(assigned)) => assign(state, own, workspace, assigned),
        Some(Body::WorkItemAnswered(answered)) => {
            update_thread(state, answered.thread, |thread| thread.unanswered_since = 0);
            change_item(state, own, answered.item, |item| {
                item.answered = true;
                item.park_at = answered.park_at;
            });
        }
        Some(Body::WorkItemParked(parked)) => park(state, own, parked),
        Some(Body::WorkItemWoken(woken)) => wake(state, own, woken),
        Some(Body::WorkItemWrapping(wrapping)) => {
            let agent = change_item(state, own, wrapping.item, |item| {
                enter(item, Phase::Wrapping, wrapping.at);
                item.wrap_until = wrapping.until;
            });
            hold_as(state, own, workspace, &agent, wrapping.item, Phase::Wrapping);
        }
        Some(Body::WorkItemDone(done)) => end(state, own, done.item, Phase::Done, done.at),
        Some(Body::WorkItemCancelled(cancelled)) => cancel(state, own, cancelled),
        Some(Body::WorkItemMoved(moved)) => move_item(state, own, moved),
        Some(Body::DecisionExplained(explained)) => keep(state, explained),
        Some(Body::QueueDriven(driven)) => drive(state, own, driven),
        Some(Body::Quarantined(quarantined)) => state.quarantine.set_aside(own, workspace, quarantined),
        Some(Body::QuarantineReleased(released)) => state.quarantine.release(released),
        // What these tell follows from the events beside them.
        Some(Body::AgentLoadChanged(_) | Body::Overcommitted(_) | Body::WorkItemTransferred(_)) => {}
        _ => {}
    }
}

/// Counts what became of offers and items.
fn count(state: &mut Routing, workspace: &str, body: Option<&Body>) {
    let change: fn(&mut Outcomes) = match body {
        Some(Body::OfferMade(_)) => |outcomes| outcomes.made += 1,
        Some(Body::OfferAccepted(_)) => |outcomes| outcomes.accepted += 1,
        Some(Body::OfferDeclined(_)) => |outcomes| outcomes.declined += 1,
        Some(Body::OfferTimedOut(_)) => |outcomes| outcomes.timed_out += 1,
        Some(Body::OfferRevoked(_)) => |outcomes| outcomes.revoked += 1,
        Some(Body::WorkItemQueued(queued)) if queued.opened => |outcomes| outcomes.opened += 1,
        Some(Body::WorkItemDone(_)) => |outcomes| outcomes.done += 1,
        Some(Body::WorkItemCancelled(_)) => |outcomes| outcomes.cancelled += 1,
        Some(Body::Overcommitted(_)) => |outcomes| outcomes.overcommitted += 1,
        _ => return,
    };
    let key = workspace.to_owned();
    if !state.outcomes.update(&key, change) {
        let mut outcomes = Outcomes::default();
        change(&mut outcomes);
        state.outcomes.put(key, outcomes);
    }
}

fn adopt(state: &mut Routing, workspace: &str, adopted: &RoutingPolicyAdopted) {
    let builtin = crate::policy::defaults();
    let policy = Policy::of_wire(adopted.version, adopted.policy.as_ref().unwrap_or(&builtin));
    let before = state.policy(workspace);
    let sweep = state.workspace(workspace);
    let queues = before.queues.iter().chain(&policy.queues).map(|queue| queue.name.clone());
    let agents = before.agents.keys().chain(policy.agents.keys()).cloned();
    let once = |names: Vec<String>| std::collections::BTreeSet::from_iter(names).into_iter().collect::<Vec<String>>();
    let todo = Workspace {
        sweep_queues: once(queues.chain(sweep.sweep_queues.iter().cloned()).collect()),
        sweep_agents: once(agents.chain(sweep.sweep_agents.iter().cloned()).collect()),
    };
    state.workspaces.put(workspace.to_owned(), todo);
    state.policies.put(workspace.to_owned(), policy);
    let key = TodoKey { work: Work::Policy, about: rejoinder_model::QueueKey::new(workspace, "").0 };
    state.todo.put(key, Todo { workspace: workspace.to_owned(), ..Todo::default() });
}

fn change_presence(state: &mut Routing, own: Own, workspace: &str, changed: &AgentPresenceChanged) {
    change_agent(state, own, workspace, &changed.agent, |agent| {
        let was_available = agent.is_available();
        agent.presence = changed.to;
        agent.session = changed.session;
        agent.live_give_back_at = changed.live_give_back_at;
        agent.give_back_at = changed.give_back_at;
        agent.timed_out = changed.timed_out;
        if agent.is_available() && !was_available {
            agent.idle_since = changed.at;
        }
    });
}

fn terms(priority: Option<&Priority>) -> (i64, Vec<(i32, i64)>) {
    let terms = priority.map(|priority| priority.terms.iter().map(|term| (term.kind, term.milli_points)).collect());
    (priority.map_or(0, |priority| priority.milli_points), terms.unwrap_or_default())
}

fn enter(item: &mut Item, phase: Phase, at: Millis) {
    item.phase = phase;
    item.changed_at = at;
    item.park_at = 0;
    item.wrap_until = 0;
}

fn update_thread(state: &mut Routing, id: u64, change: impl FnOnce(&mut Thread)) {
    let id = ThreadId(id);
    if state.threads.get(&id).is_none() {
        state.threads.put(id, Thread::default());
    }
    state.threads.update(&id, change);
}

fn queue(state: &mut Routing, own: Own, workspace: &str, queued: &WorkItemQueued) {
    if queued.opened {
        let mut item = fresh(workspace, queued.thread, queued.at);
        // Nothing is listed yet: `change_item` does it.
        item.phase = Phase::Done;
        state.items.put(WorkItemId(queued.item), item);
    }
    let holder = state.item(queued.item).map(|item| item.agent.clone()).unwrap_or_default();
    change_item(state, own, queued.item, |item| {
        enter(item, Phase::Queued, queued.at);
        item.queue.clone_from(&queued.queue);
        item.kind.clone_from(&queued.kind);
        item.channel.clone_from(&queued.channel);
        item.private = queued.private;
        item.person = queued.person;
        item.band = queued.band;
        (item.milli_points, item.terms) = terms(queued.priority.as_ref());
        item.eligible_since = queued.eligible_since;
        item.customer_at = queued.customer_at;
        item.followers = queued.followers;
        item.waiting = queued.waiting.unwrap_or_default().into();
        item.preferred.clone_from(&queued.preferred_agent);
        item.preferred_until = queued.preferred_until;
        item.policy_version = queued.policy_version;
        item.shunned.retain(|(_, until)| *until > queued.at);
        item.agent.clear();
        item.offers.clear();
        item.cost = 0;
        item.answered = false;
        item.wake_until = 0;
    });
    let_go(state, own, workspace, &holder, queued.item, queued.at);
    update_thread(state, queued.thread, |thread| {
        thread.item = queued.item;
        thread.channel.clone_from(&queued.channel);
        thread.private = queued.private;
        thread.person = queued.person;
        thread.followers = queued.followers;
        thread.unanswered_since = queued.eligible_since;
    });
}

fn prioritise(state: &mut Routing, own: Own, prioritised: &WorkItemPrioritised) {
    change_item(state, own, prioritised.item, |item| {
        item.band = prioritised.band;
        (item.milli_points, item.terms) = terms(prioritised.priority.as_ref());
        item.eligible_since = prioritised.eligible_since;
        item.customer_at = prioritised.customer_at;
        item.waiting = prioritised.waiting.unwrap_or_default().into();
        item.policy_version = prioritised.policy_version;
        item.kind.clone_from(&prioritised.kind);
        item.preferred.clone_from(&prioritised.preferred_agent);
        item.preferred_until = prioritised.preferred_until;
        item.shunned.retain(|(_, until)| *until > prioritised.at);
    });
    update_thread(state, prioritised.thread, |thread| thread.unanswered_since = prioritised.eligible_since);
    lists::find_agents(state, prioritised.item);
}

fn make_offer(state: &mut Routing, own: Own, workspace: &str, made: &OfferMade) {
    let offer = Offer {
        workspace: workspace.to_owned(),
        item: made.item,
        agent: made.agent.clone(),
        state: OfferState::Pending,
        made_at: made.at,
        expires_at: made.expires_at,
        ended_at: 0,
        because: 0,
    };
    state.offers.put(OfferId(made.offer), offer);
    state.timers.arm(timer(made.offer, made.expires_at, OFFER), own.own_seq);
    change_item(state, own, made.item, |item| {
        enter(item, Phase::Offered, made.at);
        item.offers.push(made.offer);
        item.offers_made += 1;
    });
    let kind = state.item(made.item).map(|item| item.kind.clone()).unwrap_or_default();
    change_agent(state, own, workspace, &made.agent, |agent| {
        agent.last_assigned = made.at;
        agent.held.retain(|held| held.item != made.item);
        let (item, offer, cost) = (made.item, made.offer, made.cost);
        agent.held.push(Held { item, offer, phase: Phase::Offered, kind, cost, until: 0 });
    });
}

fn end_offer(state: &mut Routing, own: Own, id: u64, how: OfferState, at: Millis) {
    let Some(offer) = state.offers.get(&OfferId(id)) else { return };
    state.timers.disarm(&timer(id, offer.expires_at, OFFER));
    state.offers.update(&OfferId(id), |offer| (offer.state, offer.ended_at) = (how, at));
    change_item(state, own, offer.item, |item| item.offers.retain(|other| *other != id));
    change_agent(state, own, &offer.workspace, &offer.agent, |agent| {
        match how {
            OfferState::TimedOut => agent.timed_out = agent.timed_out.saturating_add(1),
            OfferState::Accepted | OfferState::Declined => agent.timed_out = 0,
            OfferState::Pending | OfferState::Revoked => {}
        }
        // An accepted offer becomes an assigned item by the next event of the same decision.
        if how != OfferState::Accepted {
            agent.held.retain(|held| held.offer != id);
        }
    });
}

/// Who declined is passed over for a time.
fn shun(state: &mut Routing, own: Own, declined: &OfferDeclined) {
    change_item(state, own, declined.item, |item| {
        item.shunned.retain(|(agent, _)| *agent != declined.agent);
        item.shunned.push((declined.agent.clone(), declined.excluded_until));
    });
}

fn assign(state: &mut Routing, own: Own, workspace: &str, assigned: &WorkItemAssigned) {
    let mut before = String::new();
    let mut kind = String::new();
    change_item(state, own, assigned.item, |item| {
        enter(item, Phase::Assigned, assigned.at);
        kind.clone_from(&item.kind);
        before = std::mem::replace(&mut item.agent, assigned.agent.clone());
        item.cost = assigned.cost;
        item.answered = false;
        item.offers.clear();
        item.preferred.clear();
        item.preferred_until = 0;
        item.wake_until = 0;
    });
    if before != assigned.agent {
        let_go(state, own, workspace, &before, assigned.item, assigned.at);
    }
    change_agent(state, own, workspace, &assigned.agent, |agent| {
        agent.last_assigned = assigned.at;
        agent.held.retain(|held| held.item != assigned.item);
        let (item, cost) = (assigned.item, assigned.cost);
        agent.held.push(Held { item, offer: 0, phase: Phase::Assigned, kind, cost, until: 0 });
    });
    update_thread(state, assigned.thread, |thread| thread.last_agent.clone_from(&assigned.agent));
    let person = state.item(assigned.item).map_or(0, |item| item.person);
    if let Some(person) = PersonId::from_wire(person) {
        state.persons.put(person, assigned.agent.clone());
    }
}

fn park(state: &mut Routing, own: Own, parked: &WorkItemParked) {
    let Some(item) = state.item(parked.item) else { return };
    use work_item_parked::Cause;
    let answered = [Cause::Answered as i32, Cause::CustomerSilent as i32].contains(&parked.cause);
    change_item(state, own, parked.item, |item| {
        enter(item, Phase::Parked, parked.at);
        item.agent.clone_from(&parked.agent);
        item.wake_until = parked.wake_until;
        item.answered = answered;
    });
    if answered {
        update_thread(state, parked.thread, |thread| thread.unanswered_since = 0);
    }
    if parked.agent.is_empty() {
        return let_go(state, own, &item.workspace, &item.agent, parked.item, parked.at);
    }
    let cost = state.policy(&item.workspace).kind(&item.kind).map_or(0, |kind| kind.parked_cost);
    change_agent(state, own, &item.workspace, &parked.agent, |agent| {
        for held in agent.held.iter_mut().filter(|held| held.item == parked.item) {
            held.phase = Phase::Parked;
            held.cost = cost;
            held.until = parked.wake_until;
        }
        rest(agent, parked.at);
    });
}

fn wake(state: &mut Routing, own: Own, woken: &WorkItemWoken) {
    change_item(state, own, woken.item, |item| {
        item.eligible_since = woken.eligible_since;
        item.customer_at = woken.customer_at;
        item.answered = false;
        item.park_at = 0;
    });
    update_thread(state, woken.thread, |thread| thread.unanswered_since = woken.eligible_since);
}

/// The agent has this item no more.
fn let_go(state: &mut Routing, own: Own, workspace: &str, agent: &str, item: u64, at: Millis) {
    if agent.is_empty() {
        return;
    }
    change_agent(state, own, workspace, agent, |agent| {
        agent.held.retain(|held| held.item != item);
        rest(agent, at);
    });
}

/// An agent who has nothing to do any more idles from now on.
fn rest(agent: &mut Agent, at: Millis) {
    if !crate::capacity::is_busy(agent) {
        agent.idle_since = at;
    }
}

fn hold_as(state: &mut Routing, own: Own, workspace: &str, agent: &str, item: u64, phase: Phase) {
    change_agent(state, own, workspace, agent, |agent| {
        for held in agent.held.iter_mut().filter(|held| held.item == item) {
            held.phase = phase;
        }
    });
}

fn end(state: &mut Routing, own: Own, id: u64, phase: Phase, at: Millis) {
    let Some(item) = state.item(id) else { return };
    change_item(state, own, id, |item| {
        enter(item, phase, at);
        item.offers.clear();
        item.shunned.clear();
    });
    let_go(state, own, &item.workspace, &item.agent, id, at);
    update_thread(state, item.thread, |thread| {
        if thread.item == id {
            thread.item = 0;
        }
    });
}

fn cancel(state: &mut Routing, own: Own, cancelled: &WorkItemCancelled) {
    end(state, own, cancelled.item, Phase::Cancelled, cancelled.at);
    use work_item_cancelled::Reason;
    if [Reason::Answered as i32, Reason::Resolved as i32].contains(&cancelled.reason) {
        update_thread(state, cancelled.thread, |thread| thread.unanswered_since = 0);
    }
}

fn move_item(state: &mut Routing, own: Own, moved: &WorkItemMoved) {
    let left = state.thread(moved.from);
    change_item(state, own, moved.item, |item| {
        item.thread = moved.thread;
        item.eligible_since = moved.eligible_since;
    });
    if moved.from != moved.thread {
        update_thread(state, moved.from, |thread| {
            if thread.item == moved.item {
                thread.item = 0;
            }
        });
    }
    update_thread(state, moved.thread, |thread| {
        thread.item = moved.item;
        if thread.channel.is_empty() {
            let item = thread.item;
            *thread = Thread { item, ..left };
        }
        thread.unanswered_since = moved.eligible_since;
    });
}

fn keep(state: &mut Routing, explained: &DecisionExplained) {
    lists::done_with(state, explained.item);
    let standing = state.item(explained.item).map(|item| item.offers.clone()).unwrap_or_default();
    let to_chosen =
        |id: &u64| state.offers.get(&OfferId(*id)).is_some_and(|offer| explained.chosen.contains(&offer.agent));
    let offers = standing.into_iter().filter(to_chosen).collect();
    let decision = Decision {
        at: explained.at,
        queue: explained.queue.clone(),
        policy_version: explained.policy_version,
        state_own_seq: explained.state_own_seq,
        chosen: explained.chosen.clone(),
        offers,
        strategy: explained.strategy,
        lost: explained.lost.iter().map(|lost| (lost.reason, lost.agents)).collect(),
        best: explained.best.iter().map(Candidate::from).collect(),
        eligible: explained.eligible,
        not_looked_at: explained.not_looked_at,
    };
    let id = WorkItemId(explained.item);
    if state.explained.get(&id).is_none() {
        state.explained.put(id, Vec::new());
    }
    state.explained.update(&id, |decisions| {
        if decisions.len() == DECISIONS {
            decisions.remove(0);
        }
        decisions.push(decision);
    });
}

/// Work went on; an agent that the policy's work has reached is listed as the policy has it.
fn drive(state: &mut Routing, own: Own, driven: &QueueDriven) {
    let Some(key) = TodoKey::decode(&driven.key) else { return };
    let Some(todo) = state.todo.get(&key) else { return };
    if key.work == Work::Policy {
        let sweep = state.workspace(&todo.workspace);
        if let Some(agent) = sweep.sweep_agents.get(todo.cursor.names as usize) {
            change_agent(state, own, &todo.workspace, agent, |_| {});
            lists::find_items(state, &todo.workspace, agent);
        }
    }
    match Cursor::from_wire(&driven.cursor) {
        Some(cursor) => state.todo.put(key, Todo { cursor, ..(*todo).clone() }),
        None => {
            state.todo.remove(&key);
            if key.work == Work::Policy {
                state.workspaces.put(todo.workspace.clone(), Workspace::default());
            }
        }
    }
}

/// Remembers what a request did.
fn remember(state: &mut Routing, request: request::Request, decided_at: Millis, body: &Body) {
    // The first event of a command, whichever it is.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events answer no request")]
    let (item, agent) = match body {
        Body::AgentPresenceChanged(changed) => (0, changed.agent.as_str()),
        Body::OfferAccepted(accepted) => (accepted.item, ""),
        Body::OfferDeclined(declined) => (declined.item, ""),
        Body::OfferRevoked(revoked) => (revoked.item, ""),
        Body::WorkItemQueued(queued) => (queued.item, ""),
        Body::WorkItemParked(parked) => (parked.item, ""),
        Body::WorkItemWrapping(wrapping) => (wrapping.item, ""),
        Body::WorkItemDone(done) => (done.item, ""),
        Body::WorkItemTransferred(transferred) => (transferred.item, ""),
        Body::WorkItemAssigned(assigned) => (assigned.item, ""),
        _ => (0, ""),
    };
    let did = Request { item, agent: agent.to_owned(), content: request.content };
    state.requests.remember(decided_at, request.key, did);
}
