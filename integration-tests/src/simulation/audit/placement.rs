//! What threading made of the messages: each has its place once, and timers fire when they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_event_log::PartitionFold;
use rejoinder_machine::{NoBacking, Own, State, TimerKey};
use rejoinder_model::{InteractionId, MessageKey, Service, ThreadId};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::{
    Direction, Event, InteractionReceived, MessagePlaced, ThreadStateChanged, event::Body, thread_state_changed::Cause,
};

use super::Frame;
use super::time::{Roots, Tick, Time};
use crate::simulation::Wrong;

/// Which timers a thread has.
const SILENCE: u8 = 1;
const HOLD: u8 = 2;

struct Received {
    place: (u64, u32),
    own_seq: u64,
    key: MessageKey,
    outbound: bool,
    automatic: bool,
    /// Where it was given its place: the frame, and the number of the event in it.
    placed: Option<(u64, u32)>,
}

/// A message in its thread, as clocks go by it.
pub(super) struct Said {
    pub(super) key: MessageKey,
    /// Where it was received.
    pub(super) received: u64,
    pub(super) placed: MessagePlaced,
    /// People moved it to another thread.
    pub(super) moved: bool,
}

/// The fold of threading's events, checked event by event.
pub(super) struct Placement {
    partition: u16,
    pub(super) state: Threading,
    received: Vec<Received>,
    /// How many of them have their place, or were set aside.
    next: usize,
    /// Inputs that were set aside.
    aside: BTreeMap<u64, (u64, u32)>,
    pub(super) said: Vec<Said>,
    pub(super) fired: u64,
    roots: Option<Roots>,
}

impl Placement {
    pub(super) fn new(partition: u16) -> Self {
        let state = Threading::open(Arc::new(NoBacking));
        let (received, said, aside) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { partition, state, received, next: 0, aside, said, fired: 0, roots: None }
    }

    /// The thread that each base thread is part of now.
    pub(super) fn roots(&mut self) -> Roots {
        let state = &self.state;
        let root = |id: ThreadId| state.find(id.0).map(|(root, _)| (id.0, root.0));
        let all = || state.threads.page(&ThreadId(0), 100_000).into_iter().filter_map(|(id, _)| root(id)).collect();
        self.roots.get_or_insert_with(|| Arc::new(all())).clone()
    }

    /// The thread that a base thread is part of; `None`: it is dissolved.
    pub(super) fn root(&self, base: u64) -> Option<u64> {
        self.state.find(base).map(|(root, _)| root.0)
    }

    pub(super) fn receive(
        &mut self,
        index: u64,
        event: u32,
        own_seq: u64,
        key: MessageKey,
        received: &InteractionReceived,
    ) {
        let outbound = received.direction == Direction::Outbound as i32;
        let automatic = !received.automatic.is_empty();
        self.received.push(Received { place: (index, event), own_seq, key, outbound, automatic, placed: None });
    }

    pub(super) fn event(
        &mut self,
        frame: Frame,
        number: u32,
        own_seq: u64,
        event: &Event,
        time: &Time,
    ) -> Result<(), Wrong> {
        match &event.body {
            Some(Body::MessagePlaced(placed)) => self.place(frame, number, placed)?,
            Some(Body::ThreadStateChanged(changed)) => match changed.cause() {
                Cause::HoldOver => self.fire(frame, own_seq, changed, HOLD, time)?,
                Cause::Silence => self.fire(frame, own_seq, changed, SILENCE, time)?,
                Cause::Unspecified
                | Cause::CustomerMessage
                | Cause::Reply
                | Cause::Command
                | Cause::Outcome
                | Cause::Merge => {}
            },
            Some(Body::Quarantined(quarantined)) => {
                let place = (quarantined.source_index, quarantined.source_event);
                self.aside.insert(own_seq, place);
                self.next += usize::from(self.received.get(self.next).is_some_and(|next| next.place == place));
            }
            Some(Body::ThreadSplit(split)) => {
                let goes = |said: &&mut Said| split.messages.contains(&said.placed.message);
                self.said.iter_mut().filter(goes).for_each(|said| said.moved = true);
            }
            Some(Body::QuarantineReleased(released)) => {
                self.aside.remove(&released.quarantined_own_seq);
            }
            _ => {}
        }
        self.state.apply(Own { partition: self.partition, own_seq }, event);
        self.roots = None;
        Ok(())
    }

    /// Messages find their places in log order, each once; what was set aside may come later.
    fn place(&mut self, frame: Frame, number: u32, placed: &MessagePlaced) -> Result<(), Wrong> {
        let source = placed.source.unwrap_or_default();
        let named = (source.index, source.event);
        let aside = self.aside.values().any(|place| *place == named);
        let at = if aside { self.received.iter().position(|one| one.place == named) } else { Some(self.next) };
        let next = at.and_then(|at| self.received.get_mut(at)).ok_or("a message is placed that was not received")?;
        if (named, source.own_seq) != (next.place, next.own_seq) || placed.message != next.key.to_wire() {
            return Err(format!("{:?} was to be placed, {named:?} is", next.place));
        }
        if named >= frame.consumed || next.placed.is_some() {
            return Err(format!("{named:?} is placed by a frame that considered up to {:?}", frame.consumed));
        }
        next.placed = Some((frame.index, number));
        self.said.push(Said { key: next.key, received: named.0, placed: placed.clone(), moved: false });
        self.next += usize::from(!aside);
        Ok(())
    }

