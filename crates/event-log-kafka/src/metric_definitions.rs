//! Metrics of the clients: what librdkafka tells every ten seconds, summed over brokers and partitions.

use std::sync::{Mutex, PoisonError};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rdkafka::Statistics;
use rdkafka::config::ClientConfig;
use rdkafka::statistics::Broker;

const CONNECTED: &str = "rejoinder_kafka_brokers_connected";
const ROUND_TRIP: &str = "rejoinder_kafka_round_trip_p99_seconds";
const TRANSMIT_ERRORS: &str = "rejoinder_kafka_transmit_errors_total";
const RETRIES: &str = "rejoinder_kafka_transmit_retries_total";
const TIMEOUTS: &str = "rejoinder_kafka_request_timeouts_total";
const QUEUED_RECORDS: &str = "rejoinder_kafka_queued_records";
const QUEUED_BYTES: &str = "rejoinder_kafka_queued_bytes";
const FETCH_QUEUE_RECORDS: &str = "rejoinder_kafka_fetch_queue_records";
const FETCH_QUEUE_BYTES: &str = "rejoinder_kafka_fetch_queue_bytes";
const UNREAD: &str = "rejoinder_kafka_unread_records";

/// Names and helps, for the reference.
pub const ALL: [(&str, &str); 10] = [
    (CONNECTED, "Kafka brokers that a client is connected to, by client: writer, follower."),
    (
        ROUND_TRIP,
        "99th percentile of a request's round trip to the slowest Kafka broker, by client; a fetch of the follower \
         waits up to half a second for records.",
    ),
    (TRANSMIT_ERRORS, "Requests that could not be sent to a Kafka broker, by client."),
    (RETRIES, "Requests sent to a Kafka broker again, by client."),
    (TIMEOUTS, "Requests that a Kafka broker did not answer in time, by client."),
    (QUEUED_RECORDS, "Records that wait for Kafka to acknowledge them, by client."),
    (QUEUED_BYTES, "Bytes of records that wait for Kafka to acknowledge them, by client."),
    (FETCH_QUEUE_RECORDS, "Records fetched from Kafka that are not taken yet, by client."),
    (FETCH_QUEUE_BYTES, "Bytes of records fetched from Kafka that are not taken yet, by client."),
    (UNREAD, "Records that Kafka has and a client has not taken, by client."),
];

/// How often librdkafka tells what it does.
const INTERVAL_MS: &str = "10000";

/// A client that tells statistics.
#[must_use]
pub fn measured(mut config: ClientConfig) -> ClientConfig {
    config.set("statistics.interval.ms", INTERVAL_MS);
    config
}

/// Declares the metrics.
pub fn describe() {
    for (name, help) in ALL {
        if name.ends_with("_total") {
            describe_counter!(name, help);
        } else {
            describe_gauge!(name, help);
        }
    }
}

/// Which figures make sense of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Producer,
    Consumer,
}

/// Makes metrics of what one client tells.
#[derive(Debug)]
pub struct ClientMetrics {
    client: &'static str,
    kind: Kind,
    /// Counts as last told: clients of one name are summed, and one that begins anew goes on.
    counted: Mutex<[u64; 3]>,
}

impl ClientMetrics {
    /// Of a producer, with the value of the label `client`.
    #[must_use]
    pub fn of_producer(client: &'static str) -> Self {
        Self { client, kind: Kind::Producer, counted: Mutex::default() }
    }

    /// Of a consumer, with the value of the label `client`.
    #[must_use]
    pub fn of_consumer(client: &'static str) -> Self {
        Self { client, kind: Kind::Consumer, counted: Mutex::default() }
    }

