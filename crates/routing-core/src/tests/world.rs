//! A workspace in a test: feeds threads, agents and commands straight to the core, and checks after each
//! decision what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_machine::{Change, Context, DueTimer, NoBacking, Own, Source, State, TableOps, TableVisitor, event};
use rejoinder_model::{AgentKey, Millis, OfferId, QueueKey, WorkItemId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    Direction, Event, MessagePlaced, PolicyAdopted, Presence, RoutingPolicy, ThreadState, ThreadStateChanged,
    routing_policy as wire, thread_state_changed,
};

use crate::capacity;
use crate::command::{Asked, Command, Done, Refusal, Session, decide};
use crate::policy;
use crate::record::{Agent, Item, OfferState, Phase};
use crate::state::Routing;

pub(super) const WORKSPACE: &str = "w";
pub(super) const START: Millis = 1_700_000_000_000;

pub(super) struct World {
    pub(super) state: Routing,
    pub(super) events: Vec<Event>,
    pub(super) now: Millis,
    inputs: u64,
    threads: BTreeMap<u64, ThreadState>,
    sessions: BTreeMap<String, u64>,
    /// Agents that may hold more than their capacity, by an `Overcommitted`.
    over: BTreeSet<String>,
}

/// An agent of a policy: skills and queues with (priority, delay).
pub(super) fn agent(id: &str, skills: &[(&str, u32)], queues: &[(&str, u32, Millis)]) -> wire::Agent {
    wire::Agent {
        id: id.to_owned(),
        skills: skills.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect(),
        memberships: queues
            .iter()
            .map(|(queue, priority, delay_ms)| wire::Membership {
                queue: (*queue).to_owned(),
                priority: *priority,
                delay_ms: *delay_ms,
            })
            .collect(),
        ..wire::Agent::default()
    }
}

