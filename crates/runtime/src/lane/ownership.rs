//! Who owns the lane: the log is read to its end, claims are written, and own commits are read back.

use bytes::Bytes;
use prost::Message;
use rejoinder_event_log::{AppendError, RecordView, StoredRecord, Verdict, record};
use rejoinder_machine::{DIGEST_VERSION, Own, State};
use rejoinder_model::{Millis, Position};
use rejoinder_wire::event::{Event, event::Body};
use rejoinder_wire::log::Claim;

use super::{Failure, Lane, Phase};
use crate::inputs;

/// How many bytes are read from the log at a time.
const READ_BYTES: usize = 1 << 20;
/// How long a lane that is to be let go waits to read its last frames back.
const LAST_FRAMES_MS: Millis = 2_000;

impl<S: State> Lane<S> {
    /// Reads on to the end: who owns what, and this lane's own commits.
    pub(super) fn read(&mut self) -> Result<bool, Failure> {
        let records = self.stored(self.fold.next_index)?;
        let any = !records.is_empty();
        for stored in records {
            let at = Position { partition: self.partition, index: stored.index };
            let record = RecordView::peek(&stored.bytes).map_err(|damage| Failure::damaged(at, &damage))?;
            let last = self.fold.now;
            let verdict = self.fold.fold(stored.index, record.service, &record.header);
            if verdict == Verdict::ClaimCounted {
                self.after_claim(record.service, last, record.header.record_time);
            }
            self.last_checksum = record::checksum_of(&stored.bytes);
            if verdict == Verdict::Counted
                && inputs::is_tick_frame(&record).map_err(|damage| Failure::damaged(at, &damage))?
            {
                self.newest_tick = Some(at.index);
                self.last_tick = self.last_tick.max(record.header.record_time);
            }
            if record.service == S::SERVICE {
                RecordView::verify(&stored.bytes).map_err(|damage| Failure::damaged(at, &damage))?;
                self.own(at, &record, verdict)?;
            }
            if self.is_over || self.fold.next_index <= at.index {
                // Deposed: it folds again from what is stored.
                break;
            }
        }
        Ok(any)
    }

    /// The next records; none also while the log is away.
    pub(super) fn stored(&self, from: u64) -> Result<Vec<StoredRecord>, Failure> {
        match self.log.read(self.partition, from, READ_BYTES).map_err(Failure::from) {
            Err(Failure::Unreachable(_)) => Ok(Vec::new()),
            read => read,
        }
    }

