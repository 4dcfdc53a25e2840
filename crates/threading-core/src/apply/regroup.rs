//! The fold of what puts threads together and parts them again.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_machine::Own;
use rejoinder_model::{MessageKey, ThreadId};
use rejoinder_wire::event::{ThreadRelinked, ThreadSplit, ThreadState, ThreadsMerged, ThreadsUnmerged};

use super::{SILENCE, arm, channel_number, count};
use crate::record::{Link, Member, Thread};
use crate::state::{HOLD, Threading};

pub(super) fn merge(state: &mut Threading, own: Own, merged: &ThreadsMerged) {
    let link = Link { left: merged.left, right: merged.right, cause: merged.cause, merge: merged.merge };
    let (into, from) = (ThreadId(merged.into), ThreadId(merged.from));
    if into == from {
        state.threads.update(&into, |thread| thread.links.push(link));
        return;
    }
    let (Some(stays), Some(leaves)) = (state.threads.get(&into), state.threads.get(&from)) else { return };
    state.disarm(into, &stays);
    state.disarm(from, &leaves);
    count(state, &leaves.workspace, leaves.state, false);
    count(state, &stays.workspace, stays.state, false);
    count(state, &stays.workspace, merged.state, true);
    let on_hold = merged.state == ThreadState::OnHold as i32;
    let hold_until = if on_hold { stays.hold_until.max(leaves.hold_until) } else { 0 };
    arm(state, into, 0, hold_until, HOLD, own);
    arm(state, into, 0, merged.silent_at, SILENCE, own);
    let leaves = (*leaves).clone();
    state.threads.update(&from, |thread| {
        thread.into = into.0;
        thread.messages = Vec::new();
        thread.links = Vec::new();
        thread.bases = Vec::new();
        thread.history = Vec::new();
        thread.silent_at = 0;
        thread.hold_until = 0;
        thread.version = own.own_seq;
    });
    state.threads.update(&into, |thread| {
        thread.bases.push(from.0);
        thread.bases.extend(&leaves.bases);
        thread.bases.sort_unstable();
        thread.links.extend(&leaves.links);
        thread.links.push(link);
        take_messages(thread, &leaves.messages, &leaves.channels);
        thread.history.extend(leaves.history.iter().cloned());
        thread.history.sort_by_key(|happened| happened.own_seq);
        for (name, value) in &leaves.attributes {
            thread.attributes.entry(name.clone()).or_insert_with(|| value.clone());
        }
        thread.last_in = thread.last_in.max(leaves.last_in);
        thread.last_out = thread.last_out.max(leaves.last_out);
        thread.reopen_count = thread.reopen_count.max(leaves.reopen_count);
        thread.state = merged.state;
        thread.silent_at = merged.silent_at;
        thread.hold_until = hold_until;
        thread.version = own.own_seq;
    });
}

/// Takes messages over that name their channels by a list of their own.
fn take_messages(to: &mut Thread, messages: &[Member], channels: &[String]) {
    let channels: Vec<u8> = channels.iter().map(|channel| channel_number(to, channel)).collect();
    to.messages.extend(messages.iter().map(|member| Member {
        channel: channels.get(usize::from(member.channel)).copied().unwrap_or(u8::MAX),
        ..*member
    }));
    // Two sorted runs: the sort merges them.
    to.messages.sort_by_key(|member| (member.time, member.interaction));
}

pub(super) fn unmerge(state: &mut Threading, own: Own, unmerged: &ThreadsUnmerged) {
    let id = ThreadId(unmerged.thread);
    let Some(whole) = state.threads.get(&id) else { return };
    state.disarm(id, &whole);
    count(state, &whole.workspace, whole.state, false);
    let mut part_of: BTreeMap<u64, usize> = BTreeMap::new();
    for (n, part) in unmerged.parts.iter().enumerate() {
        part_of.extend(part.bases.iter().map(|base| (*base, n)));
    }
    for base in whole.bases.iter().copied().chain([id.0]) {
        // Dissolved ones that hold nothing together any more are in no part.
        let root = part_of.get(&base).and_then(|n| unmerged.parts.get(*n)).map_or(base, |part| part.thread);
        state.threads.update(&ThreadId(base), |thread| thread.into = if root == base { 0 } else { root });
    }
    let removed: BTreeSet<(u64, u64, i32, u64)> =
        unmerged.removed.iter().map(|gone| (gone.left, gone.right, gone.cause, gone.merge)).collect();
    let mut rests: Vec<Thread> = unmerged.parts.iter().map(|_| Thread::default()).collect();
    for member in &whole.messages {
        if let Some(rest) = part_of.get(&member.base).and_then(|n| rests.get_mut(*n)) {
            rest.messages.push(*member);
        }
    }
    for link in &whole.links {
        let kept = !removed.contains(&(link.left, link.right, link.cause, link.merge));
        if let Some(rest) = part_of.get(&link.left).filter(|_| kept).and_then(|n| rests.get_mut(*n)) {
            rest.links.push(*link);
        }
    }
    for happened in &whole.history {
        if let Some(rest) = part_of.get(&happened.thread).and_then(|n| rests.get_mut(*n)) {
            rest.history.push(happened.clone());
        }
    }
    for (part, rest) in unmerged.parts.iter().zip(rests) {
        let root = ThreadId(part.thread);
        let hold_until = if part.state == ThreadState::OnHold as i32 { whole.hold_until } else { 0 };
        state.threads.update(&root, |thread| {
            thread.bases = part.bases.iter().copied().filter(|base| *base != part.thread).collect();
            thread.links = rest.links;
            thread.messages = Vec::new();
            take_messages(thread, &rest.messages, &whole.channels);
            thread.history = rest.history;
            thread.state = part.state;
            thread.silent_at = part.silent_at;
            thread.hold_until = hold_until;
            thread.version = own.own_seq;
        });
        recall_last(state, root);
        count(state, &whole.workspace, part.state, true);
        arm(state, root, 0, part.silent_at, SILENCE, own);
        arm(state, root, 0, hold_until, HOLD, own);
    }
}

