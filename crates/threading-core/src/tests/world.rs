//! A workspace in a test: feeds messages and commands straight to the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_machine::{Context, NoBacking, Own, Source, State, event};
use rejoinder_model::{MessageKey, Millis, PersonId, ThreadId};
use rejoinder_wire::event::{
    Direction, Event, InteractionReceived, MessageRef, Structure, ThreadState, Visibility, event::Body,
};

use crate::command::{Asked, Command, Done, Refusal, decide};
use crate::state::Threading;

/// A message as tests write it down. Customers are letters, the company is `us`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) by: String,
    pub(super) time: Millis,
    pub(super) parents: Vec<String>,
    pub(super) conversation: Option<String>,
    pub(super) direct: bool,
    pub(super) to: Option<String>,
    /// An auto-reply.
    pub(super) automatic: bool,
}

pub(super) fn post(id: &str, by: &str, time: Millis, parents: &[&str]) -> Said {
    let parents = parents.iter().map(ToString::to_string).collect();
    Said { id: id.into(), by: by.into(), time, parents, conversation: None, direct: false, to: None, automatic: false }
}

pub(super) fn direct(id: &str, by: &str, time: Millis, to: &str) -> Said {
    let to = Some(to.to_owned());
    Said { direct: true, to, ..post(id, by, time, &[]) }
}

pub(super) struct World {
    pub(super) state: Threading,
    pub(super) events: Vec<Event>,
    pub(super) now: Millis,
    received: u64,
}

pub(super) const WORKSPACE: &str = "w";

/// Who is grouped with whom: messages of each thread, messages without one, and of each conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grouping {
    pub(super) threads: BTreeSet<BTreeSet<String>>,
    pub(super) nowhere: BTreeSet<String>,
    pub(super) conversations: BTreeSet<BTreeSet<String>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self { state: Threading::open(Arc::new(NoBacking)), events: Vec::new(), now: 1_700_000_000_000, received: 0 }
    }

    pub(super) fn of<'a>(said: impl IntoIterator<Item = &'a Said>) -> Self {
        let mut world = Self::new();
        for said in said {
            world.say(said);
        }
        world
    }

    pub(super) fn say(&mut self, said: &Said) {
        let ours = said.by == "us";
        let message = MessageRef {
            channel: if said.direct { "dm".into() } else { "x".into() },
            account: "acme".into(),
            external_id: said.id.clone(),
            global_ids: false,
        };
        let received = InteractionReceived {
            message: Some(message),
            direction: if ours { Direction::Outbound } else { Direction::Inbound } as i32,
            visibility: if said.direct { Visibility::Private } else { Visibility::Public } as i32,
            structure: if said.direct { Structure::Direct } else { Structure::Linked } as i32,
            author_id: Some(said.by.clone()),
            parents: said.parents.clone(),
            conversation: said.conversation.clone(),
            recipients: said.to.iter().cloned().collect(),
            event_time: said.time,
            automatic: if said.automatic { "auto-reply".into() } else { String::new() },
            received_at: said.time.max(self.now),
            ..InteractionReceived::default()
        };
        self.feed(Body::InteractionReceived(Box::new(received)));
    }

    pub(super) fn feed(&mut self, body: Body) {
        self.received += 1;
        let source = Source { index: self.received, event: 0, own_seq: self.received };
        let mut out = Vec::new();
        let context = self.context();
        self.state.consider(&context, source, &event(WORKSPACE, body), &mut out).unwrap();
        self.commit(out);
    }

    fn context(&self) -> Context {
        Context { partition: 0, now: self.now, next_own_seq: self.events.len() as u64 + 1 }
    }

    fn commit(&mut self, out: Vec<Event>) {
        for event in out {
            let own = Own { partition: 0, own_seq: self.events.len() as u64 + 1 };
            self.state.apply(own, &event);
            self.events.push(event);
        }
        self.check();
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

    /// Lets time pass and fires what is due.
    pub(super) fn wait(&mut self, ms: Millis) {
        self.now += ms;
        let (now, end) = (self.now, self.events.len() as u64 + 1);
        for key in self.state.timers().due(now, end, 1_000) {
            let timer = rejoinder_machine::DueTimer { due: key.due, entity: key.entity, kind: key.kind };
            let mut out = Vec::new();
            let context = self.context();
            self.state.fire(&context, timer, &mut out);
            self.commit(out);
        }
        assert!(self.state.timers().due(now, u64::MAX, 1).is_empty(), "a fired timer is gone");
    }

    fn key(said: &Said) -> MessageKey {
        MessageKey::new(WORKSPACE, if said.direct { "dm" } else { "x" }, Some("acme"), &said.id)
    }

    pub(super) fn thread_of(&self, said: &Said) -> Option<ThreadId> {
        let message = self.state.messages.get(&Self::key(said))?;
        self.state.find(message.thread).map(|(id, _)| id)
    }

    pub(super) fn person_of(&self, said: &Said) -> Option<PersonId> {
        let thread = self.state.threads.get(&self.thread_of(said)?)?;
        self.state.thread_person(&thread)
    }

    pub(super) fn thread_state(&self, said: &Said) -> ThreadState {
        let id = self.thread_of(said).expect("in a thread");
        self.state.threads.get(&id).expect("known").state()
    }

    pub(super) fn grouping<'a>(&self, said: impl IntoIterator<Item = &'a Said>) -> Grouping {
        let mut grouping = Grouping::default();
        let mut threads: BTreeMap<ThreadId, BTreeSet<String>> = BTreeMap::new();
        let mut conversations: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for said in said {
            match self.thread_of(said) {
                Some(thread) => threads.entry(thread).or_default().insert(said.id.clone()),
                None => grouping.nowhere.insert(said.id.clone()),
            };
            let number = self.state.messages.get(&Self::key(said)).expect("known").conversation;
            if number != 0 {
                let root = self.state.find_conversation(number);
                conversations.entry(root).or_default().insert(said.id.clone());
            }
        }
        grouping.threads = threads.into_values().collect();
        grouping.conversations = conversations.into_values().collect();
        grouping
    }

    /// What must hold after every decision.
    fn check(&self) {
        for (id, thread) in self.state.threads.page(&ThreadId(0), 10_000) {
            if !thread.is_alive() {
                assert!(thread.messages.is_empty() && thread.silent_at == 0 && thread.hold_until == 0, "{id}");
                continue;
            }
            for member in &thread.messages {
                assert!(member.base == id.0 || thread.bases.contains(&member.base), "{id} holds a stranger");
                let message = self.state.messages.get(&member.key).expect("a member is known");
                assert_eq!(message.thread, member.base, "{id}");
                assert_eq!(self.state.find(message.thread).map(|(found, _)| found), Some(id));
            }
            assert!(thread.messages.is_sorted_by_key(|member| (member.time, member.interaction)));
        }
        let alive = self.state.threads.page(&ThreadId(0), 10_000).into_iter().filter(|(_, t)| t.is_alive());
        let mut counts = [0; 7];
        alive.for_each(|(_, thread)| counts[thread.state as usize] += 1);
        assert_eq!(self.state.workspace(WORKSPACE).threads, counts);
    }
}
