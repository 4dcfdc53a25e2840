//! A member's place: what the group gave it, what it asked the coordinator, and what it was told.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Tenant;

/// How often the coordinator is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How soon again after it gave no answer or another one, as it does while a rebalance is under way.
const AGAIN: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_methods, reason = "how long a session lasts is counted by the process, not by the log")]
pub(super) fn now() -> Instant {
    Instant::now()
}

struct Held {
    partitions: BTreeSet<u16>,
    /// What the question under way is about, without what was taken away meanwhile: its answer says
    /// nothing about a partition that went and came back.
    asked: BTreeSet<u16>,
    /// When to ask again.
    next: Instant,
    ended: bool,
}

/// The place of one session at the brokers.
pub(super) struct Place {
    topic: String,
    tenant: Arc<dyn Tenant>,
    held: Mutex<Held>,
    news: Condvar,
    /// Brokers are away, and that was said.
    away: AtomicBool,
    panicked: AtomicBool,
}

fn partitions_of(list: &TopicPartitionList) -> Vec<u16> {
    list.elements().iter().filter_map(|element| u16::try_from(element.partition()).ok()).collect()
}

impl Place {
    pub(super) fn new(topic: &str, tenant: Arc<dyn Tenant>) -> Self {
        let held = Held { partitions: BTreeSet::new(), asked: BTreeSet::new(), next: now(), ended: false };
        let (held, news) = (Mutex::new(held), Condvar::new());
        Self {
            topic: topic.to_owned(),
            tenant,
            held,
            news,
            away: AtomicBool::default(),
            panicked: AtomicBool::default(),
        }
    }

    /// Asks the coordinator again and again whether what is held still is, until the end. A question
    /// waits for its answer, here in a thread of its own: librdkafka tells nobody of an answer to an
    /// explicit commit that was not waited for.
    pub(super) fn ask(&self, consumer: &BaseConsumer<Self>) {
        while let Some((partitions, at)) = self.next_question() {
            let mut offsets = TopicPartitionList::new();
            for partition in partitions {
                let progress = self.tell(|tenant| tenant.progress(partition)).unwrap_or_default();
                let offset = Offset::Offset(i64::try_from(progress).unwrap_or(i64::MAX));
                // It fails only for an offset that means something else.
                let _ = offsets.add_partition_offset(&self.topic, i32::from(partition), offset);
            }
            let answer = consumer.commit(&offsets, CommitMode::Sync);
            if answer.is_ok() {
                self.away.store(false, Ordering::Relaxed);
            }
            let mut held = self.held();
            let confirmed: Vec<u16> = std::mem::take(&mut held.asked).into_iter().collect();
            match answer {
                // Within the lock: nothing is confirmed while or after it is taken away.
                Ok(()) if !confirmed.is_empty() => {
                    self.tell(|tenant| tenant.confirmed(&confirmed, at));
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "the group's coordinator did not confirm");
                    held.next = now() + AGAIN;
                }
            }
        }
    }

    /// What to ask about, when it is time to, and that time; nothing at the end.
    fn next_question(&self) -> Option<(Vec<u16>, Instant)> {
        let mut held = self.held();
        while !held.ended {
            let at = now();
            let wait = if held.partitions.is_empty() { EVERY } else { held.next.saturating_duration_since(at) };
            if wait.is_zero() {
                held.next = at + EVERY;
                held.asked = held.partitions.clone();
                return Some((held.partitions.iter().copied().collect(), at));
            }
            held = self.news.wait_timeout(held, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// No more questions.
    pub(super) fn end(&self) {
        self.held().ended = true;
        self.news.notify_all();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held().partitions.is_empty()
    }

    /// Whether the tenant failed at something: it may hold what it should not.
    pub(super) fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    /// Gives up what is held: the client will never hear of the group again.
    pub(super) fn lose_all(&self) {
        let all: Vec<u16> = self.held().partitions.iter().copied().collect();
        self.remove(&all);
        self.lose(&all);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant that panics must not tear the client down from within its own callback, which would
    /// never end, with the heartbeats of a member that does nothing.
    fn tell<T>(&self, what: impl FnOnce(&dyn Tenant) -> T) -> Option<T> {
        let told = catch_unwind(AssertUnwindSafe(|| what(&*self.tenant)));
        if told.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        told.ok()
    }

    fn add(&self, added: &[u16]) {
        let mut held = self.held();
        held.partitions.extend(added);
        held.next = now();
        if held.partitions.is_empty() {
            self.tell(|tenant| tenant.confirmed(&[], held.next));
        }
        self.news.notify_all();
    }

    fn remove(&self, partitions: &[u16]) {
        let mut held = self.held();
        for partition in partitions {
            held.partitions.remove(partition);
            held.asked.remove(partition);
        }
    }

    fn lose(&self, partitions: &[u16]) {
        if !partitions.is_empty() {
            self.tell(|tenant| tenant.lost(partitions));
        }
    }
}

impl ClientContext for Place {
    fn error(&self, error: KafkaError, reason: &str) {
        // Once an outage, not with each of several tries a second.
        if self.away.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, reason, "Kafka");
        } else {
            tracing::warn!(%error, reason, "Kafka");
        }
    }
}

impl ConsumerContext for Place {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions_of(list);
        // Nothing is to be read: librdkafka acknowledges to the group what the group said, and fetches
        // the partitions that it is given here, which are none.
        let nothing = TopicPartitionList::new();
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.add(&partitions);
            consumer.incremental_assign(&nothing)
        } else {
            self.remove(&partitions);
            if consumer.assignment_lost() {
                self.lose(&partitions);
            } else if !partitions.is_empty() {
                self.tell(|tenant| tenant.revoke(&partitions));
            }
            consumer.incremental_unassign(&nothing)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance was not acknowledged");
        }
    }
}
