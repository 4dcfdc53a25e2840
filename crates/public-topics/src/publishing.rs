//! The publisher's turns: what the log has got, in one transaction with the position after it.
//!
//! A turn reads, writes and commits; nothing is open between turns, and the group is heard there only. So
//! partitions never leave in the middle of a transaction, unless the process was stopped in it for longer
//! than its session: then the broker refuses the positions, and with them the records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use rejoinder_event_log::{EventLog, PartitionFold, ReadError, RecordView, StoredRecord, Verdict};
use rejoinder_model::{Position, Service};

use crate::cloud_event::{Origin, public_record};
use crate::error::told;
use crate::group::{Assignment, Member};
use crate::metric_definitions as metric;
use crate::position::{self, Committed};
use crate::publisher::Options;
use crate::table::Topic;
use crate::transaction::{Addressed, Writer};

/// How long a broker may take to say how far a partition is published.
const PATIENCE: Duration = Duration::from_secs(1);
/// Turns between two such questions, where a transaction that is not over keeps the answer back.
const ASK_AGAIN_TURNS: u32 = 5;
/// Turns after which a position moves that nothing public came after.
const IDLE_TURNS: u32 = 100;
/// Between failures.
const PAUSE: Duration = Duration::from_millis(500);

/// A partition of this process.
struct Cursor {
    fold: PartitionFold,
    /// Records before it are folded, and were published before.
    from: u64,
    /// The position on the broker; `None`: there is none yet.
    committed: Option<u64>,
}

impl Cursor {
    /// The position that a transaction should hold, if any.
    fn moved(&self) -> Option<u64> {
        let next = self.fold.next_index;
        (next >= self.from && self.committed.is_none_or(|committed| committed < next)).then_some(next)
    }
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}", told(.0))]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Log(ReadError),
}

/// What a turn read.
#[derive(Default)]
struct Batch {
    records: Vec<Addressed>,
    bytes: usize,
}

/// All that the publisher's thread knows.
pub(crate) struct Publishing {
    log: Arc<dyn EventLog>,
    options: Options,
    member: Member,
    assignment: Option<Arc<Assignment>>,
    writer: Option<Writer>,
    cursors: BTreeMap<u16, Cursor>,
    /// Partitions that cannot be published until somebody acts.
    halted: BTreeSet<u16>,
    /// The partition to be read next.
    next: u16,
    /// Turns until positions are asked for, and the partition that is asked for first.
    ask_in: u32,
    ask_from: u16,
    /// Since the last transaction.
    idle: u32,
}

impl Publishing {
    pub(crate) fn new(log: Arc<dyn EventLog>, options: Options, member: Member) -> Self {
        let (assignment, writer, cursors, halted) = (None, None, BTreeMap::new(), BTreeSet::new());
        Self { log, options, member, assignment, writer, cursors, halted, next: 0, ask_in: 0, ask_from: 0, idle: 0 }
    }

