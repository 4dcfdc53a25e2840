//! The log: what is visible, how much of it is durable, and what only the model knows of a record.

use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{PartitionFold, Verdict};
use rejoinder_model::Service;
use rejoinder_wire::log::{Claim, Header};

use crate::rules::Rules;
use crate::writer::LANE;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) service: Service,
    pub(crate) header: Header,
    /// Which commit it is.
    pub(crate) commit: u8,
    /// How many inputs had been considered before it, and with it.
    pub(crate) considered: (u32, u32),
    /// How long the log was when it was sent.
    pub(crate) sent_at: usize,
    /// What it is to its lane, once it stands in the log.
    pub(crate) verdict: Option<Verdict>,
}

impl Record {
    pub(crate) fn new(service: Service, header: Header) -> Self {
        let header = Header { service: service.number(), ..header };
        Self { service, header, commit: 0, considered: (0, 0), sent_at: 0, verdict: None }
    }

    fn is(&self, verdict: Verdict) -> bool {
        self.service == LANE && self.verdict == Some(verdict)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) records: Vec<Record>,
    pub(crate) durable: usize,
    fold: PartitionFold,
}

impl Log {
    /// A log in which the upstream is claimed and has written one frame of two events.
    pub(crate) fn new(rules: Rules) -> Self {
        let mut log = Self { records: Vec::new(), durable: 0, fold: PartitionFold::default() };
        let claim = Claim { lane_is_new: true, ..Claim::default() };
        log.land(rules, Record::new(Service::Ingest, Header { claim: Some(claim), ..Header::default() }));
        log.land(rules, upstream(0, 1, 1, 2));
        log.durable = log.records.len();
        log
    }

    pub(crate) fn land(&mut self, rules: Rules, mut record: Record) {
        record.verdict = Some(rules.fold(&mut self.fold, record.service, &record.header));
        self.records.push(record);
    }

    /// A further frame of the upstream of one event; before it one of a zombie of it, which is void.
    pub(crate) fn land_upstream(&mut self, rules: Rules) {
        let lane = *self.fold.lane(Service::Ingest);
        self.land(rules, upstream(7, 1, lane.next_own_seq, 1));
        self.land(rules, upstream(0, lane.next_frame_no, lane.next_own_seq, 1));
    }

    /// The power goes: what is not durable is lost.
    pub(crate) fn cut(&mut self, rules: Rules) {
        self.records.truncate(self.durable);
        self.fold = self.fold_to(rules, self.durable as u64);
    }

    /// What every reader must find who folds the log up to an index.
    pub(crate) fn fold_to(&self, rules: Rules, index: u64) -> PartitionFold {
        let mut fold = PartitionFold::default();
        for record in self.records.iter().take(index as usize) {
            rules.fold(&mut fold, record.service, &record.header);
        }
        fold
    }

    /// The lane's records of a verdict, with their indexes.
    pub(crate) fn own(&self, verdict: Verdict) -> impl DoubleEndedIterator<Item = (usize, &Record)> {
        self.records.iter().enumerate().filter(move |(_, record)| record.is(verdict))
    }

    /// The lane's commits that count, in order, up to an index.
    pub(crate) fn commits_to(&self, index: u64) -> impl Iterator<Item = u8> {
        self.own(Verdict::Counted).filter(move |(at, _)| (*at as u64) < index).map(|(_, record)| record.commit)
    }

    /// How many inputs stand before a place.
    pub(crate) fn inputs_before(&self, place: Consumed) -> u32 {
        let counted = |record: &&Record| record.service == Service::Ingest && record.verdict == Some(Verdict::Counted);
        let whole = self.records.iter().take(place.index as usize).filter(counted);
        whole.map(|record| record.header.event_count).sum::<u32>() + place.events
    }
}

fn upstream(epoch: u64, frame_no: u64, first_own_seq: u64, event_count: u32) -> Record {
    Record::new(Service::Ingest, Header { epoch, frame_no, first_own_seq, event_count, ..Header::default() })
}
