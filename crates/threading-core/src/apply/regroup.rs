//! The fold of what puts threads together and parts them again.

use rejoinder_machine::Own;
use rejoinder_model::{MessageKey, ThreadId};
use rejoinder_wire::event::{ThreadRelinked, ThreadSplit, ThreadState, ThreadsMerged, ThreadsUnmerged};

use super::{SILENCE, arm, channel_number, count, insert_member};
use crate::record::{Happened, Link, Thread};
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
        take_messages(thread, &leaves, |_| true);
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

/// Copies messages of one thread into another.
fn take_messages(to: &mut Thread, from: &Thread, which: impl Fn(u64) -> bool) {
    for member in from.messages.iter().filter(|member| which(member.base)) {
        let mut member = *member;
        let channel = from.channels.get(usize::from(member.channel)).map_or("", String::as_str);
        member.channel = channel_number(to, channel);
        insert_member(&mut to.messages, member);
    }
}

pub(super) fn unmerge(state: &mut Threading, own: Own, unmerged: &ThreadsUnmerged) {
    let id = ThreadId(unmerged.thread);
    let Some(whole) = state.threads.get(&id) else { return };
    state.disarm(id, &whole);
    count(state, &whole.workspace, whole.state, false);
    let removed = |link: &&Link| {
        unmerged.removed.iter().any(|gone| {
            (gone.left, gone.right, gone.cause, gone.merge) == (link.left, link.right, link.cause, link.merge)
        })
    };
    let links: Vec<Link> = whole.links.iter().filter(|link| !removed(link)).copied().collect();
    for part in &unmerged.parts {
        let root = ThreadId(part.thread);
        for base in part.bases.iter().filter(|base| **base != part.thread) {
            state.threads.update(&ThreadId(*base), |thread| thread.into = part.thread);
        }
        let within = |base: u64| part.bases.contains(&base);
        state.threads.update(&root, |thread| {
            thread.into = 0;
            thread.bases = part.bases.iter().copied().filter(|base| *base != part.thread).collect();
            thread.links = links.iter().filter(|link| within(link.left) && within(link.right)).copied().collect();
            thread.messages = Vec::new();
            take_messages(thread, &whole, within);
            let theirs = |happened: &&Happened| within(happened.thread);
            thread.history = whole.history.iter().filter(theirs).cloned().collect();
            thread.state = part.state;
            thread.silent_at = part.silent_at;
            thread.hold_until = if part.state == ThreadState::OnHold as i32 { whole.hold_until } else { 0 };
            thread.version = own.own_seq;
        });
        recall_last(state, root);
        count(state, &whole.workspace, part.state, true);
        arm(state, root, 0, part.silent_at, SILENCE, own);
        let hold_until = state.threads.get(&root).map_or(0, |thread| thread.hold_until);
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
    let keys: Vec<MessageKey> = split.messages.iter().filter_map(|bytes| MessageKey::from_wire(bytes)).collect();
    for key in &keys {
        state.messages.update(key, |message| message.thread = into.0);
    }
    state.threads.update(&into, |thread| {
        thread.handle = whole.handle;
        for member in whole.messages.iter().filter(|member| keys.contains(&member.key)) {
            let mut member = *member;
            member.base = into.0;
            let channel = whole.channels.get(usize::from(member.channel)).map_or("", String::as_str);
            member.channel = channel_number(thread, channel);
            insert_member(&mut thread.messages, member);
        }
    });
    if let Some(handle) = whole.handle {
        state.handles.update(&handle, |known| known.threads.push(into.0));
    }
    state.threads.update(&id, |thread| {
        thread.messages.retain(|member| !keys.contains(&member.key));
        thread.version = own.own_seq;
    });
    recall_last(state, id);
    recall_last(state, into);
}

/// The messages of a base thread turn out to belong to no thread.
pub(super) fn dissolve(state: &mut Threading, own: Own, relinked: &ThreadRelinked) {
    let base = ThreadId(relinked.from);
    let Some((id, whole)) = state.find(base.0) else { return };
    let heir = whole.bases.iter().copied().min().map(ThreadId);
    let lost = |link: &Link| link.left == base.0 || link.right == base.0;
    if id == base {
        state.disarm(id, &whole);
        count(state, &whole.workspace, whole.state, false);
    }
    match heir.filter(|_| id == base) {
        // It gave its number to a thread of others too: the earliest of them takes over.
        Some(heir) => {
            let mut rest = (*whole).clone();
            rest.messages.retain(|member| member.base != base.0);
            rest.links.retain(|link| !lost(link));
            rest.bases.retain(|other| *other != heir.0);
            for other in &rest.bases {
                state.threads.update(&ThreadId(*other), |thread| thread.into = heir.0);
            }
            state.threads.update(&heir, |thread| {
                let own_handle = thread.handle;
                let next = thread.next_in_conversation;
                let conversation = thread.conversation;
                *thread = Thread { handle: own_handle, next_in_conversation: next, conversation, ..rest.clone() };
                thread.into = 0;
                thread.awaits = None;
                thread.version = own.own_seq;
            });
            count(state, &whole.workspace, rest.state, true);
            arm(state, heir, 0, rest.silent_at, SILENCE, own);
            arm(state, heir, 0, rest.hold_until, HOLD, own);
            recall_last(state, heir);
        }
        None if id != base => {
            state.threads.update(&id, |thread| {
                thread.messages.retain(|member| member.base != base.0);
                thread.links.retain(|link| !lost(link));
                thread.bases.retain(|other| *other != base.0);
            });
            recall_last(state, id);
        }
        None => {}
    }
    state.threads.update(&base, |thread| {
        thread.dissolved = true;
        thread.into = 0;
        thread.awaits = None;
        thread.messages = Vec::new();
        thread.bases = Vec::new();
        thread.links = Vec::new();
        thread.silent_at = 0;
        thread.hold_until = 0;
        thread.version = own.own_seq;
    });
}
