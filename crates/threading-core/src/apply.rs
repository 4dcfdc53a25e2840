//! The fold: what each own event changes. Never refuses, reads nothing but the event.

use rejoinder_machine::request;
use rejoinder_machine::{Own, TimerKey};
use rejoinder_model::{ConversationKey, HandleKey, LineKey, MessageKey, Millis, PersonId, ThreadId};
use rejoinder_wire::event::{
    AttributesSet, Event, HandleAsserted, HandleUnlinked, MessagePlaced, MessageRevised, NoteAdded, OutcomeRecorded,
    PersonsMerged, PersonsUnmerged, PolicyAdopted, Structure, ThreadOpened, ThreadState, ThreadStateChanged, content,
    event::Body,
};

use crate::record::{
    Conversation, Handle, Happened, Line, Member, Message, Person, PersonMerge, Request, Revision, Seen, Thread, What,
    is_outbound,
};
use crate::state::{HOLD, SILENCE, Threading};

mod regroup;

pub(crate) fn apply(state: &mut Threading, own: Own, event: &Event) {
    if let (Some(request), Some(body)) = (request::Request::of(event), &event.body) {
        remember(state, request, event.decided_at, body);
    }
    let workspace = event.workspace.as_str();
    match &event.body {
        Some(Body::MessagePlaced(placed)) => place(state, own, workspace, placed),
        Some(Body::MessageSetAside(aside)) => {
            if let Some(key) = MessageKey::from_wire(&aside.message) {
                state.messages.update(&key, |message| {
                    if let Some(seen) = &mut message.seen {
                        seen.aside = true;
                    }
                });
            }
        }
        Some(Body::MessageRevised(revised)) => revise(state, revised),
        Some(Body::ThreadOpened(opened)) => open(state, own, workspace, opened),
        Some(Body::ThreadStateChanged(changed)) => change_state(state, own, changed),
        Some(Body::ThreadRelinked(relinked)) => regroup::dissolve(state, own, relinked),
        Some(Body::ThreadsMerged(merged)) => regroup::merge(state, own, merged),
        Some(Body::ThreadsUnmerged(unmerged)) => regroup::unmerge(state, own, unmerged),
        Some(Body::ThreadSplit(split)) => regroup::split(state, own, split),
        Some(Body::PersonsMerged(merged)) => merge_persons(state, own, merged),
        Some(Body::PersonsUnmerged(unmerged)) => unmerge_persons(state, own, unmerged),
        Some(Body::HandleAsserted(asserted)) => assert_handle(state, own, asserted),
        Some(Body::HandleUnlinked(unlinked)) => unlink_handle(state, own, unlinked),
        Some(Body::NoteAdded(note)) => add_note(state, own, note),
        Some(Body::OutcomeRecorded(outcome)) => record_outcome(state, own, outcome),
        Some(Body::AttributesSet(set)) => set_attributes(state, own, set),
        Some(Body::PolicyAdopted(policy)) => adopt(state, workspace, policy),
        Some(Body::Quarantined(quarantined)) => state.quarantine.set_aside(own, workspace, quarantined),
        Some(Body::QuarantineReleased(released)) => state.quarantine.release(released),
        _ => {}
    }
}

fn upsert_message(state: &mut Threading, key: MessageKey, change: impl FnOnce(&mut Message)) {
    state.messages.upsert(&key, change);
}

fn upsert_workspace(state: &mut Threading, name: &str, change: impl FnOnce(&mut crate::record::Workspace)) {
    state.workspaces.upsert(&name.to_owned(), change);
}

/// Counts a thread into (or out of) a state.
fn count(state: &mut Threading, workspace: &str, thread_state: i32, up: bool) {
    let Some(slot) = usize::try_from(thread_state).ok().filter(|slot| *slot < 7) else { return };
    upsert_workspace(state, workspace, |workspace| {
        let threads = &mut workspace.threads[slot];
        *threads = if up { *threads + 1 } else { threads.saturating_sub(1) };
    });
}