/// The built-in policy with some agents who serve its queue.
pub(super) fn with_agents(ids: &[&str]) -> RoutingPolicy {
    let agents = ids.iter().map(|id| agent(id, &[], &[("default", 1, 0)])).collect();
    RoutingPolicy { agents, ..policy::defaults() }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            state: Routing::open(Arc::new(NoBacking)),
            events: Vec::new(),
            now: START,
            inputs: 0,
            threads: BTreeMap::new(),
            sessions: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    pub(super) fn of(policy: RoutingPolicy) -> Self {
        let mut world = Self::new();
        world.adopt(policy);
        world
    }

    pub(super) fn adopt(&mut self, routing: RoutingPolicy) {
        let version = self.state.policy(WORKSPACE).version + 1;
        let policy = PolicyAdopted { version, routing: Some(routing), ..PolicyAdopted::default() };
        self.feed(Body::PolicyAdopted(policy));
    }

    pub(super) fn feed(&mut self, body: Body) {
        self.inputs += 1;
        let source = Source { index: self.inputs, event: 0, own_seq: self.inputs };
        let mut out = Vec::new();
        let context = self.context();
        self.state.consider(&context, source, &event(WORKSPACE, body), &mut out).unwrap();
        self.commit(out);
    }

    fn context(&self) -> Context {
        Context { partition: 0, now: self.now, next_own_seq: self.events.len() as u64 + 1 }
    }

    fn commit(&mut self, out: Vec<Event>) {
        self.apply(out);
        for left in (0..10_000).rev() {
            let mut out = Vec::new();
            let context = self.context();
            self.state.follow_up(&context, &mut out);
            if out.is_empty() {
                break;
            }
            assert!(left > 0, "work never ends: {out:?}");
            self.apply(out);
        }
        self.nobody_waits_beside_a_free_agent();
    }

    /// Takes events as if they had been decided.
    pub(super) fn take(&mut self, out: Vec<Event>) {
        self.commit(out);
    }

    pub(super) fn decide(&mut self, decision: impl FnOnce(&Routing, &Context, &mut Vec<Event>)) {
        let mut out = Vec::new();
        let context = self.context();
        decision(&self.state, &context, &mut out);
        self.commit(out);
    }

    fn apply(&mut self, out: Vec<Event>) {
        for event in out {
            if let Some(Body::OfferMade(made)) = &event.body {
                self.may_be_offered(made.item, &made.agent);
            }
            let phase = |state: &Routing, id| state.item(id).map(|item| item.phase);
            let about = item_of(&event);
            let before = about.and_then(|id| phase(&self.state, id));
            let own = Own { partition: 0, own_seq: self.events.len() as u64 + 1 };
            self.state.apply(own, &event);
            if let Some(id) = about {
                drawn(&event, before, phase(&self.state, id));
            }
            if let Some(Body::Overcommitted(over)) = &event.body {
                self.over.insert(over.agent.clone());
            }
            self.events.push(event);
        }
        self.check();
    }

    /// Whoever is asked is available, serves the queue and has the room and the skills, whatever strategy
    /// chose them.
    fn may_be_offered(&self, id: u64, agent: &str) {
        use rejoinder_wire::event::decision_explained::Reason;
        let policy = self.state.policy(WORKSPACE);
        let item = self.state.item(id).expect("an item");
        let reasons = self.state.searching(&policy, id, &item, self.now, |search| search.reasons(&self.agent(agent)));
        let reasons = reasons.expect("a queue of the policy");
        assert!(reasons.iter().all(|reason| *reason == Reason::Declined), "{agent} is asked in spite of {reasons:?}");
    }

    /// A thread changes state, by its customer, our reply or a command.
    pub(super) fn thread(&mut self, id: u64, to: ThreadState) {
        self.thread_of("x", true, id, to);
    }

    pub(super) fn thread_of(&mut self, channel: &str, private: bool, id: u64, to: ThreadState) {
        use thread_state_changed::Cause;
        let from = self.threads.insert(id, to).unwrap_or(ThreadState::New);
        let cause = match to {
            ThreadState::AwaitingAgent => Cause::CustomerMessage,
            ThreadState::AwaitingCustomer => Cause::Reply,
            ThreadState::Unspecified
            | ThreadState::New
            | ThreadState::Watched
            | ThreadState::OnHold
            | ThreadState::Resolved => Cause::Command,
        };
        self.feed(Body::ThreadStateChanged(ThreadStateChanged {
            thread: id,
            from: from as i32,
            to: to as i32,
            cause: cause as i32,
            at: self.now,
            channel: channel.to_owned(),
            private,
            clock_time: self.now,
            person: id,
            ..ThreadStateChanged::default()
        }));
    }

    /// The customer writes.
    pub(super) fn asks(&mut self, id: u64) {
        if self.threads.get(&id) == Some(&ThreadState::AwaitingAgent) {
            self.writes(id, self.now, false);
        } else {
            self.thread(id, ThreadState::AwaitingAgent);
        }
    }

    /// A customer's message that changes no state of the thread.
    pub(super) fn writes(&mut self, id: u64, at: Millis, quiet: bool) {
        self.feed(Body::MessagePlaced(Box::new(MessagePlaced {
            thread: id,
            root: id,
            direction: Direction::Inbound as i32,
            state_before: ThreadState::AwaitingAgent as i32,
            clock_time: at,
            channel: "x".into(),
            private: true,
            quiet,
            ..MessagePlaced::default()
        })));
    }

    pub(super) fn replied(&mut self, id: u64) {
        self.thread(id, ThreadState::AwaitingCustomer);
    }

    pub(super) fn command(&mut self, command: &Command) -> Result<Done, Refusal> {
        self.command_as(Asked::default(), command)
    }

    pub(super) fn command_as(&mut self, asked: Asked<'_>, command: &Command) -> Result<Done, Refusal> {
        let mut out = Vec::new();
        let context = self.context();
        let done = decide(&self.state, &context, WORKSPACE, asked, command, &mut out);
        if done.is_err() {
            assert!(out.is_empty(), "a refusal has no events");
        }
        self.commit(out);
        done
    }

    /// An agent opens a stream and is available.
    pub(super) fn comes(&mut self, id: &str) {
        self.connects(id);
        self.presence(id, Presence::Available).unwrap();
    }

    pub(super) fn connects(&mut self, id: &str) {
        let Done::Session(session) = self.command(&Command::Connect { agent: id.into() }).unwrap() else {
            panic!("a stream has a session");
        };
        self.sessions.insert(id.into(), session);
    }

    pub(super) fn drops(&mut self, id: &str) {
        let _ = self.command(&Command::Disconnect(self.by(id)));
    }

    pub(super) fn presence(&mut self, id: &str, presence: Presence) -> Result<Done, Refusal> {
        self.command(&Command::SetPresence { by: self.by(id), presence })
    }

    pub(super) fn by(&self, id: &str) -> Session {
        Session { agent: id.into(), session: self.sessions.get(id).copied().unwrap_or(u64::MAX) }
    }

    pub(super) fn accept(&mut self, id: &str) -> Result<Done, Refusal> {
        let offer = self.offers_to(id).first().copied().unwrap_or(OfferId(u64::MAX));
        self.command(&Command::Accept { by: self.by(id), offer })
    }

    pub(super) fn decline(&mut self, id: &str) -> Result<Done, Refusal> {
        let offer = self.offers_to(id).first().copied().unwrap_or(OfferId(u64::MAX));
        self.command(&Command::Decline { by: self.by(id), offer, reason: "busy".into() })
    }

    pub(super) fn finish(&mut self, id: &str, thread: u64) -> Result<Done, Refusal> {
        self.command(&Command::Finish { by: self.by(id), item: self.item_of(thread) })
    }

    /// Lets time pass and fires what is due, in order.
    pub(super) fn wait(&mut self, ms: Millis) {
        let until = self.now + ms;
        loop {
            let next = self.state.timers().next_due().filter(|due| *due <= until);
            let Some(due) = next else { break };
            self.now = self.now.max(due);
            let end = self.events.len() as u64 + 1;
            let fired: Vec<_> = self.state.timers().due(self.now, end, 1_000);
            for key in fired {
                // An earlier one may have disarmed it.
                if !self.state.timers().due(self.now, end, 1_000).contains(&key) {
                    continue;
                }
                let mut out = Vec::new();
                let context = self.context();
                self.state.fire(&context, DueTimer { due: key.due, entity: key.entity, kind: key.kind }, &mut out);
                self.apply(out);
                assert!(!self.state.timers().due(self.now, end, 1_000).contains(&key), "a fired timer is gone");
            }
            self.commit(Vec::new());
        }
        self.now = until;
    }

    pub(super) fn item_of(&self, thread: u64) -> WorkItemId {
        WorkItemId(self.state.thread(thread).item)
    }

    pub(super) fn item(&self, thread: u64) -> Item {
        (*self.state.item(self.item_of(thread).0).expect("an item")).clone()
    }

    pub(super) fn phase(&self, thread: u64) -> Option<Phase> {
        self.state.item(self.item_of(thread).0).map(|item| item.phase)
    }

    pub(super) fn agent(&self, id: &str) -> Agent {
        self.state.agent(WORKSPACE, id).map_or_else(|| Agent::unseen(WORKSPACE, id), |agent| (*agent).clone())
    }

    /// Offers to an agent that stand, the oldest first.
    pub(super) fn offers_to(&self, id: &str) -> Vec<OfferId> {
        let agent = self.agent(id);
        let mut offers: Vec<_> = agent.held.iter().map(|h| h.offer).filter(|o| *o != 0).map(OfferId).collect();
        offers.sort();
        offers
    }

    /// Who was offered a thread's item, or has it.
    pub(super) fn with(&self, thread: u64) -> Vec<String> {
        let item = self.item_of(thread).0;
        self.agents().into_iter().filter(|a| a.held.iter().any(|h| h.item == item)).map(|a| a.id).collect()
    }

    fn agents(&self) -> Vec<Agent> {
        self.state.agents.page(&AgentKey(0), 1_000).into_iter().map(|(_, agent)| (*agent).clone()).collect()
    }

    fn items(&self) -> Vec<(u64, Arc<Item>)> {
        self.state.items.page(&WorkItemId(0), 10_000).into_iter().map(|(id, item)| (id.0, item)).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.events.iter().map(|event| format!("{:?}", event.body.as_ref().expect("a body"))).collect()
    }

    pub(super) fn count(&self, of: impl Fn(&Body) -> bool) -> usize {
        self.events.iter().filter(|event| event.body.as_ref().is_some_and(&of)).count()
    }

    /// One owner, one accepted offer, capacity kept, lists true.
    fn check(&mut self) {
        let agents = self.agents();
        let items = self.items();
        let mut threads = BTreeSet::new();
        let mut waiting: BTreeMap<QueueKey, u64> = BTreeMap::new();
        let mut pending: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, offer) in self.state.offers.page(&OfferId(0), 10_000) {
            *pending.entry(offer.item).or_default() += usize::from(offer.state == OfferState::Pending);
        }
        for (id, item) in &items {
            let holders: Vec<(&Agent, Phase)> = agents
                .iter()
                .flat_map(|agent| agent.held.iter().filter(|held| held.item == *id).map(move |h| (agent, h.phase)))
                .collect();
            let pending = pending.get(id).copied().unwrap_or_default();
            if !item.phase.is_final() {
                assert!(threads.insert(item.thread), "a thread has one item");
                assert_eq!(self.state.thread(item.thread).item, *id);
            }
            match item.phase {
                Phase::Queued => {
                    assert!(holders.is_empty() && item.agent.is_empty() && item.offers.is_empty(), "{item:?}");
                    *waiting.entry(QueueKey::new(WORKSPACE, &item.queue)).or_default() += 1;
                }
                Phase::Offered => {
                    assert_eq!(holders.len(), item.offers.len());
                    assert_eq!(pending, item.offers.len());
                    assert!(holders.iter().all(|(_, phase)| *phase == Phase::Offered) && !holders.is_empty());
                }
                Phase::Assigned | Phase::Wrapping => {
                    assert_eq!(holders.len(), 1, "one owner: {item:?}");
                    assert_eq!((&holders[0].0.id, holders[0].1), (&item.agent, item.phase));
                }
                Phase::Parked => assert!(holders.len() <= 1 && holders.iter().all(|h| h.0.id == item.agent)),
                Phase::Done | Phase::Cancelled => assert!(holders.is_empty(), "{item:?}"),
            }
            if item.phase != Phase::Offered {
                assert_eq!(pending, 0);
            }
        }
        let listed: Vec<_> = self.state.waiting.from(&least_wait()).copied().collect();
        assert_eq!(listed.len() as u64, waiting.values().sum::<u64>());
        for (queue, count) in waiting {
            assert_eq!(self.state.queues.get(&queue).expect("counted").waiting, count);
        }
        let policy = self.state.policy(WORKSPACE);
        for agent in &agents {
            let total = policy.agents.get(&agent.id).map_or(0, |rule| rule.total);
            if capacity::used(agent) <= total {
                self.over.remove(&agent.id);
            } else if !self.over.contains(&agent.id) && policy.agents.contains_key(&agent.id) {
                let behind = !self.state.is_settled();
                assert!(behind, "{} holds {} of {total}", agent.id, capacity::used(agent));
            }
            assert!(agent.is_available() || agent.staffed.is_empty());
        }
    }

    fn nobody_waits_beside_a_free_agent(&mut self) {
        if self.state.timers().next_due().is_some_and(|due| due <= self.now) {
            return;
        }
        let policy = self.state.policy(WORKSPACE);
        for (id, item) in self.items().into_iter().filter(|(_, item)| item.phase == Phase::Queued) {
            for agent in self.agents() {
                let reasons = self.state.searching(&policy, id, &item, self.now, |search| search.reasons(&agent));
                assert_ne!(reasons, Some(vec![]), "{id} waits beside {}", agent.id);
            }
            // Nor beside one who declined it and is the only one, nor for one who is gone.
            let explained = crate::matching::explain(&self.state, &policy, &self.context(), id, &item);
            assert!(explained.chosen.is_empty(), "{id} waits beside {:?}", explained.chosen);
            assert!(item.preferred.is_empty() || self.agent(&item.preferred).is_available(), "{item:?}");
        }
    }

    pub(super) fn digest(&mut self) -> u128 {
        digest(&mut self.state)
    }

    pub(super) fn rebuilt(&self) -> u128 {
        let mut again = Routing::open(Arc::new(NoBacking));
        for (n, event) in self.events.iter().enumerate() {
            again.apply(Own { partition: 0, own_seq: n as u64 + 1 }, event);
        }
        digest(&mut again)
    }
}

