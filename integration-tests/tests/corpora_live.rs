//! Real messages through a live server that is killed again and again: it groups as a replay does.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rejoinder_integration_tests::auditor::by_itself;
use rejoinder_integration_tests::client::Random;
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{
    Replay, assert_same_grouping, command, corpora, data, decompressed, mbox_messages, members, rows,
};
use serde_json::Value;

/// Sends a file with the `ingest` command to a server that is killed meanwhile, and returns the export.
fn through_kills(file: &Path, format: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let mut server = Server::start(&data_dir, &[]);
    let endpoint = server.endpoint.clone();
    let mut random = Random(11);
    let (mut kills, mut runs) = (0, 0);
    loop {
        let mut ingest = command();
        ingest.arg("ingest").arg(file).args(["--format", format, "--endpoint", &endpoint]);
        let mut sending = ingest.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        runs += 1;
        let status = loop {
            std::thread::sleep(Duration::from_millis(30 + random.below(120)));
            if let Some(status) = sending.try_wait().unwrap() {
                break status;
            }
            server.kill();
            kills += 1;
            server = Server::start_at(&endpoint, &data_dir);
        };
        match status.code() {
            Some(0) => break,
            // It began while the server was away: a person starts it again.
            Some(4) if runs < 20 => {}
            _ => panic!("ingest ended with {status}"),
        }
    }
    assert!(kills > 0, "the server was killed while it took messages");
    assert!(server.stop().contains("stopping"));
    assert_eq!(by_itself(&data_dir), [""; 0], "items, offers, clocks and alarms hold in themselves");
    let data_dir = data_dir.to_str().unwrap();
    let _ = data(&["log", "verify", "--data-dir", data_dir]);
    let _ = data(&["log", "rebuild", "--compare", "--data-dir", data_dir]);
    data(&["threads", "export", "--data-dir", data_dir])
}

fn assert_live_is_as_replayed(file: &Path, format: &str, messages: usize) {
    let replay = Replay::of(file, format, &[]);
    assert_eq!(rows(&replay.export).len(), messages);
    assert_same_grouping(&replay.export, &through_kills(file, format));
}

#[test]
fn a_month_of_mail_groups_live_as_in_a_replay() {
    let Some(corpora) = corpora() else { return };
    let months = members(&corpora.join("email/r-help-2019-2020.tar.zst"));
    let (_, october) = months.into_iter().find(|(name, _)| name == "2019-10.mbox").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("2019-10.mbox");
    fs::write(&file, &october).unwrap();
    assert_eq!(mbox_messages(&october).len(), 331);
    // Two have the id of another.
    assert_live_is_as_replayed(&file, "email", 329);
}

#[test]
fn the_busiest_day_of_tweets_groups_live_as_in_a_replay() {
    let Some(corpora) = corpora() else { return };
    let mut whole: Value = serde_json::from_slice(&decompressed(&corpora.join("twcs/tail.json.zst"))).unwrap();
    let mut days: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in whole["results"].as_array_mut().unwrap().drain(..) {
        // `Thu Nov 16 10:48:05 +0000 2017`
        let words: Vec<&str> = row["created_at"].as_str().unwrap().split(' ').collect();
        days.entry([words[1], words[2], words[5]].join(" ")).or_default().push(row);
    }
    let (day, rows) = days.into_iter().max_by_key(|(_, rows)| rows.len()).unwrap();
    assert!(rows.len() > 1_000, "{day}: {}", rows.len());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("day.json");
    fs::write(&file, serde_json::json!({ "results": rows }).to_string()).unwrap();
    assert_live_is_as_replayed(&file, "twcs", rows.len());
}