fn open(state: &mut Threading, own: Own, workspace: &str, opened: &ThreadOpened) {
    let thread = Thread {
        workspace: workspace.to_owned(),
        conversation: opened.conversation,
        state: ThreadState::New as i32,
        continues: opened.continues,
        split_from: opened.split_from,
        awaits: MessageKey::from_wire(&opened.awaits),
        channels: vec![opened.channel.clone()],
        version: own.own_seq,
        ..Thread::default()
    };
    if let Some(awaited) = thread.awaits {
        upsert_message(state, awaited, |message| message.thread = opened.thread);
    }
    state.threads.put(ThreadId(opened.thread), thread);
    count(state, workspace, ThreadState::New as i32, true);
    if opened.conversation != 0 {
        append_to_conversation(state, opened.conversation, opened.thread, opened.thread, 1);
    }
}

/// Appends a chain of base threads to a conversation.
fn append_to_conversation(state: &mut Threading, conversation: u64, first: u64, last: u64, threads: u64) {
    if state.conversations.get(&conversation).is_none() {
        state.conversations.put(conversation, Conversation::default());
    }
    let before = state.conversations.get(&conversation).map_or(0, |found| found.last);
    if before != 0 {
        state.threads.update(&ThreadId(before), |thread| thread.next_in_conversation = first);
    }
    state.conversations.update(&conversation, |found| {
        if found.first == 0 {
            found.first = first;
        }
        found.last = last;
        found.threads += threads;
    });
}

fn place(state: &mut Threading, own: Own, workspace: &str, placed: &MessagePlaced) {
    let Some(key) = MessageKey::from_wire(&placed.message) else { return };
    let source = placed.source.unwrap_or_default();
    let handle = HandleKey::from_wire(&placed.handle);
    let line = LineKey::from_wire(&placed.line);
    let outbound = is_outbound(placed.direction);
    join(state, placed);
    let waiting = state.messages.get(&key).map_or(0, |message| message.thread);
    let seen = Seen {
        interaction: rejoinder_model::InteractionId::new(own.partition, source.own_seq).0,
        place: source.into(),
        handle,
        line,
        event_time: placed.event_time,
        state_time: placed.state_time,
        outbound,
        aside: false,
    };
    let interaction = seen.interaction;
    upsert_message(state, key, |message| {
        message.seen = Some(seen);
        message.conversation = placed.conversation;
        message.thread = placed.thread;
        // While it waits itself, who answers it waits with it.
        if handle.is_some() || placed.thread == 0 {
            message.awaited_by = Vec::new();
        }
        if handle.is_some() && placed.thread == 0 && waiting != 0 {
            message.awaited_by.push(waiting);
        }
        if placed.deleted && message.revision.is_none() {
            message.revision = Some(Revision { version: i64::MAX, place: source.into(), deleted: true });
        }
    });
    upsert_workspace(state, workspace, |workspace| workspace.messages += 1);
    for awaited in placed.awaits.iter().filter_map(|bytes| MessageKey::from_wire(bytes)) {
        let linked = placed.structure != Structure::Direct as i32 && placed.conversation_key.is_empty();
        upsert_message(state, awaited, |message| {
            if linked {
                message.conversation = placed.conversation;
            }
            // Others find each other by their conversation.
            let direct = placed.structure == Structure::Direct as i32;
            if direct && placed.thread != 0 && !message.awaited_by.contains(&placed.thread) {
                message.awaited_by.push(placed.thread);
            }
        });
    }
    // Who only sends automatic mail is no person yet.
    if let Some(handle) = handle.filter(|_| placed.person != 0) {
        know(state, own, handle, placed, outbound);
    }
    let waiting = if waiting == 0 { Vec::new() } else { state.hanging_on(waiting) };
    settle(state, key, handle, &waiting, placed);
    let mut times = Vec::new();
    for base in waiting.into_iter().filter(|_| handle.is_some()) {
        for (member, known) in state.members(base) {
            let direct = line.filter(|_| known.conversation == 0);
            if direct.is_some() {
                times.push((member.time, base));
            }
            if direct.is_some() || !known.awaited_by.is_empty() {
                state.messages.update(&member.key, |message| {
                    message.awaited_by = Vec::new();
                    if let Some(seen) = &mut message.seen {
                        seen.line = direct;
                    }
                });
            }
        }
    }
    if let (Some(handle), Some(line)) = (handle, line) {
        if placed.thread != 0 {
            times.push((placed.event_time, placed.thread));
        }
        state.handles.update(&handle, |handle| {
            let at = handle.lines.iter().position(|found| found.key == line).unwrap_or_else(|| {
                handle.lines.push(Line { key: line, spans: Vec::new() });
                handle.lines.len() - 1
            });
            for (time, base) in times {
                handle.lines[at].add(time, placed.window_ms, base);
            }
        });
    }
    if placed.thread != 0 {
        let member = Member { time: placed.event_time, interaction, key, base: placed.thread, outbound, channel: 0 };
        add_member(state, own, member, placed);
    }
}