    /// Runs until the other end is dropped, or another process is this member of the group.
    pub(crate) fn run(&mut self, stopped: &Receiver<()>) {
        let mut wait = Duration::ZERO;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            if let Err(reason) = self.hear() {
                tracing::error!(reason, instance = self.options.instance, "another process publishes under this name");
                return self.leave();
            }
            wait = match self.turn() {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.options.interval,
                Err(failure) => {
                    tracing::warn!(%failure, "publishing starts again from the last position");
                    self.give_up(&failure);
                    PAUSE
                }
            };
        }
        self.leave();
        self.member.leave();
    }

    /// What the group says now.
    fn hear(&mut self) -> Result<(), String> {
        let now = self.member.assignment()?;
        let same = match (&self.assignment, &now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            self.leave();
            self.assignment = now;
        }
        Ok(())
    }

    /// Forgets its partitions.
    fn leave(&mut self) {
        if let Some(before) = self.assignment.take() {
            before.partitions.iter().for_each(|partition| metric::lag(*partition, 0));
        }
        self.cursors.clear();
        self.halted.clear();
        self.ask_in = 0;
    }

    /// Forgets what is not known to be on the broker.
    fn give_up(&mut self, failure: &Failure) {
        self.cursors.clear();
        self.ask_in = 0;
        self.idle = 0;
        if let Failure::Kafka(error) = failure
            && let Some(writer) = self.writer.take()
        {
            self.writer = writer.after(error);
        }
    }

    /// Publishes what there is, at most what a transaction holds; true if there may be more.
    fn turn(&mut self) -> Result<bool, Failure> {
        let Some(assignment) = self.assignment.clone() else { return Ok(false) };
        // First the producer: what its last life left open is over then, and positions can be had.
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => Writer::start(&self.options)?,
        };
        self.writer = Some(writer);
        self.ask(&assignment);
        let new = self.cursors.values().any(|cursor| cursor.committed.is_none());
        let batch = if new { Batch::default() } else { self.collect()? };
        let full = batch.bytes >= self.options.transaction_bytes;
        self.idle += 1;
        if new || !batch.records.is_empty() || self.idle >= IDLE_TURNS {
            self.commit(&assignment, &batch)?;
            self.idle = 0;
        }
        for partition in &assignment.partitions {
            let looked_at = match self.cursors.get(partition) {
                Some(cursor) => cursor.fold.next_index,
                None if self.halted.contains(partition) => 0,
                None => continue,
            };
            metric::lag(*partition, self.log.end(*partition).saturating_sub(looked_at));
        }
        Ok(full || new)
    }

    /// Asks how far partitions are published that this process has not asked for yet.
    fn ask(&mut self, assignment: &Assignment) {
        let unknown = |partition: &&u16| !self.cursors.contains_key(partition) && !self.halted.contains(partition);
        let mut unknown: Vec<u16> = assignment.partitions.iter().filter(unknown).copied().collect();
        if unknown.is_empty() || self.ask_in > 0 {
            self.ask_in = self.ask_in.saturating_sub(1);
            return;
        }
        unknown.sort_by_key(|partition| (*partition < self.ask_from, *partition));
        for partition in unknown {
            match self.cursor(partition) {
                Ok(Ok(cursor)) => {
                    tracing::debug!(partition, from = cursor.from, "a partition is published");
                    self.cursors.insert(partition, cursor);
                }
                Ok(Err(what)) => self.halt(partition, &what),
                // Most often a transaction of who had it before is not over, or the topics are new.
                Err(error) => {
                    tracing::info!(partition, error = told(&error), "the position of a partition is not known yet");
                    self.ask_in = ASK_AGAIN_TURNS;
                    // Waiting for one answer is enough for a turn: the other partitions go on meanwhile.
                    self.ask_from = partition.saturating_add(1);
                    break;
                }
            }
        }
    }

    /// Where to go on in a partition, or why nobody may.
    fn cursor(&self, partition: u16) -> Result<Result<Cursor, String>, KafkaError> {
        let topic = &self.options.events_topic;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, i32::from(partition));
        let list = self.member.consumer.committed_offsets(list, PATIENCE)?;
        let found = list.find_partition(topic, i32::from(partition));
        let found = found.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
        found.error()?;
        match found.offset() {
            Offset::Offset(index) => Ok(self.resumed(index, found.metadata())),
            Offset::Invalid | Offset::Beginning | Offset::End | Offset::Stored | Offset::OffsetTail(_) => {
                self.begun(partition)
            }
        }
    }

    fn resumed(&self, index: i64, metadata: &str) -> Result<Cursor, String> {
        let index = u64::try_from(index).map_err(|error| error.to_string())?;
        let Committed { index, fold } = position::committed(self.log.id(), index, metadata)
            .map_err(|error| format!("the group's offset {index} is not to be used: {error}"))?;
        Ok(Cursor { fold: fold.unwrap_or_default(), from: index, committed: Some(index) })
    }

    /// A partition that nobody has published yet. The first transaction holds its position only: if
    /// there is none later, it was lost, as an idle group's are after days.
    fn begun(&self, partition: u16) -> Result<Result<Cursor, String>, KafkaError> {
        for topic in Topic::ALL.map(|topic| topic.name(&self.options.prefix)) {
            let (_, end) = self.member.consumer.fetch_watermarks(&topic, i32::from(partition), PATIENCE)?;
            if end > 0 {
                return Ok(Err(format!(
                    "the group {} has no offset for it, and {topic} has records: set the offset to the index in \
                     the last ce_position of the four topics plus one, with kafka-consumer-groups.sh",
                    crate::group::name(&self.options.events_topic)
                )));
            }
        }
        Ok(Ok(Cursor { fold: PartitionFold::default(), from: 0, committed: None }))
    }

    /// Reads a partition no further. What was read before is still committed.
    fn halt(&mut self, partition: u16, what: &str) {
        tracing::error!(partition, what, "a partition is not published any more");
        self.halted.insert(partition);
    }

    /// Reads on in all partitions in turns, until a transaction is full or nothing is left.
    fn collect(&mut self) -> Result<Batch, Failure> {
        let mut batch = Batch::default();
        let partitions = u32::try_from(self.cursors.len()).unwrap_or(u32::MAX).max(1);
        let share = self.options.transaction_bytes / partitions as usize;
        let mut idle = 0;
        while idle < partitions && batch.bytes < self.options.transaction_bytes {
            let next = self.cursors.range(self.next..).next().or_else(|| self.cursors.iter().next());
            let Some(partition) = next.map(|(partition, _)| *partition) else { break };
            self.next = partition.saturating_add(1);
            idle = if self.read(partition, share, &mut batch)? { 0 } else { idle + 1 };
        }
        Ok(batch)
    }

    /// Reads on in one partition; false at its end.
    fn read(&mut self, partition: u16, max_bytes: usize, batch: &mut Batch) -> Result<bool, Failure> {
        let Some(cursor) = self.cursors.get_mut(&partition).filter(|_| !self.halted.contains(&partition)) else {
            return Ok(false);
        };
        let records = match self.log.read(partition, cursor.fold.next_index, max_bytes) {
            Ok(records) => records,
            Err(error @ ReadError::Damaged { .. }) => {
                self.halt(partition, &error.to_string());
                return Ok(false);
            }
            Err(error @ (ReadError::Storage(_) | ReadError::Unavailable(_))) => return Err(Failure::Log(error)),
        };
        for record in &records {
            if let Err(what) = take(&*self.log, partition, cursor, record, batch) {
                self.halt(partition, &format!("{partition}/{}: {what}", record.index));
                return Ok(false);
            }
        }
        Ok(!records.is_empty())
    }

    fn commit(&mut self, assignment: &Assignment, batch: &Batch) -> Result<(), KafkaError> {
        let mut positions = TopicPartitionList::new();
        let mut moved = Vec::new();
        for (partition, cursor) in &self.cursors {
            let Some(next) = cursor.moved() else { continue };
            let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
            let mut position = positions.add_partition(&self.options.events_topic, i32::from(*partition));
            position.set_offset(offset)?;
            position.set_metadata(position::metadata(self.log.id(), &cursor.fold));
            moved.push((*partition, next));
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        if moved.is_empty() {
            return Ok(());
        }
        writer.write(&batch.records, &positions, &assignment.metadata).inspect_err(|_| metric::aborted())?;
        for (partition, next) in moved {
            if let Some(cursor) = self.cursors.get_mut(&partition) {
                cursor.committed = Some(next);
            }
        }
        let mut by_topic = [0; Topic::ALL.len()];
        batch.records.iter().for_each(|(_, record)| by_topic[record.topic as usize] += 1);
        metric::committed(by_topic);
        Ok(())
    }
}

