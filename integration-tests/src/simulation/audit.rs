//! The audit: one partition of the log, folded by itself, against what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rejoinder_event_log::{EventLog, MemoryLog, PartitionFold, RecordView, StoredRecord, Verdict};
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::{NoBacking, Own, State, TableOps, TableVisitor};
use rejoinder_model::{DAY_MS, InteractionId, MINUTE_MS, MessageKey, Millis, Service};
use rejoinder_wire::event::{Event, MessageRef, event::Body};

use super::Wrong;
use super::clients::Shop;
use super::grouping::{grouping, told};
use super::promises::{Promise, threads_of};
use crate::client::Random;

mod placement;

use placement::Placement;

/// How long no timer fires after a downtime of more than a minute.
pub(super) const GRACE_MS: Millis = 2 * MINUTE_MS;
/// The least time between two ticks of a writer.
pub(super) const TICK_MS: Millis = 50;

/// What a partition holds.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) ingest_digest: u128,
    pub(super) threading_digest: u128,
    pub(super) messages: u64,
    pub(super) fired: u64,
    pub(super) checkpoints: u64,
    pub(super) void: u64,
}

/// A frame that counts.
#[derive(Clone, Copy)]
struct Frame {
    index: u64,
    consumed: (u64, u32),
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
    placement: Placement,
    /// When each request was decided, and where.
    requests: BTreeMap<MessageKey, Vec<(Millis, u64)>>,
    /// By service: where its owner claimed, and until when what waits outside may come in first.
    graces: [(u64, Millis); 4],
    last_ticks: BTreeMap<(Service, u64), Millis>,
    /// Answers to questions by the index they hold for.
    shown: BTreeMap<u64, Vec<Promise>>,
    checkpoints: u64,
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
        placement: Placement::new(partition),
        requests: BTreeMap::new(),
        graces: [(0, Millis::MIN); 4],
        last_ticks: BTreeMap::new(),
        shown: BTreeMap::new(),
        checkpoints: 0,
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
                let back = record.header.record_time;
                let was_down = before.now > 0 && back - before.now > MINUTE_MS;
                // The newest owner's clock is the one to go by.
                let until = if was_down { back + GRACE_MS } else { Millis::MIN };
                self.graces[record.service as usize - 1] = (stored.index, until);
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
        let frame = Frame { index, consumed: (header.consumed_index, header.consumed_events) };
        for (number, bytes) in (0..).zip(record.events().map_err(|damage| damage.to_string())?) {
            let own_seq = first + u64::from(number);
            let event = Event::decode(bytes).map_err(|error| error.to_string())?;
            if let Some(Body::ClockTick(_)) = event.body {
                let own_seq_end = before.lane(Service::Threading).next_own_seq;
                self.placement.tick(index, header.record_time, own_seq_end);
                self.tick(record.service, header.epoch, header.record_time)?;
            }
            match record.service {
                Service::Ingest => self.ingest_event(index, number, own_seq, event)?,
                Service::Threading => self.threading_event(frame, own_seq, &event)?,
                Service::Routing | Service::SlaTimer => return Err("nobody writes these here".into()),
            }
            self.compare_shown(index);
        }
        Ok(())
    }

    /// Sees which answers show the state as it is now.
    fn compare_shown(&mut self, index: u64) {
        let state = &self.placement.state;
        if let Some(shown) = self.shown.get_mut(&index) {
            shown.retain(|promise| {
                let Promise::Shown { workspace, threads, .. } = promise else { return false };
                threads_of(state, workspace) != *threads
            });
        }
    }

    fn tick(&mut self, service: Service, epoch: u64, stamp: Millis) -> Result<(), Wrong> {
        // Who ticks has read the log up to its own claim at least.
        if let Some((_, until)) = self.graces.iter().find(|(at, until)| *at <= epoch && stamp < *until) {
            return Err(format!("a tick at {stamp}, and the grace after a downtime ends at {until}"));
        }
        match self.last_ticks.insert((service, epoch), stamp) {
            Some(last) if stamp < last + TICK_MS => Err(format!("a tick at {stamp}, soon after the one at {last}")),
            _ => Ok(()),
        }
    }

    fn ingest_event(&mut self, index: u64, number: u32, own_seq: u64, event: Event) -> Result<(), Wrong> {
        let workspace = event.workspace.as_str();
        let own = Own { partition: self.partition, own_seq };
        match &event.body {
            Some(Body::Checkpoint(checkpoint)) => {
                self.checkpoints += 1;
                same(&checkpoint.digest, digest(&mut self.ingest))?;
            }
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
            _ => {}
        }
        self.ingest.apply(own, &event);
        self.events.push(event);
        Ok(())
    }

    fn revise(&mut self, key: MessageKey, version: i64) -> Result<(), Wrong> {
        match self.revised.insert(key, version) {
            Some(before) if before >= version => Err(format!("{key:?} has version {version} after {before}")),
            _ => Ok(()),
        }
    }

    fn threading_event(&mut self, frame: Frame, own_seq: u64, event: &Event) -> Result<(), Wrong> {
        if let Some(Body::Checkpoint(checkpoint)) = &event.body {
            self.checkpoints += 1;
            same(&checkpoint.digest, digest(&mut self.placement.state))?;
        }
        if let Some(Body::Quarantined(quarantined)) = &event.body {
            return Err(format!("an input was set aside: {}", quarantined.reason));
        }
        if let Some(request) = event.request.get(..16).and_then(MessageKey::from_wire) {
            let decided = self.requests.entry(request).or_default();
            if decided.last().is_some_and(|(before, _)| event.decided_at < before + DAY_MS) {
                return Err(format!("request {request:?} is done twice within a day"));
            }
            decided.push((event.decided_at, frame.index));
        }
        self.placement.event(frame, own_seq, event)
    }

    fn conclude(mut self, promises: &[Promise], shops: &[Shop], random: &mut Random) -> Result<Findings, Wrong> {
        promises.iter().try_for_each(|promise| self.keeps(promise))?;
        self.placement.conclude(&self.fold, &self.revised)?;
        for shop in shops.iter().filter(|shop| shop.exists && shop.partition == self.partition) {
            self.compare_grouping(shop, random)?;
        }
        Ok(Findings {
            ingest_digest: digest(&mut self.ingest),
            threading_digest: digest(&mut self.placement.state),
            messages: self.received.len() as u64,
            fired: self.placement.fired,
            checkpoints: self.checkpoints,
            void: self.fold.void,
        })
    }

    fn keeps(&self, promise: &Promise) -> Result<(), Wrong> {
        let (kept, why) = match promise {
            Promise::Stands { key, id } => {
                let stands = self.received.get(key).map(|own_seq| InteractionId::new(self.partition, *own_seq));
                (stands == Some(*id), "acknowledged and not in the log under this id")
            }
            Promise::Edited { key, version } => {
                let newest = self.revised.get(key);
                (newest.is_some_and(|newest| newest >= version), "acknowledged and not in the log")
            }
            Promise::Deleted { key } => (self.revised.get(key) == Some(&i64::MAX), "acknowledged and not in the log"),
            Promise::Refused { key } => (!self.received.contains_key(key), "refused and in the log"),
            Promise::Commanded { request, index } => {
                let decided = self.requests.get(request);
                let stands = decided.is_some_and(|decided| decided.iter().any(|(_, at)| at <= index));
                (stands, "done and not in the log")
            }
            Promise::CommandRefused { request } => (!self.requests.contains_key(request), "refused and in the log"),
            Promise::Shown { index, .. } => (*index < self.fold.next_index, "shown as of beyond the end"),
        };
        if kept { Ok(()) } else { Err(promise.broken(why)) }
    }

    /// The same messages told in another order are grouped alike.
    fn compare_grouping(&self, shop: &Shop, random: &mut Random) -> Result<(), Wrong> {
        let theirs = self.events.iter().filter(|event| event.workspace == shop.name);
        let (mut told_last, policies): (Vec<&Event>, Vec<&Event>) =
            theirs.partition(|event| !matches!(event.body, Some(Body::PolicyPublished(_))));
        let keys = told_last.iter().filter_map(|event| match &event.body {
            Some(Body::InteractionReceived(received)) => key_of(&shop.name, received.message.as_ref()).ok(),
            _ => None,
        });
        let keys: BTreeSet<MessageKey> = keys.collect();
        crate::shuffle(&mut told_last, random.below(u64::MAX >> 33));
        let other = grouping(&told(policies.into_iter().chain(told_last))?, &keys);
        let this = grouping(&self.placement.state, &keys);
        if this.conversations != other.conversations {
            return Err(format!("{} has other conversations when told in another order", shop.name));
        }
        if !shop.regroups && this.threads != other.threads {
            return Err(format!("{} has other threads when told in another order", shop.name));
        }
        Ok(())
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

fn same(checkpoint: &[u8], digest: u128) -> Result<(), Wrong> {
    if checkpoint == digest.to_le_bytes() { Ok(()) } else { Err("the state differs from its checkpoint".into()) }
}