/// The conversation of a placed message, and those that it shows to be the same.
fn join(state: &mut Threading, placed: &MessagePlaced) {
    let into = placed.conversation;
    if into == 0 {
        return;
    }
    if state.conversations.get(&into).is_none() {
        state.conversations.put(into, Conversation::default());
    }
    for from in &placed.joins {
        for (handle, base) in state.places_in(*from) {
            state.places.remove(&(*from, handle));
            if state.places.get(&(into, handle)).is_none() {
                state.places.put((into, handle), base);
            }
        }
        let Some(joined) = state.conversations.get(from).map(|joined| (*joined).clone()) else { continue };
        if joined.first != 0 {
            append_to_conversation(state, into, joined.first, joined.last, joined.threads);
        }
        state.conversations.update(&into, |conversation| conversation.messages += joined.messages);
        state.conversations.put(*from, Conversation { into, ..Conversation::default() });
    }
    state.conversations.update(&into, |conversation| conversation.messages += 1);
    if let Some(key) = ConversationKey::from_wire(&placed.conversation_key)
        && state.conversation_keys.get(&key).is_none()
    {
        state.conversation_keys.put(key, into);
    }
}

/// A handle is seen, perhaps for the first time: then it is a person.
fn know(state: &mut Threading, own: Own, handle: HandleKey, placed: &MessagePlaced, outbound: bool) {
    let place = (!outbound).then(|| placed.source.unwrap_or_default().into());
    if state.handles.get(&handle).is_none() {
        let known = Handle { person: placed.person, threads: Vec::new(), lines: Vec::new(), place };
        state.handles.put(handle, known);
        let person = Person { handles: vec![handle], version: own.own_seq, ..Person::default() };
        state.persons.put(PersonId(placed.person), person);
    } else if place.is_some() {
        state.handles.update(&handle, |known| known.place = place);
    }
}

/// Base threads that learn their customer, or go on waiting for another message.
fn settle(state: &mut Threading, key: MessageKey, handle: Option<HandleKey>, waiting: &[u64], placed: &MessagePlaced) {
    for base in std::iter::once(placed.thread).chain(waiting.iter().copied()) {
        let Some(thread) = state.threads.get(&ThreadId(base)) else { continue };
        let waits_for_this = thread.awaits == Some(key);
        if thread.handle.is_some() || thread.dissolved || !(waits_for_this || thread.awaits.is_none()) {
            continue;
        }
        drop(thread);
        // What waited for a message that people split off stays with it.
        let split_from = state.threads.get(&ThreadId(placed.thread)).map_or(0, |found| found.split_from);
        state.threads.update(&ThreadId(base), |thread| {
            thread.handle = handle;
            thread.awaits = None;
            thread.split_from = split_from;
        });
        if handle.is_some() && waiting.contains(&base) {
            enter_conversation(state, base, placed);
        }
        if let Some(handle) = handle {
            state.handles.update(&handle, |known| {
                if !known.threads.contains(&base) {
                    known.threads.push(base);
                }
            });
        }
    }
    let parent = MessageKey::from_wire(&placed.parent);
    if let (None, Some(parent)) = (handle, parent) {
        let awaited = state.messages.get(&parent).is_none_or(|message| message.seen.is_none());
        if awaited {
            upsert_message(state, parent, |message| {
                if message.thread == 0 {
                    message.thread = placed.thread;
                }
            });
            state.threads.update(&ThreadId(placed.thread), |thread| {
                thread.awaits.get_or_insert(parent);
            });
        }
    }
    if let Some(handle) = handle.filter(|_| placed.line.is_empty()) {
        let base = if placed.thread == 0 { waiting.first().copied().unwrap_or_default() } else { placed.thread };
        take_place(state, base, handle, placed);
    }
}

