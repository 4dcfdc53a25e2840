//! The audit: one partition of the log, folded by itself, against what clients were told.
//!
//! It reads the log once, in order, and hands each event to the rules of its service. Each rule is a
//! file; what holds only when all is at rest is asked in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use rejoinder_event_log::{EventLog, MemoryLog, PartitionFold, RecordView, StoredRecord, Verdict};
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::{NoBacking, Own, State, TableOps, TableVisitor};
use rejoinder_model::{DAY_MS, MINUTE_MS, MessageKey, Millis, Service};
use rejoinder_wire::event::{Event, MessageRef, event::Body};

use super::Wrong;
use super::clients::Shop;
use super::promises::Promise;
use super::trace::Roughness;
use crate::client::Random;

mod alarms;
mod breaches;
mod capacity;
mod clocks;
mod hours;
mod kept;
mod offers;
mod owners;
mod placement;
mod time;
mod told;
mod work;

use clocks::Clocks;
use placement::Placement;
use time::Time;
use work::Work;

/// How long no timer fires after a downtime of more than a minute.
pub(super) const GRACE_MS: Millis = 2 * MINUTE_MS;
/// The least time between two ticks of a writer.
pub(super) const TICK_MS: Millis = 50;

/// What a partition holds.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Of the states, by service.
    pub(super) digests: [u128; 4],
    pub(super) rough: Roughness,
    /// Inputs that were set aside.
    pub(super) aside: u64,
}

/// A frame that counts.
#[derive(Clone, Copy)]
struct Frame {
    index: u64,
    consumed: (u64, u32),
    /// Up to where all upstreams have considered the log, as of this frame.
    upstreams: u64,
}

struct Auditor {
    partition: u16,
    fold: PartitionFold,
    own_seqs: [u64; 4],
    ingest: Ingest,
    /// own_seq of each message received.
    received: BTreeMap<MessageKey, u64>,
    /// The newest version of each message that was revised; the highest of all for a delete.
    revised: BTreeMap<MessageKey, i64>,
    /// What threading has to consider, in log order.
    events: Vec<Event>,
    time: Time,
    placement: Placement,
    work: Work,
    clocks: Clocks,
    /// When each request was decided, and where.
    requests: BTreeMap<(Service, MessageKey), Vec<(Millis, u64)>>,
    /// Answers to questions by the index they hold for.
    shown: BTreeMap<u64, Vec<Promise>>,
    rough: Roughness,
    aside: u64,
}

/// Audits a partition.
pub(super) fn partition(
    log: &MemoryLog,
    partition: u16,
    promises: &[Promise],
    shops: &[Shop],
    random: &mut Random,
) -> Result<Findings, Wrong> {
    let mut auditor = Auditor {
        partition,
        fold: PartitionFold::default(),
        own_seqs: [1; 4],
        ingest: Ingest::open(Arc::new(NoBacking)),
        received: BTreeMap::new(),
        revised: BTreeMap::new(),
        events: Vec::new(),
        time: Time::default(),
        placement: Placement::new(partition),
        work: Work::new(partition),
        clocks: Clocks::new(partition, shops),
        requests: BTreeMap::new(),
        shown: BTreeMap::new(),
        rough: Roughness::default(),
        aside: 0,
    };
    for promise in promises {
        if let Promise::Shown { index, .. } = promise {
            auditor.shown.entry(*index).or_default().push(promise.clone());
        }
    }
    for stored in log.read(partition, 0, usize::MAX).map_err(|error| error.to_string())? {
        auditor.record(&stored).map_err(|wrong| format!("{partition}/{}: {wrong}", stored.index))?;
    }
    auditor.conclude(promises, shops, random).map_err(|wrong| format!("partition {partition}: {wrong}"))
}

impl Auditor {
    fn record(&mut self, stored: &StoredRecord) -> Result<(), Wrong> {
        let record = RecordView::verify(&stored.bytes).map_err(|damage| damage.to_string())?;
        let before = self.fold;
        match self.fold.fold(stored.index, record.service, &record.header) {
            Verdict::ClaimCounted => {
                self.time.claim(record.service, stored.index, before.now, record.header.record_time)
            }
            Verdict::Counted => self.counted(stored.index, &record, &before)?,
            Verdict::ClaimVoid | Verdict::Repeat | Verdict::Void => {}
        }
        self.compare_shown(stored.index);
        match self.shown.remove(&stored.index).and_then(|wrong| wrong.into_iter().next()) {
            None => Ok(()),
            Some(promise) => Err(promise.broken("an answer shows what never was")),
        }
    }

