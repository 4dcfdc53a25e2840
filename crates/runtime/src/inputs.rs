//! What a lane reads from the log and has not considered yet, in log order.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{Damage, RecordView};
use rejoinder_model::{Millis, Service};
use rejoinder_wire::event::{Event, event::Body};

/// A tick's frame is one event of a few bytes.
const TICK_BYTES: usize = 16;

/// Something to consider.
pub(crate) enum Input {
    /// Time has reached `stamp`. Timers armed by events before `own_seq_end` may fire.
    Tick { index: u64, stamp: Millis, own_seq_end: u64 },
    /// A frame of an upstream service.
    Frame { index: u64, first_own_seq: u64, events: Vec<Bytes>, next: u32 },
}

impl Input {
    pub(crate) fn index(&self) -> u64 {
        match self {
            Self::Tick { index, .. } | Self::Frame { index, .. } => *index,
        }
    }
}

/// Inputs in log order.
#[derive(Default)]
pub(crate) struct Inputs {
    waiting: VecDeque<Input>,
}

impl Inputs {
    /// Takes a counted frame in, if it is any of this service's business.
    pub(crate) fn offer(
        &mut self,
        to: Service,
        index: u64,
        record: &RecordView,
        own_seq_end: u64,
    ) -> Result<(), Damage> {
        if record.header.event_count == 0 {
            return Ok(());
        }
        let upstream = to.upstreams().contains(&record.service);
        if record.header.event_count > 1 && !upstream {
            return Ok(());
        }
        if is_tick_frame(record)? {
            self.waiting.push_back(Input::Tick { index, stamp: record.header.record_time, own_seq_end });
            return Ok(());
        }
        if upstream {
            let events = record.events()?;
            let first_own_seq = record.header.first_own_seq;
            self.waiting.push_back(Input::Frame { index, first_own_seq, events, next: 0 });
        }
        Ok(())
    }

    /// Drops what an own frame says was considered.
    pub(crate) fn considered(&mut self, consumed: Consumed) {
        while self.waiting.front().is_some_and(|input| input.index() < consumed.index) {
            self.pop();
        }
        if let Some(Input::Frame { index, next, .. }) = self.waiting.front_mut()
            && *index == consumed.index
        {
            *next = (*next).max(consumed.events);
        }
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
