//! Items and agents find each other: the best agent for an item, the first item for an agent.
//!
//! Both read lists in order and stop early: agents with room come before those without, and the items
//! of a queue that ask the same of an agent stand together, so that the first of them speaks for all.

use std::collections::BTreeMap;

use rejoinder_machine::Context;
use rejoinder_model::{Millis, QueueKey};
use rejoinder_wire::event::DecisionExplained;
use rejoinder_wire::event::decision_explained::{Candidate as WireCandidate, Lost, Reason};

use crate::capacity;
use crate::eligible::{Search, is_of_capacity};
use crate::key::WaitKey;
use crate::policy::{Policy, Strategy};
use crate::record::{Agent, Item, Phase};
use crate::state::Routing;
use crate::strategy::{self, Contender};

/// Eligible agents among whom a strategy chooses; more are not looked at.
const CONTENDERS: usize = 1_024;
/// The list of a queue's agents goes by idle time: the longest idle are the first.
const CONTENDERS_BY_IDLE_TIME: usize = 16;
/// Candidates that an explanation names.
const TOLD: usize = 10;

/// Who gets an item, and why.
pub(crate) fn explain(state: &Routing, policy: &Policy, context: &Context, id: u64, item: &Item) -> DecisionExplained {
    let mut explained = DecisionExplained {
        item: id,
        thread: item.thread,
        queue: item.queue.clone(),
        policy_version: policy.version,
        state_own_seq: context.next_own_seq.saturating_sub(1),
        at: context.now,
        ..DecisionExplained::default()
    };
    state.searching(policy, id, item, context.now, |search| fill(state, search, &mut explained));
    explained
}

fn fill(state: &Routing, search: &Search<'_>, explained: &mut DecisionExplained) {
    let strategy = search.queue.strategy();
    let found = look(state, search);
    let ranked = strategy::rank(strategy, &found.contenders);
    let free = (search.queue.parallel_offers as usize).saturating_sub(search.item.offers.len());
    explained.strategy = strategy as i32;
    explained.chosen = ranked.iter().take(free).map(|candidate| candidate.agent.clone()).collect();
    explained.eligible = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
    explained.not_looked_at = found.not_looked_at;
    let told = |candidate: &crate::record::Candidate| WireCandidate {
        agent: candidate.agent.clone(),
        score: candidate.score,
        idle_since: candidate.idle_since,
        last_assigned: candidate.last_assigned,
        membership_priority: candidate.priority,
    };
    explained.best = ranked.iter().take(TOLD).map(told).collect();
    let lost = |(reason, agents): (i32, u32)| Lost { reason, agents };
    explained.lost = found.lost.into_iter().map(lost).collect();
}

/// What a look at the agents of a queue finds.
struct Found {
    contenders: Vec<Contender>,
    lost: BTreeMap<i32, u32>,
    not_looked_at: u32,
}

fn look(state: &Routing, search: &Search<'_>) -> Found {
    let mut contenders = Vec::new();
    let mut lost: BTreeMap<i32, u32> = BTreeMap::new();
    // Who declined, and would have it if nobody else can take it, now or later.
    let mut shunned = Vec::new();
    let mut others_can = false;
    let mut looked_at = 0_u32;
    let available = state.queue_counts(&search.item.workspace, &search.queue.name).available;
    let by_idle_time = search.queue.strategy() == Strategy::LongestIdle;
    let enough = if by_idle_time { CONTENDERS_BY_IDLE_TIME } else { CONTENDERS };
    let mut last = None;
    for key in state.staff(&search.item.workspace, &search.queue.name) {
        // Equals stand in no order: all of them are looked at.
        let place = Some((key.full, key.priority, key.idle_since));
        if contenders.len() >= enough && place != last {
            break;
        }
        last = place;
        looked_at += 1;
        let Some(agent) = state.agents.get(&key.agent) else { continue };
        let reasons = search.reasons(&agent);
        match reasons.first() {
            None => contenders.push(contender(search, &agent)),
            Some(reason) => {
                *lost.entry(*reason as i32).or_default() += 1;
                others_can |= reasons.iter().all(|reason| is_of_capacity(*reason));
                if reasons == [Reason::Declined] {
                    shunned.push(contender(search, &agent));
                }
            }
        }
    }
    if contenders.is_empty() && !others_can && !shunned.is_empty() {
        lost.remove(&(Reason::Declined as i32));
        contenders = shunned;
    }
    let absent = search.queue.members.saturating_sub(available);
    if absent > 0 {
        *lost.entry(Reason::NotAvailable as i32).or_default() += absent;
    }
    Found { contenders, lost, not_looked_at: available.saturating_sub(looked_at) }
}

