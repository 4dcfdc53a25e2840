//! Kills at random moments under load: nothing acknowledged is lost, nothing is doubled.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoinder_integration_tests::client::{History, Random, send_until_gone};
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{data, rows, run};

fn rounds(default: u64) -> u64 {
    std::env::var("REJOINDER_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// Starts, loads and kills a server again and again, then holds the data directory against what the
/// client knows.
fn kill_rounds(rounds: u64, dir: &Path, environment: &[(String, String)], after_kill: impl Fn(u64)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let history = Arc::new(Mutex::new(History::default()));
    let mut random = Random(rounds);
    let mut next = 0;
    for round in 0..rounds {
        let server = Server::start(dir, environment);
        let life = Duration::from_millis(5 + random.below(200));
        next = runtime.block_on(async {
            // Whatever runs after this kills the server; the sender ends when it is gone.
            let sending = send_until_gone(&server, &history, round, next);
            let killing = async {
                tokio::time::sleep(life).await;
                let pid = server.pid().to_string();
                assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
            };
            tokio::join!(sending, killing).0
        });
        server.kill();
        after_kill(round);
        let history = history.lock().unwrap();
        assert_eq!(history.broken, [""; 0], "round {round}");
    }
    assert!(Server::start(dir, environment).stop().contains("stopping"));
    let history = history.lock().unwrap();
    let acknowledged = history.messages.values().flatten().count();
    assert!(acknowledged > 100 * usize::try_from(rounds).unwrap() / 10, "the load was real: {acknowledged}");
    check(dir, &history);
}

/// The auditor: the export against the client's history, the log against itself, the state against the log.
fn check(dir: &Path, history: &History) {
    let dir = dir.to_str().unwrap();
    let export = data(&["threads", "export", "--data-dir", dir]);
    let lines = rows(&export);
    let stored: BTreeSet<&str> = lines.iter().map(|line| line["external_id"]).collect();
    assert_eq!(stored.len(), lines.len(), "nothing is doubled");
    for (id, acknowledged) in &history.messages {
        assert!(acknowledged.is_none() || stored.contains(id.as_str()), "{id} was acknowledged and is lost");
    }
    assert!(stored.iter().all(|id| history.messages.contains_key(*id)), "nothing is made up");
    // All direct messages of a customer lie within the window: one thread each, and each in a thread.
    let mut threads: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for line in &lines {
        let number: u64 = line["external_id"][1..].parse().unwrap();
        threads.entry(number % 200).or_default().insert(line["thread_id"]);
    }
    assert!(threads.values().all(|threads| threads.len() == 1 && !threads.contains("")), "{threads:?}");
    let distinct: BTreeSet<&str> = threads.values().flatten().copied().collect();
    assert_eq!(distinct.len(), threads.len());
    let verified = run(&["log", "verify", "--data-dir", dir]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let compared = run(&["log", "rebuild", "--compare", "--data-dir", dir]);
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
}

#[test]
fn killed_at_random_moments_it_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    kill_rounds(rounds(50), &dir.path().join("data"), &[], |_| {});
}
