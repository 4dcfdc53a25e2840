//! Inputs: what other services wrote is considered in the order of the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost::Message;
use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{PartitionFold, RecordView, Verdict};
use rejoinder_machine::{Failure as CoreFailure, Source, State, event};
use rejoinder_model::Position;
use rejoinder_wire::event::{Event, Quarantined, event::Body};

use super::deciding::{FOLLOW_UPS, FRAME_TARGET_BYTES, Frame};
use super::{Failure, Lane, panic_text};
use crate::inputs::Input;

impl<S: State> Lane<S> {
    /// Considers inputs until the frame is full: frames in log order, a tick once all that could
    /// cancel a timer of it was considered. Was there any?
    pub(super) fn consider(&mut self, frame: &mut Frame<S>) -> Result<bool, Failure> {
        let mut any = false;
        while frame.builder.bytes() < FRAME_TARGET_BYTES {
            if let Some(tick) = self.ripe_tick() {
                self.fire_due(frame, &tick)?;
                any = true;
                continue;
            }
            match self.inputs.front() {
                None => break,
                Some(Input::Tick(tick)) => {
                    let after = tick.index + 1;
                    self.inputs.hold_tick();
                    self.move_considered(after, 0);
                }
                Some(Input::Frame { .. }) => {
                    self.consider_frame(frame)?;
                    any = true;
                }
            }
        }
        Ok(any)
    }

    fn consider_frame(&mut self, frame: &mut Frame<S>) -> Result<(), Failure> {
        let Some(Input::Frame { index, first_own_seq, events, next }) = self.inputs.front_mut() else { return Ok(()) };
        let (index, number, count) = (*index, *next, u32::try_from(events.len()).unwrap_or(u32::MAX));
        let own_seq = *first_own_seq + u64::from(number);
        let bytes = events.get(number as usize).cloned();
        *next += 1;
        let done = *next >= count;
        if let Some(bytes) = bytes {
            let at = Position { partition: self.partition, index };
            let input =
                Event::decode(bytes).map_err(|e| Failure::Log(format!("damaged at {at}: event {number}: {e}")))?;
            self.check_known(&input, at)?;
            let source = Source { index, event: number, own_seq };
            let mut decided = Vec::new();
            let context = self.context(frame);
            let state = &self.state;
            let decision = catch_unwind(AssertUnwindSafe(|| state.consider(&context, source, &input, &mut decided)));
            let decision = decision.unwrap_or_else(|panic| Err(CoreFailure(panic_text(&*panic))));
            let taken = decision
                .and_then(|()| self.take(frame, decided).map_err(|too_large| CoreFailure(too_large.to_string())));
            if let Err(failure) = taken {
                tracing::error!(position = %at, event = number, %failure, "an input is set aside");
                let quarantined = Quarantined {
                    source_index: index,
                    source_event: number,
                    reason: failure.0,
                    source_own_seq: own_seq,
                    at: context.now,
                };
                self.take(frame, vec![event(&input.workspace, Body::Quarantined(quarantined))])?;
            }
            self.follow_up(frame, FOLLOW_UPS)?;
        }
        if done {
            self.inputs.pop();
            self.move_considered(index + 1, 0);
        } else {
            self.move_considered(index, number + 1);
        }
        Ok(())
    }

    fn move_considered(&mut self, index: u64, events: u32) {
        let mut considered = Consumed { index, events };
        if self.inputs.front().is_none() {
            // Nothing that stands further on in what was read concerns this service.
            considered = Consumed { index: self.behind.next_index, events: 0 };
        }
        self.considered = self.considered.max(considered);
    }

    /// Reads the next chunk of inputs once those at hand are considered.
    pub(super) fn read_inputs(&mut self) -> Result<(), Failure> {
        while self.inputs.front().is_none() && self.behind.next_index < self.fold.next_index {
            let records = self.stored(self.behind.next_index)?;
            if records.is_empty() {
                return Ok(());
            }
            self.snapshots.clear();
            for stored in records {
                // What the first cursor has not seen yet may not be considered before it has.
                if stored.index >= self.fold.next_index {
                    break;
                }
                let at = Position { partition: self.partition, index: stored.index };
                let record = RecordView::verify(&stored.bytes).map_err(|damage| Failure::damaged(at, &damage))?;
                let as_of = self.behind;
                self.snapshots.push_back(as_of);
                if self.behind.fold(stored.index, record.service, &record.header) == Verdict::Counted {
                    let offered = self.inputs.offer(S::SERVICE, stored.index, &record, &as_of);
                    offered.map_err(|damage| Failure::damaged(at, &damage))?;
                }
            }
            self.inputs.considered(self.considered, self.fold.lane(S::SERVICE).settled);
        }
        if self.inputs.front().is_none() {
            self.considered = self.considered.max(Consumed { index: self.behind.next_index, events: 0 });
        }
        Ok(())
    }

    /// Ownership as of the first record that is not considered.
    ///
    /// What an upstream says about itself further on is not to be believed yet: what it said before
    /// that is not considered either.
    pub(super) fn considered_fold(&self) -> &PartitionFold {
        let first = self.snapshots.front().map_or(0, |fold| fold.next_index);
        let at = self.inputs.front().and_then(|input| usize::try_from(input.index().checked_sub(first)?).ok());
        at.and_then(|at| self.snapshots.get(at)).unwrap_or(&self.behind)
    }
}
