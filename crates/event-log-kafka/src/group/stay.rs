//! A member's stay in its group: one thread, which joins, asks, and goes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use uuid::Uuid;

use super::place::{Place, now};
use super::{GroupOptions, Tenant, Wish};
use crate::connection::Connection;
use crate::log::Options;

/// How long a look for a wish may wait.
const LOOK: Duration = Duration::from_millis(50);
/// The same while leaving.
const SHORT: Duration = Duration::from_millis(5);
/// How often a member says that it lives, and so hears of a rebalance.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long the coordinator may take to say who is in the group.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much longer than its session the coordinator may keep one who is silent.
const MARGIN: Duration = Duration::from_secs(1);
/// The least for a group to wait for the slowest member, one that still lets go.
const REBALANCE: Duration = Duration::from_secs(30);

/// Characters of a UUID as Kafka 4 writes it.
const BASE64_UUID: usize = 22;

type Consumer = BaseConsumer<Place>;

/// What makes a client useless.
enum End {
    /// The coordinator knows another process by this name.
    Fenced,
    Other(String),
}

/// What a member's thread needs.
pub(super) struct Stay {
    connection: Connection,
    log: Options,
    options: GroupOptions,
    tenant: Arc<dyn Tenant>,
    wish: Arc<Wish>,
    failure: Arc<OnceLock<String>>,
}

impl Stay {
    pub(super) fn new(
        connection: Connection,
        log: Options,
        options: GroupOptions,
        tenant: Arc<dyn Tenant>,
        wish: Arc<Wish>,
        failure: Arc<OnceLock<String>>,
    ) -> Self {
        Self { connection, log, options, tenant, wish, failure }
    }

    /// A client that joins the group.
    pub(super) fn consumer(&self) -> KafkaResult<Consumer> {
        let session = self.options.session_timeout;
        let millis = |time: Duration| time.as_millis().to_string();
        let consumer: Consumer = self
            .connection
            .client()
            .set("group.id", self.options.group(&self.log))
            .set("group.instance.id", &self.options.member)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(session))
            .set("heartbeat.interval.ms", millis(HEARTBEAT.min(session / 3)))
            .set("max.poll.interval.ms", millis(REBALANCE.max(session)))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A coordinator that is silent is asked again within the session, one that is back is found soon.
            .set("socket.timeout.ms", millis((session / 2).max(Duration::from_secs(1))))
            .set("socket.connection.setup.timeout.ms", millis((session / 2).max(Duration::from_secs(1))))
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(Place::new(&self.log.topic, self.tenant.clone()))?;
        consumer.subscribe(&[&self.log.topic])?;
        Ok(consumer)
    }

    /// Stays until it is to end, or another process takes the name.
    pub(super) fn run(&self, mut consumer: Consumer) {
        let group = self.options.group(&self.log);
        while let Some(end) = self.sit(&consumer) {
            consumer.context().lose_all();
            match end {
                End::Other(what) => return self.fail(format!("group {group}: {what}")),
                End::Fenced if self.is_taken(&consumer) => {
                    let member = &self.options.member;
                    let what = "each process needs a name of its own";
                    return self.fail(format!("another process has joined group {group} as {member}: {what}"));
                }
                End::Fenced => tracing::warn!(group, "taken for another process of this name: joining again"),
            }
            drop(consumer);
            if self.wish.is_to_end() {
                return;
            }
            consumer = match self.consumer() {
                Ok(consumer) => consumer,
                Err(error) => return self.fail(format!("group {group}: {error}")),
            };
        }
        if self.wish.is_to_leave() {
            self.leave(&consumer);
        }
    }

    fn fail(&self, what: String) {
        tracing::error!(what, "a member of a group ends");
        // The first cause stays.
        let _ = self.failure.set(what);
    }

    /// Polls while another thread asks; answers with what makes the client useless.
    fn sit(&self, consumer: &Consumer) -> Option<End> {
        let place = consumer.context();
        std::thread::scope(|scope| {
            scope.spawn(|| place.ask(consumer));
            let end = self.poll(consumer);
            place.end();
            end
        })
    }

    fn poll(&self, consumer: &Consumer) -> Option<End> {
        while !self.wish.is_to_end() {
            if let Some(Err(error)) = consumer.poll(LOOK) {
                // Brokers come back; librdkafka tries again by itself.
                tracing::debug!(%error, "the group cannot be reached now");
            }
            // librdkafka looks only once or twice a second whether a heartbeat is due, unless something wakes
            // it: a heartbeat is how a member hears that the group moves.
            let _ = consumer.subscription();
            match consumer.client().fatal_error() {
                Some((RDKafkaErrorCode::FencedInstanceId, _)) => return Some(End::Fenced),
                Some((_, what)) => return Some(End::Other(what)),
                None if consumer.context().has_panicked() => {
                    return Some(End::Other("who was told of an assignment panicked".to_owned()));
                }
                None => {}
            }
        }
        None
    }

    /// Whether another process has this one's name. A client that lost its own member id, as after a
    /// session that ended without contact, is fenced by itself: then nobody keeps the name in the group,
    /// and it is free once the session has ended there too.
    fn is_taken(&self, consumer: &Consumer) -> bool {
        let group = self.options.group(&self.log);
        // Brokers make a member's id of its name and a UUID, in one of two ways of writing.
        let of_this_name = |id: &str| {
            let unique = id.strip_prefix(&self.options.member).and_then(|rest| rest.strip_prefix('-'));
            unique.is_some_and(|unique| unique.len() == BASE64_UUID || Uuid::try_parse(unique).is_ok())
        };
        let over = || now() + self.options.session_timeout + MARGIN;
        let mut until = over();
        while !self.wish.is_to_end() {
            match consumer.fetch_group_list(Some(&group), PATIENCE) {
                Ok(list) => {
                    let mut members = list.groups().iter().flat_map(|group| group.members());
                    if !members.any(|member| of_this_name(member.id())) {
                        return false;
                    } else if now() > until {
                        return true;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "who is in the group is not known now");
                    // A coordinator that comes back counts all sessions anew.
                    until = over();
                }
            }
            std::thread::sleep(HEARTBEAT);
        }
        false
    }

    fn leave(&self, consumer: &Consumer) {
        leave(consumer, self.options.session_timeout, || consumer.context().is_empty());
    }
}

/// Lets everything go and says so to the coordinator, for a member with a name: librdkafka says it when
/// such a one unsubscribes, once its partitions are gone, and never when it closes.
pub fn leave<C: ConsumerContext>(consumer: &BaseConsumer<C>, patience: Duration, has_let_go: impl Fn() -> bool) {
    consumer.unsubscribe();
    let until = now() + patience;
    let unsubscribed = || consumer.subscription().is_ok_and(|topics| topics.count() == 0);
    while now() < until && !(unsubscribed() && has_let_go()) {
        // Whatever comes now is of no interest any more.
        let _ = consumer.poll(SHORT);
    }
}
