//! The same commits and hops as Kafka would have them: each commit a transaction of the record and of the
//! position consumed, followed by readers of committed records only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::{Broker, Meter, Outcome, PATIENCE};
use crate::clock;
use crate::kafka::frames::PARTITIONS;
use crate::latency::Latencies;

/// How long a look for the end may wait.
const LOOK: Duration = Duration::from_millis(50);
/// How long a look for what is acknowledged may wait.
const GLANCE: Duration = Duration::from_micros(50);

/// A producer with transactions, ready.
fn producer(broker: &Broker, id: &str) -> anyhow::Result<BaseProducer> {
    let mut config = broker.client();
    config.set("transactional.id", id).set("acks", "all").set("linger.ms", "0");
    let producer: BaseProducer = config.create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// One commit: records, and how far the consumer came.
fn commit(
    producer: &BaseProducer,
    topic: &str,
    records: &[(u16, u8)],
    payload: &[u8],
    consumed: Option<(&BaseConsumer, &TopicPartitionList)>,
) -> anyhow::Result<()> {
    producer.begin_transaction()?;
    for (partition, service) in records {
        let record = BaseRecord::to(topic).partition(i32::from(*partition)).key(std::slice::from_ref(service));
        producer.send(record.payload(payload)).map_err(|(error, _)| error)?;
    }
    if let Some((consumer, offsets)) = consumed {
        let group = consumer.group_metadata().ok_or_else(|| anyhow::anyhow!("the consumer has no group"))?;
        producer.send_offsets_to_transaction(offsets, &group, PATIENCE)?;
    }
    // A commit polls for 100 ms at a time while anything is under way, so nothing is when it is called.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::ZERO);
        std::thread::sleep(GLANCE);
    }
    producer.commit_transaction(PATIENCE)?;
    Ok(())
}

/// Writers with a partition and a producer each, one record a transaction. It is done when the broker has
/// committed it: nobody reads it back.
pub(crate) fn writers(broker: &Broker, count: u16, payload: &[u8], length: Duration) -> anyhow::Result<Outcome> {
    let topic = broker.fresh_topic("transactions", PARTITIONS)?;
    let producers = in_parallel(0..count, |number| producer(broker, &format!("{topic}-{number}")))?;
    let mut all = Meter::new(length);
    let each = in_parallel(producers.iter().zip(0_u16..), |(producer, partition)| {
        let mut meter = Meter::new(length);
        while !meter.is_over() {
            let began = clock::now();
            commit(producer, &topic, &[(partition, 0)], payload, None)?;
            meter.ends(began);
        }
        Ok(meter)
    })?;
    each.iter().for_each(|meter| all.merge(meter));
    Ok(all.outcome())
}

/// A producer takes over from one of its name that left a transaction open, again and again: from when it
/// begins until it may write.
pub(crate) fn take_overs(broker: &Broker, payload: &[u8], count: usize) -> anyhow::Result<Latencies> {
    let topic = broker.fresh_topic("take-overs", 1)?;
    let mut owner = producer(broker, &topic)?;
    let mut latencies = Latencies::default();
    for _ in 0..count {
        owner.begin_transaction()?;
        owner.send(BaseRecord::<(), _>::to(&topic).payload(payload)).map_err(|(error, _)| error)?;
        while owner.in_flight_count() > 0 {
            owner.poll(Duration::ZERO);
            std::thread::sleep(GLANCE);
        }
        let began = clock::now();
        let next = producer(broker, &topic)?;
        latencies.add(began.elapsed());
        owner = next;
    }
    Ok(latencies)
}

/// A writer of a service: some partitions, a producer, and a consumer of what is committed there.
struct Writer {
    service: u8,
    partitions: Vec<u16>,
    producer: BaseProducer,
    consumer: BaseConsumer,
}

impl Writer {
    fn new(broker: &Broker, topic: &str, service: u8, partitions: Vec<u16>) -> anyhow::Result<Self> {
        let first = partitions.first().copied().unwrap_or_default();
        let mut config = broker.client();
        config
            .set("group.id", format!("{topic}-{service}"))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = config.create()?;
        let mut from = TopicPartitionList::new();
        for partition in &partitions {
            from.add_partition_offset(topic, i32::from(*partition), Offset::Offset(0))?;
        }
        consumer.assign(&from)?;
        let producer = producer(broker, &format!("{topic}-{service}-{first}"))?;
        Ok(Self { service, partitions, producer, consumer })
    }

