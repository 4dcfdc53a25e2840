//! The log of a small world: real headers over facts in short.

use rejoinder_event_log::{PartitionFold, Verdict};
use rejoinder_model::Service;
use rejoinder_wire::log::{Claim, Header};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    /// A customer asks; an answer is due by then.
    Asked {
        due: i64,
    },
    /// The company answers.
    Answered,
    /// Time has come to the record's stamp.
    Tick,
    /// A service armed its timer.
    Armed {
        due: i64,
    },
    /// It fired, by the tick at an index.
    Fired {
        tick: u64,
    },
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) service: Service,
    pub(crate) header: Header,
    pub(crate) facts: Vec<Fact>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    /// Ownership as of the end.
    pub(crate) fold: PartitionFold,
}

impl Log {
    /// A log in which every service has claimed its lane.
    pub(crate) fn new() -> Self {
        let mut log = Self::default();
        for service in Service::ALL {
            let claim = Claim { lane_is_new: true, ..Claim::default() };
            log.push(service, Header { claim: Some(claim), ..Header::default() }, Vec::new());
        }
        log
    }

    /// Appends the next frame of a service; `progress`: what it considered, what is settled.
    pub(crate) fn append(&mut self, service: Service, stamp: i64, progress: (u64, u64), facts: Vec<Fact>) {
        let lane = self.fold.lane(service);
        let header = Header {
            service: service.number(),
            epoch: lane.epoch.unwrap_or_default(),
            frame_no: lane.next_frame_no,
            first_own_seq: lane.next_own_seq,
            event_count: facts.len() as u32,
            consumed_index: progress.0,
            settled_index: progress.1,
            record_time: stamp.max(self.fold.now),
            ..Header::default()
        };
        self.push(service, header, facts);
    }

    fn push(&mut self, service: Service, header: Header, facts: Vec<Fact>) {
        let verdict = self.fold.fold(self.entries.len() as u64, service, &header);
        self.entries.push(Entry { service, header, facts, verdict });
    }

    /// Ownership as of an index.
    pub(crate) fn fold_to(&self, index: u64) -> PartitionFold {
        let mut fold = PartitionFold::default();
        for entry in self.entries.iter().take(index as usize) {
            fold.fold(fold.next_index, entry.service, &entry.header);
        }
        fold
    }

    /// The stamp of the tick at an index, if there is one.
    pub(crate) fn stamp_of_tick(&self, index: u64) -> Option<i64> {
        let entry = self.entries.get(index as usize)?;
        entry.facts.contains(&Fact::Tick).then_some(entry.header.record_time)
    }

    /// All facts of a service with the indexes of their records.
    pub(crate) fn facts(&self, of: Service) -> impl Iterator<Item = (u64, Fact)> {
        let entries = (0..).zip(&self.entries).filter(move |(_, entry)| entry.service == of);
        entries.flat_map(|(index, entry)| entry.facts.iter().map(move |fact| (index, *fact)))
    }

    /// Where the company's answer stands, as a service says it.
    pub(crate) fn answered(&self, by: Service) -> Option<u64> {
        self.facts(by).find(|(_, fact)| *fact == Fact::Answered).map(|(index, _)| index)
    }
}
