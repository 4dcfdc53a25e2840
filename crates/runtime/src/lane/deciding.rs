//! Decisions become the events of a frame, and the frame a record; jobs are decided in turns.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoinder_event_log::{FrameBuilder, record, settled};
use rejoinder_machine::{Context, Job, Own, State};
use rejoinder_model::{Millis, Position};
use rejoinder_wire::event::Event;
use rejoinder_wire::log::Header;

use super::{Failure, InFlight, Lane, panic_text};

/// A frame is closed once it has so many bytes of events.
pub(super) const FRAME_TARGET_BYTES: usize = 192 << 10;
/// The most that one decision may write: it fits into every frame that is not closed yet.
const MAX_DECISION_BYTES: usize = record::MAX_FRAME_BYTES - FRAME_TARGET_BYTES;
/// Decisions that follow one input at once; what is left takes turns with other inputs.
pub(super) const FOLLOW_UPS: usize = 64;

/// A decision that no frame can hold: nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision of {0} bytes is larger than the {MAX_DECISION_BYTES} that a frame has room for")]
pub(super) struct TooLarge(usize);

impl From<TooLarge> for Failure {
    fn from(error: TooLarge) -> Self {
        Self::Defect(error.to_string())
    }
}

/// A frame that is being decided.
pub(super) struct Frame<S> {
    pub(super) builder: FrameBuilder,
    pub(super) first_own_seq: u64,
    /// Time when it was begun. It is what decisions take for now: in a silent partition the newest
    /// counted frame may be a minute old, and an offer must not time out before it is seen.
    pub(super) begun_at: Millis,
    pub(super) jobs: Vec<Box<dyn Job<S>>>,
}

impl<S> Frame<S> {
    pub(super) fn new(first_own_seq: u64, begun_at: Millis) -> Self {
        Self { builder: FrameBuilder::default(), first_own_seq, begun_at, jobs: Vec::new() }
    }
}

impl<S: State> Lane<S> {
    /// Takes the events of one decision into the frame and into the state.
    pub(super) fn take(&mut self, frame: &mut Frame<S>, events: Vec<Event>) -> Result<(), TooLarge> {
        let (count, bytes) = (frame.builder.count(), frame.builder.bytes());
        events.iter().for_each(|event| frame.builder.push(event));
        let decided = frame.builder.bytes() - bytes;
        if decided > MAX_DECISION_BYTES {
            frame.builder.cut_back(count, bytes);
            return Err(TooLarge(decided));
        }
        for (number, event) in (0_u32..).zip(&events) {
            let own_seq = frame.first_own_seq + u64::from(count + number);
            self.state.apply(Own { partition: self.partition, own_seq }, event);
        }
        Ok(())
    }

    /// Lets the state go on with what follows from its own events.
    pub(super) fn follow_up(&mut self, frame: &mut Frame<S>, limit: usize) -> Result<(), Failure> {
        for _ in 0..limit {
            if frame.builder.bytes() >= FRAME_TARGET_BYTES {
                break;
            }
            let mut events = Vec::new();
            let context = self.context(frame);
            self.state.follow_up(&context, &mut events);
            if events.is_empty() {
                break;
            }
            self.take(frame, events)?;
        }
        Ok(())
    }

    pub(super) fn run_jobs(&mut self, frame: &mut Frame<S>) -> Result<(), Failure> {
        while frame.builder.bytes() < FRAME_TARGET_BYTES {
            let next = self.job.take().or_else(|| self.next_waiting().or_else(|| self.jobs.pop()).map(|job| (job, 0)));
            let Some((mut job, part)) = next else { break };
            if job.not_before() > self.considered.index {
                self.waiting.push(job);
                continue;
            }
            let mut events = Vec::new();
            let context = self.context(frame);
            let state = &self.state;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.decide(part, state, &context, &mut events))) {
                tracing::error!(failure = panic_text(&*panic), "a command or query failed");
                job.lost();
                continue;
            }
            if let Err(too_large) = self.take(frame, events) {
                tracing::error!(%too_large, "a command was not taken");
                job.lost();
                continue;
            }
            self.follow_up(frame, FOLLOW_UPS)?;
            if part + 1 < job.parts() {
                self.job = Some((job, part + 1));
            } else {
                frame.jobs.push(job);
            }
        }
        Ok(())
    }

    fn next_waiting(&mut self) -> Option<Box<dyn Job<S>>> {
        let ready = self.waiting.iter().position(|job| job.not_before() <= self.considered.index)?;
        Some(self.waiting.swap_remove(ready))
    }

    /// Jobs that wrote nothing are answered when what they were judged on is done.
    pub(super) fn answer_unwritten(&mut self, jobs: Vec<Box<dyn Job<S>>>) -> bool {
        let any = !jobs.is_empty();
        match self.in_flight.back_mut() {
            Some(frame) => frame.jobs.extend(jobs),
            None => {
                let index = self.fold.next_index.saturating_sub(1);
                jobs.into_iter().for_each(|job| job.done(Position { partition: self.partition, index }));
            }
        }
        any
    }

    /// Frames with events were considered that no frame of this lane says so.
    pub(super) fn owes_answer(&self) -> bool {
        !S::SERVICE.upstreams().is_empty()
    }

    pub(super) fn commit(&mut self, mut frame: Frame<S>) -> Result<(), Failure> {
        let lane = *self.fold.lane(S::SERVICE);
        let held = self.inputs.held_tick().map_or(u64::MAX, |tick| tick.index);
        let settled = settled::settled_with(self.considered_fold(), S::SERVICE, self.considered.index.min(held));
        let header = Header {
            service: S::SERVICE.number(),
            epoch: lane.epoch.unwrap_or_default(),
            frame_no: self.next_frame_no,
            first_own_seq: self.next_own_seq,
            consumed_index: self.considered.index,
            consumed_events: self.considered.events,
            settled_index: settled.max(lane.settled),
            record_time: self.next_stamp(),
            ..Header::default()
        };
        let count = u64::from(frame.builder.count());
        self.unsent = Some(frame.builder.finish(&header));
        self.in_flight.push_back(InFlight { frame_no: self.next_frame_no, jobs: frame.jobs });
        self.next_frame_no += 1;
        self.next_own_seq += count;
        self.since_checkpoint += count;
        self.send()?;
        Ok(())
    }

    pub(super) fn context(&self, frame: &Frame<S>) -> Context {
        let next_own_seq = frame.first_own_seq + u64::from(frame.builder.count());
        Context { partition: self.partition, now: frame.begun_at, next_own_seq }
    }
}
