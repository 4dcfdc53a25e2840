//! From the records of the state to what users are told. Runs on the lane's thread.

use rejoinder_api::routing as api;
use rejoinder_api::routing::work_item::Phase as ApiPhase;
use rejoinder_model::{Millis, OfferId, PersonId, ThreadId, WorkItemId};
use rejoinder_routing_core::Routing;
use rejoinder_routing_core::policy::{Policy, Strategy};
use rejoinder_routing_core::record::{Agent, Decision, Item, OfferState, Phase};
use rejoinder_service_kit::timestamp;
use rejoinder_wire::event::agent_load_changed::Load;
use rejoinder_wire::event::decision_explained::Reason;
use rejoinder_wire::event::priority::Kind;

use crate::told;

fn time(at: Millis) -> Option<prost_types::Timestamp> {
    (at != 0).then(|| timestamp(at))
}

pub(crate) fn phase(phase: Phase) -> ApiPhase {
    match phase {
        Phase::Queued => ApiPhase::Queued,
        Phase::Offered => ApiPhase::Offered,
        Phase::Assigned => ApiPhase::Assigned,
        Phase::Wrapping => ApiPhase::Wrapping,
        Phase::Parked => ApiPhase::Parked,
        Phase::Done => ApiPhase::Done,
        Phase::Cancelled => ApiPhase::Cancelled,
    }
}

/// An enum's name without its prefix, in small letters.
fn name(full: &str, prefix: &str) -> String {
    full.strip_prefix(prefix).unwrap_or(full).to_lowercase()
}

/// A reason as users read it.
pub(crate) fn reason(reason: i32) -> String {
    name(Reason::try_from(reason).unwrap_or_default().as_str_name(), "REASON_")
}

fn strategy(strategy: i32) -> String {
    name(Strategy::try_from(strategy).unwrap_or_default().as_str_name(), "STRATEGY_")
}

pub(crate) fn load(load: &Load) -> api::Load {
    api::Load { used: load.used, total: load.total, items: load.items, parked: load.parked }
}

/// An offer that stands.
pub(crate) fn offer(state: &Routing, id: u64) -> Option<api::Offer> {
    let offer = state.offers.get(&OfferId(id))?;
    let item = state.item(offer.item)?;
    Some(api::Offer {
        offer_id: OfferId(id).to_string(),
        item_id: WorkItemId(offer.item).to_string(),
        thread_id: ThreadId(item.thread).to_string(),
        agent_id: offer.agent.clone(),
        queue: item.queue.clone(),
        band: item.band,
        channel: item.channel.clone(),
        kind: item.kind.clone(),
        made_at: time(offer.made_at),
        expires_at: time(offer.expires_at),
        eligible_since: time(item.eligible_since),
    })
}

/// A work item.
pub(crate) fn item(state: &Routing, id: u64, item: &Item) -> api::WorkItem {
    let term = |(kind, milli_points): &(i32, i64)| api::priority::Term {
        name: name(Kind::try_from(*kind).unwrap_or_default().as_str_name(), "KIND_"),
        milli_points: *milli_points,
    };
    api::WorkItem {
        item_id: WorkItemId(id).to_string(),
        thread_id: ThreadId(item.thread).to_string(),
        phase: phase(item.phase) as i32,
        queue: item.queue.clone(),
        band: item.band,
        channel: item.channel.clone(),
        kind: item.kind.clone(),
        private: item.private,
        person_id: PersonId::from_wire(item.person).map(|id| id.to_string()).unwrap_or_default(),
        priority: Some(api::Priority { milli_points: item.milli_points, terms: item.terms.iter().map(term).collect() }),
        eligible_since: time(item.eligible_since),
        agent_id: item.agent.clone(),
        offers: item.offers.iter().filter_map(|id| offer(state, *id)).collect(),
        offers_made: item.offers_made,
        preferred_agent_id: item.preferred.clone(),
        preferred_until: time(item.preferred_until),
        declined_by: item.shunned.iter().map(|(agent, _)| agent.clone()).collect(),
        opened_at: time(item.opened_at),
        changed_at: time(item.changed_at),
        policy_version: item.policy_version,
        etag: item.version.to_string(),
    }
}

