//! A workspace in a test: feeds what threading would say straight to the core. Minutes count from T.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_machine::{Context, DueTimer, NoBacking, Own, Source, State, TimerKey, event};
use rejoinder_model::{ClockId, MINUTE_MS, MessageKey, Millis, ThreadId};
use rejoinder_wire::event::{
    Band, Direction, Event, MessagePlaced, MessageRevised, Metric, OfferAccepted, OfferDeclined, OfferMade,
    OutcomeRecorded, PolicyAdopted, SlaPolicy, ThreadRelinked, ThreadSplit, ThreadState, ThreadStateChanged,
    ThreadsMerged, ThreadsUnmerged, WorkItemAssigned, WorkItemCancelled, WorkItemQueued, clock_cancelled::Reason,
    event::Body, sla_policy, thread_state_changed::Cause, threads_unmerged::Part,
};

use crate::metric;
use crate::record::{Clock, Status};
use crate::state::{DUE, SlaTimer, WARN};

/// Monday, 2026-01-05T00:00Z.
pub(crate) const T: Millis = 1_767_571_200_000;
pub(crate) const WORKSPACE: &str = "w";

/// What threading knows of a thread.
#[derive(Clone, Debug)]
struct Life {
    state: ThreadState,
    last_in: Millis,
    last_out: Millis,
    bases: Vec<u64>,
}

pub(crate) struct World {
    pub(crate) state: SlaTimer,
    pub(crate) events: Vec<Event>,
    pub(crate) now: Millis,
    lives: BTreeMap<u64, Life>,
    /// Messages by the number of their coming: key, thread, event time.
    messages: Vec<(MessageKey, u64)>,
    received: u64,
}

/// A target of a test's policy, in minutes.
pub(crate) fn target(metric: Metric, minutes: Millis) -> sla_policy::Target {
    sla_policy::Target { metric: metric as i32, target_ms: minutes * MINUTE_MS, ..sla_policy::Target::default() }
}

