//! A log as services write it, with zombies' frames and repeats in between, and what is public of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rejoinder_event_log::record::claim;
use rejoinder_event_log::{AppendError, EventLog as _, FrameBuilder};
use rejoinder_event_log_kafka::{Cluster, KafkaLog};
use rejoinder_model::{AlarmId, PersonId, Service, ThreadId};
use rejoinder_public_topics::{Options, Topic};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    AgentLoadChanged, AlarmCleared, AlarmRaised, ClockOpened, ClockTick, Event, HandleAsserted, InteractionReceived,
    MessagePlaced, OfferMade, PolicyAdopted, ThreadOpened,
};
use rejoinder_wire::log::{Claim, Header};

/// Of every log here.
pub(crate) const PARTITIONS: u16 = 4;
/// 2026-01-01.
const MIDNIGHT: i64 = 1_767_225_600_000;

#[path = "../../../event-log-kafka/tests/broker/mod.rs"]
mod development;

/// The broker of development; it is started if nobody has.
pub(crate) fn broker() -> String {
    development::script(None, &["start"])
}

pub(crate) fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker());
    client
}

/// What a reader of a public topic sees of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) workspace: String,
    pub(crate) position: String,
    pub(crate) time: String,
    pub(crate) payload: Bytes,
}

/// By topic and partition, in order.
pub(crate) type Public = BTreeMap<(Topic, u16), Vec<Seen>>;

#[derive(Clone, Default)]
struct Lane {
    epoch: Option<u64>,
    next_frame_no: u64,
    next_own_seq: u64,
    last: Option<Bytes>,
}

