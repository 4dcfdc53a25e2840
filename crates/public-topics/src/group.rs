//! The group of publishers: who has which partitions of the log.
//!
//! The consumer reads nothing, its partitions are paused: the log is read by whoever has it open anyway.
//! Partitions are given out eagerly: before a member hears of new ones it has lost all, so the metadata of
//! one assignment is good for as long as the assignment, and whatever is committed under it later is
//! refused by the broker. A member is static: who restarts has its partitions back at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::KafkaError;

use rejoinder_event_log_kafka::leave;

use crate::error::told;
use crate::publisher::Options;

/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(2);

/// What the group gave to this process.
pub(crate) struct Assignment {
    pub(crate) partitions: Vec<u16>,
    /// What a commit shows, so that one of an older assignment is refused.
    pub(crate) metadata: ConsumerGroupMetadata,
}

/// What the group tells.
#[derive(Default)]
pub(crate) struct Told {
    assignment: Mutex<Option<Arc<Assignment>>>,
}

impl Told {
    fn set(&self, assignment: Option<Assignment>) {
        *self.assignment.lock().unwrap_or_else(PoisonError::into_inner) = assignment.map(Arc::new);
    }

    fn get(&self) -> Option<Arc<Assignment>> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Told {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = told(&error), reason, "Kafka, in the group of publishers");
    }
}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.set(None);
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        if let Err(error) = consumer.pause(list) {
            // They are read for nothing, no more.
            tracing::warn!(error = told(&error), "partitions of the log cannot be paused");
        }
        let partitions = list.elements().iter().filter_map(|one| u16::try_from(one.partition()).ok()).collect();
        let assignment = consumer.group_metadata().map(|metadata| Assignment { partitions, metadata });
        tracing::info!(partitions = ?assignment.as_ref().map(|assignment| &assignment.partitions), "publishing");
        self.set(assignment);
    }
}

/// A member of the group.
pub(crate) struct Member {
    pub(crate) consumer: BaseConsumer<Told>,
}

/// The group of an installation.
pub(crate) fn name(events_topic: &str) -> String {
    format!("{events_topic}-public")
}

impl Member {
    pub(crate) fn join(options: &Options) -> Result<Self, KafkaError> {
        let session = options.session_timeout.as_millis();
        let mut config = options.connection.client();
        config
            .set("group.id", name(&options.events_topic))
            .set("group.instance.id", &options.instance)
            .set("partition.assignment.strategy", "roundrobin")
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 10).to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            // Positions are those of transactions that are over, one way or the other.
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Told> = config.create_with_context(Told::default())?;
        consumer.subscribe(&[&options.events_topic])?;
        Ok(Self { consumer })
    }

    /// Says to the group that it goes, so that others have its partitions now.
    pub(crate) fn leave(&self) {
        leave(&self.consumer, LEAVING, || self.consumer.context().get().is_none());
    }

    /// What the group says now. An error ends the membership: another process is the same member.
    pub(crate) fn assignment(&self) -> Result<Option<Arc<Assignment>>, String> {
        while let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
            tracing::warn!(error = told(&error), "Kafka, in the group of publishers");
            if let Some((code, reason)) = self.consumer.client().fatal_error() {
                return Err(format!("{code}: {reason}"));
            }
        }
        let lost = self.consumer.assignment_lost();
        Ok(self.consumer.context().get().filter(|_| !lost))
    }
}
