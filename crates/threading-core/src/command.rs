//! What people and tools may do to threads and persons. They act where they stand in the log.

pub use rejoinder_machine::request::Asked;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use rejoinder_machine::request::Request;
use rejoinder_machine::{Context, event};
use rejoinder_model::{HandleKey, InteractionId, Millis, PersonId, ThreadId};
use rejoinder_wire::event::{
    AttributesSet, Content, Disposition, Event, HandleAsserted, HandleUnlinked, NoteAdded, OutcomeRecorded,
    PersonsMerged, PersonsUnmerged, ThreadOpened, ThreadSplit, ThreadState, ThreadStateChanged, ThreadsUnmerged,
    content, event::Body, thread_state_changed, threads_merged, threads_unmerged,
};

use crate::life::{about, is_open};
use crate::link::{Linker, link_persons, parts};
use crate::record::{Link, Person, Thread};
use crate::state::Threading;

/// The most that a command may write; a frame has room for more.
const MAX_COMMAND_BYTES: usize = 300 << 10;
/// The most attributes a thread may have.
const MAX_ATTRIBUTES: usize = 64;

/// A command, with the ids as the caller knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The issue is settled.
    Resolve { thread: ThreadId, disposition: Disposition, unconfirmed: bool, reason: String },
    /// Nobody need act, perhaps until a time.
    Hold { thread: ThreadId, reason: String, until: Option<Millis> },
    /// An agent must act again.
    Reopen { thread: ThreadId, reason: String },
    /// Two threads are one issue. The one named first stays.
    MergeThreads { into: ThreadId, from: ThreadId },
    /// They are not, after all.
    UnmergeThreads { thread: ThreadId, from: ThreadId },
    /// Some messages are another issue.
    SplitThread { thread: ThreadId, messages: Vec<u64> },
    /// A note among colleagues.
    AddNote { thread: ThreadId, author: String, text: String },
    /// The customer said whether it is resolved.
    RecordOutcome { thread: ThreadId, confirmed: bool },
    /// Facts about the thread.
    SetAttributes { thread: ThreadId, set: BTreeMap<String, String>, removed: Vec<String> },
    /// Two persons are one human.
    MergePersons { into: PersonId, from: PersonId },
    /// They are not, after all.
    UnmergePersons { person: PersonId, from: PersonId },
    /// A handle belongs to a person.
    LinkHandle { person: PersonId, channel: String, id: String },
    /// A handle is somebody else's.
    UnlinkHandle { person: PersonId, channel: String, id: String },
}

/// What a command led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A thread to look at.
    Thread(ThreadId),
    /// A person to look at.
    Person(PersonId),
}

