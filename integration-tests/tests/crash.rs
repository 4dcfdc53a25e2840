//! Kills at random moments under load: nothing acknowledged is lost, nothing is doubled.

use std::time::Duration;

use rejoinder_integration_tests::auditor::check;
use rejoinder_integration_tests::client::{Client, Random};
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
