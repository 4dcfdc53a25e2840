//! Placement: which conversation and which thread a message belongs to (domain rules, section 1).

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_machine::{Context, Source, event};
use rejoinder_model::{
    ConversationId, ConversationKey, HandleKey, LineKey, MessageKey, Millis, PersonId, ThreadId, for_rules,
};
use rejoinder_wire::event::{
    Direction, Event, InteractionReceived, MessagePlaced, MessageRef, MessageSetAside, Structure, ThreadOpened,
    ThreadRelinked, ThreadState, ThreadStateChanged, Visibility, event::Body, thread_state_changed,
    threads_merged::Cause,
};

use crate::consider::key_of;
use crate::life;
use crate::link::Linker;
use crate::record::{Message, Workspace};
use crate::state::Threading;

/// A message on its way to its place.
struct Arriving<'a> {
    state: &'a Threading,
    context: &'a Context,
    workspace: &'a str,
    policy: &'a Workspace,
    message: &'a MessageRef,
    received: &'a InteractionReceived,
    key: MessageKey,
    /// What is known of it from messages that name it.
    known: Message,
    /// The messages it names, the one answered first, and what is known of them.
    parents: Vec<(MessageKey, Message)>,
    time: Millis,
    outbound: bool,
    /// Events of this decision start here.
    start: usize,
}

/// The conversation of a message: 0 for a direct message.
struct Joined {
    conversation: u64,
    /// Conversations that are the same by this message.
    joins: Vec<u64>,
    key: Option<ConversationKey>,
}

/// Whose message it is.
enum Owner {
    /// A customer's, or an answer to one.
    Handle(HandleKey),
    /// An answer that goes where the answered message is.
    Base { base: u64, handle: Option<HandleKey>, line: Option<LineKey> },
    /// An answer to a message that is not here yet.
    Awaiting(MessageKey),
    /// The company's own post.
    Nobody,
}

/// Decides the place of a message.
pub(crate) fn place(
    state: &Threading,
    context: &Context,
    workspace: &str,
    source: Source,
    message: &MessageRef,
    received: &InteractionReceived,
    out: &mut Vec<Event>,
) {
    let key = key_of(workspace, message);
    let known = state.messages.get(&key).map(|known| (*known).clone()).unwrap_or_default();
    if known.seen.is_some() {
        return;
    }
    let account = (!message.global_ids).then_some(message.account.as_str());
    let parents = received.parents.iter().map(|id| MessageKey::new(workspace, &message.channel, account, id));
    let parents = parents
        .filter(|parent| *parent != key)
        .map(|parent| (parent, state.messages.get(&parent).map(|known| (*known).clone()).unwrap_or_default()));
    let arriving = Arriving {
        state,
        context,
        workspace,
        policy: &state.workspace(workspace),
        message,
        received,
        key,
        known,
        parents: parents.collect(),
        time: for_rules(received.event_time, received.received_at),
        outbound: received.direction == Direction::Outbound as i32,
        start: out.len(),
    };
    arriving.place(source, out);
}

/// Where a message ends up.
#[derive(Clone, Copy, Default)]
struct Found {
    base: Option<u64>,
    handle: Option<HandleKey>,
    line: Option<LineKey>,
}