    /// A record of this lane, by this writer or another.
    fn own(&mut self, at: Position, record: &RecordView, verdict: Verdict) -> Result<(), Failure> {
        match (verdict, &self.phase) {
            (Verdict::ClaimCounted, Phase::Claiming)
                if record.header.claim.as_ref().is_some_and(|claim| claim.nonce == self.nonce) =>
            {
                self.phase = Phase::Live;
                self.next_frame_no = 1;
                self.next_own_seq = self.fold.lane(S::SERVICE).next_own_seq;
            }
            (Verdict::ClaimCounted, Phase::Claiming | Phase::Live) => self.deposed()?,
            (Verdict::ClaimVoid, Phase::Claiming)
                if record.header.claim.as_ref().is_some_and(|claim| claim.nonce == self.nonce) =>
            {
                self.phase = Phase::Warm;
            }
            (Verdict::Counted, Phase::Live) => {
                let Some(frame) = self.in_flight.pop_front_if(|frame| frame.frame_no == record.header.frame_no) else {
                    return Err(Failure::Defect(format!("frame {at} counts and was not written here")));
                };
                self.applied = at.index + 1;
                self.tick_in_flight = self.tick_in_flight.filter(|tick| *tick != frame.frame_no);
                frame.jobs.into_iter().for_each(|job| job.done(at));
            }
            (Verdict::Counted, _) => self.apply_stored(at, record)?,
            (Verdict::Void, Phase::Live) if record.header.epoch == self.fold.lane(S::SERVICE).epoch.unwrap_or(0) => {
                self.deposed()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Folds a frame of this lane that stands in the log.
    fn apply_stored(&mut self, at: Position, record: &RecordView) -> Result<(), Failure> {
        let lane = *self.fold.lane(S::SERVICE);
        self.considered = self.considered.max(lane.consumed);
        self.inputs.considered(self.considered, lane.settled);
        if at.index < self.applied {
            return Ok(());
        }
        let events = record.events().map_err(|damage| Failure::Log(format!("damaged at {at}: {damage}")))?;
        let mut own_seq = record.header.first_own_seq;
        for bytes in events {
            let event =
                Event::decode(bytes).map_err(|e| Failure::Log(format!("damaged at {at}: event {own_seq}: {e}")))?;
            self.check_known(&event, at)?;
            if let Some(Body::Checkpoint(checkpoint)) = &event.body {
                let digest = self.collect();
                let comparable = checkpoint.digest_version == DIGEST_VERSION;
                if comparable && checkpoint.digest != digest.to_le_bytes() {
                    return Err(Failure::Differs { at });
                }
                self.since_checkpoint = 0;
                self.flush_wanted = true;
            }
            self.state.apply(Own { partition: self.partition, own_seq }, &event);
            own_seq += 1;
            self.since_checkpoint += 1;
        }
        self.applied = at.index + 1;
        self.next_own_seq = own_seq;
        if std::mem::take(&mut self.flush_wanted) {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn check_known(&self, event: &Event, at: Position) -> Result<(), Failure> {
        if event.body.is_none() && event.must_understand {
            let what = format!("{at} holds an event of a newer version that must be understood: use that version");
            return Err(Failure::Log(what));
        }
        Ok(())
    }

    /// `false`: the log has no room.
    pub(super) fn claim(&mut self) -> Result<bool, Failure> {
        let epoch = self.fold.lane(S::SERVICE).epoch;
        self.claims += 1;
        // Two writers may claim at the same end of the log. One of the claims counts, and only the
        // nonce says whose: the writer must be in it. The rest is derived from counts.
        let count = self.fold.next_index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.claims;
        self.nonce = count ^ ((S::SERVICE as u64) << 56) ^ self.options.writer;
        let claim = Claim {
            prev_epoch: epoch.unwrap_or_default(),
            lane_is_new: epoch.is_none(),
            nonce: self.nonce,
            address: self.address.to_string(),
        };
        let stamp = self.next_stamp();
        if !self.append(record::claim(S::SERVICE, claim, stamp))? {
            return Ok(false);
        }
        self.phase = Phase::Claiming;
        Ok(true)
    }

    /// Lets the lane claim: its assignment was confirmed after the claim that deposed it was read.
    pub fn assign(&mut self) {
        self.deposed_at = None;
    }

    pub(super) fn may_own(&self) -> bool {
        !self.options.follow_only && self.tenure.holds(self.clock.monotonic_ms(), self.deposed_at)
    }

    /// The lane goes to somebody else: nothing is decided any more, what is on its way is read back first.
    pub(super) fn leave(&mut self) -> Result<bool, Failure> {
        let now = self.clock.monotonic_ms();
        let until = *self.leaving_until.get_or_insert_with(|| now.saturating_add(LAST_FRAMES_MS));
        if self.unsent.is_some() {
            self.send()?;
        }
        if !self.in_flight.is_empty() && now < until {
            return Ok(false);
        }
        let (service, partition) = (S::SERVICE.name(), self.partition);
        tracing::info!(service, partition, unread = self.in_flight.len(), "a lane is let go");
        self.flush()?;
        self.start_over()?;
        Ok(true)
    }

    /// Keeps up with whoever has the lane, so that it can go on from here at any time.
    pub(super) fn stand_by(&mut self, at_end: bool) -> Result<bool, Failure> {
        let lost = self.lose_jobs();
        if at_end {
            self.read_inputs()?;
        }
        Ok(lost)
    }

    /// Somebody else owns the lane: what was decided and not done never was.
    fn deposed(&mut self) -> Result<(), Failure> {
        tracing::warn!(service = S::SERVICE.name(), partition = self.partition, "a lane was taken over");
        self.deposed_at = Some(self.clock.monotonic_ms());
        self.start_over()
    }

    /// `false`: the log has no room now.
    fn append(&self, record: Bytes) -> Result<bool, Failure> {
        match self.log.append(self.partition, record) {
            Ok(()) => Ok(true),
            Err(AppendError::Full(_)) => Ok(false),
            Err(error @ (AppendError::Stopped(_) | AppendError::TooLarge { .. })) => {
                Err(Failure::Log(error.to_string()))
            }
        }
    }

    /// Hands the frame that waits for room to the log.
    pub(super) fn send(&mut self) -> Result<bool, Failure> {
        let Some(record) = &self.unsent else { return Ok(false) };
        let sent = self.append(record.clone())?;
        if sent {
            self.unsent = None;
        }
        Ok(sent)
    }

    pub(super) fn next_stamp(&mut self) -> Millis {
        self.stamp = self.stamp.max(self.fold.now).max(self.clock.wall_ms());
        self.stamp
    }
}