    /// A timer fires by the first tick that may fire it, after all that stands before the tick.
    fn fire(
        &mut self,
        frame: Frame,
        own_seq: u64,
        changed: &ThreadStateChanged,
        kind: u8,
        time: &Time,
    ) -> Result<(), Wrong> {
        let thread = self.state.threads.get(&ThreadId(changed.thread)).ok_or("a timer of no thread fires")?;
        let due = if kind == HOLD { thread.hold_until } else { thread.silent_at };
        let key = TimerKey { due, entity: changed.thread, kind };
        let tick = time.fires(Service::Threading, self.state.timers(), key, frame, own_seq)?;
        if let Some(next) = self.received.get(self.next).filter(|next| next.place.0 < tick.index) {
            return Err(format!("{key:?} fires by the tick at {}, before the message at {:?}", tick.index, next.place));
        }
        self.fired += 1;
        Ok(())
    }

    /// Nothing is set aside.
    pub(super) fn all_known(&self) -> bool {
        self.aside.is_empty()
    }

    /// A service downstream acts on a tick: all that was received before it has its place, and the
    /// service has considered that.
    pub(super) fn is_settled(&self, tick: &Tick, frame: Frame) -> Result<(), Wrong> {
        if frame.upstreams <= tick.index {
            return Err(format!(
                "acts on the tick at {} when others have considered up to {}",
                tick.index, frame.upstreams
            ));
        }
        // They find their places in log order: the last one speaks for all.
        let end = self.received.partition_point(|one| one.place.0 < tick.index);
        let aside = |one: &&Received| self.aside.values().any(|place| *place == one.place);
        let last = self.received[..end].iter().rev().find(|one| !aside(one));
        if let Some(one) = last.filter(|one| one.placed.is_none_or(|placed| placed >= frame.consumed)) {
            let (tick, at) = (tick.index, one.place);
            return Err(format!("acts on the tick at {tick} before it has considered the message at {at:?}"));
        }
        Ok(())
    }

    /// All is considered, each message has its place, and nothing is due any more.
    pub(super) fn conclude(
        &mut self,
        fold: &PartitionFold,
        revised: &BTreeMap<MessageKey, i64>,
        time: &Time,
    ) -> Result<(), Wrong> {
        if let Some(next) = self.received.iter().find(|one| one.placed.is_none()) {
            return Err(format!("{:?} has no place", next.place));
        }
        let considered = fold.lane(Service::Threading).consumed.index;
        if self.received.last().is_some_and(|last| last.place.0 >= considered) {
            return Err(format!("threading has considered up to {considered} only"));
        }
        time.all_fired(&mut self.state, considered)?;
        let mut members: BTreeMap<MessageKey, Vec<ThreadId>> = BTreeMap::new();
        for (id, thread) in self.state.threads.page(&ThreadId(0), 100_000) {
            if !thread.is_alive() && !thread.messages.is_empty() {
                return Err(format!("{id} is no more and has messages"));
            }
            thread.messages.iter().for_each(|member| members.entry(member.key).or_default().push(id));
        }
        self.received.iter().try_for_each(|received| self.has_its_place(received, &members, revised))
    }

    fn has_its_place(
        &self,
        received: &Received,
        members: &BTreeMap<MessageKey, Vec<ThreadId>>,
        revised: &BTreeMap<MessageKey, i64>,
    ) -> Result<(), Wrong> {
        let key = received.key;
        let message = self.state.messages.get(&key).ok_or_else(|| format!("{key:?} is not known"))?;
        let seen = message.seen.as_ref().ok_or_else(|| format!("{key:?} is awaited"))?;
        if seen.interaction != InteractionId::new(self.partition, received.own_seq).0 {
            return Err(format!("{key:?} has another number"));
        }
        if seen.aside != received.automatic {
            return Err(format!("{key:?} is set aside, or is not and should be"));
        }
        let thread = self.state.find(message.thread).map(|(id, _)| id);
        let lists = members.get(&key).cloned().unwrap_or_default();
        if lists != thread.into_iter().collect::<Vec<_>>() {
            return Err(format!("{key:?} belongs to {thread:?} and is listed by {lists:?}"));
        }
        if thread.is_none() && !received.outbound && !received.automatic {
            return Err(format!("{key:?} of a customer is in no thread"));
        }
        let newest = message.revision.map(|revision| revision.version);
        if newest != revised.get(&key).copied() {
            return Err(format!("{key:?} has version {newest:?}, ingest has {:?}", revised.get(&key)));
        }
        Ok(())
    }
}