/// A policy of one rule for all.
pub(crate) fn policy(targets: Vec<sla_policy::Target>) -> SlaPolicy {
    let rule = sla_policy::Rule { name: "all".into(), targets, ..sla_policy::Rule::default() };
    SlaPolicy { calendars: Vec::new(), rules: vec![rule] }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: SlaTimer::open(Arc::new(NoBacking)),
            events: Vec::new(),
            now: T,
            lives: BTreeMap::new(),
            messages: Vec::new(),
            received: 0,
        }
    }

    /// With a policy of one rule.
    pub(crate) fn with(targets: Vec<sla_policy::Target>) -> Self {
        let mut world = Self::new();
        world.adopt(1, policy(targets));
        world.tick();
        world
    }

    pub(crate) fn adopt(&mut self, version: u64, policy: SlaPolicy) {
        self.feed(Body::PolicyAdopted(PolicyAdopted { version, sla: Some(policy), ..PolicyAdopted::default() }));
    }

    pub(crate) fn feed(&mut self, body: Body) {
        self.received += 1;
        let source = Source { index: self.received, event: 0, own_seq: self.received };
        let mut out = Vec::new();
        let context = self.context();
        self.state.consider(&context, source, &event(WORKSPACE, body), &mut out).unwrap();
        self.commit(out);
        self.follow_up();
    }

    /// What follows from earlier decisions goes on until it is done.
    fn follow_up(&mut self) {
        for _ in 0..1_000 {
            let mut out = Vec::new();
            let context = self.context();
            self.state.follow_up(&context, &mut out);
            if out.is_empty() {
                return;
            }
            self.commit(out);
        }
        panic!("it never ends");
    }

    pub(crate) fn context(&self) -> Context {
        Context { partition: 0, now: self.now, next_own_seq: self.events.len() as u64 + 1 }
    }

    pub(crate) fn commit(&mut self, out: Vec<Event>) {
        for event in out {
            let own = Own { partition: 0, own_seq: self.events.len() as u64 + 1 };
            self.state.apply(own, &event);
            self.events.push(event);
        }
        self.check();
    }

    /// Ticks until nothing is due: by each fires what was armed before it, in order.
    pub(crate) fn tick(&mut self) {
        for _ in 0..1_000 {
            let end = self.events.len() as u64 + 1;
            let due = self.state.timers().due(self.now, end, 10_000);
            if due.is_empty() {
                return;
            }
            assert!(due.is_sorted(), "by due time, then number");
            for key in due {
                let armed = self.state.timers().due(self.now, end, 10_000).contains(&key);
                let mut out = Vec::new();
                let context = self.context();
                self.state.fire(&context, DueTimer { due: key.due, entity: key.entity, kind: key.kind }, &mut out);
                assert_eq!(armed, !out.is_empty(), "{key:?} fires if it is armed still");
                self.commit(out);
                let left = self.state.timers().due(self.now, end, 10_000);
                assert!(!left.contains(&key), "{key:?} fired and is still armed");
            }
        }
        panic!("it never ends");
    }

    /// A line of a story: `30 customer`, `30 customer 5` (came at 30, written at 5), `40 reply to m1`,
    /// `40 bot`, `50 hold`, `60 over`, `70 resolve`, `80 reopen`, `90 delete m1`, `95 tick`,
    /// `97 quiet customer 5`; `t2:` in front names another thread than 1.
    pub(crate) fn does(&mut self, line: &str) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let thread = match words.first().and_then(|word| word.strip_prefix('t')?.strip_suffix(':')) {
            Some(number) => {
                words.remove(0);
                number.parse().unwrap()
            }
            None => 1,
        };
        let quiet = words.get(1) == Some(&"quiet");
        if quiet {
            words.remove(1);
        }
        let at = T + words[0].parse::<Millis>().unwrap() * MINUTE_MS;
        self.now = self.now.max(at);
        let number = |word: Option<&&str>| word.and_then(|word| word.parse::<Millis>().ok());
        let time = number(words.get(2)).map_or(at, |minute| T + minute * MINUTE_MS);
        let parent = words.iter().position(|word| *word == "to").map(|at| self.message(words[at + 1]));
        match words[1] {
            "customer" => self.say(thread, time, By::Customer, parent, quiet),
            "reply" => self.say(thread, time, By::Agent, parent, quiet),
            "bot" => self.say(thread, time, By::Bot, parent, quiet),
            "hold" => self.command(thread, ThreadState::OnHold, Cause::Command, false),
            "over" => self.command(thread, ThreadState::AwaitingAgent, Cause::HoldOver, false),
            "resolve" => self.command(thread, ThreadState::Resolved, Cause::Command, false),
            "ask" => self.command(thread, ThreadState::Resolved, Cause::Command, true),
            "reopen" => self.command(thread, ThreadState::AwaitingAgent, Cause::Command, false),
            "confirm" => {
                let outcome = OutcomeRecorded { thread, confirmed: true, at: self.now, ..OutcomeRecorded::default() };
                self.feed(Body::OutcomeRecorded(outcome));
            }
            "delete" => {
                let message = self.message(words[2]).to_wire();
                let revised = MessageRevised { message, deleted: true, thread, ..MessageRevised::default() };
                self.feed(Body::MessageRevised(revised));
            }
            "merge" => self.merge(thread, words[2].strip_prefix('t').unwrap().parse().unwrap()),
            "unmerge" => self.unmerge(thread, words[2].strip_prefix('t').unwrap().parse().unwrap()),
            "dissolve" => {
                self.lives.remove(&thread);
                self.feed(Body::ThreadRelinked(ThreadRelinked { from: thread, ..ThreadRelinked::default() }));
            }
            "split" => {
                let into = words[3].strip_prefix('t').unwrap().parse().unwrap();
                let messages = vec![self.message(words[2]).to_wire()];
                let mut life = self.lives[&thread].clone();
                life.bases.clear();
                let to = life.state as i32;
                self.lives.insert(into, life);
                self.feed(Body::ThreadSplit(ThreadSplit { thread, into, messages, ..ThreadSplit::default() }));
                let (from, cause, at) = (ThreadState::New as i32, Cause::Command as i32, self.now);
                let changed =
                    ThreadStateChanged { thread: into, from, to, cause, at, clock_time: at, ..Default::default() };
                self.feed(Body::ThreadStateChanged(changed));
            }
            "queue" => self.feed(Body::WorkItemQueued(Box::new(WorkItemQueued {
                item: 1,
                thread,
                queue: words.get(2).copied().unwrap_or("q").into(),
                band: Band::Normal as i32,
                at,
                ..WorkItemQueued::default()
            }))),
            "assign" => {
                let assigned = WorkItemAssigned { item: 1, thread, at, ..WorkItemAssigned::default() };
                self.feed(Body::WorkItemAssigned(assigned));
            }
            "cancel" => {
                let cancelled = WorkItemCancelled { item: 1, thread, at, ..WorkItemCancelled::default() };
                self.feed(Body::WorkItemCancelled(cancelled));
            }
            "offer" => {
                let offer = words[2].parse().unwrap();
                self.feed(Body::OfferMade(OfferMade { offer, item: 1, thread, at, ..OfferMade::default() }));
            }
            "accept" => {
                let offer = words[2].parse().unwrap();
                self.feed(Body::OfferAccepted(OfferAccepted { offer, thread, at, ..OfferAccepted::default() }));
            }
            "decline" => {
                let offer = words[2].parse().unwrap();
                self.feed(Body::OfferDeclined(OfferDeclined { offer, thread, at, ..OfferDeclined::default() }));
            }
            "tick" => self.tick(),
            other => panic!("{other:?} is no verb"),
        }
    }

    fn message(&self, name: &str) -> MessageKey {
        self.messages[name.strip_prefix('m').unwrap().parse::<usize>().unwrap() - 1].0
    }

    /// A message, with what threading makes of the thread's state.
    pub(crate) fn say(&mut self, base: u64, time: Millis, by: By, parent: Option<MessageKey>, quiet: bool) {
        let key = MessageKey::new(WORKSPACE, "x", None, &self.messages.len().to_string());
        self.say_as(key, base, time, by, parent, quiet);
    }

    pub(crate) fn say_as(
        &mut self,
        key: MessageKey,
        base: u64,
        time: Millis,
        by: By,
        parent: Option<MessageKey>,
        quiet: bool,
    ) {
        self.messages.push((key, base));
        let outbound = by != By::Customer;
        let direction = if outbound { Direction::Outbound } else { Direction::Inbound } as i32;
        self.feed(Body::MessagePlaced(Box::new(MessagePlaced {
            message: key.to_wire(),
            thread: base,
            direction,
            clock_time: time,
            event_time: time,
            by_bot: by == By::Bot,
            parent: parent.map(MessageKey::to_wire).unwrap_or_default(),
            channel: "x".into(),
            quiet,
            ..MessagePlaced::default()
        })));
        let root = self.root(base);
        let new = Life { state: ThreadState::New, last_in: 0, last_out: 0, bases: Vec::new() };
        let life = self.lives.entry(root).or_insert(new);
        let from = life.state;
        if outbound {
            life.last_out = life.last_out.max(time);
            let stays = matches!(from, ThreadState::OnHold | ThreadState::Resolved)
                || from == ThreadState::AwaitingAgent && life.last_out < life.last_in;
            if !stays {
                life.state = ThreadState::AwaitingCustomer;
            }
        } else {
            let answered = time < life.last_out;
            life.last_in = life.last_in.max(time);
            if !answered || from == ThreadState::New {
                life.state = ThreadState::AwaitingAgent;
            }
        }
        let to = life.state;
        if from != to {
            let cause = if outbound { Cause::Reply } else { Cause::CustomerMessage } as i32;
            self.feed(Body::ThreadStateChanged(ThreadStateChanged {
                thread: root,
                from: from as i32,
                to: to as i32,
                cause,
                at: self.now,
                clock_time: time,
                reopened: from == ThreadState::Resolved,
                quiet,
                ..ThreadStateChanged::default()
            }));
        }
    }

    pub(crate) fn command(&mut self, thread: u64, to: ThreadState, cause: Cause, unconfirmed: bool) {
        let Some(life) = self.lives.get_mut(&thread) else { return };
        let from = std::mem::replace(&mut life.state, to);
        self.feed(Body::ThreadStateChanged(ThreadStateChanged {
            thread,
            from: from as i32,
            to: to as i32,
            cause: cause as i32,
            at: self.now,
            clock_time: self.now,
            reopened: from == ThreadState::Resolved && to == ThreadState::AwaitingAgent,
            unconfirmed,
            ..ThreadStateChanged::default()
        }));
    }

    pub(crate) fn is(&self, thread: u64, state: ThreadState) -> bool {
        self.lives.get(&thread).is_some_and(|life| life.state == state)
    }

    pub(crate) fn root(&self, base: u64) -> u64 {
        let within = |life: &Life| life.bases.contains(&base);
        self.lives.iter().find(|(_, life)| within(life)).map_or(base, |(root, _)| *root)
    }

    pub(crate) fn merge(&mut self, into: u64, from: u64) {
        let (Some(a), Some(b)) = (self.lives.get(&into).cloned(), self.lives.get(&from).cloned()) else { return };
        self.lives.remove(&from);
        let (last_in, last_out) = (a.last_in.max(b.last_in), a.last_out.max(b.last_out));
        let either = |state| a.state == state || b.state == state;
        let state = if either(ThreadState::OnHold) && !either(ThreadState::AwaitingAgent) {
            ThreadState::OnHold
        } else if either(ThreadState::AwaitingAgent) || either(ThreadState::AwaitingCustomer) {
            if last_out < last_in { ThreadState::AwaitingAgent } else { ThreadState::AwaitingCustomer }
        } else {
            ThreadState::Resolved
        };
        let bases = [a.bases, vec![from], b.bases].concat();
        self.lives.insert(into, Life { state, last_in, last_out, bases });
        let state = state as i32;
        let merged = ThreadsMerged { into, from, state, at: self.now, ..ThreadsMerged::default() };
        self.feed(Body::ThreadsMerged(merged));
    }

    pub(crate) fn unmerge(&mut self, thread: u64, from: u64) {
        let Some(whole) = self.lives.get(&thread).cloned() else { return };
        let part = |thread: u64, bases: Vec<u64>| Part { thread, bases, state: whole.state as i32, silent_at: 0 };
        let rest: Vec<u64> = whole.bases.iter().copied().filter(|base| *base != from).collect();
        let parts = vec![part(thread, [vec![thread], rest.clone()].concat()), part(from, vec![from])];
        self.lives.insert(thread, Life { bases: rest, ..whole.clone() });
        self.lives.insert(from, Life { bases: Vec::new(), ..whole });
        let unmerged = ThreadsUnmerged { thread, parts, at: self.now, ..ThreadsUnmerged::default() };
        self.feed(Body::ThreadsUnmerged(unmerged));
    }

    /// The clocks of a thread as lines, in order of their opening.
    pub(crate) fn clocks(&self, thread: u64, metric: Metric) -> Vec<String> {
        let thread = self.state.threads.get(&ThreadId(thread));
        let mut clocks: Vec<&Clock> =
            thread.iter().flat_map(|thread| &thread.clocks).filter(|clock| clock.metric == metric as i32).collect();
        clocks.sort_by_key(|clock| (clock.opened_at, clock.id));
        clocks.into_iter().map(line).collect()
    }

    /// What must hold after every decision.
    fn check(&mut self) {
        let mut armed = BTreeSet::new();
        for (id, thread) in self.state.threads.page(&ThreadId(0), 10_000) {
            let mut live = BTreeSet::new();
            assert!(thread.clocks.is_sorted_by_key(|clock| clock.id));
            for clock in thread.clocks.iter() {
                let found = self.state.clock(ClockId(clock.id)).expect("found by its number");
                assert_eq!((found.0, found.2.id), (id, clock.id));
                if clock.status.is_live() {
                    assert!(live.insert(clock.metric), "two clocks of {} run on {id}", name(clock.metric));
                    assert!(thread.is_alive(), "{id} is no thread and has running clocks");
                    if !clock.breached && clock.due_at != 0 {
                        armed.insert(TimerKey { due: clock.due_at, entity: clock.id, kind: DUE });
                        if clock.warn_at != 0 {
                            armed.insert(TimerKey { due: clock.warn_at, entity: clock.id, kind: WARN });
                        }
                    }
                } else {
                    assert_eq!(clock.alarm, 0, "an alarm of an ended clock");
                }
                if let Some(alarm) = rejoinder_model::AlarmId::from_wire(clock.alarm) {
                    let alarm = self.state.alarms.get(&alarm).expect("the alarm of a clock");
                    assert_eq!(alarm.clock, clock.id);
                }
            }
        }
        let end = u64::MAX;
        let timers = self.state.timers().due(Millis::MAX - 4_000_000, end, 10_000);
        let timers: BTreeSet<TimerKey> = timers.into_iter().collect();
        assert_eq!(timers, armed, "the timers are those of the clocks that run");
    }
}

