//! The state of threading in one partition: its tables, and how they are read.

use std::sync::Arc;

use rejoinder_machine::quarantine::{Quarantine, SetsAside};
use rejoinder_machine::request::Requests;
use rejoinder_machine::{
    Backing, Context, DueTimer, Failure, Own, Source, State, Table, TableVisitor, TimerKey, Timers, event,
};
use rejoinder_model::{ConversationKey, HandleKey, LineKey, MessageKey, Millis, PersonId, Service, ThreadId};
use rejoinder_wire::event::{Event, event::Body, threads_merged::Cause};

use crate::record::{Conversation, Handle, Member, Message, Person, Request, Thread, Workspace};
use crate::{apply, consider, life};

/// Which timer of a thread: silence resolves it.
pub(crate) const SILENCE: u8 = 1;
/// Which timer of a thread: its hold ends.
pub(crate) const HOLD: u8 = 2;

/// Threads, persons and what finds them.
pub struct Threading {
    /// By name.
    pub workspaces: Table<String, Workspace>,
    /// By the outside's id.
    pub messages: Table<MessageKey, Message>,
    /// By the payload's conversation id.
    pub conversation_keys: Table<ConversationKey, u64>,
    /// By the number of their first message.
    pub conversations: Table<u64, Conversation>,
    /// Base thread of a handle in a conversation.
    pub places: Table<(u64, HandleKey), u64>,
    /// By the outside's id.
    pub handles: Table<HandleKey, Handle>,
    /// By number.
    pub persons: Table<PersonId, Person>,
    /// By number.
    pub threads: Table<ThreadId, Thread>,
    /// By day and key.
    pub requests: Requests<Request>,
    /// Inputs that were set aside.
    pub quarantine: Quarantine,
    pub(crate) timers: Timers,
}

impl Threading {
    /// The workspace's policy and counts; the defaults for one not seen yet.
    #[must_use]
    pub fn workspace(&self, name: &str) -> Arc<Workspace> {
        self.workspaces.get(&name.to_owned()).unwrap_or_default()
    }

    /// The thread that a base thread is part of today; `None` when it is dissolved or unknown.
    #[must_use]
    pub fn find(&self, base: u64) -> Option<(ThreadId, Arc<Thread>)> {
        let mut id = ThreadId::from_wire(base)?;
        let mut thread = self.threads.get(&id)?;
        if thread.dissolved {
            return None;
        }
        // The way may lead over dissolved ones: they have lost their messages, not their place.
        while let Some(into) = ThreadId::from_wire(thread.into) {
            id = into;
            thread = self.threads.get(&id)?;
        }
        Some((id, thread))
    }

    /// The conversation that one is part of today.
    #[must_use]
    pub fn find_conversation(&self, mut number: u64) -> u64 {
        while let Some(conversation) = self.conversations.get(&number) {
            if conversation.into == 0 {
                break;
            }
            number = conversation.into;
        }
        number
    }

    /// The person that one is today.
    #[must_use]
    pub fn find_person(&self, person: u64) -> Option<(PersonId, Arc<Person>)> {
        let mut id = PersonId::from_wire(person)?;
        loop {
            let found = self.persons.get(&id)?;
            match PersonId::from_wire(found.into) {
                None => return Some((id, found)),
                Some(into) => id = into,
            }
        }
    }

    /// The person that one is today, if it belongs to the workspace: its threads tell.
    #[must_use]
    pub fn person_in(&self, workspace: &str, person: PersonId) -> Option<(PersonId, Arc<Person>)> {
        self.find_person(person.0).filter(|(_, person)| {
            person.handles.iter().filter_map(|handle| self.handles.get(handle)).all(|handle| {
                let first = handle.threads.first().and_then(|base| self.threads.get(&ThreadId(*base)));
                first.is_none_or(|thread| thread.workspace == workspace)
            })
        })
    }

    /// Does the workspace exist? `default` does, others once they have a policy.
    #[must_use]
    pub fn has_workspace(&self, name: &str) -> bool {
        name == "default" || self.workspaces.get(&name.to_owned()).is_some()
    }

    /// The person of a handle, 0 when it is not known.
    #[must_use]
    pub fn person_of(&self, handle: Option<HandleKey>) -> u64 {
        handle.and_then(|key| self.handles.get(&key)).map_or(0, |handle| handle.person)
    }

    /// The person of a thread, `None` while not known: that of its earliest base thread that has one.
    #[must_use]
    pub fn thread_person(&self, thread: &Thread) -> Option<PersonId> {
        let merged = thread.bases.iter().filter_map(|base| self.threads.get(&ThreadId(*base)));
        let handle = thread.handle.or_else(|| merged.into_iter().find_map(|base| base.handle));
        PersonId::from_wire(self.person_of(handle))
    }

    /// A base thread made by a split: rules do not put it back.
    pub(crate) fn is_split(&self, base: u64) -> bool {
        self.threads.get(&ThreadId(base)).is_some_and(|thread| thread.split_from != 0)
    }