/// A base thread is the one of its handle in a conversation, when it is the first there.
fn take_place(state: &mut Threading, base: u64, handle: HandleKey, placed: &MessagePlaced) {
    let Some(thread) = state.threads.get(&ThreadId(base)) else { return };
    // Our answer may stand in another conversation than what it answers: that is no place of theirs.
    let conversation =
        if is_outbound(placed.direction) { state.find_conversation(thread.conversation) } else { placed.conversation };
    let place = (conversation, handle);
    let theirs = conversation != 0 && thread.handle == Some(handle) && thread.split_from == 0 && !thread.dissolved;
    if theirs && state.places.get(&place).is_none() {
        state.places.put(place, base);
    }
}

/// A thread that waited for its message is part of that message's conversation.
fn enter_conversation(state: &mut Threading, base: u64, placed: &MessagePlaced) {
    let place = if base == placed.thread { None } else { state.threads.get(&ThreadId(placed.thread)) };
    let conversation = place.map_or(placed.conversation, |thread| thread.conversation);
    let conversation = state.find_conversation(conversation);
    if conversation != 0 {
        state.threads.update(&ThreadId(base), |thread| thread.conversation = conversation);
        append_to_conversation(state, conversation, base, base, 1);
    }
}

fn add_member(state: &mut Threading, own: Own, mut member: Member, placed: &MessagePlaced) {
    let Some((id, found)) = state.find(member.base) else { return };
    let rearm = placed.silent_at != 0 && found.state() == ThreadState::AwaitingCustomer;
    if rearm {
        arm(state, id, found.silent_at, placed.silent_at, SILENCE, own);
    }
    // A thread that somebody looks at is copied when it changes.
    drop(found);
    state.threads.update(&id, |thread| {
        member.channel = channel_number(thread, &placed.channel);
        insert_member(&mut thread.messages, member);
        let last = if member.outbound { &mut thread.last_out } else { &mut thread.last_in };
        *last = (*last).max(Some(placed.state_time));
        if rearm {
            thread.silent_at = placed.silent_at;
        }
        thread.version = own.own_seq;
    });
}

fn channel_number(thread: &mut Thread, channel: &str) -> u8 {
    let at = thread.channels.iter().position(|known| known == channel).unwrap_or_else(|| {
        thread.channels.push(channel.to_owned());
        thread.channels.len() - 1
    });
    u8::try_from(at).unwrap_or(u8::MAX)
}

fn insert_member(members: &mut Vec<Member>, member: Member) {
    let at = members.partition_point(|other| (other.time, other.interaction) < (member.time, member.interaction));
    members.insert(at, member);
}

/// Moves a timer of a thread from one due time to another; 0 stands for none.
fn arm(state: &mut Threading, id: ThreadId, from: i64, to: i64, kind: u8, own: Own) {
    if from != 0 {
        state.timers.disarm(&TimerKey { due: from, entity: id.0, kind });
    }
    if to != 0 {
        state.timers.arm(TimerKey { due: to, entity: id.0, kind }, own.own_seq);
    }
}