fn least_wait() -> crate::key::WaitKey {
    crate::key::WaitKey { queue: QueueKey(0), class: 0, band: 0, order: Millis::MIN, item: 0 }
}

struct Digest(u128);

impl TableVisitor for Digest {
    fn visit(&mut self, table: &mut dyn TableOps) {
        let mut changes: Vec<Change> = Vec::new();
        table.collect(&mut changes);
        self.0 = self.0.wrapping_add(table.digest());
    }
}

fn digest(state: &mut Routing) -> u128 {
    let mut digest = Digest(0);
    state.visit_tables(&mut digest);
    digest.0
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no item")]
fn item_of(event: &Event) -> Option<u64> {
    match event.body.as_ref()? {
        Body::WorkItemQueued(queued) => Some(queued.item),
        Body::OfferMade(made) => Some(made.item),
        Body::WorkItemAssigned(assigned) => Some(assigned.item),
        Body::WorkItemParked(parked) => Some(parked.item),
        Body::WorkItemWrapping(wrapping) => Some(wrapping.item),
        Body::WorkItemDone(done) => Some(done.item),
        Body::WorkItemCancelled(cancelled) => Some(cancelled.item),
        _ => None,
    }
}

/// Is the step one of those that the rules draw?
fn drawn(event: &Event, from: Option<Phase>, to: Option<Phase>) {
    use Phase::{Assigned, Cancelled, Done, Offered, Parked, Queued, Wrapping};
    let allowed = match (from, to) {
        (None, Some(Queued)) => true,
        (Some(from), Some(Cancelled)) => !from.is_final(),
        (Some(from), Some(to)) => matches!(
            (from, to),
            (Queued, Offered)
                | (Offered, Offered | Assigned | Queued)
                | (Assigned, Wrapping | Queued | Parked)
                | (Wrapping, Done)
                | (Parked, Assigned | Queued)
                // By hand, or to another queue.
                | (Queued, Assigned | Queued)
        ),
        (None, _) | (_, None) => false,
    };
    assert!(allowed, "{from:?} to {to:?} by {event:?}");
}
