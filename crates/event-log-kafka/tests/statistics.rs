//! What librdkafka tells of a real broker shows in the metrics.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod broker;

use std::time::Duration;

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use rejoinder_event_log::EventLog as _;
use rejoinder_event_log_kafka::{KafkaLog, Options, metric_definitions};

/// librdkafka tells every ten seconds; a busy machine takes longer.
const PATIENCE_S: u32 = 60;

/// The value of a line of the text format.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn the_metrics_tell_what_librdkafka_tells() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    metric_definitions::describe();
    let topic = format!("statistics-{}", std::process::id());
    let log = KafkaLog::open(Options {
        partitions: 4,
        replication: 1,
        ..Options::new(broker::script(None, &["start"]).as_str(), &topic)
    });
    let log = log.unwrap();
    (0..100).for_each(|n| log.append(n % 4, Bytes::from_static(b"hello")).unwrap());

    let told = |text: &str| {
        let of = |(name, _): &(&str, &str)| text.lines().any(|line| line.starts_with(&format!("{name}{{")));
        metric_definitions::ALL.iter().all(of)
            && text.contains("client=\"writer\"")
            && text.contains("client=\"follower\"")
    };
    let look = |_| {
        std::thread::sleep(Duration::from_millis(100));
        Some(recorder.render()).filter(|text| told(text))
    };
    let text = (0..PATIENCE_S * 10).find_map(look).unwrap_or_else(|| panic!("{}", recorder.render()));

    for client in ["writer", "follower"] {
        let of = |name: &str| value(&text, &format!("rejoinder_kafka_{name}{{client=\"{client}\"}}"));
        assert_eq!(of("brokers_connected"), Some(1.0), "{text}");
        assert!(of("round_trip_p99_seconds").unwrap() > 0.0, "{text}");
        assert!(of("round_trip_p99_seconds").unwrap() < 10.0, "{text}");
    }
    // All is written, and all is read.
    assert_eq!(value(&text, "rejoinder_kafka_queued_records{client=\"writer\"}"), Some(0.0), "{text}");
    assert_eq!(value(&text, "rejoinder_kafka_unread_records{client=\"follower\"}"), Some(0.0), "{text}");
    assert!(!text.contains(&topic), "labels are bounded: {text}");
}
