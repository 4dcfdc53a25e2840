//! Placement: which conversation and which thread a message belongs to (domain rules, section 1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
use crate::link::{Lasts, Linker, life_of_part};
use crate::record::{Member, Message, Workspace};
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
    /// A customer's, or an answer to one who has no thread there yet.
    Handle { handle: HandleKey, conversation: u64 },
    /// A customer's, but set aside.
    Aside(HandleKey),
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
    /// The conversation of the base thread.
    conversation: u64,
    handle: Option<HandleKey>,
    line: Option<LineKey>,
}

impl Arriving<'_> {
    fn place(&self, source: Source, out: &mut Vec<Event>) {
        let joined = self.conversation();
        let mut linker = Linker::new(self.state, self.context, self.workspace);
        self.join_conversations(&joined, &mut linker, out);
        let owner = self.owner(&joined);
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
        MessagePlaced {
            message: self.key.to_wire(),
            source: Some(source),
            thread: found.base.unwrap_or_default(),
            person: if found.base.is_none() && self.waiting().is_none() { 0 } else { self.person(found.handle) },
            handle: found.handle.map(HandleKey::to_wire).unwrap_or_default(),
            conversation: joined.conversation,
            joins: joined.joins.clone(),
            awaits: self.awaits().into_iter().map(MessageKey::to_wire).collect(),
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

    /// To whom ours is.
    fn recipient(&self) -> Option<HandleKey> {
        let private = self.received.visibility == Visibility::Private as i32;
        let recipient = self.received.recipients.first().filter(|id| private && !id.is_empty())?;
        Some(HandleKey::new(self.workspace, &self.message.channel, recipient))
    }

    /// It is with the messages it names; an answer of ours without a recipient is with the first alone.
    fn follows(&self) -> bool {
        !self.outbound || self.is_direct() && self.recipient().is_some()
    }

    /// What it names and is not here, or waits itself where a direct message answers it.
    fn awaits(&self) -> Vec<MessageKey> {
        if self.is_direct() && !self.follows() {
            // Further answers to what was set aside find this one there.
            let aside = |parent: &Message| parent.seen.as_ref().is_some_and(|seen| seen.aside);
            let first = self.parents.first().filter(|(_, parent)| aside(parent));
            return first.map(|(key, _)| *key).into_iter().collect();
        }
        let nobodys = |parent: &Message| self.is_direct() && self.state.is_nobodys(parent.thread);
        let awaited = self.parents.iter().filter(|(_, parent)| parent.seen.is_none() || nobodys(parent));
        awaited.map(|(key, _)| *key).collect()
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

    /// The answers that came before this message, and the answers to them.
    fn waiting_members(&self) -> Vec<(Member, Arc<Message>)> {
        let hanging = self.waiting().map(|waiting| self.state.hanging_on(waiting)).unwrap_or_default();
        hanging.into_iter().flat_map(|base| self.state.members(base)).collect()
    }

    /// Times of the direct ones among them.
    fn waiting_times(&self) -> Vec<Millis> {
        let direct = self.waiting_members().into_iter().filter(|(_, message)| message.conversation == 0);
        direct.map(|(member, _)| member.time).collect()
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

    fn owner(&self, joined: &Joined) -> Owner {
        let named = |id: &str| HandleKey::new(self.workspace, &self.message.channel, id);
        let of = |handle| Owner::Handle { handle, conversation: joined.conversation };
        if !self.outbound {
            let author = self.received.author_id.as_deref().filter(|id| !id.is_empty());
            let handle = author.map_or_else(|| HandleKey::unnamed(self.key), named);
            return if self.is_automatic() { Owner::Aside(handle) } else { of(handle) };
        }
        if self.is_automatic() {
            return Owner::Nobody;
        }
        match (self.parents.first(), self.recipient()) {
            // A direct message is with whom it was sent to; what it answers is looked up there.
            (_, Some(recipient)) if self.is_direct() => of(recipient),
            (None, Some(recipient)) => of(recipient),
            (None, None) => Owner::Nobody,
            (Some((_, Message { seen: Some(seen), thread, conversation, .. })), _) => {
                if let (Some(handle), true) = (seen.handle, seen.aside) {
                    return Owner::Handle { handle, conversation: self.conversation_now(*conversation, joined) };
                }
                if self.state.find(*thread).is_none() {
                    return Owner::Nobody;
                }
                let handle = self.state.threads.get(&ThreadId(*thread)).and_then(|thread| thread.handle);
                let line = seen.line.filter(|_| self.is_direct());
                Owner::Base { base: *thread, handle, line }
            }
            (Some((parent, _)), _) => Owner::Awaiting(*parent),
        }
    }

    /// The conversation that a known one is part of with this message.
    fn conversation_now(&self, number: u64, joined: &Joined) -> u64 {
        let root = self.state.find_conversation(number);
        if joined.joins.contains(&root) { joined.conversation } else { root }
    }

    fn base(&self, owner: &Owner, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) -> Found {
        match *owner {
            Owner::Nobody => Found::default(),
            Owner::Aside(handle) => self.aside(handle, joined, linker, out),
            Owner::Awaiting(parent) => {
                let answers = self.parents.first().map_or(0, |(_, parent)| parent.thread);
                let answers = (self.state.find(answers).is_some()).then_some(answers);
                let base = answers
                    .or_else(|| self.waiting())
                    // Where an awaited message stands is known when it comes.
                    .unwrap_or_else(|| self.open(None, 0, 0, Some(parent), linker, out));
                Found { base: Some(base), ..Found::default() }
            }
            Owner::Base { base, handle, line } => {
                if let (Some(handle), Some(line)) = (handle, line) {
                    self.link_near(base, handle, line, &[self.time], linker, out);
                }
                let thread = self.state.threads.get(&ThreadId(base));
                let conversation = thread.map_or(0, |thread| self.conversation_now(thread.conversation, joined));
                Found { base: Some(base), handle, line, conversation }
            }
            Owner::Handle { handle, .. } if self.is_direct() => {
                let line = self.line();
                let near = self.state.near(handle, line, self.time, self.policy.reopen_window_ms);
                let answered = self.answered_bases(handle, joined);
                let base = answered.first().copied().or_else(|| near.first().copied());
                let base = base.or_else(|| self.waiting()).unwrap_or_else(|| {
                    let continues = self.state.line_before(handle, line, self.time).unwrap_or_default();
                    self.open(Some(handle), 0, continues, None, linker, out)
                });
                answered.iter().for_each(|answered| linker.link(base, *answered, Cause::ReplyLink, out));
                self.link_near(base, handle, line, &[self.time], linker, out);
                let thread = self.state.threads.get(&ThreadId(base));
                let conversation = thread.map_or(0, |thread| self.state.find_conversation(thread.conversation));
                Found { base: Some(base), handle: Some(handle), line: Some(line), conversation }
            }
            Owner::Handle { handle, conversation } => {
                let own = self.own_place(handle, conversation, joined);
                let answered = self.answered_bases(handle, joined);
                // What waits takes the message's own conversation: it is no thread of another one.
                let waiting = self.waiting().filter(|_| conversation == joined.conversation);
                let base = answered.first().copied().or(own).or(waiting);
                let base = base.unwrap_or_else(|| self.open(Some(handle), conversation, 0, None, linker, out));
                for other in answered.into_iter().chain(own) {
                    linker.link(other, base, Cause::ReplyLink, out);
                }
                Found { base: Some(base), handle: Some(handle), line: None, conversation }
            }
        }
    }

    /// A message that is set aside opens nothing; our answers to it are its author's all the same.
    fn aside(&self, handle: HandleKey, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) -> Found {
        let Some(waiting) = self.waiting() else { return Found { handle: Some(handle), ..Found::default() } };
        let line = self.is_direct().then(|| self.line());
        if let Some(line) = line {
            self.link_near(waiting, handle, line, &self.waiting_times(), linker, out);
        } else if let Some(own) = self.own_place(handle, joined.conversation, joined) {
            linker.link(own, waiting, Cause::ParentArrived, out);
        }
        Found { base: None, handle: Some(handle), line, conversation: joined.conversation }
    }

    /// Where direct messages with this account gather.
    fn line(&self) -> LineKey {
        LineKey::new(self.workspace, &self.message.channel, &self.message.account)
    }

    /// The base thread of a handle in a conversation.
    fn own_place(&self, handle: HandleKey, conversation: u64, joined: &Joined) -> Option<u64> {
        let joins = joined.joins.iter().filter(|_| conversation == joined.conversation);
        let here = std::iter::once(&conversation).chain(joins);
        here.filter_map(|n| self.state.places.get(&(*n, handle))).map(|base| *base).next()
    }

    /// Base threads of the messages answered, where they are this handle's. Conversations count
    /// more than links; direct messages have none.
    fn answered_bases(&self, handle: HandleKey, joined: &Joined) -> Vec<u64> {
        let theirs = |parent: &Message| {
            let thread = self.state.threads.get(&ThreadId(parent.thread))?;
            let there = self.conversation_now(thread.conversation, joined);
            let together = self.is_direct() || there == joined.conversation;
            let theirs = thread.handle == Some(handle) && together && self.state.find(parent.thread).is_some();
            theirs.then_some(parent.thread)
        };
        if self.follows() {
            return self.parents.iter().filter_map(|(_, parent)| theirs(parent)).collect();
        }
        // It answers what was set aside, and goes where other answers to that went.
        let answers = self.parents.first().map(|(_, parent)| parent.awaited_by.clone()).unwrap_or_default();
        let of = |base: &u64| self.state.threads.get(&ThreadId(*base)).is_some_and(|t| t.handle == Some(handle));
        answers.into_iter().filter(of).collect()
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
        if let Some(waiting) = self.waiting() {
            match found.base {
                Some(base) if base != waiting => linker.link(base, waiting, Cause::ParentArrived, out),
                Some(_) => {}
                None if found.handle.is_some() => {}
                None => self.dissolve(waiting, out),
            }
            if let Found { base: Some(base), handle: Some(handle), line: Some(line), .. } = found {
                self.link_near(base, handle, line, &self.waiting_times(), linker, out);
            }
        }
        let Some(handle) = found.handle else { return };
        let answers = found.base.into_iter().flat_map(|base| self.known.awaited_by.iter().map(move |a| (base, *a)));
        let mut answers: Vec<(u64, u64)> = answers.collect();
        for (member, message) in self.waiting_members() {
            answers.extend(message.awaited_by.iter().map(|answer| (member.base, *answer)));
        }
        for (base, answer) in answers {
            let theirs = self.state.threads.get(&ThreadId(answer)).is_some_and(|t| t.handle == Some(handle));
            if theirs {
                linker.link(base, answer, Cause::ReplyLink, out);
            }
        }
    }

    /// What waited for this message is in no thread, as the message itself.
    fn dissolve(&self, waiting: u64, out: &mut Vec<Event>) {
        let Some((id, thread)) = self.state.find(waiting) else { return };
        let hanging = self.state.hanging_on(waiting);
        let stays = |base: &u64| !hanging.contains(base) && self.state.find(*base).is_some();
        let rest = std::iter::once(id.0).chain(thread.bases.iter().copied()).filter(stays).min();
        let alive = |base: &u64| self.state.threads.get(&ThreadId(*base)).is_some_and(|thread| !thread.dissolved);
        let mut left: BTreeSet<u64> = thread.bases.iter().copied().chain([id.0]).filter(alive).collect();
        let mut root = id.0;
        for from in &hanging {
            left.remove(from);
            // Who takes over when a base thread that gave a thread its number is gone; 0: nobody need.
            let heir = if *from == root { left.first().copied().unwrap_or_default() } else { 0 };
            root = if heir == 0 { root } else { heir };
            let because = self.key.to_wire();
            let relinked = ThreadRelinked { from: *from, because, heir, ..ThreadRelinked::default() };
            out.push(event(self.workspace, Body::ThreadRelinked(relinked)));
        }
        // Others that people merged with it may wait for an agent again.
        let Some(rest) = rest else { return };
        let mut lasts = Lasts::default();
        thread.messages.iter().filter(|member| stays(&member.base)).for_each(|member| lasts.add(self.state, member));
        let life = life_of_part(self.state, self.context, &thread, lasts);
        if life.state != thread.state() {
            let changed = ThreadStateChanged {
                thread: rest,
                from: thread.state,
                to: life.state as i32,
                cause: thread_state_changed::Cause::Merge as i32,
                silent_at: life.silent_at,
                at: self.context.now,
                clock_time: self.context.now,
                person: self.state.person_of(thread.handle),
                ..life::about(&thread)
            };
            out.push(event(self.workspace, Body::ThreadStateChanged(changed)));
        }
    }

    /// Other handles of the same person have their threads in the same place.
    fn link_other_handles(&self, found: Found, joined: &Joined, linker: &mut Linker<'_>, out: &mut Vec<Event>) {
        let (Some(base), Some(handle)) = (found.base.or_else(|| self.waiting()), found.handle) else { return };
        let mut times = vec![self.time];
        times.extend(self.waiting_times());
        for other in self.other_handles(handle) {
            let theirs = if let Some(line) = found.line {
                let window = self.policy.reopen_window_ms;
                times.iter().flat_map(|time| self.state.near(other, line, *time, window)).collect::<BTreeSet<u64>>()
            } else {
                self.own_place(other, found.conversation, joined).into_iter().collect()
            };
            for their in theirs {
                linker.link_as(base.min(their), base.max(their), Cause::PersonsMerged, 0, "", out);
            }
        }
    }

    /// Opens a thread and returns its number.
    fn open(
        &self,
        handle: Option<HandleKey>,
        conversation: u64,
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
                conversation,
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
