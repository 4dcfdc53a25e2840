//! Work items, offers and agents as the log tells of them: one owner an item, one accepted offer, one
//! outcome an offer, nobody above capacity but by `Overcommitted`.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_event_log::PartitionFold;
use rejoinder_model::{AgentKey, Millis, OfferId, Service, WorkItemId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    AgentLoadChanged, AgentPresenceChanged, OfferMade, Presence, RoutingPolicy, WorkItemAssigned, WorkItemParked,
    WorkItemQueued, work_item_assigned::Cause,
};

use super::ticks::Ticks;

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Declined,
    TimedOut,
    Revoked,
}

pub(super) struct Offer {
    pub(super) item: u64,
    pub(super) agent: String,
    /// Where it was made.
    pub(super) made: u64,
    expires_at: Millis,
    /// How it ended, and where.
    pub(super) outcome: Option<(Outcome, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Offered,
    Assigned,
    Wrapping,
    Parked,
    Over,
}

struct Item {
    workspace: String,
    thread: u64,
    phase: Phase,
    /// Who has it, or parked it; empty: nobody.
    owner: String,
    /// Who has just accepted it.
    accepted_by: Option<String>,
    offers: BTreeSet<u64>,
    kind: String,
    /// What happened to it: where, what, with whom.
    story: Vec<(u64, &'static str, String)>,
}

/// What an agent holds of an item.
struct Held {
    cost: u32,
    kind: String,
    parked: bool,
}

#[derive(Default)]
struct Agent {
    held: BTreeMap<u64, Held>,
    used: u32,
    session: u64,
    /// Where each presence began.
    presence: Vec<(u64, i32)>,
}

/// The routing of one partition.
#[derive(Default)]
pub(super) struct Items {
    items: BTreeMap<u64, Item>,
    /// The item of a thread that has one.
    of_thread: BTreeMap<u64, u64>,
    pub(super) offers: BTreeMap<u64, Offer>,
    agents: BTreeMap<AgentKey, Agent>,
    policies: BTreeMap<String, RoutingPolicy>,
    /// Of the frame at hand.
    touched: BTreeSet<u64>,
    above: Vec<(String, u64, String)>,
    overcommitted: BTreeSet<(String, u64)>,
    pub(super) findings: Vec<String>,
}

impl Items {
    fn wrong(&mut self, index: u64, what: impl std::fmt::Display) {
        self.findings.push(format!("routing at {index}: {what}"));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no item and no agent")]
    pub(super) fn event(&mut self, index: u64, own_seq: u64, workspace: &str, body: &Body) {
        match body {
            Body::RoutingPolicyAdopted(adopted) => {
                self.policies.insert(workspace.to_owned(), adopted.policy.clone().unwrap_or_default());
            }
            Body::AgentPresenceChanged(changed) => self.presence(index, own_seq, workspace, changed),
            Body::AgentLoadChanged(changed) => self.load(index, workspace, changed),
            Body::Overcommitted(over) => {
                self.overcommitted.insert((over.agent.clone(), over.item));
            }
            Body::WorkItemQueued(queued) => self.queued(index, workspace, queued),
            Body::OfferMade(made) => self.offered(index, workspace, made),
            Body::OfferAccepted(e) => self.ended(index, workspace, (e.offer, e.item, &e.agent), Outcome::Accepted),
            Body::OfferDeclined(e) => self.ended(index, workspace, (e.offer, e.item, &e.agent), Outcome::Declined),
            Body::OfferTimedOut(e) => self.ended(index, workspace, (e.offer, e.item, &e.agent), Outcome::TimedOut),
            Body::OfferRevoked(e) => self.ended(index, workspace, (e.offer, e.item, &e.agent), Outcome::Revoked),
            Body::WorkItemAssigned(assigned) => self.assigned(index, workspace, assigned),
            Body::WorkItemParked(parked) => self.parked(index, workspace, parked),
            Body::WorkItemWoken(e) => {
                self.step(index, e.item, &[Phase::Parked, Phase::Assigned], None, ("woken", &e.agent));
            }
            Body::WorkItemWrapping(e) => {
                self.step(index, e.item, &[Phase::Assigned], Some(Phase::Wrapping), ("wrapping", &e.agent));
            }
            Body::WorkItemDone(e) => {
                self.step(index, e.item, &[Phase::Wrapping], Some(Phase::Over), ("done", &e.agent));
                self.let_go(workspace, &e.agent, e.item);
                self.over(e.item);
            }
            Body::WorkItemCancelled(e) => {
                let any = [Phase::Queued, Phase::Offered, Phase::Assigned, Phase::Wrapping, Phase::Parked];
                self.step(index, e.item, &any, Some(Phase::Over), ("cancelled", &e.agent));
                self.let_go(workspace, &e.agent, e.item);
                self.over(e.item);
            }
            Body::WorkItemMoved(e) => {
                self.over(e.item);
                self.of_thread.insert(e.thread, e.item);
                if let Some(item) = self.items.get_mut(&e.item) {
                    item.thread = e.thread;
                }
            }
            _ => {}
        }
    }

    fn agent(&mut self, workspace: &str, agent: &str) -> &mut Agent {
        self.agents.entry(AgentKey::new(workspace, agent)).or_default()
    }

    fn let_go(&mut self, workspace: &str, agent: &str, item: u64) {
        if !agent.is_empty() {
            self.agent(workspace, agent).held.remove(&item);
        }
    }

    fn over(&mut self, item: u64) {
        let thread = self.thread(item);
        if self.of_thread.get(&thread) == Some(&item) {
            self.of_thread.remove(&thread);
        }
    }

    fn thread(&self, item: u64) -> u64 {
        self.items.get(&item).map_or(0, |item| item.thread)
    }

    /// A step that only whoever has the item takes.
    fn step(&mut self, index: u64, id: u64, from: &[Phase], to: Option<Phase>, (what, agent): (&'static str, &str)) {
        let Some(item) = self.items.get_mut(&id) else {
            return self.wrong(index, format!("{what}: {} was never queued", WorkItemId(id)));
        };
        let (phase, owner) = (item.phase, item.owner.clone());
        item.story.push((index, what, agent.to_owned()));
        if let Some(to) = to {
            item.phase = to;
            if to == Phase::Over {
                item.owner.clear();
            }
        }
        self.touched.insert(id);
        if !from.contains(&phase) {
            self.wrong(index, format!("{} is {what} while it is {phase:?}", WorkItemId(id)));
        }
        if owner != agent {
            self.wrong(index, format!("{} of {owner:?} is {what} with {agent:?}", WorkItemId(id)));
        }
    }

    fn presence(&mut self, index: u64, own_seq: u64, workspace: &str, changed: &AgentPresenceChanged) {
        let agent = self.agent(workspace, &changed.agent);
        let known = agent.presence.last().map_or(Presence::Offline as i32, |(_, presence)| *presence);
        agent.presence.push((index, changed.to));
        let before = std::mem::replace(&mut agent.session, changed.session);
        // A session is numbered by the event that opens it.
        let opened = changed.session != 0 && changed.session != before;
        if opened && OfferId(changed.session).own_seq() != own_seq {
            self.wrong(index, format!("session {} of {} was opened by another event", changed.session, changed.agent));
        }
        if changed.from != known && changed.from != 0 {
            self.wrong(index, format!("{} was {known}, not {}", changed.agent, changed.from));
        }
    }

    fn queued(&mut self, index: u64, workspace: &str, queued: &WorkItemQueued) {
        self.touched.insert(queued.item);
        if queued.opened {
            if let Some(other) = self.of_thread.insert(queued.thread, queued.item) {
                self.wrong(index, format!("a thread has {} and {}", WorkItemId(other), WorkItemId(queued.item)));
            }
            let item = Item {
                workspace: workspace.to_owned(),
                thread: queued.thread,
                phase: Phase::Queued,
                owner: String::new(),
                accepted_by: None,
                offers: BTreeSet::new(),
                kind: queued.kind.clone(),
                story: vec![(index, "opened", String::new())],
            };
            if self.items.insert(queued.item, item).is_some() {
                self.wrong(index, format!("{} is opened twice", WorkItemId(queued.item)));
            }
            return;
        }
        let Some(item) = self.items.get_mut(&queued.item) else {
            return self.wrong(index, format!("{} was never opened", WorkItemId(queued.item)));
        };
        let (phase, owner) = (item.phase, std::mem::take(&mut item.owner));
        item.phase = Phase::Queued;
        item.kind.clone_from(&queued.kind);
        item.story.push((index, "queued", queued.from_agent.clone()));
        if phase == Phase::Over {
            self.wrong(index, format!("{} is over and queued again", WorkItemId(queued.item)));
        }
        if owner != queued.from_agent {
            self.wrong(
                index,
                format!("{} of {owner:?} is queued from {:?}", WorkItemId(queued.item), queued.from_agent),
            );
        }
        self.let_go(workspace, &owner, queued.item);
    }

    fn offered(&mut self, index: u64, workspace: &str, made: &OfferMade) {
        let (offer, item) = (OfferId(made.offer), WorkItemId(made.item));
        self.touched.insert(made.item);
        let (policy, held) = (self.policies.get(workspace), made.kind.clone());
        let serves = policy.is_some_and(|policy| {
            let rule = policy.agents.iter().find(|agent| agent.id == made.agent);
            rule.is_some_and(|rule| rule.memberships.iter().any(|membership| membership.queue == made.queue))
        });
        if !serves {
            self.wrong(index, format!("{} does not serve {}, and is offered {item}", made.agent, made.queue));
        }
        let agent = self.agent(workspace, &made.agent);
        let there = agent.session != 0 && agent.presence.last().is_some_and(|(_, p)| *p == Presence::Available as i32);
        let twice = agent.held.insert(made.item, Held { cost: made.cost, kind: held, parked: false }).is_some();
        if !there {
            self.wrong(index, format!("{} is not there, and is offered {item}", made.agent));
        }
        if twice {
            self.wrong(index, format!("{} has {item}, and is offered it", made.agent));
        }
        let entry = Offer {
            item: made.item,
            agent: made.agent.clone(),
            made: index,
            expires_at: made.expires_at,
            outcome: None,
        };
        if self.offers.insert(made.offer, entry).is_some() {
            self.wrong(index, format!("{offer} is made twice"));
        }
        let Some(found) = self.items.get_mut(&made.item) else {
            return self.wrong(index, format!("{item} is offered and was never queued"));
        };
        found.offers.insert(made.offer);
        found.story.push((index, "offered", made.agent.clone()));
        let before = std::mem::replace(&mut found.phase, Phase::Offered);
        if before != Phase::Queued && before != Phase::Offered {
            self.wrong(index, format!("{item} is offered while it is {before:?}"));
        }
    }

    fn ended(&mut self, index: u64, workspace: &str, (id, item, agent): (u64, u64, &String), how: Outcome) {
        self.touched.insert(item);
        let number = OfferId(id);
        let Some(offer) = self.offers.get_mut(&id) else {
            return self.wrong(index, format!("{number} ends and was never made"));
        };
        let known = (offer.item, offer.agent.clone()) == (item, agent.clone());
        let before = offer.outcome;
        offer.outcome = Some((how, index));
        if !known {
            self.wrong(index, format!("{number} ends for another agent or item"));
        }
        if let Some((before, at)) = before {
            self.wrong(index, format!("{number} is {how:?}, and was {before:?} at {at}"));
        }
        let Some(found) = self.items.get_mut(&item) else { return };
        found.offers.remove(&id);
        found.story.push((index, "offer ended", agent.clone()));
        if how != Outcome::Accepted {
            return self.let_go(workspace, agent, item);
        }
        let phase = found.phase;
        let other = found.accepted_by.replace(agent.clone());
        if phase != Phase::Offered {
            self.wrong(index, format!("{number} is accepted while its item is {phase:?}"));
        }
        if let Some(other) = other {
            self.wrong(index, format!("{} is accepted by {agent} after {other}", WorkItemId(item)));
        }
    }

    fn assigned(&mut self, index: u64, workspace: &str, assigned: &WorkItemAssigned) {
        let id = WorkItemId(assigned.item);
        self.touched.insert(assigned.item);
        let Some(item) = self.items.get_mut(&assigned.item) else {
            return self.wrong(index, format!("{id} is assigned and was never queued"));
        };
        let (phase, owner) = (item.phase, std::mem::replace(&mut item.owner, assigned.agent.clone()));
        let accepted = item.accepted_by.take();
        item.phase = Phase::Assigned;
        item.story.push((index, "assigned", assigned.agent.clone()));
        let held = Held { cost: assigned.cost, kind: item.kind.clone(), parked: false };
        let fits = match assigned.cause() {
            Cause::Accepted => phase == Phase::Offered && accepted.as_ref() == Some(&assigned.agent),
            Cause::Woken => phase == Phase::Parked && owner == assigned.agent,
            Cause::Taken => matches!(phase, Phase::Queued | Phase::Offered) && owner.is_empty(),
            Cause::Transferred | Cause::Unspecified => false,
        };
        if !fits {
            let cause = assigned.cause();
            self.wrong(index, format!("{id}, {phase:?} of {owner:?}, is assigned to {} by {cause:?}", assigned.agent));
        }
        if owner != assigned.agent {
            self.let_go(workspace, &owner, assigned.item);
        }
        self.agent(workspace, &assigned.agent).held.insert(assigned.item, held);
    }

    fn parked(&mut self, index: u64, workspace: &str, parked: &WorkItemParked) {
        self.step(index, parked.item, &[Phase::Assigned], Some(Phase::Parked), ("parked", &parked.from_agent));
        let kind = self.items.get_mut(&parked.item).map(|item| {
            item.owner.clone_from(&parked.agent);
            item.kind.clone()
        });
        let kind = kind.unwrap_or_default();
        let policy = self.policies.get(workspace);
        let cost = policy.and_then(|policy| policy.kinds.iter().find(|known| known.name == kind));
        let cost = cost.map_or(0, |kind| kind.parked_cost);
        self.let_go(workspace, &parked.from_agent, parked.item);
        if !parked.agent.is_empty() {
            self.agent(workspace, &parked.agent).held.insert(parked.item, Held { cost, kind, parked: true });
        }
    }

    /// A load is the sum of what is held, and rises above the capacity by `Overcommitted` only.
    fn load(&mut self, index: u64, workspace: &str, changed: &AgentLoadChanged) {
        let (before, after) = (changed.before.unwrap_or_default(), changed.after.unwrap_or_default());
        let kind_max = self.max_of(workspace, &changed.agent, changed.item);
        let agent = self.agent(workspace, &changed.agent);
        let sum: u32 = agent.held.values().map(|held| held.cost).sum();
        let parked = agent.held.values().filter(|held| held.parked).count();
        let found = (sum, agent.held.len() - parked, parked);
        let told = (after.used, after.items as usize, after.parked as usize);
        let last = std::mem::replace(&mut agent.used, after.used);
        let of_kind = agent
            .held
            .get(&changed.item)
            .filter(|held| !held.parked)
            .map_or(0, |item| agent.held.values().filter(|held| !held.parked && held.kind == item.kind).count());
        if before.used != last {
            self.wrong(index, format!("the load of {} was {last}, not {}", changed.agent, before.used));
        }
        if found != told {
            self.wrong(index, format!("{} holds {found:?}, and its load says {told:?}", changed.agent));
        }
        let rises = after.used > before.used || after.items > before.items;
        if rises && (after.used > after.total || of_kind > kind_max) {
            let what = format!("{told:?} of {}, {of_kind} of a kind with {kind_max}", after.total);
            self.above.push((changed.agent.clone(), changed.item, what));
        }
    }

    fn max_of(&self, workspace: &str, agent: &str, item: u64) -> usize {
        let (Some(policy), Some(item)) = (self.policies.get(workspace), self.items.get(&item)) else {
            return usize::MAX;
        };
        let own = policy.agents.iter().find(|rule| rule.id == agent).and_then(|rule| rule.max.get(&item.kind));
        let general = policy.kinds.iter().find(|kind| kind.name == item.kind).map(|kind| &kind.max);
        own.or(general).map_or(usize::MAX, |max| *max as usize)
    }

    /// What must hold whenever a decision is through.
    pub(super) fn end_of_frame(&mut self, index: u64) {
        for (agent, item, what) in std::mem::take(&mut self.above) {
            if !self.overcommitted.contains(&(agent.clone(), item)) {
                self.wrong(index, format!("{agent} is above its capacity by {}: {what}", WorkItemId(item)));
            }
        }
        self.overcommitted.clear();
        for id in std::mem::take(&mut self.touched) {
            let Some(item) = self.items.get(&id) else { continue };
            let offered = item.phase == Phase::Offered;
            let owned = matches!(item.phase, Phase::Assigned | Phase::Wrapping);
            let bad = offered == item.offers.is_empty()
                || owned == item.owner.is_empty() && item.phase != Phase::Parked
                || item.accepted_by.is_some();
            if bad {
                let (phase, offers, owner) = (item.phase, item.offers.len(), item.owner.clone());
                self.wrong(index, format!("{} is {phase:?} with {offers} offers and {owner:?}", WorkItemId(id)));
            }
        }
    }

    /// What must hold where the log ends; `closed`: nothing was left to do.
    pub(super) fn conclude(&mut self, ticks: &Ticks, fold: &PartitionFold, closed: Option<&str>) {
        let settled = fold.lane(Service::Routing).settled;
        let mut wrong = Vec::new();
        for (id, offer) in self.offers.iter().filter(|(_, offer)| offer.outcome.is_none()) {
            if ticks.first(offer.made, offer.expires_at).is_some_and(|tick| tick < settled) {
                wrong.push(format!("{} should have timed out", OfferId(*id)));
            }
            if closed.is_some_and(|of| self.items.get(&offer.item).is_none_or(|item| item.workspace == of)) {
                wrong.push(format!("{} to {} has no outcome", OfferId(*id), offer.agent));
            }
        }
        for (id, item) in &self.items {
            if closed == Some(&item.workspace) && item.phase != Phase::Over {
                wrong.push(format!("{} is still {:?}: {:?}", WorkItemId(*id), item.phase, item.story));
            }
        }
        self.findings.extend(wrong);
    }

    /// Did this happen to an item, with this agent, at or before an index?
    pub(super) fn happened(&self, item: u64, what: &str, agent: &str, upto: u64) -> bool {
        let story = self.items.get(&item).map(|item| &item.story);
        story.is_some_and(|story| story.iter().any(|(at, w, who)| *at <= upto && *w == what && who == agent))
    }

    /// Was an agent of this presence at some time up to an index?
    pub(super) fn was(&self, workspace: &str, agent: &str, presence: i32, upto: u64) -> bool {
        let known = self.agents.get(&AgentKey::new(workspace, agent));
        known.is_some_and(|agent| agent.presence.iter().any(|(at, p)| *at <= upto && *p == presence))
    }
}
