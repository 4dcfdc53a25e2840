//! Which base threads are one thread: links, and what they hold together.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_machine::{Context, event};
use rejoinder_model::{HandleKey, Millis, ThreadId};
use rejoinder_wire::event::{
    Event, ThreadState, ThreadsMerged, event::Body, threads_merged::Cause, threads_unmerged::Part,
};

use crate::life::Life;
use crate::record::{Link, Member, Thread};
use crate::state::Threading;

/// Merges decided so far in one decision, on top of the state.
pub(crate) struct Linker<'a> {
    state: &'a Threading,
    context: &'a Context,
    workspace: &'a str,
    opened: BTreeSet<u64>,
    /// Threads merged by this decision, and into which.
    into: BTreeMap<u64, u64>,
    lives: BTreeMap<u64, Life>,
    /// Links made by this decision.
    made: Vec<Link>,
}

/// Can links of this cause be taken away again?
fn is_reversible(cause: Cause) -> bool {
    matches!(cause, Cause::Command | Cause::PersonsMerged)
}

impl<'a> Linker<'a> {
    pub(crate) fn new(state: &'a Threading, context: &'a Context, workspace: &'a str) -> Self {
        let (opened, into, lives, made) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { state, context, workspace, opened, into, lives, made }
    }

    /// This decision opens a thread.
    pub(crate) fn opened(&mut self, thread: u64) {
        self.opened.insert(thread);
    }

    /// The thread that a base thread is part of; `None` when dissolved.
    pub(crate) fn find(&self, base: u64) -> Option<u64> {
        let id = if self.opened.contains(&base) { base } else { self.state.find(base)?.0.0 };
        Some(self.root(id))
    }

    fn root(&self, mut id: u64) -> u64 {
        while let Some(into) = self.into.get(&id) {
            id = *into;
        }
        id
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
        let link = Link { left, right, cause: cause as i32, merge };
        if left == right || self.keeps_apart(left, right, cause) || (a == b && self.is_idle(a, link)) {
            return;
        }
        let (into, from) = (a.min(b), a.max(b));
        let life = if a == b { self.life(a) } else { self.life(into).with(self.life(from)) };
        if a != b {
            self.into.insert(from, into);
            self.lives.insert(into, life);
        }
        self.made.push(link);
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
                silent_at: self.silent_at(life),
                at: self.context.now,
            }),
        ));
    }

    /// What people split stays apart, whatever the rules say: only what waits for its messages joins it.
    fn keeps_apart(&self, left: u64, right: u64, cause: Cause) -> bool {
        let by_rule = !matches!(cause, Cause::Command | Cause::ParentArrived);
        by_rule && (self.state.is_split(left) || self.state.is_split(right))
    }

    /// Within one thread a further reason matters only where another one can be taken away.
    fn is_idle(&self, root: u64, link: Link) -> bool {
        let merged = self.into.keys().copied().filter(|from| self.root(*from) == root);
        let stored: Vec<_> = merged.chain([root]).filter_map(|id| self.state.threads.get(&ThreadId(id))).collect();
        let links = || stored.iter().flat_map(|thread| &thread.links).chain(&self.made);
        let loose = is_reversible(link.cause()) || links().any(|other| is_reversible(other.cause()));
        !loose || links().any(|other| *other == link)
    }

    fn silent_at(&self, life: Life) -> i64 {
        life.silent_at_from(&self.state.workspace(self.workspace), self.context.now)
    }
}

/// Base threads by what links hold together: each with the lowest of its kind.
pub(crate) fn held_together(bases: impl IntoIterator<Item = u64>, links: &[Link]) -> BTreeMap<u64, u64> {
    let mut up: BTreeMap<u64, u64> = bases.into_iter().map(|base| (base, base)).collect();
    let root = |up: &mut BTreeMap<u64, u64>, base: u64| {
        let mut root = base;
        while let Some(next) = up.get(&root).copied().filter(|next| *next != root) {
            root = next;
        }
        // Ways are kept short, so that many links cost no more than their number.
        let mut step = base;
        while let Some(next) = up.insert(step, root).filter(|next| *next != root && *next != step) {
            step = next;
        }
        root
    };
    for link in links {
        let (a, b) = (root(&mut up, link.left), root(&mut up, link.right));
        up.insert(a.max(b), a.min(b));
    }
    let bases: Vec<u64> = up.keys().copied().collect();
    bases.into_iter().map(|base| (base, root(&mut up, base))).collect()
}

/// The parts of a thread that links still hold together once some are gone, the one with the
/// thread's own id first. One part: nothing falls away. Dissolved base threads hold others together
/// as before, but are no part of their own.
pub(crate) fn parts(state: &Threading, context: &Context, id: u64, thread: &Thread, links: &[Link]) -> Vec<Part> {
    let lowest = held_together(thread.bases.iter().copied().chain([id]), links);
    let mut lasts: BTreeMap<u64, Lasts> = BTreeMap::new();
    for member in &thread.messages {
        if let Some(lowest) = lowest.get(&member.base) {
            lasts.entry(*lowest).or_default().add(state, member);
        }
    }
    let mut together: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (base, lowest) in lowest {
        together.entry(lowest).or_default().push(base);
    }
    let part = |(lowest, bases): (u64, Vec<u64>)| {
        let thread_id = bases.iter().copied().find(|base| state.find(*base).is_some())?;
        let life = life_of_part(state, context, thread, lasts.get(&lowest).copied().unwrap_or_default());
        Some(Part { thread: thread_id, state: life.state as i32, silent_at: life.silent_at, bases })
    };
    let mut parts: Vec<Part> = together.into_iter().filter_map(part).collect();
    parts.sort_by_key(|part| (part.thread != id, part.thread));
    parts
}

/// When the customer wrote last, and when we did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lasts {
    pub(crate) last_in: Option<Millis>,
    pub(crate) last_out: Option<Millis>,
}

impl Lasts {
    pub(crate) fn add(&mut self, state: &Threading, member: &Member) {
        let seen = state.messages.get(&member.key);
        let time = seen.as_ref().and_then(|message| message.seen.as_ref()).map_or(member.time, |seen| seen.state_time);
        let last = if member.outbound { &mut self.last_out } else { &mut self.last_in };
        *last = (*last).max(Some(time));
    }
}

/// The life of a part of a thread, from its messages and the state they shared.
pub(crate) fn life_of_part(state: &Threading, context: &Context, thread: &Thread, lasts: Lasts) -> Life {
    let whole = Life::of(thread);
    let mut life = Life { last_in: lasts.last_in, last_out: lasts.last_out, ..whole };
    let waits = matches!(life.state, ThreadState::AwaitingAgent | ThreadState::AwaitingCustomer);
    if waits && !whole.is_for_agent_regardless() {
        let answered = life.last_out.is_some_and(|out| life.last_in.is_none_or(|last_in| last_in <= out));
        life.state = if answered { ThreadState::AwaitingCustomer } else { ThreadState::AwaitingAgent };
    }
    life.silent_at = life.silent_at_from(&state.workspace(&thread.workspace), context.now);
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
        let Some(thread) = state.threads.get(&ThreadId(*base)) else { continue };
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
