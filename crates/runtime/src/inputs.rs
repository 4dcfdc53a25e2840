//! What a lane reads from the log and has not considered yet, in log order.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{Damage, PartitionFold, RecordView};
use rejoinder_model::{Millis, Service};
use rejoinder_wire::event::{Event, event::Body};

/// A tick's frame is one event of a few bytes.
const TICK_BYTES: usize = 16;

/// Time has reached `stamp`.
#[derive(Clone)]
pub(crate) struct Tick {
    pub(crate) index: u64,
    pub(crate) stamp: Millis,
    /// Ownership as of the tick.
    pub(crate) fold: Box<PartitionFold>,
}

/// Something to consider.
pub(crate) enum Input {
    /// Timers may be due.
    Tick(Tick),
    /// A frame of an upstream service.
    Frame { index: u64, first_own_seq: u64, events: Vec<Bytes>, next: u32 },
}

impl Input {
    pub(crate) fn index(&self) -> u64 {
        match self {
            Self::Tick(tick) => tick.index,
            Self::Frame { index, .. } => *index,
        }
    }
}

/// Inputs in log order.
#[derive(Default)]
pub(crate) struct Inputs {
    waiting: VecDeque<Input>,
    /// Ticks that were passed and not acted on: first what the upstreams say to them is considered.
    ticks: VecDeque<Tick>,
}

impl Inputs {
    /// Takes a counted frame in, if it is any of this service's business; `fold` is as of the frame.
    pub(crate) fn offer(
        &mut self,
        to: Service,
        index: u64,
        record: &RecordView,
        fold: &PartitionFold,
    ) -> Result<(), Damage> {
        if record.header.event_count == 0 {
            return Ok(());
        }
        let upstream = to.upstreams().contains(&record.service);
        if record.header.event_count > 1 && !upstream {
            return Ok(());
        }
        if is_tick_frame(record)? {
            self.waiting.push_back(Input::Tick(Tick {
                index,
                stamp: record.header.record_time,
                fold: Box::new(*fold),
            }));
            return Ok(());
        }
        if upstream {
            let events = record.events()?;
            let first_own_seq = record.header.first_own_seq;
            self.waiting.push_back(Input::Frame { index, first_own_seq, events, next: 0 });
        }
        Ok(())
    }

    /// Drops what an own frame says was considered; of the ticks, those that were acted on.
    pub(crate) fn considered(&mut self, consumed: Consumed, settled: u64) {
        while let Some(input) = self.waiting.pop_front_if(|input| input.index() < consumed.index) {
            if let Input::Tick(tick) = input {
                self.ticks.push_back(tick);
            }
        }
        while self.ticks.pop_front_if(|tick| tick.index < settled).is_some() {}
        if let Some(Input::Frame { index, next, .. }) = self.waiting.front_mut()
            && *index == consumed.index
        {
            *next = (*next).max(consumed.events);
        }
    }

    /// The first tick that was passed and not acted on.
    pub(crate) fn held_tick(&self) -> Option<&Tick> {
        self.ticks.front()
    }

    /// Passes the tick in front, to act on it later.
    pub(crate) fn hold_tick(&mut self) {
        if let Some(Input::Tick(tick)) = self.waiting.pop_front_if(|input| matches!(input, Input::Tick(_))) {
            self.ticks.push_back(tick);
        }
    }

    /// Drops the first held tick: it was acted on.
    pub(crate) fn drop_tick(&mut self) {
        self.ticks.pop_front();
    }

    pub(crate) fn front(&self) -> Option<&Input> {
        self.waiting.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Input> {
        self.waiting.front_mut()
    }

    pub(crate) fn pop(&mut self) {
        self.waiting.pop_front();
    }
}

/// Is it a clock tick? Such a frame holds nothing else.
pub(crate) fn is_tick_frame(record: &RecordView) -> Result<bool, Damage> {
    if record.header.event_count != 1 {
        return Ok(false);
    }
    let events = record.events()?;
    let tick = |event: &Bytes| Event::decode(event.clone()).is_ok_and(|e| matches!(e.body, Some(Body::ClockTick(_))));
    Ok(matches!(&events[..], [event] if event.len() <= TICK_BYTES && tick(event)))
}