/// Who wrote last, anew from the messages.
fn recall_last(state: &mut Threading, id: ThreadId) {
    let Some(thread) = state.threads.get(&id) else { return };
    let (mut last_in, mut last_out) = (None, None);
    for member in &thread.messages {
        let seen = state.messages.get(&member.key).and_then(|message| message.seen.clone());
        let time = seen.map_or(member.time, |seen| seen.state_time);
        let last = if member.outbound { &mut last_out } else { &mut last_in };
        *last = (*last).max(Some(time));
    }
    state.threads.update(&id, |thread| {
        thread.last_in = last_in;
        thread.last_out = last_out;
    });
}

pub(super) fn split(state: &mut Threading, own: Own, split: &ThreadSplit) {
    let (id, into) = (ThreadId(split.thread), ThreadId(split.into));
    let Some(whole) = state.threads.get(&id) else { return };
    let keys: BTreeSet<MessageKey> = split.messages.iter().filter_map(|bytes| MessageKey::from_wire(bytes)).collect();
    for key in &keys {
        state.messages.update(key, |message| message.thread = into.0);
    }
    let (mut chosen, stays): (Vec<Member>, Vec<Member>) =
        whole.messages.iter().partition(|member| keys.contains(&member.key));
    let first = chosen.first().and_then(|member| state.threads.get(&ThreadId(member.base)));
    let handle = first.and_then(|base| base.handle);
    chosen.iter_mut().for_each(|member| member.base = into.0);
    state.threads.update(&into, |thread| {
        thread.handle = handle;
        take_messages(thread, &chosen, &whole.channels);
    });
    if let Some(handle) = handle {
        state.handles.update(&handle, |known| known.threads.push(into.0));
    }
    state.threads.update(&id, |thread| {
        thread.messages = stays;
        thread.version = own.own_seq;
    });
    recall_last(state, id);
    recall_last(state, into);
}

/// The messages of a base thread turn out to belong to no thread. Its links stay: what they hold
/// together is one thread as before, until they are taken away.
pub(super) fn dissolve(state: &mut Threading, own: Own, relinked: &ThreadRelinked) {
    let base = ThreadId(relinked.from);
    let Some((id, whole)) = state.find(base.0) else { return };
    if id != base {
        state.threads.update(&id, |thread| {
            thread.messages.retain(|member| member.base != base.0);
            thread.version = own.own_seq;
        });
        recall_last(state, id);
    }
    state.threads.update(&base, |thread| {
        thread.dissolved = true;
        thread.awaits = None;
        thread.version = own.own_seq;
    });
    if id == base {
        state.disarm(id, &whole);
        count(state, &whole.workspace, whole.state, false);
        let alive = |base: &&u64| state.threads.get(&ThreadId(**base)).is_some_and(|thread| !thread.dissolved);
        let heir = whole.bases.iter().filter(alive).min().copied();
        if let Some(heir) = heir {
            inherit(state, own, base, &whole, ThreadId(heir));
        }
        state.threads.update(&base, |thread| {
            thread.into = heir.unwrap_or_default();
            thread.messages = Vec::new();
            thread.bases = Vec::new();
            thread.links = Vec::new();
            thread.history = Vec::new();
            thread.silent_at = 0;
            thread.hold_until = 0;
        });
    }
}

/// A base thread that is no more gave its number to a thread of others too: the earliest of them
/// takes over.
fn inherit(state: &mut Threading, own: Own, gone: ThreadId, whole: &Thread, heir: ThreadId) {
    for other in whole.bases.iter().filter(|base| **base != heir.0) {
        state.threads.update(&ThreadId(*other), |thread| thread.into = heir.0);
    }
    let rest = whole.clone();
    state.threads.update(&heir, |thread| {
        thread.into = 0;
        thread.bases = rest.bases.into_iter().filter(|base| *base != heir.0).chain([gone.0]).collect();
        thread.bases.sort_unstable();
        thread.links = rest.links;
        thread.messages = rest.messages.into_iter().filter(|member| member.base != gone.0).collect();
        thread.channels = rest.channels;
        thread.history = rest.history;
        thread.state = rest.state;
        thread.disposition = rest.disposition;
        thread.unconfirmed = rest.unconfirmed;
        thread.reopen_count = rest.reopen_count;
        thread.hold_until = rest.hold_until;
        thread.silent_at = rest.silent_at;
        thread.attributes = rest.attributes;
        thread.version = own.own_seq;
    });
    count(state, &whole.workspace, whole.state, true);
    arm(state, heir, 0, whole.silent_at, SILENCE, own);
    arm(state, heir, 0, whole.hold_until, HOLD, own);
    recall_last(state, heir);
}
