//! Membership of a service's consumer group: which partitions this process should own.
//!
//! The group only says who *should* own a partition; a claim in the log says who does. So a member reads
//! nothing: librdkafka is told of no partition at all, and the group keeps what it assigned all the same.
//! What an assignment is worth is shown by asking: an offset commit, which the coordinator takes only from
//! a member of the present generation. Who holds a confirmation counts the session time-out from the
//! moment at which it was asked, and then knows that the group may have given this member up.

mod place;
mod stay;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::OpenError;
use crate::log::Options;
use stay::Stay;
pub use stay::leave;

/// What a member is told by its group. `revoke` and `lost` come from the member's own thread, the other
/// two from the one that asks for it: other partitions are confirmed while some are let go, the same ones
/// never.
pub trait Tenant: Send + Sync + 'static {
    /// The first record that the partition's owner has not considered: the offset that is committed, so
    /// that tools which show lag show it.
    fn progress(&self, partition: u16) -> u64;

    /// The group gives these partitions to this member, and its coordinator said so to a question asked
    /// then: about once a second, and at once when some were added. What is not named is not taken away.
    /// Nothing is named when a rebalance has left this member without any. It must not wait for anything:
    /// nothing can be taken away meanwhile.
    fn confirmed(&self, partitions: &[u16], asked_at: Instant);

    /// The group wants these partitions for others: returns once they are let go. The group waits, and a
    /// rebalance that begins meanwhile holds up the confirmations of all members: it must return well
    /// within the session time-out.
    fn revoke(&self, partitions: &[u16]);

    /// These partitions are others' already: the session ended, or another process took the name.
    fn lost(&self, partitions: &[u16]);
}

/// How a process takes part in a group.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// The service; its group is `TOPIC-SERVICE`.
    pub service: String,
    /// The name of this process in the group. Who comes back under its name within the session time-out
    /// gets back what it had, and nobody else notices.
    pub member: String,
    /// How long the group waits for a member that is silent.
    pub session_timeout: Duration,
}

impl GroupOptions {
    /// A member of a service's group, given up after six seconds of silence: the least that brokers allow
    /// unless told otherwise.
    #[must_use]
    pub fn new(service: &str, member: &str) -> Self {
        Self { service: service.to_owned(), member: member.to_owned(), session_timeout: Duration::from_secs(6) }
    }

    /// The group's name at the brokers.
    #[must_use]
    pub fn group(&self, log: &Options) -> String {
        format!("{}-{}", log.topic, self.service)
    }
}

/// What a member's thread is asked to do.
#[derive(Default)]
pub(crate) struct Wish(AtomicU8);

impl Wish {
    const STOP: u8 = 1;
    const LEAVE: u8 = 2;

    pub(crate) fn is_to_end(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_to_leave(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::LEAVE
    }
}

/// A member of a group: a thread that keeps its place there. A member that is dropped lets its partitions
/// go and keeps its place for the session time-out: a restart under its name moves nothing.
pub struct Member {
    wish: Arc<Wish>,
    failure: Arc<OnceLock<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Joins a group. Brokers that are away are waited for.
    ///
    /// # Errors
    /// When the options make no client, or the system refuses a thread.
    pub fn join(log: Options, options: GroupOptions, tenant: Arc<dyn Tenant>) -> Result<Self, OpenError> {
        let (wish, failure) = (Arc::new(Wish::default()), Arc::new(OnceLock::new()));
        let name = format!("group-{}", options.service);
        let connection = log.cluster.connection()?;
        let brokers = connection.brokers().to_owned();
        let stay = Stay::new(connection, log, options, tenant, wish.clone(), failure.clone());
        let consumer = stay.consumer().map_err(|source| OpenError::Kafka { brokers, source })?;
        let thread = std::thread::Builder::new().name(name).spawn(move || stay.run(consumer));
        Ok(Self { wish, failure, thread: Some(thread.map_err(OpenError::Thread)?) })
    }

    /// Why this member takes part no more, if so: another process has joined under its name, which is sure
    /// a session time-out after its partitions were lost.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Lets the partitions go and leaves at once, so that others get them now and not after the session
    /// time-out.
    pub fn leave(mut self) {
        self.end(Wish::LEAVE);
    }

    fn end(&mut self, wish: u8) {
        self.wish.0.store(wish, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a member of a group panicked");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end(Wish::STOP);
    }
}
