//! What a person meets on the command line: clear refusals, exit codes, damage found.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod clocks;
mod desk;

use std::fs;

use rejoinder_integration_tests::{Replay, data, run};

const TWO_DAYS: &str = concat!(
    r#"{"channel":"whatsapp","account":"acme","external_id":"1","direction":"in","author":{"id":"eve"},"text":"my parcel is late","event_time":"2026-01-05T09:00:00Z","visibility":"private"}"#,
    "\n",
    r#"{"channel":"whatsapp","account":"acme","external_id":"2","direction":"out","author":{"id":"acme"},"text":"we look","event_time":"2026-01-05T09:05:00Z","visibility":"private","to":["eve"]}"#,
    "\n",
    r#"{"channel":"whatsapp","account":"acme","external_id":"3","direction":"in","author":{"id":"eve"},"text":"still late","event_time":"2026-01-07T09:00:00Z","visibility":"private"}"#,
    "\n",
);

fn replay(text: &str) -> Replay {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("in.jsonl");
    fs::write(&file, text).expect("written");
    Replay::of(&file, "jsonl", &[])
}

#[test]
fn a_customer_who_comes_back_finds_the_thread_again() {
    let replay = replay(TWO_DAYS);
    assert_eq!(replay.grouping("thread_id").len(), 1);
    assert_eq!(replay.grouping("burst_id").len(), 2);
    let list = data(&["threads", "list", "--output", "tsv", "--data-dir", &replay.data_dir()]);
    assert!(list.contains("awaiting_agent\t3\t2026-01-07T09:00:00.000Z"), "{list}");
    let thread = list.lines().nth(1).and_then(|line| line.split('\t').next()).expect("a thread");
    let shown = data(&["threads", "show", thread, "--data-dir", &replay.data_dir()]);
    assert!(shown.contains("my parcel is late") && shown.contains("still late"), "{shown}");
}

#[test]
fn a_copy_of_the_log_alone_answers_like_the_whole_directory() {
    let replay = replay(TWO_DAYS);
    let (dir, digest) = (replay.data_dir(), replay.log_digest());
    fs::remove_dir_all(format!("{dir}/state")).unwrap();
    assert_eq!(data(&["threads", "export", "--data-dir", &dir]), replay.export);
    assert_eq!(replay.log_digest(), digest);
    let rebuilt = run(&["log", "rebuild", "--compare", "--data-dir", &dir]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert!(!fs::exists(format!("{dir}/state")).unwrap(), "who only reads writes nothing");
}

#[test]
fn a_file_that_is_not_there_leaves_the_directory_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let output = run(&["replay", "/nope", "--format", "twcs", "--data-dir", data_dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("cannot read /nope"), "{said}");
    assert!(!data_dir.exists());
}

#[test]
fn malformed_lines_are_named_skipped_and_counted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("in.jsonl");
    fs::write(&file, format!("{TWO_DAYS}{{\"channel\":\n")).expect("written");
    let data_dir = dir.path().join("data");
    let output =
        run(&["replay", file.to_str().unwrap(), "--format", "jsonl", "--data-dir", data_dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("line 4, column 11") && said.contains("1 malformed records skipped"), "{said}");
}

#[test]
fn a_directory_in_use_or_without_a_log_is_refused_with_the_way_out() {
    let replay = replay(TWO_DAYS);
    let again = run(&["replay", "-", "--format", "jsonl", "--data-dir", &replay.data_dir()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("a replay needs a directory of its own"));
    let none = run(&["threads", "list", "--data-dir", "/nonexistent"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("is no data directory"));
    let wrong = run(&["replay", "x", "--format", "fax", "--data-dir", "y"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("email, jsonl, reddit, twcs, x-api"));
}

#[test]
fn a_flipped_bit_in_the_log_is_found() {
    let replay = replay(TWO_DAYS);
    let db = std::path::Path::new(&replay.data_dir()).join("log/db");
    let files = fs::read_dir(db).expect("a database").map(|file| file.expect("an entry").path());
    let wal = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    let wal = wal.max_by_key(|path| path.metadata().map_or(0, |m| m.len())).expect("a write-ahead file");
    let mut bytes = fs::read(&wal).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&wal, bytes).expect("writable");
    let verify = run(&["log", "verify", "--data-dir", &replay.data_dir()]);
    assert_ne!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stdout));
    assert!(String::from_utf8_lossy(&verify.stderr).contains("damaged"));
}

#[test]
fn a_truncated_zst_file_keeps_what_came_before_and_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Random enough that the cut lies behind whole records.
    let many: String = (0..4_000)
        .map(|n: u64| {
            let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            TWO_DAYS
                .lines()
                .next()
                .unwrap_or_default()
                .replace("\"1\"", &format!("\"{n}\""))
                .replace("parcel", &format!("{noise:x}"))
                + "\n"
        })
        .collect();
    let mut packed = zstd::encode_all(many.as_bytes(), 1).expect("compressed");
    packed.truncate(packed.len() - 100);
    let file = dir.path().join("cut.jsonl.zst");
    fs::write(&file, packed).expect("written");
    let data_dir = dir.path().join("data");
    let output =
        run(&["replay", file.to_str().unwrap(), "--format", "jsonl", "--data-dir", data_dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot be read to its end"), "{said}");
}

#[test]
fn a_format_that_names_no_account_is_said_to_have_none() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("in.eml");
    let mail = "From: eve@example.org\nMessage-ID: <1@example.org>\nDate: Mon, 5 Jan 2026 09:00:00 +0000\n\nhello\n";
    fs::write(&file, mail).expect("written");
    let replayed = |data: &str, more: &[&str]| {
        let data = dir.path().join(data);
        let args = ["replay", file.to_str().unwrap(), "--format", "email", "--data-dir", data.to_str().unwrap()];
        String::from_utf8(run(&[&args[..], more].concat()).stderr).expect("UTF-8")
    };
    let said = replayed("without", &[]);
    assert_eq!(said.matches("--account is not given: it is \"unknown\"").count(), 1, "{said}");
    let said = replayed("with", &["--account", "help@acme.example"]);
    assert!(!said.contains("--account"), "{said}");
}