    /// What the context of a [`measured`] client gets.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn tell(&self, told: &Statistics) {
        let brokers = || told.brokers.values().filter(|broker| broker.nodeid >= 0 && broker.source != "logical");
        let connected = brokers().filter(|broker| broker.state == "UP").count();
        gauge!(CONNECTED, "client" => self.client).set(connected as f64);
        let slowest = brokers().filter_map(|broker| Some(broker.rtt.as_ref()?.p99)).max().unwrap_or_default();
        gauge!(ROUND_TRIP, "client" => self.client).set(slowest as f64 / 1_000_000.0);
        self.count(told);
        match self.kind {
            Kind::Producer => {
                gauge!(QUEUED_RECORDS, "client" => self.client).set(told.msg_cnt as f64);
                gauge!(QUEUED_BYTES, "client" => self.client).set(told.msg_size as f64);
            }
            Kind::Consumer => {
                let partitions = || told.topics.values().flat_map(|topic| topic.partitions.values());
                let records: i64 = partitions().map(|partition| partition.fetchq_cnt).sum();
                let bytes: u64 = partitions().map(|partition| partition.fetchq_size).sum();
                // Offsets below 0: not known yet.
                let unread = partitions().filter(|partition| partition.app_offset >= 0 && partition.hi_offset >= 0);
                let unread: i64 = unread.map(|partition| (partition.hi_offset - partition.app_offset).max(0)).sum();
                gauge!(FETCH_QUEUE_RECORDS, "client" => self.client).set(records as f64);
                gauge!(FETCH_QUEUE_BYTES, "client" => self.client).set(bytes as f64);
                gauge!(UNREAD, "client" => self.client).set(unread as f64);
            }
        }
    }

    fn count(&self, told: &Statistics) {
        let sum = |of: fn(&Broker) -> u64| told.brokers.values().map(of).sum::<u64>();
        let now = [sum(|broker| broker.txerrs), sum(|broker| broker.txretries), sum(|broker| broker.req_timeouts)];
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (now, before)) in [TRANSMIT_ERRORS, RETRIES, TIMEOUTS].into_iter().zip(now.into_iter().zip(*counted))
        {
            // Less: a broker has left.
            counter!(name, "client" => self.client).increment(now.saturating_sub(before));
        }
        *counted = now;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use rdkafka::statistics::{Partition, Topic};

    use super::*;

    fn broker(nodeid: i32, txerrs: u64) -> Broker {
        let state = if nodeid == 2 { "DOWN" } else { "UP" };
        let source = if nodeid == 3 { "logical" } else { "learned" };
        Broker { nodeid, state: state.to_owned(), source: source.to_owned(), txerrs, ..Broker::default() }
    }

    fn partition(app_offset: i64, hi_offset: i64, fetchq_size: u64) -> Partition {
        Partition { app_offset, hi_offset, fetchq_size, fetchq_cnt: 1, ..Partition::default() }
    }

    fn told(brokers: &[Broker], partitions: &[Partition]) -> Statistics {
        let brokers = brokers.iter().map(|broker| (broker.nodeid.to_string(), broker.clone())).collect();
        let partitions = (0..).zip(partitions.iter().cloned()).collect();
        let topics = HashMap::from([("events".to_owned(), Topic { partitions, ..Topic::default() })]);
        Statistics { brokers, topics, ..Statistics::default() }
    }

    #[test]
    fn brokers_and_partitions_are_summed() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let told = [
            // -1: a server as it was named; the same broker is there again with its number.
            told(&[broker(-1, 0), broker(1, 3), broker(2, 4), broker(3, 0)], &[partition(-1001, 9, 0)]),
            // Broker 2 has left, broker 1 failed once more.
            told(&[broker(1, 4)], &[]),
            told(&[broker(1, 6)], &[partition(90, 100, 500), partition(7, 12, 30), partition(5, -1001, 0)]),
        ];
        metrics::with_local_recorder(&recorder, || {
            let of = ClientMetrics::of_consumer("follower");
            told.iter().for_each(|told| of.tell(told));
            // Another process of the same name in a test.
            ClientMetrics::of_consumer("follower").tell(&told[2]);
        });
        let text = recorder.handle().render();
        let table = [
            ("brokers_connected", "1"),
            ("transmit_errors_total", "15"),
            ("fetch_queue_records", "3"),
            ("fetch_queue_bytes", "530"),
            ("unread_records", "15"),
        ];
        for (name, value) in table {
            let line = format!("rejoinder_kafka_{name}{{client=\"follower\"}} {value}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