/// Why a command was refused: an answer, not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing in this workspace.
    #[error("{kind} {id} does not exist in this workspace")]
    NotFound { kind: &'static str, id: String },
    /// It has changed since the caller looked.
    #[error("{kind} {id} has changed: its etag is {current} now; read it again and repeat the command")]
    Stale { kind: &'static str, id: String, current: u64 },
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Precondition(String),
    /// The command itself cannot be right.
    #[error("{field}: {what}")]
    Invalid { field: &'static str, what: String },
}

/// Decides a command.
///
/// # Errors
/// When it is refused; nothing has changed then.
pub fn decide(
    state: &Threading,
    context: &Context,
    workspace: &str,
    asked: Asked<'_>,
    command: &Command,
    out: &mut Vec<Event>,
) -> Result<Done, Refusal> {
    let start = out.len();
    let request = Request::new(workspace, asked, &format!("{command:?}"));
    if let Some(request) = request
        && let Some(known) = state.requests.remembered(context.now, request.key)
    {
        // A repeat must be the same command, whatever the etag was then.
        if known.content != request.content {
            let what = "it was used for another command before: take a new one".to_owned();
            return Err(Refusal::Invalid { field: "request_id", what });
        }
        return Ok(match command {
            Command::MergePersons { .. }
            | Command::UnmergePersons { .. }
            | Command::LinkHandle { .. }
            | Command::UnlinkHandle { .. } => Done::Person(PersonId(known.subject)),
            Command::Resolve { .. }
            | Command::Hold { .. }
            | Command::Reopen { .. }
            | Command::MergeThreads { .. }
            | Command::UnmergeThreads { .. }
            | Command::SplitThread { .. }
            | Command::AddNote { .. }
            | Command::RecordOutcome { .. }
            | Command::SetAttributes { .. } => Done::Thread(ThreadId(known.subject)),
        });
    }
    let judge = Judge { state, context, workspace, asked };
    let done = judge.decide(command, out)?;
    let bytes: usize = out[start..].iter().map(Message::encoded_len).sum();
    if bytes > MAX_COMMAND_BYTES {
        let what = format!("it would change too much at once, {} things: do it in smaller parts", out.len() - start);
        out.truncate(start);
        return Err(Refusal::Precondition(what));
    }
    for event in &mut out[start..] {
        event.decided_at = context.now;
    }
    if let (Some(request), Some(first)) = (request, out.get_mut(start)) {
        first.request = request.to_wire();
    }
    Ok(done)
}

struct Judge<'a> {
    state: &'a Threading,
    context: &'a Context,
    workspace: &'a str,
    asked: Asked<'a>,
}

type Found<T, I> = Result<(I, Arc<T>), Refusal>;

impl Judge<'_> {
    fn decide(&self, command: &Command, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        match command {
            Command::Resolve { thread, disposition, unconfirmed, reason } => {
                let (id, thread) = self.thread(*thread)?;
                if !is_open(thread.state())
                    && thread.state() != ThreadState::Watched
                    && thread.state() != ThreadState::Resolved
                {
                    return Err(Refusal::Precondition(format!("thread {id} has nothing to resolve yet")));
                }
                let mut change = self.change(id, &thread, ThreadState::Resolved, reason);
                change.disposition = *disposition as i32;
                change.unconfirmed = *unconfirmed;
                self.push(Body::ThreadStateChanged(change), out);
                Ok(Done::Thread(id))
            }
            Command::Hold { thread, reason, until } => {
                let (id, thread) = self.thread(*thread)?;
                if !is_open(thread.state()) {
                    return Err(Refusal::Precondition(format!(
                        "thread {id} is not open: only open threads can be held"
                    )));
                }
                if until.is_some_and(|until| until <= self.context.now) {
                    return Err(Refusal::Invalid { field: "until", what: "lies in the past".into() });
                }
                let mut change = self.change(id, &thread, ThreadState::OnHold, reason);
                change.until = until.unwrap_or_default();
                self.push(Body::ThreadStateChanged(change), out);
                Ok(Done::Thread(id))
            }
            Command::Reopen { thread, reason } => {
                let (id, thread) = self.thread(*thread)?;
                let from = thread.state();
                if !matches!(from, ThreadState::Resolved | ThreadState::OnHold | ThreadState::AwaitingCustomer) {
                    return Err(Refusal::Precondition(format!("thread {id} is waiting for an agent already")));
                }
                let mut change = self.change(id, &thread, ThreadState::AwaitingAgent, reason);
                change.reopened = from == ThreadState::Resolved;
                self.push(Body::ThreadStateChanged(change), out);
                Ok(Done::Thread(id))
            }
            Command::MergeThreads { into, from } => self.merge_threads(*into, *from, out),
            Command::UnmergeThreads { thread, from } => self.unmerge_threads(*thread, *from, out),
            Command::SplitThread { thread, messages } => self.split(*thread, messages, out),
            Command::AddNote { thread, author, text } => {
                let (id, _) = self.thread(*thread)?;
                if text.is_empty() {
                    return Err(Refusal::Invalid { field: "text", what: "is empty".into() });
                }
                let plain = content::Plain { text: text.clone(), ..content::Plain::default() };
                let content = Some(Content { body: Some(content::Body::Plain(plain)) });
                let note = NoteAdded { thread: id.0, author: author.clone(), content, at: self.context.now };
                self.push(Body::NoteAdded(note), out);
                Ok(Done::Thread(id))
            }
            Command::RecordOutcome { thread, confirmed } => self.record_outcome(*thread, *confirmed, out),
            Command::SetAttributes { thread, set, removed } => {
                let (id, thread) = self.thread(*thread)?;
                let new = set.keys().filter(|name| !thread.attributes.contains_key(*name)).count();
                let gone = removed.iter().filter(|name| thread.attributes.contains_key(*name)).count();
                if (thread.attributes.len() + new).saturating_sub(gone) > MAX_ATTRIBUTES {
                    let what = format!("a thread has {MAX_ATTRIBUTES} attributes at most");
                    return Err(Refusal::Invalid { field: "set", what });
                }
                let actor = self.asked.actor.to_owned();
                let set = AttributesSet { thread: id.0, set: set.clone(), removed: removed.clone(), actor };
                self.push(Body::AttributesSet(set), out);
                Ok(Done::Thread(id))
            }
            Command::MergePersons { into, from } => self.merge_persons(*into, *from, out),
            Command::UnmergePersons { person, from } => self.unmerge_persons(*person, *from, out),
            Command::LinkHandle { person, channel, id } => self.link_handle(*person, channel, id, out),
            Command::UnlinkHandle { person, channel, id } => self.unlink_handle(*person, channel, id, out),
        }
    }

    fn push(&self, body: Body, out: &mut Vec<Event>) {
        out.push(event(self.workspace, body));
    }

    /// The thread that an id leads to today, if it is this workspace's and as the caller saw it.
    fn thread(&self, id: ThreadId) -> Found<Thread, ThreadId> {
        let (found, thread) = self.any_thread(id)?;
        if self.asked.etag != 0 && self.asked.etag != thread.version {
            let id = found.to_string();
            return Err(Refusal::Stale { kind: "thread", id, current: thread.version });
        }
        Ok((found, thread))
    }

    fn any_thread(&self, id: ThreadId) -> Found<Thread, ThreadId> {
        let found = self.state.find(id.0).filter(|(_, thread)| thread.workspace == self.workspace);
        found.ok_or_else(|| Refusal::NotFound { kind: "thread", id: id.to_string() })
    }

    /// The person that an id leads to today, if it is this workspace's and as the caller saw it.
    fn person(&self, id: PersonId) -> Found<Person, PersonId> {
        let (found, person) = self.any_person(id)?;
        if self.asked.etag != 0 && self.asked.etag != person.version {
            let id = found.to_string();
            return Err(Refusal::Stale { kind: "person", id, current: person.version });
        }
        Ok((found, person))
    }

    fn any_person(&self, id: PersonId) -> Found<Person, PersonId> {
        let found = self.state.person_in(self.workspace, id);
        found.ok_or_else(|| Refusal::NotFound { kind: "person", id: id.to_string() })
    }

    fn change(&self, id: ThreadId, thread: &Thread, to: ThreadState, reason: &str) -> ThreadStateChanged {
        ThreadStateChanged {
            thread: id.0,
            from: thread.state,
            to: to as i32,
            cause: thread_state_changed::Cause::Command as i32,
            reason: reason.to_owned(),
            actor: self.asked.actor.to_owned(),
            at: self.context.now,
            clock_time: self.context.now,
            person: self.state.person_of(thread.handle),
            ..about(thread)
        }
    }

    fn merge_threads(&self, into: ThreadId, from: ThreadId, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (a, _) = self.thread(into)?;
        let (b, _) = self.any_thread(from)?;
        if a == b {
            return Err(Refusal::Precondition(format!("threads {into} and {from} are one already")));
        }
        let mut linker = Linker::new(self.state, self.context, self.workspace);
        let from = a.max(b).0;
        linker.link_as(a.0, b.0, threads_merged::Cause::Command, from, self.asked.actor, out);
        Ok(Done::Thread(a.min(b)))
    }

    fn unmerge_threads(&self, id: ThreadId, from: ThreadId, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let asked = id;
        let (id, thread) = self.thread(id)?;
        // The earlier one stayed, whichever the merge named first: so may this.
        let merge = if from == id { asked } else { from };
        let by_command = |link: &&Link| link.cause() == threads_merged::Cause::Command && link.merge == merge.0;
        let (removed, kept): (Vec<Link>, Vec<Link>) = thread.links.iter().partition(|link| by_command(link));
        if removed.is_empty() {
            let what = format!("thread {merge} was not merged into {id} by a command: only such merges can be undone");
            return Err(Refusal::Precondition(what));
        }
        self.push(Body::ThreadsUnmerged(self.unmerged(id, &thread, merge.0, &removed, &kept)), out);
        Ok(Done::Thread(merge))
    }

    fn unmerged(&self, id: ThreadId, thread: &Thread, merge: u64, removed: &[Link], kept: &[Link]) -> ThreadsUnmerged {
        let removed = removed.iter().map(|link| threads_unmerged::Link {
            left: link.left,
            right: link.right,
            cause: link.cause,
            merge: link.merge,
        });
        ThreadsUnmerged {
            thread: id.0,
            merge,
            actor: self.asked.actor.to_owned(),
            parts: parts(self.state, self.context, id.0, thread, kept),
            removed: removed.collect(),
            at: self.context.now,
        }
    }

    fn split(&self, id: ThreadId, messages: &[u64], out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (id, thread) = self.thread(id)?;
        let chosen: Vec<_> = thread.messages.iter().filter(|member| messages.contains(&member.interaction)).collect();
        if chosen.len() != messages.len() || chosen.is_empty() {
            let what = format!("must name messages of thread {id}, one at least");
            return Err(Refusal::Invalid { field: "messages", what });
        }
        if chosen.len() == thread.messages.len() {
            let what = "names all messages of the thread: one must stay".to_owned();
            return Err(Refusal::Invalid { field: "messages", what });
        }
        if let Some(waits) = chosen.iter().find(|member| self.state.is_nobodys(member.base)) {
            return Err(Refusal::Precondition(format!(
                "message {} answers one that is not here yet: whose thread it is will be known then",
                InteractionId(waits.interaction)
            )));
        }
        let into = ThreadId::new(self.context.partition, self.context.next_own_seq);
        let channel = chosen.first().and_then(|member| thread.channels.get(usize::from(member.channel)));
        self.push(
            Body::ThreadOpened(ThreadOpened {
                thread: into.0,
                person: self.state.thread_person(&thread).map_or(0, |person| person.0),
                conversation: self.state.find_conversation(thread.conversation),
                channel: channel.cloned().unwrap_or_default(),
                split_from: id.0,
                ..ThreadOpened::default()
            }),
            out,
        );
        let keys = chosen.iter().map(|member| member.key.to_wire()).collect();
        let actor = self.asked.actor.to_owned();
        self.push(Body::ThreadSplit(ThreadSplit { thread: id.0, into: into.0, messages: keys, actor }), out);
        let mut change = self.change(into, &thread, thread.state(), "split");
        change.from = ThreadState::New as i32;
        change.until = thread.hold_until;
        change.silent_at = thread.silent_at;
        self.push(Body::ThreadStateChanged(change), out);
        Ok(Done::Thread(into))
    }

    fn record_outcome(&self, id: ThreadId, confirmed: bool, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (id, thread) = self.thread(id)?;
        if thread.state() != ThreadState::Resolved {
            return Err(Refusal::Precondition(format!("thread {id} is not resolved: there is no outcome to record")));
        }
        let actor = self.asked.actor.to_owned();
        let outcome = OutcomeRecorded { thread: id.0, confirmed, actor, at: self.context.now };
        self.push(Body::OutcomeRecorded(outcome), out);
        if !confirmed {
            let mut change = self.change(id, &thread, ThreadState::AwaitingAgent, "denied");
            change.cause = thread_state_changed::Cause::Outcome as i32;
            change.reopened = true;
            self.push(Body::ThreadStateChanged(change), out);
        }
        Ok(Done::Thread(id))
    }

    fn merge_persons(&self, into: PersonId, from: PersonId, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (a, first) = self.person(into)?;
        let (b, second) = self.any_person(from)?;
        if a == b {
            return Err(Refusal::Precondition(format!("persons {into} and {from} are one already")));
        }
        let handles = second.handles.iter().map(|handle| handle.to_wire()).collect();
        let actor = self.asked.actor.to_owned();
        self.push(Body::PersonsMerged(PersonsMerged { into: a.0, from: b.0, handles, actor }), out);
        let all: Vec<HandleKey> = first.handles.iter().chain(&second.handles).copied().collect();
        self.link_all(&all, out);
        Ok(Done::Person(a))
    }

    fn link_all(&self, handles: &[HandleKey], out: &mut Vec<Event>) {
        let mut linker = Linker::new(self.state, self.context, self.workspace);
        let window = self.state.workspace(self.workspace).reopen_window_ms;
        link_persons(self.state, &mut linker, handles, window, out);
    }

    fn unmerge_persons(&self, id: PersonId, from: PersonId, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (id, person) = self.person(id)?;
        let Some(merge) = person.merges.iter().find(|merge| merge.from == from.0) else {
            let what = format!("person {from} was not merged into {id}: nothing to undo");
            return Err(Refusal::Precondition(what));
        };
        let handles = merge.handles.iter().map(|handle| handle.to_wire()).collect();
        let actor = self.asked.actor.to_owned();
        self.push(Body::PersonsUnmerged(PersonsUnmerged { person: id.0, from: from.0, handles, actor }), out);
        self.part_handles(&merge.handles, out);
        Ok(Done::Person(from))
    }

    /// Threads that only the common person held together fall apart.
    fn part_handles(&self, leaving: &[HandleKey], out: &mut Vec<Event>) {
        let side = |base: u64| {
            let thread = self.state.threads.get(&ThreadId(base));
            thread.and_then(|thread| thread.handle).is_some_and(|handle| leaving.contains(&handle))
        };
        // Such a thread has a base thread of theirs: a link from them to others is what goes.
        let bases = leaving.iter().filter_map(|handle| self.state.handles.get(handle));
        let mut roots: Vec<ThreadId> = bases
            .flat_map(|handle| handle.threads.clone())
            .filter_map(|base| self.state.find(base).map(|(id, _)| id))
            .collect();
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            let Some((id, thread)) = self.state.find(root.0) else { continue };
            let by_person = |link: &Link| {
                link.cause() == threads_merged::Cause::PersonsMerged && side(link.left) != side(link.right)
            };
            let (removed, kept): (Vec<Link>, Vec<Link>) = thread.links.iter().partition(|link| by_person(link));
            if !removed.is_empty() {
                self.push(Body::ThreadsUnmerged(self.unmerged(id, &thread, 0, &removed, &kept)), out);
            }
        }
    }

    fn handle(&self, channel: &str, id: &str) -> Result<HandleKey, Refusal> {
        if channel.is_empty() || id.is_empty() {
            return Err(Refusal::Invalid { field: "handle", what: "needs a channel and an id".into() });
        }
        Ok(HandleKey::new(self.workspace, channel, id))
    }

    fn link_handle(&self, id: PersonId, channel: &str, handle: &str, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (id, person) = self.person(id)?;
        let key = self.handle(channel, handle)?;
        let previous = self.state.person_of(Some(key));
        if previous == id.0 {
            return Ok(Done::Person(id));
        }
        if let Some((other, owner)) = self.state.find_person(previous)
            && owner.handles.len() > 1
        {
            let what = format!("the handle belongs to person {other} with others: unlink it there first");
            return Err(Refusal::Precondition(what));
        }
        let asserted = HandleAsserted {
            handle: key.to_wire(),
            person: id.0,
            previous_person: previous,
            source: "command".into(),
            confidence_permille: 1_000,
            actor: self.asked.actor.to_owned(),
        };
        self.push(Body::HandleAsserted(asserted), out);
        let all: Vec<HandleKey> = person.handles.iter().copied().chain([key]).collect();
        self.link_all(&all, out);
        Ok(Done::Person(id))
    }

    fn unlink_handle(&self, id: PersonId, channel: &str, handle: &str, out: &mut Vec<Event>) -> Result<Done, Refusal> {
        let (id, person) = self.person(id)?;
        let key = self.handle(channel, handle)?;
        if !person.handles.contains(&key) {
            let id = format!("{channel} {handle}");
            return Err(Refusal::NotFound { kind: "handle", id });
        }
        if person.handles.len() == 1 {
            return Err(Refusal::Precondition(format!(
                "it is the only handle of person {id}: there is nothing to part"
            )));
        }
        let new_person = PersonId::new(self.context.partition, self.context.next_own_seq);
        let unlinked = HandleUnlinked {
            handle: key.to_wire(),
            person: id.0,
            new_person: new_person.0,
            actor: self.asked.actor.to_owned(),
        };
        self.push(Body::HandleUnlinked(unlinked), out);
        self.part_handles(&[key], out);
        Ok(Done::Person(new_person))
    }
}
