//! Which base threads are one thread: links, and what they hold together.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_machine::event;
use rejoinder_model::{HandleKey, Millis};
use rejoinder_wire::event::{
    Event, ThreadState, ThreadsMerged, event::Body, threads_merged::Cause, threads_unmerged::Part,
};

use crate::life::Life;
use crate::record::{Link, Thread};
use crate::state::Threading;

/// Merges decided so far in one decision, on top of the state.
pub(crate) struct Linker<'a> {
    state: &'a Threading,
    workspace: &'a str,
    now: Millis,
    opened: BTreeSet<u64>,
    /// Threads merged by this decision, and into which.
    into: BTreeMap<u64, u64>,
    lives: BTreeMap<u64, Life>,
}

impl<'a> Linker<'a> {
    pub(crate) fn new(state: &'a Threading, workspace: &'a str, now: Millis) -> Self {
        Self { state, workspace, now, opened: BTreeSet::new(), into: BTreeMap::new(), lives: BTreeMap::new() }
    }

    /// This decision opens a thread.
    pub(crate) fn opened(&mut self, thread: u64) {
        self.opened.insert(thread);
    }

    /// The thread that a base thread is part of; `None` when dissolved.
    pub(crate) fn find(&self, base: u64) -> Option<u64> {
        let mut id = if self.opened.contains(&base) { base } else { self.state.find(base)?.0.0 };
        while let Some(into) = self.into.get(&id) {
            id = *into;
        }
        Some(id)
    }

    /// The life of a thread with what this decision merged into it.
    pub(crate) fn life(&self, thread: u64) -> Life {
        let stored = || self.state.find(thread).map_or(Life::NEW, |(_, thread)| Life::of(&thread));
        self.lives.get(&thread).copied().unwrap_or_else(stored)
    }

    /// Links two base threads for good; does nothing when they are one thread already.
    pub(crate) fn link(&mut self, left: u64, right: u64, cause: Cause, out: &mut Vec<Event>) {
        self.link_as(left, right, cause, 0, "", out);
    }

    /// Links two base threads. A link that can be undone is kept beside others.
    pub(crate) fn link_as(
        &mut self,
        left: u64,
        right: u64,
        cause: Cause,
        merge: u64,
        actor: &str,
        out: &mut Vec<Event>,
    ) {
        let (Some(a), Some(b)) = (self.find(left), self.find(right)) else { return };
        let undone = |cause| matches!(cause, Cause::Command | Cause::PersonsMerged);
        if a == b {
            // Already one: a further reason matters only where another one can be taken away.
            let Some((_, thread)) = self.state.find(a) else { return };
            let same =
                |link: &Link| (link.left, link.right) == (left, right) && link.cause() == cause && link.merge == merge;
            let reversible = undone(cause) || thread.links.iter().any(|link| undone(link.cause()));
            if left == right || !reversible || thread.links.iter().any(same) {
                return;
            }
        }
        let (into, from) = (a.min(b), a.max(b));
        let life = if a == b { self.life(a) } else { self.life(into).with(self.life(from)) };
        if a != b {
            self.into.insert(from, into);
            self.lives.insert(into, life);
        }
        out.push(event(
            self.workspace,
            Body::ThreadsMerged(ThreadsMerged {
                into,
                from,
                left,
                right,
                cause: cause as i32,
                merge,
                actor: actor.to_owned(),
                state: life.state as i32,
                silent_at: life.silent_at,
                at: self.now,
            }),
        ));
    }
}

/// The parts of a thread that links still hold together once some are gone, the one with the
/// thread's own id first. One part: nothing falls away.
pub(crate) fn parts(state: &Threading, id: u64, thread: &Thread, links: &[Link]) -> Vec<Part> {
    let mut group: BTreeMap<u64, u64> =
        std::iter::once(id).chain(thread.bases.iter().copied()).map(|b| (b, b)).collect();
    let root = |group: &BTreeMap<u64, u64>, mut base: u64| {
        while let Some(up) = group.get(&base).filter(|up| **up != base) {
            base = *up;
        }
        base
    };
    for link in links {
        let (a, b) = (root(&group, link.left), root(&group, link.right));
        if a != b {
            group.insert(a.max(b), a.min(b));
        }
    }
    let mut parts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for base in group.keys() {
        parts.entry(root(&group, *base)).or_default().push(*base);
    }
    let mut parts: Vec<(u64, Vec<u64>)> = parts.into_iter().collect();
    parts.sort_by_key(|(_, bases)| (!bases.contains(&id), bases.first().copied()));
    let part = |(lowest, bases): (u64, Vec<u64>)| {
        let keeps_id = bases.contains(&id);
        let life = life_of_part(state, thread, &bases);
        Part { thread: if keeps_id { id } else { lowest }, state: life.state as i32, silent_at: life.silent_at, bases }
    };
    parts.into_iter().map(part).collect()
}

/// The life of some base threads of a thread, from their messages and the state they share.
fn life_of_part(state: &Threading, thread: &Thread, bases: &[u64]) -> Life {
    let mut life = Life { state: thread.state(), last_in: None, last_out: None, silent_at: thread.silent_at };
    for member in thread.messages.iter().filter(|member| bases.contains(&member.base)) {
        let seen = state.messages.get(&member.key).and_then(|message| message.seen.clone());
        let time = seen.map_or(member.time, |seen| seen.state_time);
        let last = if member.outbound { &mut life.last_out } else { &mut life.last_in };
        *last = (*last).max(Some(time));
    }
    if matches!(life.state, ThreadState::AwaitingAgent | ThreadState::AwaitingCustomer) {
        let answered = life.last_out.is_some_and(|out| life.last_in.is_none_or(|last_in| last_in <= out));
        life.state = if answered { ThreadState::AwaitingCustomer } else { ThreadState::AwaitingAgent };
    }
    if life.state != ThreadState::AwaitingCustomer {
        life.silent_at = 0;
    }
    life
}

/// Links between base threads of handles that are (now) of one person.
pub(crate) fn link_persons(
    state: &Threading,
    linker: &mut Linker<'_>,
    handles: &[HandleKey],
    window: i64,
    out: &mut Vec<Event>,
) {
    for (i, a) in handles.iter().enumerate() {
        for b in &handles[i + 1..] {
            link_handles(state, linker, *a, *b, window, out);
        }
    }
}

/// Links the base threads of two handles of one person: same conversation, or direct messages with
/// the same account within the window of each other.
fn link_handles(
    state: &Threading,
    linker: &mut Linker<'_>,
    a: HandleKey,
    b: HandleKey,
    window: i64,
    out: &mut Vec<Event>,
) {
    let (Some(left), Some(right)) = (state.handles.get(&a), state.handles.get(&b)) else { return };
    for base in &left.threads {
        let Some(thread) = state.threads.get(&rejoinder_model::ThreadId(*base)) else { continue };
        let conversation = state.find_conversation(thread.conversation);
        if conversation == 0 {
            continue;
        }
        if let Some(other) = state.places.get(&(conversation, b)) {
            linker.link_as(*base.min(&other), *base.max(&other), Cause::PersonsMerged, 0, "", out);
        }
    }
    for line in &left.lines {
        let Some(other) = right.lines.iter().find(|other| other.key == line.key) else { continue };
        for span in &line.spans {
            for near in &other.spans {
                if span.from <= near.to.saturating_add(window) && near.from <= span.to.saturating_add(window) {
                    let (low, high) = (span.thread.min(near.thread), span.thread.max(near.thread));
                    linker.link_as(low, high, Cause::PersonsMerged, 0, "", out);
                }
            }
        }
    }
}