fn change_state(state: &mut Threading, own: Own, changed: &ThreadStateChanged) {
    let id = ThreadId(changed.thread);
    let Some(before) = state.threads.get(&id) else { return };
    let hold_until = if changed.to == ThreadState::OnHold as i32 { changed.until } else { 0 };
    let silent_at = if changed.to == ThreadState::AwaitingCustomer as i32 { changed.silent_at } else { 0 };
    arm(state, id, before.silent_at, silent_at, SILENCE, own);
    arm(state, id, before.hold_until, hold_until, HOLD, own);
    count(state, &before.workspace, before.state, false);
    count(state, &before.workspace, changed.to, true);
    drop(before);
    state.threads.update(&id, |thread| {
        thread.state = changed.to;
        thread.disposition = changed.disposition;
        thread.unconfirmed = changed.unconfirmed;
        thread.reopen_count += u32::from(changed.reopened);
        thread.hold_until = hold_until;
        thread.silent_at = silent_at;
        thread.version = own.own_seq;
        let what = What::State { from: changed.from, to: changed.to, cause: changed.cause };
        thread.history.push(Happened { at: changed.at, own_seq: own.own_seq, thread: id.0, what });
    });
}

fn revise(state: &mut Threading, revised: &MessageRevised) {
    let Some(key) = MessageKey::from_wire(&revised.message) else { return };
    let place = revised.source.unwrap_or_default().into();
    let revision = Revision { version: revised.version, place, deleted: revised.deleted };
    upsert_message(state, key, |message| message.revision = Some(revision));
}

fn merge_persons(state: &mut Threading, own: Own, merged: &PersonsMerged) {
    let (into, from) = (PersonId(merged.into), PersonId(merged.from));
    let handles: Vec<HandleKey> = merged.handles.iter().filter_map(|bytes| HandleKey::from_wire(bytes)).collect();
    for handle in &handles {
        state.handles.update(handle, |known| known.person = into.0);
    }
    let mut merges = Vec::new();
    state.persons.update(&from, |person| {
        merges = std::mem::take(&mut person.merges);
        person.into = into.0;
        person.handles.clear();
        person.version = own.own_seq;
    });
    state.persons.update(&into, |person| {
        person.handles.extend(&handles);
        person.merges.extend(merges);
        person.merges.push(PersonMerge { into: into.0, from: from.0, handles });
        person.version = own.own_seq;
    });
}

fn unmerge_persons(state: &mut Threading, own: Own, unmerged: &PersonsUnmerged) {
    let (id, from) = (PersonId(unmerged.person), PersonId(unmerged.from));
    let handles: Vec<HandleKey> = unmerged.handles.iter().filter_map(|bytes| HandleKey::from_wire(bytes)).collect();
    for handle in &handles {
        state.handles.update(handle, |known| known.person = from.0);
    }
    let mut theirs = Vec::new();
    state.persons.update(&id, |person| {
        person.handles.retain(|handle| !handles.contains(handle));
        person.merges.retain(|merge| merge.from != from.0);
        // Merges into the one who leaves, and into those, go along.
        let mut leaving = vec![from.0];
        let mut next = 0;
        while let Some(into) = leaving.get(next).copied() {
            leaving.extend(person.merges.iter().filter(|merge| merge.into == into).map(|merge| merge.from));
            next += 1;
        }
        (theirs, person.merges) =
            std::mem::take(&mut person.merges).into_iter().partition(|merge| leaving.contains(&merge.into));
        for merge in &mut person.merges {
            merge.handles.retain(|handle| !handles.contains(handle));
        }
        person.version = own.own_seq;
    });
    state.persons.update(&from, |person| {
        person.into = 0;
        person.handles = handles;
        person.merges = theirs;
        person.version = own.own_seq;
    });
}

