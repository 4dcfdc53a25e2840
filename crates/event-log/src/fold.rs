//! Ownership: which claims and frames count. One pure rule for every reader, of fixed size.
//!
//! A claim counts if it names the lane's current epoch; its index is the new epoch. A frame counts if
//! its epoch is current, its frame number and first own_seq are the next ones and what it considered
//! does not go back. A lower frame number is a repeat, anything else is void; neither changes anything.

use rejoinder_model::{Millis, Service};
use rejoinder_wire::log::Header;
use serde::{Deserialize, Serialize};

/// How far a writer has considered the log: all records below `index`, and `events` of the one at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Consumed {
    /// The first record not considered to its end.
    pub index: u64,
    /// How many of its events were considered.
    pub events: u32,
}

/// The state of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The index of the claim in force; `None` while nobody claimed it.
    pub epoch: Option<u64>,
    /// The number of the next frame of the epoch.
    pub next_frame_no: u64,
    /// The number of the next event.
    pub next_own_seq: u64,
    /// How far its frames say that it considered the log.
    pub consumed: Consumed,
    /// Below this index it and its upstreams considered everything.
    pub settled: u64,
}

/// What a record is to its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The lane has a new owner.
    ClaimCounted,
    /// The lane was somebody else's by then.
    ClaimVoid,
    /// A commit.
    Counted,
    /// A commit that stands in the log already.
    Repeat,
    /// Of an owner deposed before, or with something missing before it.
    Void,
}

impl Lane {
    /// A lane that nobody has claimed.
    #[must_use]
    pub fn new() -> Self {
        Self { epoch: None, next_frame_no: 1, next_own_seq: 1, consumed: Consumed::default(), settled: 0 }
    }

    /// Takes the record at `index` into account.
    pub fn fold(&mut self, index: u64, header: &Header) -> Verdict {
        if let Some(claim) = &header.claim {
            let named = (!claim.lane_is_new).then_some(claim.prev_epoch);
            if named != self.epoch {
                return Verdict::ClaimVoid;
            }
            self.epoch = Some(index);
            self.next_frame_no = 1;
            return Verdict::ClaimCounted;
        }
        let consumed = Consumed { index: header.consumed_index, events: header.consumed_events };
        if self.epoch != Some(header.epoch) {
            return Verdict::Void;
        }
        if header.frame_no < self.next_frame_no {
            return Verdict::Repeat;
        }
        let next = header.frame_no == self.next_frame_no && header.first_own_seq == self.next_own_seq;
        if !next || consumed < self.consumed || header.settled_index < self.settled || consumed.index > index {
            return Verdict::Void;
        }
        self.next_frame_no += 1;
        self.next_own_seq += u64::from(header.event_count);
        self.consumed = consumed;
        self.settled = header.settled_index;
        Verdict::Counted
    }
}

/// The lanes of all services in one partition, and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartitionFold {
    lanes: [Lane; 4],
    /// The index of the next record.
    pub next_index: u64,
    /// The highest record time of the counted frames.
    pub now: Millis,
    /// Records that were void.
    pub void: u64,
    /// Records that were repeats.
    pub repeats: u64,
}

impl Default for PartitionFold {
    fn default() -> Self {
        Self { lanes: [Lane::new(); 4], next_index: 0, now: 0, void: 0, repeats: 0 }
    }
}

impl PartitionFold {
    /// The lane of a service.
    #[must_use]
    pub fn lane(&self, service: Service) -> &Lane {
        &self.lanes[service as usize - 1]
    }

    /// Takes the next record into account.
    pub fn fold(&mut self, index: u64, service: Service, header: &Header) -> Verdict {
        debug_assert_eq!(index, self.next_index, "records are folded in order");
        self.next_index = index + 1;
        let verdict = self.lanes[service as usize - 1].fold(index, header);
        match verdict {
            Verdict::Counted => self.now = self.now.max(header.record_time),
            Verdict::Repeat => self.repeats += 1,
            Verdict::Void | Verdict::ClaimVoid => self.void += 1,
            Verdict::ClaimCounted => {}
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_wire::log::Claim;

    fn claim(prev: Option<u64>) -> Header {
        let claim =
            Claim { prev_epoch: prev.unwrap_or_default(), lane_is_new: prev.is_none(), nonce: 1, ..Claim::default() };
        Header { claim: Some(claim), ..Header::default() }
    }

    fn frame(epoch: u64, frame_no: u64, first_own_seq: u64, event_count: u32, consumed_index: u64) -> Header {
        Header { epoch, frame_no, first_own_seq, event_count, consumed_index, ..Header::default() }
    }

    #[test]
    fn a_lane_over_its_life() {
        let mut lane = Lane::new();
        let table = [
            (frame(0, 1, 1, 1, 0), Verdict::Void, "nobody owns it"),
            (claim(None), Verdict::ClaimCounted, "epoch 1"),
            (claim(None), Verdict::ClaimVoid, "sent twice"),
            (frame(1, 1, 1, 2, 0), Verdict::Counted, "events 1 and 2"),
            (frame(1, 1, 1, 2, 0), Verdict::Repeat, "sent twice"),
            (frame(1, 3, 3, 1, 0), Verdict::Void, "frame 2 is missing"),
            (frame(1, 2, 3, 0, 4), Verdict::Counted, "empty, considered up to 4"),
            (frame(1, 3, 3, 1, 3), Verdict::Void, "goes back"),
            (frame(1, 3, 4, 1, 4), Verdict::Void, "event 3 is missing"),
            (claim(Some(1)), Verdict::ClaimCounted, "epoch 9"),
            (claim(Some(1)), Verdict::ClaimVoid, "too late"),
            (frame(1, 3, 3, 1, 4), Verdict::Void, "a zombie's"),
            (frame(9, 1, 3, 1, 4), Verdict::Counted, "event 3"),
            (frame(9, 2, 4, 1, 99), Verdict::Void, "considered what is not there"),
        ];
        for (index, (header, verdict, why)) in table.iter().enumerate() {
            assert_eq!(lane.fold(index as u64, header), *verdict, "{index}: {why}");
        }
        assert_eq!((lane.next_own_seq, lane.next_frame_no), (4, 2));
    }
}
