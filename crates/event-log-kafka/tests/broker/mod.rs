//! The broker of development, as `scripts/kafka.sh` runs it.

use std::process::Command;

/// What a command of the script says.
pub(crate) fn script(command: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka.sh");
    let answer = Command::new(script).arg(command).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// Its address without TLS; it is started if nobody has.
pub(crate) fn address() -> String {
    script("start")
}