fn contender(search: &Search<'_>, agent: &Agent) -> Contender {
    let rule = search.policy.agents.get(&agent.id);
    let membership = rule.and_then(|rule| rule.membership(&search.queue.name));
    let named = search.queue.required.iter().chain(search.queue.skills.iter().map(|skill| &skill.name));
    let level = |name: &String| rule.and_then(|rule| rule.skills.get(name)).map_or(0, |level| i64::from(*level));
    Contender {
        agent: agent.id.clone(),
        priority: membership.map_or(u32::MAX, |membership| membership.priority),
        load: rule.map_or(i64::MAX, |rule| capacity::weighted_load(rule, agent)),
        skill: named.map(level).sum(),
        idle: !capacity::is_busy(agent),
        idle_since: agent.idle_since,
        last_assigned: agent.last_assigned,
    }
}

/// The first waiting item that an agent may have, by its memberships, then by the order of the queues.
pub(crate) fn next_for(state: &Routing, policy: &Policy, context: &Context, agent: &Agent) -> Option<u64> {
    let rule = policy.agents.get(&agent.id)?;
    if !agent.is_available() || capacity::is_full(rule, agent) {
        return None;
    }
    let mut memberships: Vec<_> = rule.memberships.iter().collect();
    memberships.sort_by_key(|membership| membership.priority);
    for same in memberships.chunk_by(|a, b| a.priority == b.priority) {
        let heads = same.iter().filter_map(|membership| {
            let queue = QueueKey::new(&agent.workspace, &membership.queue);
            first_in(state, policy, context, agent, queue)
        });
        if let Some((_, _, item)) = heads.min() {
            return Some(item);
        }
    }
    None
}

/// The first item of a queue that an agent may have: (band, order, item).
fn first_in(
    state: &Routing,
    policy: &Policy,
    context: &Context,
    agent: &Agent,
    queue: QueueKey,
) -> Option<(u8, Millis, u64)> {
    let least = |class| WaitKey { queue, class, band: 0, order: Millis::MIN, item: 0 };
    let mut best = None;
    let mut from = Some(least(0));
    while let Some(start) = from {
        let head = state.waiting.from(&start).next().filter(|key| key.queue == queue)?.class;
        let of_class = state.waiting.from(&least(head)).take_while(|key| key.queue == queue && key.class == head);
        for key in of_class {
            let place = (key.band, key.order, key.item);
            if best.is_some_and(|best| best <= place) {
                break;
            }
            match may_have(state, policy, context, agent, key.item) {
                May::Have => {
                    best = Some(place);
                    break;
                }
                May::NotThis => {}
                May::NotTheseAtAll => break,
            }
        }
        from = head.checked_add(1).map(least);
        if from.is_none_or(|next| state.waiting.from(&next).next().is_none_or(|key| key.queue != queue)) {
            break;
        }
    }
    best
}

enum May {
    Have,
    NotThis,
    NotTheseAtAll,
}

fn may_have(state: &Routing, policy: &Policy, context: &Context, agent: &Agent, id: u64) -> May {
    let Some(item) = state.item(id).filter(|item| item.phase == Phase::Queued) else { return May::NotThis };
    let reasons = state.searching(policy, id, &item, context.now, |search| search.reasons(agent));
    match reasons.as_deref() {
        Some([]) => May::Have,
        Some([Reason::Declined]) => {
            let chosen = explain(state, policy, context, id, &item).chosen;
            if chosen.is_empty() { May::NotThis } else { May::Have }
        }
        Some(_) => May::NotTheseAtAll,
        None => May::NotThis,
    }
}