/// An event, and what is public of it: topic, type and key.
type Written = (Event, Option<(Topic, &'static str, String)>);

pub(crate) struct World {
    pub(crate) log: Arc<KafkaLog>,
    pub(crate) topic: String,
    pub(crate) prefix: String,
    /// What must be in the public topics.
    pub(crate) expected: Public,
    ends: [u64; PARTITIONS as usize],
    lanes: Vec<Lane>,
    random: fastrand::Rng,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("public-{}-{number}", std::process::id());
        let topic = format!("{prefix}.events");
        let options = rejoinder_event_log_kafka::Options::new(&broker(), &topic);
        let options = rejoinder_event_log_kafka::Options { partitions: PARTITIONS, replication: 1, ..options };
        let lanes = vec![Lane { next_own_seq: 1, ..Lane::default() }; 4 * usize::from(PARTITIONS)];
        Self {
            log: KafkaLog::open(options).unwrap(),
            topic,
            prefix,
            expected: Public::new(),
            ends: [0; PARTITIONS as usize],
            lanes,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn options(&self, instance: &str) -> Options {
        Options {
            replication: 1,
            interval: Duration::from_millis(20),
            transaction_bytes: 64 << 10,
            session_timeout: Duration::from_secs(6),
            ..Options::new(Cluster::from(&broker()).connection().unwrap(), &self.topic, &self.prefix, instance)
        }
    }

    pub(crate) fn ends(&self) -> [u64; PARTITIONS as usize] {
        self.ends
    }

    pub(crate) fn expected_events(&self) -> usize {
        self.expected.values().map(Vec::len).sum()
    }

    /// Records of all kinds, in any partition.
    pub(crate) fn go_on(&mut self, records: usize) {
        for _ in 0..records {
            let partition = self.random.u16(..PARTITIONS);
            let service = Service::ALL[self.random.usize(..4)];
            match self.random.u8(..20) {
                0 => self.take_over(partition, service),
                1 => self.repeat(partition, service),
                2 => self.claim_in_vain(partition, service),
                3 => self.frame(partition, service, 0),
                _ => {
                    let events = self.random.usize(1..8);
                    self.frame(partition, service, events);
                }
            }
        }
    }

    /// Records of which nothing is public.
    pub(crate) fn go_on_inside(&mut self, records: usize) {
        for _ in 0..records {
            let partition = self.random.u16(..PARTITIONS);
            self.frame(partition, Service::Ingest, 2);
        }
    }

    /// Something public at the end of each partition, so that being through with it can be seen.
    pub(crate) fn close(&mut self) {
        (0..PARTITIONS).for_each(|partition| self.frame(partition, Service::Routing, 30));
    }

    fn append(&mut self, partition: u16, record: Bytes) {
        while let Err(error) = self.log.append(partition, record.clone()) {
            assert!(matches!(error, AppendError::Full(_)), "{error}");
            std::thread::yield_now();
        }
        self.ends[usize::from(partition)] += 1;
    }

    fn lane(&mut self, partition: u16, service: Service) -> &mut Lane {
        &mut self.lanes[usize::from(partition) * 4 + service as usize - 1]
    }

    /// A new owner claims the lane; the one before does not know it yet.
    fn take_over(&mut self, partition: u16, service: Service) {
        let before = self.lane(partition, service).clone();
        let epoch = self.ends[usize::from(partition)];
        let claimed = Claim {
            prev_epoch: before.epoch.unwrap_or_default(),
            lane_is_new: before.epoch.is_none(),
            nonce: epoch,
            ..Claim::default()
        };
        self.append(partition, claim(service, claimed, MIDNIGHT));
        let lane = self.lane(partition, service);
        lane.epoch = Some(epoch);
        lane.next_frame_no = 1;
        if before.epoch.is_some() {
            let mut frame = FrameBuilder::default();
            (0..3).for_each(|_| frame.push(&self.event(service).0));
            let record = frame.finish(&header(service, &before, epoch));
            self.append(partition, record);
        }
    }

    fn claim_in_vain(&mut self, partition: u16, service: Service) {
        let claimed = Claim { prev_epoch: u64::MAX, lane_is_new: false, nonce: 1, ..Claim::default() };
        self.append(partition, claim(service, claimed, MIDNIGHT));
    }

    /// A frame that stands in the log already.
    fn repeat(&mut self, partition: u16, service: Service) {
        if let Some(record) = self.lane(partition, service).last.clone() {
            self.append(partition, record);
        }
    }

    fn frame(&mut self, partition: u16, service: Service, events: usize) {
        if self.lane(partition, service).epoch.is_none() {
            self.take_over(partition, service);
        }
        let index = self.ends[usize::from(partition)];
        let lane = self.lane(partition, service).clone();
        let mut frame = FrameBuilder::default();
        for number in 0..events {
            let (event, public) = self.event(service);
            frame.push(&event);
            let Some((topic, kind, key)) = public else { continue };
            let own_seq = lane.next_own_seq + number as u64;
            let time = time_of(index);
            self.expected.entry((topic, partition)).or_default().push(Seen {
                id: format!("{}/{partition}/{own_seq}", service.name()),
                kind: kind.to_owned(),
                key,
                workspace: event.workspace.clone(),
                position: format!("{partition}/{index}/{number}"),
                time: format!("2026-01-01T00:{:02}:{:02}.{:03}Z", time / 60_000, time / 1_000 % 60, time % 1_000),
                payload: event.encode_to_vec().into(),
            });
        }
        let record = frame.finish(&header(service, &lane, index));
        let lane = self.lane(partition, service);
        lane.next_frame_no += 1;
        lane.next_own_seq += events as u64;
        lane.last = Some(record.clone());
        self.append(partition, record);
    }

    fn event(&mut self, service: Service) -> Written {
        let number = self.random.u64(1..1_000_000);
        let text = "x".repeat(self.random.usize(..200));
        let thread = ThreadId(number).to_string();
        let workspace = format!("w{}", number % 7);
        let public = |topic, kind, key| Some((topic, kind, key));
        let (body, public) = match (service, self.random.u8(..4)) {
            (Service::Ingest, _) => {
                let received = InteractionReceived { automatic: text, ..InteractionReceived::default() };
                (Body::InteractionReceived(Box::new(received)), None)
            }
            (Service::Threading, 0) => (
                Body::ThreadOpened(ThreadOpened { thread: number, account: text, ..ThreadOpened::default() }),
                public(Topic::Thread, "rejoinder.threading.ThreadOpened.v1", thread),
            ),
            (Service::Threading, 1) => (
                Body::MessagePlaced(Box::new(MessagePlaced { thread: 4, root: number, ..MessagePlaced::default() })),
                public(Topic::Thread, "rejoinder.threading.MessagePlaced.v1", thread),
            ),
            (Service::Threading, 2) => (
                Body::HandleAsserted(HandleAsserted { person: number, source: text, ..HandleAsserted::default() }),
                public(Topic::Thread, "rejoinder.threading.HandleAsserted.v1", PersonId(number).to_string()),
            ),
            (Service::Threading, _) => (
                Body::PolicyAdopted(PolicyAdopted { version: number, ..PolicyAdopted::default() }),
                public(Topic::Thread, "rejoinder.threading.PolicyAdopted.v1", workspace.clone()),
            ),
            (Service::Routing, 0) => {
                let event = Event { body: Some(Body::ClockTick(ClockTick {})), ..Event::default() };
                return (event, None);
            }
            (Service::Routing, 1) => (
                Body::AgentLoadChanged(AgentLoadChanged { agent: text.clone() + "é", ..AgentLoadChanged::default() }),
                public(Topic::Routing, "rejoinder.routing.AgentLoadChanged.v1", text + "é"),
            ),
            (Service::Routing, _) => (
                Body::OfferMade(OfferMade { thread: number, queue: text, ..OfferMade::default() }),
                public(Topic::Routing, "rejoinder.routing.OfferMade.v1", thread),
            ),
            (Service::SlaTimer, 0) => (Body::ClockOpened(ClockOpened { base: number, ..ClockOpened::default() }), None),
            (Service::SlaTimer, 1) => (
                Body::AlarmCleared(AlarmCleared { alarm: number, ..AlarmCleared::default() }),
                public(Topic::Alarm, "rejoinder.sla.AlarmCleared.v1", AlarmId(number).to_string()),
            ),
            (Service::SlaTimer, _) => (
                Body::AlarmRaised(AlarmRaised { thread: number, rule: text, ..AlarmRaised::default() }),
                public(Topic::Alarm, "rejoinder.sla.AlarmRaised.v1", thread),
            ),
        };
        (Event { workspace, body: Some(body), ..Event::default() }, public)
    }

    /// What a plain reader is shown, from the beginning to the end.
    pub(crate) fn read(&self, isolation: &str) -> Public {
        let mut config = client();
        config
            .set("group.id", format!("{}-reader", self.prefix))
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut all = TopicPartitionList::new();
        for topic in Topic::ALL {
            all.add_partition_range(&topic.name(&self.prefix), 0, i32::from(PARTITIONS) - 1);
        }
        all.set_all_offsets(Offset::Beginning).unwrap();
        consumer.assign(&all).unwrap();
        let (mut public, mut ended) = (Public::new(), 0);
        while ended < all.count() {
            match consumer.poll(Duration::from_secs(30)).expect("the broker answers") {
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
                Ok(message) => {
                    let topic = Topic::ALL.into_iter().find(|topic| topic.name(&self.prefix) == message.topic());
                    let of = (topic.unwrap(), u16::try_from(message.partition()).unwrap());
                    public.entry(of).or_default().push(seen(&message));
                }
            }
        }
        public
    }

    /// Waits until the position of each partition is at the end of the log.
    pub(crate) fn wait_until_published(&self) {
        self.wait_for_positions(self.ends);
    }

    pub(crate) fn wait_for_positions(&self, at_least: [u64; PARTITIONS as usize]) {
        let consumer: BaseConsumer = client().set("group.id", format!("{}-public", self.topic)).create().unwrap();
        let mut positions = Vec::new();
        for _ in 0..1_200 {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&self.topic, 0, i32::from(PARTITIONS) - 1);
            let list = consumer.committed_offsets(list, Duration::from_secs(20)).unwrap();
            positions = list.elements().iter().map(offset_of).collect();
            if positions.iter().zip(at_least).all(|(position, end)| *position >= end) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the positions are {positions:?}, wanted are {at_least:?}");
    }

    /// Each public event once, in order, as it should be.
    pub(crate) fn check(&self) {
        let read = self.read("read_committed");
        for (of, expected) in &self.expected {
            let found = read.get(of).map_or(&[][..], Vec::as_slice);
            let wrong = expected.iter().zip(found).position(|(expected, found)| expected != found);
            if let Some(at) = wrong {
                panic!("{of:?}: event {at} is {:#?}, not {:#?}", found[at], expected[at]);
            }
            assert_eq!(found.len(), expected.len(), "{of:?}: events");
        }
        assert_eq!(read.len(), self.expected.len());
    }
}

fn offset_of(element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> u64 {
    // Before the first commit there is none.
    if let Offset::Offset(offset) = element.offset() { u64::try_from(offset).unwrap() } else { 0 }
}

/// Milliseconds after midnight: less than an hour.
fn time_of(index: u64) -> i64 {
    i64::try_from(index % 3_600_000).unwrap()
}

fn header(service: Service, lane: &Lane, index: u64) -> Header {
    Header {
        service: service.number(),
        epoch: lane.epoch.unwrap(),
        frame_no: lane.next_frame_no,
        first_own_seq: lane.next_own_seq,
        record_time: MIDNIGHT + time_of(index),
        ..Header::default()
    }
}

fn seen(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().expect("a record has headers");
    let header = |name: &str| {
        let mut found = headers.iter().filter(|header| header.key == name);
        let value = found.next().and_then(|header| header.value).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(found.next().is_none(), "{name} is there twice");
        String::from_utf8(value.to_vec()).unwrap()
    };
    assert_eq!((header("ce_specversion").as_str(), header("content-type").as_str()), ("1.0", "application/protobuf"));
    assert!(header("ce_source").starts_with("urn:uuid:"));
    let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
    assert_eq!(header("ce_subject"), key);
    let id = header("ce_id");
    assert!(id.ends_with(&format!("/{}", header("ce_ownseq"))), "{id}");
    let payload = Bytes::copy_from_slice(message.payload().unwrap());
    let (kind, workspace) = (header("ce_type"), header("ce_workspace"));
    Seen { id, kind, key, workspace, position: header("ce_position"), time: header("ce_time"), payload }
}