/// Moves a handle from one person to another.
fn move_handle(state: &mut Threading, own: Own, handle: HandleKey, from: PersonId, to: PersonId) {
    state.handles.update(&handle, |known| known.person = to.0);
    state.persons.update(&from, |person| {
        person.handles.retain(|known| *known != handle);
        for merge in &mut person.merges {
            merge.handles.retain(|known| *known != handle);
        }
        person.version = own.own_seq;
    });
    if state.persons.get(&to).is_none() {
        state.persons.put(to, Person::default());
    }
    state.persons.update(&to, |person| {
        person.handles.push(handle);
        person.version = own.own_seq;
    });
}

fn assert_handle(state: &mut Threading, own: Own, asserted: &HandleAsserted) {
    let Some(handle) = HandleKey::from_wire(&asserted.handle) else { return };
    if state.handles.get(&handle).is_none() {
        let known = Handle { person: 0, threads: Vec::new(), lines: Vec::new(), place: None };
        state.handles.put(handle, known);
    }
    move_handle(state, own, handle, PersonId(asserted.previous_person), PersonId(asserted.person));
}

fn unlink_handle(state: &mut Threading, own: Own, unlinked: &HandleUnlinked) {
    if let Some(handle) = HandleKey::from_wire(&unlinked.handle) {
        move_handle(state, own, handle, PersonId(unlinked.person), PersonId(unlinked.new_person));
    }
}

fn add_note(state: &mut Threading, own: Own, note: &NoteAdded) {
    let plain = match note.content.as_ref().and_then(|content| content.body.as_ref()) {
        Some(content::Body::Plain(plain)) => plain.text.clone(),
        Some(content::Body::Sealed(_)) | None => String::new(),
    };
    let what = What::Note { author: note.author.clone(), text: plain };
    happen(state, own, note.thread, note.at, what);
}

fn record_outcome(state: &mut Threading, own: Own, outcome: &OutcomeRecorded) {
    happen(state, own, outcome.thread, outcome.at, What::Outcome { confirmed: outcome.confirmed });
    if outcome.confirmed {
        state.threads.update(&ThreadId(outcome.thread), |thread| thread.unconfirmed = false);
    }
}

fn happen(state: &mut Threading, own: Own, thread: u64, at: i64, what: What) {
    state.threads.update(&ThreadId(thread), |found| {
        found.history.push(Happened { at, own_seq: own.own_seq, thread, what });
        found.version = own.own_seq;
    });
}

fn set_attributes(state: &mut Threading, own: Own, set: &AttributesSet) {
    state.threads.update(&ThreadId(set.thread), |thread| {
        thread.attributes.extend(set.set.iter().map(|(name, value)| (name.clone(), value.clone())));
        for name in &set.removed {
            thread.attributes.remove(name);
        }
        thread.version = own.own_seq;
    });
}

fn adopt(state: &mut Threading, workspace: &str, policy: &PolicyAdopted) {
    upsert_workspace(state, workspace, |workspace| {
        workspace.policy_version = policy.version;
        if let Some(threading) = &policy.threading {
            workspace.reopen_window_ms = threading.reopen_window_ms;
            workspace.silence_ms = threading.silence_ms;
            workspace.burst_gap_ms = threading.burst_gap_ms;
        }
    });
}

/// Remembers what a request did.
fn remember(state: &mut Threading, request: request::Request, decided_at: Millis, body: &Body) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events answer no request")]
    let subject = match body {
        Body::ThreadStateChanged(changed) => changed.thread,
        Body::ThreadsMerged(merged) => merged.into,
        Body::ThreadsUnmerged(unmerged) => unmerged.merge,
        Body::ThreadOpened(opened) => opened.thread,
        Body::NoteAdded(note) => note.thread,
        Body::OutcomeRecorded(outcome) => outcome.thread,
        Body::AttributesSet(set) => set.thread,
        Body::PersonsMerged(merged) => merged.into,
        Body::PersonsUnmerged(unmerged) => unmerged.from,
        Body::HandleAsserted(asserted) => asserted.person,
        Body::HandleUnlinked(unlinked) => unlinked.new_person,
        _ => 0,
    };
    let did = Request { subject, content: request.content };
    state.requests.remember(decided_at, request.key, did);
}
