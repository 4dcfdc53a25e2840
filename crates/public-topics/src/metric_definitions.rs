//! Metrics of the publisher: each declared once, with its help.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::table::Topic;

const EVENTS: &str = "rejoinder_publisher_events_total";
const TRANSACTIONS: &str = "rejoinder_publisher_transactions_total";
const ABORTED: &str = "rejoinder_publisher_aborted_total";
const LAG: &str = "rejoinder_publisher_lag_records";

/// Names and helps, for the reference.
pub const ALL: [(&str, &str); 4] = [
    (EVENTS, "Events that this process published, by topic: thread, routing, escalation, alarm."),
    (TRANSACTIONS, "Transactions that this process committed."),
    (ABORTED, "Transactions given up; what they held is published by another one."),
    (LAG, "Records of the log not yet looked at, by partition; 0 for those of other processes."),
];

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

pub(crate) fn committed(by_topic: [u64; Topic::ALL.len()]) {
    counter!(TRANSACTIONS).increment(1);
    for (topic, events) in Topic::ALL.into_iter().zip(by_topic) {
        counter!(EVENTS, "topic" => topic.word()).increment(events);
    }
}

pub(crate) fn aborted() {
    counter!(ABORTED).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
pub(crate) fn lag(partition: u16, records: u64) {
    gauge!(LAG, "partition" => partition.to_string()).set(records as f64);
}
