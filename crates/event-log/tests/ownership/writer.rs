//! A writer as the runtime's lane is one: it folds along, claims, decides, reads back.

use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{PartitionFold, Verdict, settled};
use rejoinder_model::Service;
use rejoinder_wire::log::{Claim, Header};

use crate::log::{Log, Record};
use crate::rules::{Fault, Rules};

/// The lane that the writers contend for.
pub(crate) const LANE: Service = Service::Threading;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Warm,
    Claiming,
    Live,
}

/// What outlives a crash: the fold and the state of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) fold: PartitionFold,
    /// The commits that were folded, in order: it stands for the state.
    pub(crate) state: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    number: u8,
    pub(crate) phase: Phase,
    pub(crate) fold: PartitionFold,
    /// The commits that are done, in order.
    pub(crate) state: Vec<u8>,
    considered: Consumed,
    /// Frame number and commit.
    pub(crate) in_flight: Vec<(u64, u8)>,
    next_frame_no: u64,
    next_own_seq: u64,
    pub(crate) assigned: bool,
    claims: u64,
    pub(crate) stored: Stored,
}

impl Writer {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            number,
            phase: Phase::Warm,
            fold: PartitionFold::default(),
            state: Vec::new(),
            considered: Consumed::default(),
            in_flight: Vec::new(),
            next_frame_no: 1,
            next_own_seq: 1,
            assigned: true,
            claims: 0,
            stored: Stored::default(),
        }
    }

    /// Starts again from what is stored; what was speculative never was.
    fn start_over(&mut self) {
        let Stored { fold, state } = self.stored.clone();
        let (number, assigned, claims, stored) = (self.number, self.assigned, self.claims, self.stored.clone());
        let considered = fold.lane(LANE).consumed;
        *self = Self { fold, state, considered, assigned, claims, stored, ..Self::new(number) };
    }

    /// The process dies and another one, assigned anew, takes its place.
    pub(crate) fn crash(&mut self) {
        self.start_over();
        self.assigned = true;
    }

    /// Reads to the end of what it may see, or until it is deposed. Adds what it acknowledges.
    pub(crate) fn read(&mut self, rules: Rules, log: &Log, acknowledged: &mut u32) {
        let end = if rules.has(Fault::AcknowledgesAtVisible) { log.records.len() } else { log.durable };
        while let Some(record) = log.records[..end].get(self.fold.next_index as usize) {
            let verdict = rules.fold(&mut self.fold, record.service, &record.header);
            if record.service == LANE && !self.own(rules, record, verdict, acknowledged) {
                self.assigned = false;
                self.start_over();
                return;
            }
        }
    }

    /// A record of the lane. Is this writer deposed by it? Then false.
    fn own(&mut self, rules: Rules, record: &Record, verdict: Verdict, acknowledged: &mut u32) -> bool {
        let nonce = record.header.claim.as_ref().map(|claim| claim.nonce);
        let is_mine = nonce == Some(self.nonce(rules));
        match (verdict, self.phase) {
            (Verdict::ClaimCounted, Phase::Claiming) if is_mine => {
                self.phase = Phase::Live;
                self.next_frame_no = 1;
                self.next_own_seq = self.fold.lane(LANE).next_own_seq;
            }
            (Verdict::ClaimCounted, Phase::Claiming | Phase::Live) => return false,
            (Verdict::ClaimVoid, Phase::Claiming) if is_mine => self.phase = Phase::Warm,
            (Verdict::Counted, Phase::Live) => {
                if self.in_flight.first().is_some_and(|(frame_no, _)| *frame_no == record.header.frame_no) {
                    let (_, commit) = self.in_flight.remove(0);
                    *acknowledged |= 1 << commit;
                }
                self.state.push(record.commit);
            }
            (Verdict::Counted, Phase::Warm | Phase::Claiming) => {
                self.state.push(record.commit);
                self.believe(record);
            }
            (Verdict::Void, Phase::Live) if Some(record.header.epoch) == self.fold.lane(LANE).epoch => return false,
            (Verdict::Void, _) if rules.has(Fault::VoidIsProgress) => self.believe(record),
            (Verdict::ClaimCounted | Verdict::ClaimVoid | Verdict::Void | Verdict::Repeat, _) => {}
        }
        true
    }

    fn believe(&mut self, record: &Record) {
        let Header { consumed_index: index, consumed_events: events, .. } = record.header;
        self.considered = self.considered.max(Consumed { index, events });
    }

    fn nonce(&self, rules: Rules) -> u64 {
        if rules.has(Fault::AlikeNonces) { self.claims } else { self.claims * 2 + u64::from(self.number) }
    }

    pub(crate) fn has_claimed(&self) -> bool {
        self.claims > 0
    }

    pub(crate) fn claim(&mut self, rules: Rules) -> Record {
        self.claims += 1;
        self.phase = Phase::Claiming;
        self.claim_again(rules)
    }

    /// The claim, unchanged: its outcome is not known.
    pub(crate) fn claim_again(&self, rules: Rules) -> Record {
        let epoch = self.fold.lane(LANE).epoch;
        let nonce = self.nonce(rules);
        let claim =
            Claim { prev_epoch: epoch.unwrap_or_default(), lane_is_new: epoch.is_none(), nonce, ..Claim::default() };
        Record::new(LANE, Header { claim: Some(claim), ..Header::default() })
    }

    /// The next event to consider: where it stands, and whether it is the last one there.
    pub(crate) fn next_input(&self, log: &Log) -> Option<(Consumed, bool)> {
        let read = self.fold.next_index.min(log.records.len() as u64);
        (self.considered.index..read).find_map(|index| {
            let record = &log.records[index as usize];
            let events = if index == self.considered.index { self.considered.events } else { 0 };
            let count = record.header.event_count;
            let is_input = LANE.upstreams().contains(&record.service) && record.verdict == Some(Verdict::Counted);
            (is_input && events < count).then_some((Consumed { index, events }, events + 1 == count))
        })
    }

    /// Decides: considers the next input or not, and writes `events` events.
    pub(crate) fn decide(&mut self, rules: Rules, log: &Log, considers: bool, events: u32, commit: u8) -> Record {
        let before = log.inputs_before(self.considered);
        let mut after = before;
        if considers && let Some((at, is_last)) = self.next_input(log) {
            after = log.inputs_before(at) + 1;
            let next = Consumed { index: at.index, events: at.events + 1 };
            self.considered = if is_last { Consumed { index: at.index + 1, events: 0 } } else { next };
        }
        let lane = self.fold.lane(LANE);
        let header = Header {
            epoch: lane.epoch.unwrap_or_default(),
            frame_no: self.next_frame_no,
            first_own_seq: self.next_own_seq,
            event_count: events,
            consumed_index: self.considered.index,
            consumed_events: if rules.has(Fault::BarePosition) { 0 } else { self.considered.events },
            settled_index: settled::settled_with(&self.fold, LANE, self.considered.index).max(lane.settled),
            ..Header::default()
        };
        self.in_flight.push((self.next_frame_no, commit));
        self.next_frame_no += 1;
        self.next_own_seq += u64::from(events);
        Record { commit, considered: (before, after), ..Record::new(LANE, header) }
    }

    /// Stores the state, if there is anything new that is done and nothing that is not.
    pub(crate) fn flush(&mut self, rules: Rules, log: &Log) {
        self.stored = Stored { fold: self.fold, state: self.state.clone() };
        if rules.has(Fault::FlushesAtVisible) {
            for record in log.records.iter().skip(self.fold.next_index as usize) {
                let fold = &mut self.stored.fold;
                let verdict = rules.fold(fold, record.service, &record.header);
                if record.service == LANE && verdict == Verdict::Counted {
                    self.stored.state.push(record.commit);
                }
            }
        }
    }

    pub(crate) fn may_flush(&self) -> bool {
        self.in_flight.is_empty() && self.stored.state != self.state
    }
}
