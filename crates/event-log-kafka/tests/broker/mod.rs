//! Brokers of development, as `scripts/kafka.sh` runs them.

use std::process::Command;

/// What the script says to a command; of the broker that all share, or of the one of a port. `start` answers
/// with its address without TLS.
pub(crate) fn script(port: Option<u16>, command: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka.sh");
    let port = port.map(|port| ("REJOINDER_KAFKA_PORT", port.to_string()));
    let answer = Command::new(script).args(command).envs(port).output().unwrap();
    assert!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}
