//! A workspace in a test: feeds messages and commands straight to the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_machine::{Backing, Context, NoBacking, Own, Source, State, event};
use rejoinder_model::{HandleKey, MessageKey, Millis, PersonId, ThreadId};
use rejoinder_wire::event::{
    Direction, Event, InteractionDeleted, InteractionEdited, InteractionReceived, MessageRef, Structure, ThreadState,
    Visibility, event::Body,
};

use crate::command::{Asked, Command, Done, Refusal, decide};
use crate::link::held_together;
use crate::state::Threading;

/// How a message hangs together with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Public, with replies.
    #[default]
    Post,
    /// Private, with replies.
    Mail,
    /// Private, one after the other.
    Direct,
}

/// A message as tests write it down. Customers are letters, the company is `us`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) by: String,
    pub(super) time: Millis,
    pub(super) parents: Vec<String>,
    pub(super) conversation: Option<String>,
    pub(super) kind: Kind,
    pub(super) channel: String,
    pub(super) account: String,
    pub(super) to: Option<String>,
    pub(super) automatic: bool,
    pub(super) quiet: bool,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, by, kind, channel, account, parents, .. } = self;
        let half_days = (self.time - 1_700_000_000_000) / (rejoinder_model::DAY_MS / 2);
        write!(
            f,
            "{id} {by}>{} {channel}/{account} {kind:?} @{half_days} re {parents:?}",
            self.to.as_deref().unwrap_or("-")
        )?;
        write!(
            f,
            " in {} {}",
            self.conversation.as_deref().unwrap_or("-"),
            if self.automatic { "automatic" } else { "" }
        )
    }
}

impl Said {
    /// Somebody on the channel of this message.
    pub(super) fn handle(&self, who: &str) -> String {
        format!("{} {who}", self.channel)
    }

    fn reference(&self) -> MessageRef {
        MessageRef {
            channel: self.channel.clone(),
            account: self.account.clone(),
            external_id: self.id.clone(),
            global_ids: false,
        }
    }

    fn key(&self) -> MessageKey {
        MessageKey::new(WORKSPACE, &self.channel, Some(&self.account), &self.id)
    }
}

pub(super) fn post(id: &str, by: &str, time: Millis, parents: &[&str]) -> Said {
    let parents = parents.iter().map(ToString::to_string).collect();
    let (channel, account) = ("x".into(), "acme".into());
    Said { id: id.into(), by: by.into(), time, parents, channel, account, ..Said::default() }
}

pub(super) fn direct(id: &str, by: &str, time: Millis, to: &str) -> Said {
    Said { kind: Kind::Direct, channel: "dm".into(), to: Some(to.to_owned()), ..post(id, by, time, &[]) }
}

pub(super) struct World {
    pub(super) state: Threading,
    pub(super) events: Vec<Event>,
    pub(super) now: Millis,
    received: u64,
    ids: BTreeMap<MessageKey, String>,
    persons: BTreeMap<HandleKey, PersonId>,
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
        Self::before(Arc::new(NoBacking))
    }

    /// A world whose state may leave memory.
    pub(super) fn before(backing: Arc<dyn Backing>) -> Self {
        let state = Threading::open(backing);
        let (ids, persons) = (BTreeMap::new(), BTreeMap::new());
        Self { state, events: Vec::new(), now: 1_700_000_000_000, received: 0, ids, persons }
    }

    pub(super) fn of<'a>(said: impl IntoIterator<Item = &'a Said>) -> Self {
        let mut world = Self::new();
        for said in said {
            world.say(said);
        }
        world
    }

    pub(super) fn say(&mut self, said: &Said) {
        let (ours, direct) = (said.by == "us", said.kind == Kind::Direct);
        self.ids.insert(said.key(), said.id.clone());
        let received = InteractionReceived {
            message: Some(said.reference()),
            direction: if ours { Direction::Outbound } else { Direction::Inbound } as i32,
            visibility: if said.kind == Kind::Post { Visibility::Public } else { Visibility::Private } as i32,
            structure: if direct { Structure::Direct } else { Structure::Linked } as i32,
            author_id: Some(said.by.clone()),
            parents: said.parents.clone(),
            conversation: said.conversation.clone(),
            recipients: said.to.iter().cloned().collect(),
            event_time: said.time,
            received_at: said.time.max(self.now),
            automatic: if said.automatic { "auto_reply".into() } else { String::new() },
            quiet: said.quiet,
            ..InteractionReceived::default()
        };
        self.feed(Body::InteractionReceived(Box::new(received)));
    }

    pub(super) fn edit(&mut self, said: &Said, version: i64) {
        let edited = InteractionEdited { target: Some(said.reference()), version, ..InteractionEdited::default() };
        self.feed(Body::InteractionEdited(edited));
    }

    pub(super) fn delete(&mut self, said: &Said) {
        let deleted = InteractionDeleted { target: Some(said.reference()), ..InteractionDeleted::default() };
        self.feed(Body::InteractionDeleted(deleted));
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
            if let Some(Body::MessagePlaced(placed)) = &event.body
                && let (Some(handle), Some(person)) =
                    (HandleKey::from_wire(&placed.handle), PersonId::from_wire(placed.person))
            {
                self.persons.entry(handle).or_insert(person);
            }
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

    pub(super) fn thread_of(&self, said: &Said) -> Option<ThreadId> {
        let message = self.state.messages.get(&said.key())?;
        self.state.find(message.thread).map(|(id, _)| id)
    }

    /// A message of a base thread, that of the lowest number.
    pub(super) fn message_of_base(&self, base: ThreadId) -> String {
        let (_, thread) = self.state.find(base.0).expect("alive");
        let members = thread.messages.iter().filter(|member| member.base == base.0);
        let first = members.min_by_key(|member| member.interaction).expect("a base thread has messages");
        self.id_of(first.key)
    }

    pub(super) fn id_of(&self, key: MessageKey) -> String {
        self.ids.get(&key).expect("said").clone()
    }

    /// The thread in which a merge by command stands.
    pub(super) fn thread_with_merge(&self, from: ThreadId) -> Option<ThreadId> {
        let threads = self.state.threads.page(&ThreadId(0), 10_000).into_iter().filter(|(_, t)| t.is_alive());
        let mut with = threads.filter(|(_, thread)| thread.links.iter().any(|link| link.merge == from.0));
        with.next().map(|(id, _)| id)
    }

    /// The person that a handle was when it was first seen.
    pub(super) fn first_person(&self, channel: &str, who: &str) -> Option<PersonId> {
        self.persons.get(&HandleKey::new(WORKSPACE, channel, who)).copied()
    }

    pub(super) fn person_of(&self, said: &Said) -> Option<PersonId> {
        let thread = self.state.threads.get(&self.thread_of(said)?)?;
        self.state.thread_person(&thread)
    }

    pub(super) fn version_of(&self, said: &Said) -> Option<i64> {
        self.state.messages.get(&said.key())?.revision.map(|revision| revision.version)
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
            let number = self.state.messages.get(&said.key()).expect("known").conversation;
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
            let bases = thread.bases.iter().copied().chain([id.0]);
            let together: BTreeSet<u64> = held_together(bases, &thread.links).into_values().collect();
            assert_eq!(together.len(), 1, "{id} is held together by links to none but its own");
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
