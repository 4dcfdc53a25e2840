//! What threading made of the messages: each has its place once, and timers fire when they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_event_log::PartitionFold;
use rejoinder_machine::{NoBacking, Own, State, TimerKey};
use rejoinder_model::{InteractionId, MessageKey, Millis, Service, ThreadId};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::{
    Direction, Event, InteractionReceived, MessagePlaced, ThreadStateChanged, event::Body, thread_state_changed::Cause,
};

use super::Frame;
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
}

struct Tick {
    index: u64,
    stamp: Millis,
    /// Events of threading before the tick have numbers below this.
    own_seq_end: u64,
}

/// The fold of threading's events, checked event by event.
pub(super) struct Placement {
    partition: u16,
    pub(super) state: Threading,
    received: Vec<Received>,
    /// How many of them have their place.
    placed: usize,
    ticks: Vec<Tick>,
    pub(super) fired: u64,
}

impl Placement {
    pub(super) fn new(partition: u16) -> Self {
        let state = Threading::open(Arc::new(NoBacking));
        Self { partition, state, received: Vec::new(), placed: 0, ticks: Vec::new(), fired: 0 }
    }

    pub(super) fn tick(&mut self, index: u64, stamp: Millis, own_seq_end: u64) {
        self.ticks.push(Tick { index, stamp, own_seq_end });
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
        self.received.push(Received { place: (index, event), own_seq, key, outbound, automatic });
    }

    pub(super) fn event(&mut self, frame: Frame, own_seq: u64, event: &Event) -> Result<(), Wrong> {
        match &event.body {
            Some(Body::MessagePlaced(placed)) => self.place(frame, placed)?,
            Some(Body::ThreadStateChanged(changed)) => match changed.cause() {
                Cause::HoldOver => self.fire(frame, own_seq, changed, HOLD)?,
                Cause::Silence => self.fire(frame, own_seq, changed, SILENCE)?,
                Cause::Unspecified
                | Cause::CustomerMessage
                | Cause::Reply
                | Cause::Command
                | Cause::Outcome
                | Cause::Merge => {}
            },
            _ => {}
        }
        self.state.apply(Own { partition: self.partition, own_seq }, event);
        Ok(())
    }

    /// Messages find their places in log order, each once.
    fn place(&mut self, frame: Frame, placed: &MessagePlaced) -> Result<(), Wrong> {
        let source = placed.source.unwrap_or_default();
        let next = self.received.get(self.placed).ok_or("a message is placed that was not received")?;
        let named = (source.index, source.event);
        if (named, source.own_seq) != (next.place, next.own_seq) || placed.message != next.key.to_wire() {
            return Err(format!("{:?} was to be placed, {named:?} is", next.place));
        }
        if named >= frame.consumed {
            return Err(format!("{named:?} is placed by a frame that considered up to {:?}", frame.consumed));
        }
        self.placed += 1;
        Ok(())
    }

    /// A timer fires by the first tick that may fire it, after all that stands before the tick.
    fn fire(&mut self, frame: Frame, own_seq: u64, changed: &ThreadStateChanged, kind: u8) -> Result<(), Wrong> {
        let thread = self.state.threads.get(&ThreadId(changed.thread)).ok_or("a timer of no thread fires")?;
        let due = if kind == HOLD { thread.hold_until } else { thread.silent_at };
        let key = TimerKey { due, entity: changed.thread, kind };
        let timers = self.state.timers();
        if due == 0 || !timers.due(due, own_seq, usize::MAX).contains(&key) {
            return Err(format!("{key:?} fires and is not armed"));
        }
        let mut may_fire = self
            .ticks
            .iter()
            .filter(|tick| tick.stamp >= due && timers.due(due, tick.own_seq_end, usize::MAX).contains(&key));
        let Some(tick) = may_fire.next().filter(|tick| tick.index < frame.index && tick.index <= frame.consumed.0)
        else {
            return Err(format!("{key:?} fires, and no tick that was considered says that it is due"));
        };
        if let Some(next) = self.received.get(self.placed).filter(|next| next.place.0 < tick.index) {
            return Err(format!("{key:?} fires by the tick at {}, before the message at {:?}", tick.index, next.place));
        }
        self.fired += 1;
        Ok(())
    }

    /// All is considered, each message has its place, and nothing is due any more.
    pub(super) fn conclude(&mut self, fold: &PartitionFold, revised: &BTreeMap<MessageKey, i64>) -> Result<(), Wrong> {
        if let Some(next) = self.received.get(self.placed) {
            return Err(format!("{:?} has no place", next.place));
        }
        let considered = fold.lane(Service::Threading).consumed.index;
        if self.received.last().is_some_and(|last| last.place.0 >= considered) {
            return Err(format!("threading has considered up to {considered} only"));
        }
        for tick in self.ticks.iter().filter(|tick| tick.index < considered) {
            if let Some(due) = self.state.timers().due(tick.stamp, tick.own_seq_end, 1).first() {
                return Err(format!("{due:?} has not fired by the tick at {}", tick.index));
            }
        }
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