    /// What has been committed since the last look: partition, index and service of each record.
    fn poll(&self, patience: Duration) -> anyhow::Result<Vec<(u16, i64, u8)>> {
        let (mut seen, mut patience) = (Vec::new(), patience);
        while let Some(record) = self.consumer.poll(patience) {
            let record = record?;
            let service = record.key().and_then(|key| key.first().copied()).unwrap_or_default();
            seen.push((u16::try_from(record.partition())?, record.offset(), service));
            patience = Duration::ZERO;
        }
        Ok(seen)
    }
}

/// The hops of `frames::hops`, one on its way in each partition. The partitions of a service are shared out
/// among so many writers; what a writer finds at a time is one transaction.
pub(crate) fn hops(
    broker: &Broker,
    partitions: u16,
    writers: u16,
    payload: &[u8],
    length: Duration,
) -> anyhow::Result<Outcome> {
    let topic = broker.fresh_topic("hops", partitions)?;
    let places = (1..=3_u8).flat_map(|service| (0..writers).map(move |writer| (service, writer)));
    let ready = in_parallel(places, |(service, writer)| {
        let own = (writer..partitions).step_by(usize::from(writers)).collect();
        Writer::new(broker, &topic, service, own)
    })?;
    let (arrived, arrivals): (Vec<Sender<u16>>, Vec<Receiver<u16>>) = (0..writers).map(|_| mpsc::channel()).unzip();
    let mut arrivals = arrivals.into_iter();
    let (is_over, topic) = (AtomicBool::new(false), topic.as_str());
    let work: Vec<(&Writer, Option<Receiver<u16>>)> =
        ready.iter().map(|writer| (writer, if writer.service == 1 { arrivals.next() } else { None })).collect();
    let each = in_parallel(work, |(writer, arrivals)| {
        let meter = Meter::new(length);
        let done = match arrivals {
            Some(arrivals) => accept(writer, topic, payload, &arrivals, meter),
            None => follow(writer, topic, payload, &arrived, &is_over).map(|()| meter),
        };
        // Whoever ends first, or fails, ends all.
        is_over.store(true, Ordering::Release);
        done
    })?;
    let mut all = Meter::new(length);
    each.iter().for_each(|meter| all.merge(meter));
    Ok(all.outcome())
}

fn accept(
    writer: &Writer,
    topic: &str,
    payload: &[u8],
    arrivals: &Receiver<u16>,
    mut meter: Meter,
) -> anyhow::Result<Meter> {
    let mut free = writer.partitions.clone();
    let mut sent: std::collections::BTreeMap<u16, Instant> = std::collections::BTreeMap::new();
    while !meter.is_over() {
        if !free.is_empty() {
            let now = clock::now();
            sent.extend(free.iter().map(|partition| (*partition, now)));
            let records: Vec<(u16, u8)> = free.drain(..).map(|partition| (partition, writer.service)).collect();
            commit(&writer.producer, topic, &records, payload, None)?;
        }
        let first = arrivals.recv_timeout(LOOK).ok();
        for partition in first.into_iter().chain(arrivals.try_iter()) {
            if let Some(began) = sent.remove(&partition) {
                meter.ends(began);
            }
            free.push(partition);
        }
    }
    Ok(meter)
}

fn follow(
    writer: &Writer,
    topic: &str,
    payload: &[u8],
    arrived: &[Sender<u16>],
    is_over: &AtomicBool,
) -> anyhow::Result<()> {
    while !is_over.load(Ordering::Acquire) {
        let seen = writer.poll(LOOK)?;
        let mut offsets = TopicPartitionList::new();
        let mut records = Vec::new();
        for (partition, index, service) in seen {
            if service + 1 == writer.service {
                records.push((partition, writer.service));
                offsets.add_partition_offset(topic, i32::from(partition), Offset::Offset(index + 1))?;
            } else if service == 3 && writer.service == 3 {
                // The first service may have ended.
                let _ = arrived[usize::from(partition) % arrived.len()].send(partition);
            }
        }
        if !records.is_empty() {
            commit(&writer.producer, topic, &records, payload, Some((&writer.consumer, &offsets)))?;
        }
    }
    Ok(())
}

/// Each in a thread of its own, since calls of transactions block.
fn in_parallel<T: Send, R: Send>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|ended| ended.map_err(|_| anyhow::anyhow!("a writer panicked"))?).collect()
    })
}
