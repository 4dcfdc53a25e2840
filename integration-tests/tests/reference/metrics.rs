//! `metrics.md` is made from what a real server tells on `/metrics` after a little traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{Replay, client, golden};

/// What `/metrics` tells.
pub(crate) fn scrape(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// Applies a policy of one file.
fn apply(endpoint: &str, file: &str, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), text).unwrap();
    let mut command = rejoinder_integration_tests::command();
    let applied = command.args(["policy", "apply", "--endpoint", endpoint]).arg(dir.path()).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.clone_into(&mut found.entry(name.to_owned()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kind.clone_into(&mut found.entry(name.to_owned()).or_default().kind);
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            found.entry(name.to_owned()).or_default().labels.extend(labels);
        }
    }
    found
}

/// What a server tells whose log is in Kafka, and whose state has snapshots.
fn over_kafka() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka.sh");
    let started = std::process::Command::new(script).arg("start").output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let dir = tempfile::tempdir().unwrap();
    let brokers = String::from_utf8(started.stdout).unwrap().trim().to_owned();
    let prefix = dir.path().file_name().unwrap().to_string_lossy().replace('.', "t");
    let snapshots = dir.path().join("snapshots").display().to_string();
    let environment = [
        ("REJOINDER_LOG", "kafka".to_owned()),
        ("REJOINDER_KAFKA_BROKERS", brokers),
        ("REJOINDER_KAFKA_PREFIX", prefix),
        ("REJOINDER_KAFKA_REPLICATION", "1".to_owned()),
        ("REJOINDER_PARTITIONS", "2".to_owned()),
        ("REJOINDER_SNAPSHOT_DIR", snapshots),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let server = Server::start(&dir.path().join("data"), &environment);
    // librdkafka tells its own every ten seconds.
    let wanted = ["kafka_brokers_connected", "kafka_queued_bytes", "publisher_lag_records", "snapshot_age_seconds"];
    let text = loop {
        let text = scrape(&server.http);
        if wanted.iter().all(|name| text.contains(&format!("\nrejoinder_{name}"))) {
            break text;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(server.stop().contains("stopping"));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    apply(&server.endpoint, "sla.toml", "[[policy]]\nname = \"soon\"\n[policy.targets]\nfirst_response = \"1s\"\n");
    let mut interactions: Vec<_> = (0..10).map(client::message).collect();
    let now = jiff::Timestamp::now();
    // Ahead of the clock: on a slow machine the promise must not be broken before it is known.
    interactions[0].event_time = Some(prost_types::Timestamp { seconds: now.as_second() + 5, nanos: 0 });
    server.ingest().await.publish_batch(PublishBatchRequest { interactions }).await.unwrap();
    // The promise to the first customer is broken in some seconds.
    let text = loop {
        let text = scrape(&server.http);
        if text.contains("\nrejoinder_sla_breaches_total{") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let mut rows = vec!["| metric | type | labels | help |\n|---|---|---|---|".to_owned()];
    let mut all = metrics(&over_kafka());
    all.extend(metrics(&text));
    for (name, metric) in all {
        assert!(name.starts_with("rejoinder_"), "{name}");
        assert!(!metric.help.is_empty() && !metric.kind.is_empty(), "{name} is not declared");
        let labels: Vec<String> = metric.labels.into_iter().collect();
        rows.push(format!("| `{name}` | {} | {} | {} |", metric.kind, labels.join(", "), metric.help));
    }
    assert!(server.stop().contains("stopping"));
    golden::page("docs/reference/metrics.md", &rows.join("\n"));
}

/// A number of the scrape, summed over all labels.
fn sum(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_no_metric_of_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let told = |text: &str| {
        let names = [
            "rejoinder_threading_messages_placed_total",
            "rejoinder_threading_threads",
            "rejoinder_routing_items_total",
            "rejoinder_routing_waiting_items",
            "rejoinder_sla_breaches_open",
            "rejoinder_sla_clocks_breached",
            "rejoinder_sla_clocks_armed",
        ];
        names.map(|name| sum(text, name))
    };
    let server = Server::start(&dir.path().join("data"), &[]);
    let batch = PublishBatchRequest { interactions: (0..50).map(client::message).collect() };
    server.ingest().await.publish_batch(batch).await.unwrap();
    // Placing takes a moment.
    let before = loop {
        let before = told(&scrape(&server.http));
        // Forty of the fifty are questions, and all of them old: each has broken its two promises.
        if before[0] == 50 && before[2] == 40 && before[5] == 80 {
            break before;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(before[1], 50, "each customer of the first fifty messages has a thread");
    server.kill();
    let server = Server::start(&dir.path().join("data"), &[]);
    assert_eq!(told(&scrape(&server.http)), before);
    assert!(server.stop().contains("stopping"));
}

#[test]
fn a_log_that_lies_in_the_future_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tomorrow.jsonl");
    // Within a day from now a replay believes a record's time, and stamps with it.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let line = format!(
        r#"{{"channel":"x","account":"acme","external_id":"1","author":{{"id":"ann"}},"text":"hi","event_time":"{later}"}}"#
    );
    std::fs::write(&file, line).unwrap();
    let replay = Replay::of(&file, "jsonl", &[]);
    let server = Server::start(replay.data_dir().as_ref(), &[]);
    let text = scrape(&server.http);
    let ahead = text.lines().find_map(|line| line.strip_prefix("rejoinder_log_ahead_seconds ")).unwrap();
    let ahead: f64 = ahead.parse().unwrap();
    assert!((7_000.0..7_201.0).contains(&ahead), "{ahead}");
    assert!(server.stop().contains("stopping"));
}