impl Arriving<'_> {
    fn place(&self, source: Source, out: &mut Vec<Event>) {
        let joined = self.conversation();
        let mut linker = Linker::new(self.state, self.workspace, self.context.now);
        self.join_conversations(&joined, &mut linker, out);
        let owner = if self.is_automatic() { Owner::Nobody } else { self.owner() };
        let found = self.base(&owner, &joined, &mut linker, out);
        self.link_waiting(found, &mut linker, out);
        self.link_other_handles(found, &joined, &mut linker, out);

        let thread = found.base.map(|base| linker.find(base).unwrap_or(base));
        let state_time = self.state_time();
        let mut change = None;
        let mut silent_at = 0;
        let mut before = ThreadState::Unspecified;
        if let Some(thread) = thread {
            let mut life = linker.life(thread);
            let from = life.state;
            before = from;
            let to = if self.outbound { life.on_reply(state_time) } else { life.on_customer_message(state_time) };
            if self.outbound && life.state == ThreadState::AwaitingCustomer {
                silent_at = life::silent_at(self.policy, self.context.now);
            }
            change = to.map(|to| (thread, from, to));
        }
        let mut placed = self.placed(source, found, &joined, silent_at);
        placed.root = thread.unwrap_or_default();
        placed.state_before = before as i32;
        out.push(event(self.workspace, Body::MessagePlaced(Box::new(placed))));
        if self.is_automatic() {
            let aside = MessageSetAside {
                message: self.key.to_wire(),
                source: Some(source),
                reason: self.received.automatic.clone(),
                event_time: self.time,
            };
            out.push(event(self.workspace, Body::MessageSetAside(aside)));
        }
        if let Some((thread, from, to)) = change {
            use thread_state_changed::Cause;
            let cause = if self.outbound { Cause::Reply } else { Cause::CustomerMessage };
            let changed = ThreadStateChanged {
                thread,
                from: from as i32,
                to: to as i32,
                cause: cause as i32,
                reopened: from == ThreadState::Resolved,
                silent_at,
                quiet: self.received.quiet,
                at: self.context.now,
                channel: self.message.channel.clone(),
                private: self.received.visibility == Visibility::Private as i32,
                person: self.person(found.handle),
                clock_time: self.received.clock_time,
                followers: self.followers(),
                ..ThreadStateChanged::default()
            };
            out.push(event(self.workspace, Body::ThreadStateChanged(changed)));
        }
    }

    fn placed(&self, source: Source, found: Found, joined: &Joined, silent_at: Millis) -> MessagePlaced {
        let awaits = self.parents.iter().filter(|(_, parent)| parent.seen.is_none());
        MessagePlaced {
            message: self.key.to_wire(),
            source: Some(source),
            thread: found.base.unwrap_or_default(),
            person: self.person(found.handle),
            handle: found.handle.map(HandleKey::to_wire).unwrap_or_default(),
            conversation: joined.conversation,
            joins: joined.joins.clone(),
            awaits: awaits.map(|(parent, _)| parent.to_wire()).collect(),
            parent: self.parents.first().map(|(parent, _)| parent.to_wire()).unwrap_or_default(),
            event_time: self.time,
            state_time: self.state_time(),
            direction: self.received.direction,
            structure: self.received.structure,
            line: found.line.map(LineKey::to_wire).unwrap_or_default(),
            channel: self.message.channel.clone(),
            deleted: self.received.deleted,
            quiet: self.received.quiet,
            conversation_key: joined.key.map(ConversationKey::to_wire).unwrap_or_default(),
            window_ms: if found.line.is_some() { self.policy.reopen_window_ms } else { 0 },
            silent_at,
            private: self.received.visibility == Visibility::Private as i32,
            clock_time: self.received.clock_time,
            reach: if self.outbound { None } else { self.received.reach },
            by_bot: self.received.by_bot,
            root: 0,
            state_before: 0,
        }
    }

    /// Of the customer.
    fn followers(&self) -> u64 {
        let reach = self.received.reach.filter(|_| !self.outbound);
        reach.map_or(0, |reach| reach.followers)
    }

    fn is_automatic(&self) -> bool {
        !self.received.automatic.is_empty()
    }

    fn is_direct(&self) -> bool {
        self.received.structure == Structure::Direct as i32
    }

    /// The waiting thread of answers that came before this message.
    fn waiting(&self) -> Option<u64> {
        (self.known.thread != 0 && self.state.find(self.known.thread).is_some()).then_some(self.known.thread)
    }

    /// The person of a handle: known, or numbered by this decision.
    fn person(&self, handle: Option<HandleKey>) -> u64 {
        let Some(handle) = handle else { return 0 };
        match self.state.person_of(Some(handle)) {
            0 => PersonId::new(self.context.partition, self.context.next_own_seq).0,
            person => person,
        }
    }

    /// The time that counts for who wrote last: never after receipt; an answer is never before what
    /// it answers, whatever the clocks said.
    fn state_time(&self) -> Millis {
        let time = self.time.min(self.received.received_at);
        if self.outbound {
            let answered = self.parents.first().and_then(|(_, parent)| parent.seen.as_ref());
            return answered.map_or(time, |answered| time.max(answered.state_time));
        }
        let reply = self.waiting().and_then(|base| self.state.find(base)).and_then(|(_, thread)| thread.last_out);
        reply.map_or(time, |reply| time.min(reply - 1))
    }

    /// A conversation id in the payload wins, else the messages it names tell.
    fn conversation(&self) -> Joined {
        if self.is_direct() {
            return Joined { conversation: 0, joins: Vec::new(), key: None };
        }
        let account = (!self.message.global_ids).then_some(self.message.account.as_str());
        let given = self.received.conversation.as_deref().filter(|id| !id.is_empty());
        let key = given.map(|id| ConversationKey::new(self.workspace, &self.message.channel, account, id));
        let mut numbers = vec![self.known.conversation];
        match &key {
            Some(key) => numbers.push(self.state.conversation_keys.get(key).map_or(0, |number| *number)),
            None => numbers.extend(self.parents.iter().map(|(_, parent)| parent.conversation)),
        }
        let roots: BTreeSet<u64> =
            numbers.into_iter().filter(|n| *n != 0).map(|n| self.state.find_conversation(n)).collect();
        let size = |n: &u64| self.state.conversations.get(n).map_or(0, |conversation| conversation.messages);
        // The larger takes the smaller in, so that no message is moved more than log n times.
        let largest = roots.iter().copied().max_by_key(|n| (size(n), std::cmp::Reverse(*n)));
        let conversation =
            largest.unwrap_or_else(|| ConversationId::new(self.context.partition, self.context.next_own_seq).0);
        let joins = roots.into_iter().filter(|n| *n != conversation).collect();
        Joined { conversation, joins, key }
    }

    /// Conversations that turn out to be one: each handle has one thread there.
    fn join_conversations(&self, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) {
        let mut here: BTreeMap<HandleKey, u64> = BTreeMap::new();
        for join in &joined.joins {
            for (handle, base) in self.state.places_in(*join) {
                let place = |of: HandleKey| {
                    let stored = self.state.places.get(&(joined.conversation, of)).map(|base| *base);
                    stored.or_else(|| here.get(&of).copied())
                };
                if let Some(other) = place(handle) {
                    linker.link(other, base, Cause::ConversationJoined, out);
                }
                for other in self.other_handles(handle) {
                    if let Some(other) = place(other) {
                        linker.link_as(other.min(base), other.max(base), Cause::PersonsMerged, 0, "", out);
                    }
                }
                here.entry(handle).or_insert(base);
            }
        }
    }

    /// The handles that belong to the same person as this one.
    fn other_handles(&self, handle: HandleKey) -> Vec<HandleKey> {
        let person = self.state.find_person(self.state.person_of(Some(handle)));
        let handles = person.map(|(_, person)| person.handles.clone()).unwrap_or_default();
        handles.into_iter().filter(|other| *other != handle).collect()
    }

    fn owner(&self) -> Owner {
        if !self.outbound {
            let author = self.received.author_id.as_deref().filter(|id| !id.is_empty());
            let named = |id| HandleKey::new(self.workspace, &self.message.channel, id);
            return Owner::Handle(author.map_or_else(|| HandleKey::unnamed(self.key), named));
        }
        let private = self.received.visibility == Visibility::Private as i32;
        let recipient = self.received.recipients.first().filter(|id| private && !id.is_empty());
        let recipient = recipient.map(|id| HandleKey::new(self.workspace, &self.message.channel, id));
        let to_recipient = recipient.map_or(Owner::Nobody, Owner::Handle);
        match self.parents.first() {
            None => to_recipient,
            Some((_, Message { seen: Some(seen), thread, .. })) => {
                if *thread == 0 || self.state.find(*thread).is_none() {
                    to_recipient
                } else {
                    Owner::Base { base: *thread, handle: seen.handle, line: seen.line }
                }
            }
            Some(_) if self.is_direct() && recipient.is_some() => to_recipient,
            Some((parent, _)) => Owner::Awaiting(*parent),
        }
    }

    fn base(&self, owner: &Owner, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) -> Found {
        match *owner {
            Owner::Nobody => Found::default(),
            Owner::Awaiting(parent) => {
                let answers = self.parents.first().map_or(0, |(_, parent)| parent.thread);
                let answers = (self.state.find(answers).is_some()).then_some(answers);
                let base = answers
                    .or_else(|| self.waiting())
                    .unwrap_or_else(|| self.open(None, joined, 0, Some(parent), linker, out));
                Found { base: Some(base), ..Found::default() }
            }
            Owner::Base { base, handle, line } => {
                if let (Some(handle), Some(line)) = (handle, line) {
                    self.link_near(base, handle, line, &[self.time], linker, out);
                }
                Found { base: Some(base), handle, line }
            }
            Owner::Handle(handle) if self.is_direct() => {
                let line = LineKey::new(self.workspace, &self.message.channel, &self.message.account);
                let near = self.state.near(handle, line, self.time, self.policy.reopen_window_ms);
                let base = self.parent_base(handle, joined).or_else(|| near.first().copied());
                let base = base.or_else(|| self.waiting()).unwrap_or_else(|| {
                    let continues = self.state.line_before(handle, line, self.time).unwrap_or_default();
                    self.open(Some(handle), joined, continues, None, linker, out)
                });
                self.link_near(base, handle, line, &[self.time], linker, out);
                Found { base: Some(base), handle: Some(handle), line: Some(line) }
            }
            Owner::Handle(handle) => {
                let here = std::iter::once(&joined.conversation).chain(&joined.joins);
                let own = here.filter_map(|n| self.state.places.get(&(*n, handle))).map(|base| *base).next();
                let by_parent = self.parent_base(handle, joined);
                if let (Some(parent), Some(own)) = (by_parent, own) {
                    let split = |base| self.state.threads.get(&ThreadId(base)).is_some_and(|t| t.split_from != 0);
                    if !split(parent) && !split(own) {
                        linker.link(own, parent, Cause::ReplyLink, out);
                    }
                }
                let base = by_parent.or(own).or_else(|| self.waiting());
                let base = base.unwrap_or_else(|| self.open(Some(handle), joined, 0, None, linker, out));
                Found { base: Some(base), handle: Some(handle), line: None }
            }
        }
    }

    /// The base thread of the message answered, when it is this handle's and of this conversation: our
    /// answer may carry another conversation id than what it answers.
    fn parent_base(&self, handle: HandleKey, joined: &Joined) -> Option<u64> {
        self.parents.iter().find_map(|(_, parent)| {
            let seen = parent.seen.as_ref()?;
            let thread = self.state.threads.get(&ThreadId(parent.thread))?;
            let there = self.state.find_conversation(thread.conversation);
            let together = there == 0 || there == joined.conversation || joined.joins.contains(&there);
            let theirs = seen.handle == Some(handle) && together && self.state.find(parent.thread).is_some();
            theirs.then_some(parent.thread)
        })
    }

    /// Links a base thread to those whose direct messages lie within the window of `times`.
    fn link_near(
        &self,
        base: u64,
        handle: HandleKey,
        line: LineKey,
        times: &[Millis],
        linker: &mut Linker<'_>,
        out: &mut Vec<Event>,
    ) {
        let window = self.policy.reopen_window_ms;
        for time in times {
            for near in self.state.near(handle, line, *time, window) {
                linker.link(base, near, Cause::Bridged, out);
            }
        }
    }

    /// What waited for this message finds its place.
    fn link_waiting(&self, found: Found, linker: &mut Linker<'_>, out: &mut Vec<Event>) {
        if self.is_automatic() {
            return;
        }
        if let Some(waiting) = self.waiting() {
            match found.base {
                Some(base) if base != waiting => linker.link(base, waiting, Cause::ParentArrived, out),
                Some(_) => {}
                None => {
                    let dissolved = self.hanging_on(waiting).into_iter().map(|from| ThreadRelinked {
                        from,
                        because: self.key.to_wire(),
                        heir: self.heir(from),
                        ..ThreadRelinked::default()
                    });
                    out.extend(dissolved.map(|relinked| event(self.workspace, Body::ThreadRelinked(relinked))));
                }
            }
            if let Found { base: Some(base), handle: Some(handle), line: Some(line) } = found {
                let times: Vec<Millis> = self.state.member_times(waiting);
                self.link_near(base, handle, line, &times, linker, out);
            }
        }
        let (Some(base), Some(handle)) = (found.base, found.handle) else { return };
        for answer in &self.known.awaited_by {
            let theirs = self.state.threads.get(&ThreadId(*answer)).is_some_and(|t| t.handle == Some(handle));
            if theirs {
                linker.link(base, *answer, Cause::ReplyLink, out);
            }
        }
    }

    /// Who takes over when a base thread that gave a thread its number is dissolved; 0: nobody need.
    fn heir(&self, base: u64) -> u64 {
        let thread = self.state.find(base).filter(|(id, _)| id.0 == base);
        thread.and_then(|(_, thread)| thread.bases.iter().copied().min()).unwrap_or_default()
    }

    /// A waiting thread, and those that waited for the answers in it: all hang on the same opening post.
    fn hanging_on(&self, waiting: u64) -> Vec<u64> {
        let mut hanging = vec![waiting];
        let links = self.state.find(waiting).map(|(_, thread)| thread.links.clone()).unwrap_or_default();
        let mut next = 0;
        while let Some(base) = hanging.get(next).copied() {
            let nobodys = |base: u64| self.state.threads.get(&ThreadId(base)).is_some_and(|t| t.handle.is_none());
            let waited = links.iter().filter(|link| link.cause() == Cause::ParentArrived && link.left == base);
            for link in waited {
                if nobodys(link.right) && !hanging.contains(&link.right) {
                    hanging.push(link.right);
                }
            }
            next += 1;
        }
        hanging
    }

    /// Other handles of the same person have their threads in the same place.
    fn link_other_handles(&self, found: Found, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) {
        let (Some(base), Some(handle)) = (found.base, found.handle) else { return };
        for other in self.other_handles(handle) {
            let mut theirs = Vec::new();
            if let Some(line) = found.line {
                theirs = self.state.near(other, line, self.time, self.policy.reopen_window_ms);
            } else {
                let here = std::iter::once(&joined.conversation).chain(&joined.joins);
                theirs.extend(here.filter_map(|n| self.state.places.get(&(*n, other))).map(|base| *base));
            }
            for their in theirs {
                linker.link_as(base.min(their), base.max(their), Cause::PersonsMerged, 0, "", out);
            }
        }
    }

    /// Opens a thread and returns its number.
    fn open(
        &self,
        handle: Option<HandleKey>,
        joined: &Joined,
        continues: u64,
        awaits: Option<MessageKey>,
        linker: &mut Linker<'_>,
        out: &mut Vec<Event>,
    ) -> u64 {
        let own_seq = self.context.next_own_seq + (out.len() - self.start) as u64;
        let thread = ThreadId::new(self.context.partition, own_seq).0;
        out.push(event(
            self.workspace,
            Body::ThreadOpened(ThreadOpened {
                thread,
                person: self.person(handle),
                // Where an awaited message stands is known when it comes.
                conversation: if awaits.is_some() { 0 } else { joined.conversation },
                continues,
                awaits: awaits.map(MessageKey::to_wire).unwrap_or_default(),
                channel: self.message.channel.clone(),
                account: self.message.account.clone(),
                split_from: 0,
            }),
        ));
        linker.opened(thread);
        thread
    }
}
