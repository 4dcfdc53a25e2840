//! Kills at random moments under load: nothing acknowledged is lost, nothing is doubled, and what agents
//! and watchers were told stands.

use std::time::Duration;

use rejoinder_integration_tests::auditor::{after_closing, after_kill, check, latest_breach_ms};
use rejoinder_integration_tests::client::{Client, Random};
use rejoinder_integration_tests::floor::memory::Promise;
use rejoinder_integration_tests::floor::{Floor, WORKSPACE};
use rejoinder_integration_tests::number;
use rejoinder_integration_tests::server::Server;

#[test]
fn killed_at_random_moments_it_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let rounds = number("REJOINDER_CRASH_ROUNDS", 50);
    let mut client = Client::default();
    let mut random = Random(rounds);
    for round in 0..rounds {
        let life = Duration::from_millis(5 + random.below(200));
        client.load_and_kill(Server::start(&dir, &[]), life, round);
        assert_eq!(client.history().broken, [""; 0], "round {round}");
    }
    assert!(Server::start(&dir, &[]).stop().contains("stopping"));
    let acknowledged = client.history().acknowledged();
    assert!(acknowledged as u64 > 10 * rounds, "the load was real: {acknowledged}");
    check(&dir, &client.history());
}

#[test]
fn killed_while_agents_work_it_keeps_every_promise() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let rounds = number("REJOINDER_CRASH_ROUNDS", 50) / 2;
    let floor = Floor::default();
    let mut random = Random(rounds);
    let server = Server::start(&dir, &[]);
    floor.open(&server);
    let mut server = Some(server);
    for round in 0..rounds {
        let server = server.take().unwrap_or_else(|| Server::start(&dir, &[]));
        // Some lives are over before anybody is at work, some are long enough for times to run out.
        let life = if round % 3 == 0 { 1_500 } else { 400 };
        floor.work_and_kill(server, Duration::from_millis(5 + random.below(life)), round);
        if round % 8 == 7 {
            // Down for longer than any promise: what falls due meanwhile is late, and not lost.
            std::thread::sleep(Duration::from_millis(2_500));
        }
        // The longer the log, the longer the reading: at first after each kill, then after each tenth.
        if round < 50 || round % 10 == 0 {
            let findings = after_kill(&dir, WORKSPACE, &floor.memory());
            assert!(findings.is_empty(), "round {round}: {} findings, like {:#?}", findings.len(), findings.first());
        }
    }
    let server = Server::start(&dir, &[]);
    floor.close(&server, rounds).unwrap();
    assert!(server.stop().contains("stopping"));
    let memory = floor.memory();
    let findings = after_closing(&dir, WORKSPACE, &memory);
    assert!(findings.is_empty(), "{} findings, like {:#?}", findings.len(), &findings[..findings.len().min(5)]);
    let latest = latest_breach_ms(&dir);
    assert!(rounds < 8 || latest > 1_000, "the server was down while promises fell due: {latest} ms");
    let told = [
        memory.count(|promise| matches!(promise, Promise::Told { .. })),
        memory.count(|promise| matches!(promise, Promise::Accepted { .. })),
        memory.count(|promise| matches!(promise, Promise::Declined { .. })),
        memory.count(|promise| matches!(promise, Promise::TooLate { .. })),
        memory.count(|promise| matches!(promise, Promise::Did { .. })),
        memory.count(|promise| matches!(promise, Promise::Commanded { .. })),
        memory.count(|promise| matches!(promise, Promise::Seen { .. })),
        memory.rung.len(),
    ];
    eprintln!(
        "{} messages; told, accepted, declined, too late, did, commanded, seen, rung: {told:?}",
        memory.acknowledged()
    );
    assert!(told.iter().all(|count| *count > 0), "the work was real: {told:?}");
}