/// Takes the next record of a partition.
fn take(
    log: &dyn EventLog,
    partition: u16,
    cursor: &mut Cursor,
    record: &StoredRecord,
    batch: &mut Batch,
) -> Result<(), String> {
    let view = RecordView::verify(&record.bytes).map_err(|damage| damage.to_string())?;
    batch.bytes += record.bytes.len();
    let mut fold = cursor.fold;
    let counted = fold.fold(record.index, view.service, &view.header) == Verdict::Counted;
    // Nothing of ingest is public.
    if counted && record.index >= cursor.from && view.service != Service::Ingest {
        let held = batch.records.len();
        let events = view.events().map_err(|damage| damage.to_string())?;
        for (number, event) in (0..).zip(&events) {
            let origin = Origin {
                log: log.id(),
                position: Position { partition, index: record.index },
                event: number,
                service: view.service,
                own_seq: view.header.first_own_seq + u64::from(number),
                record_time: view.header.record_time,
            };
            match public_record(&origin, event) {
                Ok(None) => {}
                Ok(Some(public)) => {
                    batch.bytes += public.bytes();
                    batch.records.push((partition, public));
                }
                Err(unreadable) => {
                    // The frame is published whole or not at all.
                    batch.records.truncate(held);
                    return Err(format!("event {number}: {unreadable}"));
                }
            }
        }
    }
    cursor.fold = fold;
    Ok(())
}