/// An agent of the policy, seen or not.
pub(crate) fn agent(policy: &Policy, agent: &Agent) -> api::Agent {
    let held = agent.held.iter().map(|held| api::agent::Held {
        item_id: WorkItemId(held.item).to_string(),
        offer_id: OfferId::from_wire(held.offer).map(|id| id.to_string()).unwrap_or_default(),
        phase: phase(held.phase) as i32,
        kind: held.kind.clone(),
        cost: held.cost,
    });
    let rule = policy.agents.get(&agent.id);
    let parked = agent.held.iter().filter(|held| held.phase == Phase::Parked).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    api::Agent {
        agent_id: agent.id.clone(),
        presence: agent.presence,
        connected: agent.session != 0,
        load: Some(api::Load {
            used: agent.held.iter().map(|held| held.cost).sum(),
            total: rule.map_or(0, |rule| rule.total),
            items: count(agent.held.len() - parked),
            parked: count(parked),
        }),
        held: held.collect(),
        queues: rule.iter().flat_map(|rule| &rule.memberships).map(|membership| membership.queue.clone()).collect(),
        idle_since: time(agent.idle_since),
        last_assigned: time(agent.last_assigned),
        etag: agent.version.to_string(),
    }
}

/// An agent of a workspace: known by the policy, or still holding something.
pub(crate) fn find_agent(state: &Routing, workspace: &str, id: &str) -> Option<api::Agent> {
    let policy = state.policy(workspace);
    let known = state.agent(workspace, id);
    if known.is_none() && !policy.agents.contains_key(id) {
        return None;
    }
    let known = known.map_or_else(|| Agent::unseen(workspace, id), |agent| (*agent).clone());
    Some(agent(&policy, &known))
}

/// A queue of the policy.
pub(crate) fn queue(state: &Routing, workspace: &str, queue: &rejoinder_routing_core::policy::Queue) -> api::Queue {
    let view = state.queue_view(workspace, &queue.name);
    api::Queue {
        name: queue.name.clone(),
        waiting: view.waiting,
        oldest_since: time(view.oldest_since),
        members: queue.members,
        available: view.available,
        strategy: strategy(queue.strategy),
        overflow: queue.overflow.clone(),
    }
}

/// An offer of a decision, and what became of it.
fn offered(state: &Routing, id: u64) -> Option<api::decision::Offered> {
    let offer = state.offers.get(&OfferId(id))?;
    let how = match offer.state {
        OfferState::Pending => "",
        OfferState::Accepted => "accepted",
        OfferState::Declined => "declined",
        OfferState::TimedOut => "timed_out",
        OfferState::Revoked => told::revoked(offer.because),
    };
    Some(api::decision::Offered {
        offer_id: OfferId(id).to_string(),
        agent_id: offer.agent.clone(),
        made_at: time(offer.made_at),
        expires_at: time(offer.expires_at),
        ended_at: time(offer.ended_at),
        how: how.to_owned(),
    })
}

/// A decision as it was explained, and what became of its offers.
pub(crate) fn decision(state: &Routing, decision: Decision) -> api::Decision {
    let lost = |(reason_of, agents): (i32, u32)| api::decision::Lost { reason: reason(reason_of), agents };
    let best = decision.best.into_iter().map(|candidate| api::decision::Candidate {
        agent_id: candidate.agent,
        score: candidate.score,
        idle_since: time(candidate.idle_since),
        last_assigned: time(candidate.last_assigned),
        membership_priority: candidate.priority,
    });
    api::Decision {
        time: time(decision.at),
        queue: decision.queue,
        policy_version: decision.policy_version,
        state_own_seq: decision.state_own_seq,
        chosen_agent_ids: decision.chosen,
        strategy: strategy(decision.strategy),
        lost: decision.lost.into_iter().map(lost).collect(),
        best: best.collect(),
        eligible: decision.eligible,
        not_looked_at: decision.not_looked_at,
        offers: decision.offers.into_iter().filter_map(|id| offered(state, id)).collect(),
    }
}