    /// Its messages wait for one that is not here, or turned out to be nobody's.
    pub(crate) fn is_nobodys(&self, base: u64) -> bool {
        self.threads.get(&ThreadId(base)).is_some_and(|thread| thread.handle.is_none())
    }

    /// The handles that have a base thread in a conversation, and which.
    #[must_use]
    pub fn places_in(&self, conversation: u64) -> Vec<(HandleKey, u64)> {
        let mut places = Vec::new();
        let mut base = self.conversations.get(&conversation).map_or(0, |found| found.first);
        while let Some(thread) = self.threads.get(&ThreadId(base)) {
            if let Some(handle) = thread.handle
                && self.places.get(&(conversation, handle)).is_some_and(|place| *place == base)
            {
                places.push((handle, base));
            }
            base = thread.next_in_conversation;
        }
        places
    }

    /// Base threads of a handle with direct messages within `window` of `time`.
    #[must_use]
    pub fn near(&self, handle: HandleKey, line: LineKey, time: Millis, window: Millis) -> Vec<u64> {
        let handle = self.handles.get(&handle);
        let line = handle.as_ref().and_then(|handle| handle.lines.iter().find(|found| found.key == line));
        let near = line.map(|line| line.near(time, window)).unwrap_or_default();
        near.into_iter().filter(|base| self.find(*base).is_some()).collect()
    }

    /// The thread of the handle's direct messages just before `time`.
    #[must_use]
    pub fn line_before(&self, handle: HandleKey, line: LineKey, time: Millis) -> Option<u64> {
        let handle = self.handles.get(&handle)?;
        let base = handle.lines.iter().find(|found| found.key == line)?.before(time)?;
        self.find(base).map(|(id, _)| id.0)
    }

    /// A base thread that waits for a message, and those that waited for the answers in it.
    pub(crate) fn hanging_on(&self, waiting: u64) -> Vec<u64> {
        let mut hanging = vec![waiting];
        let whole = self.find(waiting);
        let links = whole.iter().flat_map(|(_, thread)| &thread.links);
        let waited: Vec<_> = links.filter(|link| link.cause() == Cause::ParentArrived).collect();
        let mut next = 0;
        while let Some(base) = hanging.get(next).copied() {
            for link in waited.iter().filter(|link| link.left == base) {
                if self.is_nobodys(link.right) && !hanging.contains(&link.right) {
                    hanging.push(link.right);
                }
            }
            next += 1;
        }
        hanging
    }

    /// The messages of a base thread, and what is known of them.
    pub(crate) fn members(&self, base: u64) -> Vec<(Member, Arc<Message>)> {
        let thread = self.find(base);
        let members = thread.iter().flat_map(|(_, thread)| &thread.messages).filter(|member| member.base == base);
        members.filter_map(|member| Some((*member, self.messages.get(&member.key)?))).collect()
    }

    /// Removes the timers of a thread.
    pub(crate) fn disarm(&mut self, id: ThreadId, thread: &Thread) {
        for (due, kind) in [(thread.silent_at, SILENCE), (thread.hold_until, HOLD)] {
            if due != 0 {
                self.timers.disarm(&TimerKey { due, entity: id.0, kind });
            }
        }
    }
}

impl State for Threading {
    const SERVICE: Service = Service::Threading;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self {
            workspaces: Table::new(1, backing.clone()),
            messages: Table::new(2, backing.clone()),
            conversation_keys: Table::new(3, backing.clone()),
            conversations: Table::new(4, backing.clone()),
            places: Table::new(5, backing.clone()),
            handles: Table::new(6, backing.clone()),
            persons: Table::new(7, backing.clone()),
            threads: Table::new(8, backing.clone()),
            requests: Table::new(9, backing.clone()),
            quarantine: Table::new(11, backing.clone()),
            timers: Timers::new(10, backing),
        }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        apply::apply(self, own, event);
    }

    fn consider(&self, context: &Context, source: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
        consider::consider(self, context, source, input, out)
    }

    fn fire(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let Some(thread) = self.threads.get(&ThreadId(timer.entity)) else { return };
        let change = match timer.kind {
            HOLD => life::on_hold_over(timer.entity, &thread, context.now),
            _ => life::on_silence(timer.entity, &thread, context.now),
        };
        out.push(event(&thread.workspace, Body::ThreadStateChanged(change)));
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.workspaces);
        visitor.visit(&mut self.messages);
        visitor.visit(&mut self.conversation_keys);
        visitor.visit(&mut self.conversations);
        visitor.visit(&mut self.places);
        visitor.visit(&mut self.handles);
        visitor.visit(&mut self.persons);
        visitor.visit(&mut self.threads);
        visitor.visit(&mut self.requests);
        visitor.visit(&mut self.quarantine);
        visitor.visit(self.timers.table());
    }
}

impl SetsAside for Threading {
    fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