    fn counted(&mut self, index: u64, record: &RecordView, before: &PartitionFold) -> Result<(), Wrong> {
        let header = &record.header;
        let next = &mut self.own_seqs[record.service as usize - 1];
        let first = *next;
        *next += u64::from(header.event_count);
        if header.first_own_seq != first {
            return Err(format!("event {first} was expected, {} follows", header.first_own_seq));
        }
        self.compare_shown(index);
        let considered = |upstream: &Service| match upstream {
            Service::Ingest => u64::MAX,
            Service::Threading | Service::Routing | Service::SlaTimer => before.lane(*upstream).consumed.index,
        };
        let upstreams = record.service.upstreams().iter().map(considered).min().unwrap_or(u64::MAX);
        let frame = Frame { index, consumed: (header.consumed_index, header.consumed_events), upstreams };
        for (number, bytes) in (0..).zip(record.events().map_err(|damage| damage.to_string())?) {
            let own_seq = first + u64::from(number);
            let event = Event::decode(bytes).map_err(|error| error.to_string())?;
            if let Some(Body::ClockTick(_)) = event.body {
                let ends = Service::ALL.map(|service| before.lane(service).next_own_seq);
                let roots = self.placement.roots();
                self.time.tick(record.service, header.epoch, index, header.record_time, ends, roots)?;
            }
            self.request(record.service, index, &event)?;
            self.aside += u64::from(matches!(event.body, Some(Body::Quarantined(_))));
            match record.service {
                Service::Ingest => self.ingest_event(index, number, own_seq, event)?,
                Service::Threading => {
                    self.checkpoint(Service::Threading, &event)?;
                    self.placement.event(frame, number, own_seq, &event, &self.time)?;
                }
                Service::Routing => {
                    self.checkpoint(Service::Routing, &event)?;
                    self.work.event(frame, own_seq, &event, &self.time, &self.placement)?;
                }
                Service::SlaTimer => {
                    self.checkpoint(Service::SlaTimer, &event)?;
                    self.clocks.event(frame, own_seq, &event, &self.time, &self.placement)?;
                }
            }
            self.compare_shown(index);
        }
        match record.service {
            Service::Ingest | Service::Threading => Ok(()),
            Service::Routing => self.work.end_of_frame(),
            Service::SlaTimer => self.clocks.end_of_frame(),
        }
    }

    /// The state of a service is what its checkpoint says.
    fn checkpoint(&mut self, service: Service, event: &Event) -> Result<(), Wrong> {
        let Some(Body::Checkpoint(checkpoint)) = &event.body else { return Ok(()) };
        self.rough.checkpoints += 1;
        if checkpoint.digest == self.digest(service).to_le_bytes() {
            return Ok(());
        }
        Err(format!("the state of {} differs from its checkpoint", service.name()))
    }

    fn digest(&mut self, service: Service) -> u128 {
        match service {
            Service::Ingest => digest(&mut self.ingest),
            Service::Threading => digest(&mut self.placement.state),
            Service::Routing => digest(&mut self.work.state),
            Service::SlaTimer => digest(&mut self.clocks.state),
        }
    }

    /// A request is done once a day.
    fn request(&mut self, service: Service, index: u64, event: &Event) -> Result<(), Wrong> {
        let Some(request) = event.request.get(..16).and_then(MessageKey::from_wire) else { return Ok(()) };
        let decided = self.requests.entry((service, request)).or_default();
        if decided.last().is_some_and(|(before, _)| event.decided_at < before + DAY_MS) {
            return Err(format!("request {request:?} is done twice within a day"));
        }
        decided.push((event.decided_at, index));
        Ok(())
    }

    fn ingest_event(&mut self, index: u64, number: u32, own_seq: u64, event: Event) -> Result<(), Wrong> {
        let workspace = event.workspace.as_str();
        self.checkpoint(Service::Ingest, &event)?;
        match &event.body {
            Some(Body::InteractionReceived(received)) => {
                let key = key_of(workspace, received.message.as_ref())?;
                if self.received.insert(key, own_seq).is_some() {
                    return Err(format!("{key:?} is received twice"));
                }
                self.placement.receive(index, number, own_seq, key, received);
            }
            Some(Body::InteractionEdited(edited)) => {
                self.revise(key_of(workspace, edited.target.as_ref())?, edited.version)?;
            }
            Some(Body::InteractionDeleted(deleted)) => {
                self.revise(key_of(workspace, deleted.target.as_ref())?, i64::MAX)?;
            }
            Some(Body::PolicyPublished(policy)) => self.work.publish(workspace, policy),
            _ => {}
        }
        self.ingest.apply(Own { partition: self.partition, own_seq }, &event);
        self.events.push(event);
        Ok(())
    }

    fn revise(&mut self, key: MessageKey, version: i64) -> Result<(), Wrong> {
        match self.revised.insert(key, version) {
            Some(before) if before >= version => Err(format!("{key:?} has version {version} after {before}")),
            _ => Ok(()),
        }
    }

    fn conclude(mut self, promises: &[Promise], shops: &[Shop], random: &mut Random) -> Result<Findings, Wrong> {
        promises.iter().try_for_each(|promise| self.keeps(promise))?;
        self.placement.conclude(&self.fold, &self.revised, &self.time)?;
        self.work.conclude(&self.fold, &self.time)?;
        self.clocks.conclude(&self.fold, &self.time, &self.placement)?;
        for shop in shops.iter().filter(|shop| shop.exists && shop.partition == self.partition) {
            self.compare_grouping(shop, random)?;
        }
        let mut rough = self.rough.with(self.work.rough).with(self.clocks.rough);
        rough.messages = self.received.len() as u64;
        rough.fired = self.placement.fired;
        rough.void = self.fold.void;
        let aside = self.aside;
        Ok(Findings { aside, digests: Service::ALL.map(|service| self.digest(service)), rough })
    }
}

fn key_of(workspace: &str, message: Option<&MessageRef>) -> Result<MessageKey, Wrong> {
    let message = message.ok_or("an event names no message")?;
    let account = (!message.global_ids).then_some(message.account.as_str());
    Ok(MessageKey::new(workspace, &message.channel, account, &message.external_id))
}

struct Digest(u128);

impl TableVisitor for Digest {
    fn visit(&mut self, table: &mut dyn TableOps) {
        table.collect(&mut Vec::new());
        self.0 = self.0.wrapping_add(table.digest());
    }
}

fn digest(state: &mut impl State) -> u128 {
    let mut digest = Digest(0);
    state.visit_tables(&mut digest);
    digest.0
}