fn name(metric: i32) -> &'static str {
    metric::name(Metric::try_from(metric).unwrap_or_default())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Customer,
    Agent,
    Bot,
}

/// A clock in words, in minutes.
fn line(clock: &Clock) -> String {
    let minute = |at: Millis| {
        let ms = at - T;
        if ms % MINUTE_MS == 0 { (ms / MINUTE_MS).to_string() } else { format!("{ms}ms") }
    };
    let ran = clock.elapsed_ms / MINUTE_MS;
    let breached = if clock.breached { "breached, " } else { "" };
    let from = minute(clock.opened_at);
    match clock.status {
        Status::Running => format!("{breached}running from {from}, due {}", minute(clock.due_at)),
        Status::Paused => format!("{breached}paused from {from}, at {} after {ran}", minute(clock.at)),
        Status::Met => format!("{breached}met from {from}, at {} after {ran}", minute(clock.at)),
        Status::Cancelled(reason) => {
            let reason = Reason::try_from(reason).unwrap_or_default().as_str_name();
            let reason = reason.trim_start_matches("REASON_").to_lowercase();
            format!("{breached}{reason} from {from}, at {} after {ran}", minute(clock.at))
        }
    }
}

/// A story: each line with the clocks of one metric as they are after it.
pub(crate) fn story(mut world: World, metric: Metric, lines: &[(&str, &[&str])]) {
    for (line, expected) in lines {
        world.does(line);
        assert_eq!(world.clocks(1, metric), *expected, "after {line:?}");
    }
}
