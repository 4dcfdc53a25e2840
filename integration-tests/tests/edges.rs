//! Bad input at the edges: each is named, costs nothing else, and nothing panics.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_integration_tests::client::message;
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{command, data, rows, run};

/// How a command ended, what it wrote and what it said.
fn outcome(args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

fn line(id: &str, more: &str) -> String {
    let time = r#""event_time":"2026-01-05T09:00:00Z""#;
    let time = if more.contains("event_time") { String::new() } else { format!(",{time}") };
    format!(r#"{{"channel":"x","account":"acme","external_id":"{id}","author":{{"id":"eve"}}{time}{more}}}"#)
}

/// A file in a directory of its own.
struct Input {
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Input {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in");
        fs::write(&file, bytes).unwrap();
        Self { dir, file }
    }

    fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn data_dir(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// Replays it, and returns how that ended, what was said, and the export.
    fn replayed(&self, format: &str) -> (Option<i32>, String, String) {
        let data_dir = self.data_dir();
        let (code, _, said) = outcome(&["replay", self.path(), "--format", format, "--data-dir", &data_dir]);
        let _ = data(&["log", "rebuild", "--compare", "--data-dir", &data_dir]);
        (code, said, data(&["threads", "export", "--data-dir", &data_dir]))
    }

    /// Sends it to a server, and returns how that ended, what was said, and the export after its stop.
    fn sent(&self, format: &str) -> (Option<i32>, String, String) {
        let live = self.dir.path().join("live");
        let server = Server::start(&live, &[]);
        let (code, _, said) = outcome(&["ingest", self.path(), "--format", format, "--endpoint", &server.endpoint]);
        assert!(!server.stop().contains("panicked"));
        let live = live.to_str().unwrap();
        let _ = data(&["log", "rebuild", "--compare", "--data-dir", live]);
        (code, said, data(&["threads", "export", "--data-dir", live]))
    }
}

fn ids(export: &str) -> Vec<String> {
    let mut ids: Vec<String> = rows(export).into_iter().map(|row| row["external_id"].to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn what_no_record_may_hold_is_named_by_its_line_and_the_rest_is_taken() {
    let long = "i".repeat(10_240);
    let mut jsonl = Vec::new();
    for line in [
        line("1", ""),
        line("2", r#","text":"TEXT""#),
        line("3", r#","text":"nul \u0000 stays""#),
        line(r"4\u0000", ""),
        line(&long, ""),
        line("6", &format!(r#","reply_to":"{long}""#)),
        line("7", &format!(r#","edit_of":"{long}""#)),
        line("8", &format!(r#","to":["{long}"]"#)),
        line("9", ""),
    ] {
        jsonl.extend_from_slice(line.as_bytes());
        jsonl.push(b'\n');
    }
    let text = jsonl.windows(4).position(|window| window == b"TEXT").unwrap();
    jsonl[text + 1] = 0xff;
    let input = Input::new(&jsonl);
    for (code, said, export) in [input.replayed("jsonl"), input.sent("jsonl")] {
        assert_eq!(code, Some(3), "{said}");
        let named = [
            "line 2",
            "4: external_id has control characters",
            "5: external_id has 10240 bytes",
            "6: reply_to has 10240 bytes",
            "7: edit_of has 10240 bytes",
            "8: to has 10240 bytes",
        ];
        assert!(named.iter().all(|what| said.contains(what)), "{said}");
        assert!(said.contains("6 malformed records skipped"), "{said}");
        assert_eq!(ids(&export), ["1", "3", "9"]);
    }
}

#[test]
fn a_table_with_bytes_that_are_no_text_keeps_its_other_rows() {
    let row = |id: u8, text: &[u8]| {
        let start = format!("{id},{id},7,True,Tue Oct 31 22:10:47 +0000 2017,@acme ");
        [start.as_bytes(), text, b",,\n"].concat()
    };
    let header = b",tweet_id,author_id,inbound,created_at,text,response_tweet_id,in_response_to_tweet_id\n";
    let input = Input::new(&[&header[..], &row(1, b"one"), &row(2, b"\xc3\x28"), &row(3, b"nul \0")].concat());
    for (code, said, export) in [input.replayed("twcs"), input.sent("twcs")] {
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("line 3") && said.contains("1 malformed records skipped"), "{said}");
        assert_eq!(ids(&export), ["1", "3"]);
    }
}

#[test]
fn odd_years_are_kept_as_given() {
    let times = [
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("2026-01-05T09:00:00Z", "2026-01-05T09:00:00.000Z"),
        ("2106-02-07T06:28:16Z", "2106-02-07T06:28:16.000Z"),
        ("9999-12-30T00:00:00Z", "9999-12-30T00:00:00.000Z"),
    ];
    let lines =
        times.iter().enumerate().map(|(n, (time, _))| line(&n.to_string(), &format!(r#","event_time":"{time}""#)));
    let input = Input::new(lines.collect::<Vec<_>>().join("\n").as_bytes());
    for (code, said, export) in [input.replayed("jsonl"), input.sent("jsonl")] {
        assert_eq!(code, Some(0), "{said}");
        let rows = rows(&export);
        assert_eq!(rows.len(), times.len());
        for row in rows {
            let number: usize = row["external_id"].parse().unwrap();
            assert_eq!(row["event_time"], times[number].1);
            assert!(!row["thread_id"].is_empty());
        }
    }
    let wrong = Input::new(line("1", r#","event_time":"10000-01-01T00:00:00Z""#).as_bytes());
    let (code, said, _) = wrong.replayed("jsonl");
    assert_eq!(code, Some(3));
    assert!(said.contains("line 1: event_time \"10000-01-01T00:00:00Z\" is not RFC 3339"), "{said}");
}

#[test]
fn an_edit_or_a_delete_of_a_message_that_is_not_known_waits_for_it() {
    let edit = line("1-edit", r#","edit_of":"1","text":"right","event_time":"2026-01-05T10:00:00Z""#);
    let delete = line("2", r#","deleted":true,"event_time":"2026-01-05T10:00:00Z""#);
    let first = line("1", r#","text":"wrong""#);
    let never = line("9-edit", r#","edit_of":"9","text":"of nothing""#);
    let input = Input::new([edit, delete, never, first, line("2", r#","text":"gone""#)].join("\n").as_bytes());
    let live = input.dir.path().join("live");
    let server = Server::start(&live, &[]);
    let (code, _, said) = outcome(&["ingest", input.path(), "--format", "jsonl", "--endpoint", &server.endpoint]);
    assert_eq!(code, Some(0), "{said}");
    let list = data(&["threads", "list", "--output", "tsv", "--endpoint", &server.endpoint]);
    let threads: Vec<String> = rows(&list).into_iter().map(|row| row["thread_id"].to_owned()).collect();
    let shown: String =
        threads.iter().map(|thread| data(&["threads", "show", thread, "--endpoint", &server.endpoint])).collect();
    assert!(shown.contains("right") && !shown.contains("wrong") && !shown.contains("gone"), "{shown}");
    assert!(!shown.contains("of nothing"), "{shown}");
    assert!(server.stop().contains("stopping"));
    let live = live.to_str().unwrap();
    let _ = data(&["log", "rebuild", "--compare", "--data-dir", live]);
    assert_eq!(ids(&data(&["threads", "export", "--data-dir", live])), ["1", "2"]);
}

#[test]
fn a_broken_policy_is_named_by_file_line_and_column_and_not_published() {
    let input = Input::new(b"");
    let dir = input.dir.path().join("policy");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("threading.toml"), "# a window\nburst_gap = \"soon\"\n").unwrap();
    let server = Server::start(&input.dir.path().join("live"), &[]);
    let dir = dir.to_str().unwrap();
    for args in [
        &["policy", "check", dir][..],
        &["policy", "apply", dir, "--endpoint", &server.endpoint],
        &["policy", "apply", dir, "--validate-only", "--endpoint", &server.endpoint],
        &["--workspace", "new", "policy", "apply", dir, "--endpoint", &server.endpoint],
    ] {
        let (code, _, said) = outcome(args);
        assert_eq!(code, Some(3), "{args:?}: {said}");
        assert!(said.contains("policy/threading.toml:2:13: \"soon\" is no duration"), "{args:?}: {said}");
    }
    let args = ["--workspace", "new", "threads", "list", "--endpoint", &server.endpoint];
    assert_eq!(outcome(&args).0, Some(1), "the workspace does not exist");
    fs::write(Path::new(dir).join("threading.toml"), b"# \xff\n").unwrap();
    let (code, _, said) = outcome(&["policy", "check", dir]);
    assert_ne!(code, Some(0));
    assert!(said.contains("threading.toml:1") && said.contains("not UTF-8"), "{said}");
    assert!(server.stop().contains("stopping"));
}

#[test]
fn a_workspace_that_does_not_exist_is_named_by_every_command() {
    let input = Input::new(line("1", "").as_bytes());
    let live = input.dir.path().join("live");
    let server = Server::start(&live, &[]);
    let (file, endpoint) = (input.path(), server.endpoint.clone());
    let commands: [&[&str]; 9] = [
        &["ingest", file, "--format", "jsonl"],
        &["events", "tail", "--until-end"],
        &["threads", "list"],
        &["threads", "show", "t1000000000001"],
        &["persons", "show", "p1000000000001"],
        &["persons", "timeline", "p1000000000001"],
        &["quarantine", "list"],
        &["quarantine", "retry", "0/0/0"],
        &["quarantine", "skip", "0/0/0"],
    ];
    for command in commands {
        let args = [&["--workspace", "nobody"], command, &["--endpoint", &endpoint]].concat();
        let (code, _, said) = outcome(&args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        // Who names a thread or a person is told that there is none.
        let named = said.contains("nobody") || command.last().is_some_and(|id| id.contains('1') && said.contains(id));
        assert!(named && said.contains("does not exist"), "{args:?}: {said}");
    }
    assert!(server.stop().contains("stopping"));
    let live = live.to_str().unwrap();
    for command in [&["threads", "list", "--data-dir", live][..], &["threads", "export", "--data-dir", live]] {
        let (code, _, said) = outcome(&[&["--workspace", "nobody"], command].concat());
        assert_eq!(code, Some(1), "{command:?}: {said}");
        assert!(said.contains("nobody"), "{command:?}: {said}");
    }
}

#[test]
fn a_server_that_does_not_come_back_ends_ingest_as_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let mut ingest = command();
    ingest.args(["ingest", "-", "--format", "jsonl", "--patience", "1s", "--endpoint", &server.endpoint]);
    let mut ingest = ingest.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = ingest.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        // Until it listens no more; the server goes in the middle.
        let mut number = 0;
        while writeln!(stdin, "{}", line(&format!("m{number}"), "")).is_ok() {
            number += 1;
        }
    });
    let events = ["events", "tail", "--until-end", "--from", "10/0", "--type", "InteractionReceived"];
    let arrived = || outcome(&[&events[..], &["--output", "tsv", "--endpoint", &server.endpoint]].concat()).1;
    while arrived().lines().count() < 2 {}
    server.kill();
    let ended = ingest.wait_with_output().unwrap();
    feeding.join().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("nothing answers at ") && said.contains("trying again"), "{said}");
}

#[test]
fn a_wrong_position_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    for (from, word) in [("nowhere", "PARTITION/INDEX"), ("10/99999999", "ends at"), ("3/0", "is not in"), ("-1/0", "")]
    {
        let from = format!("--from={from}");
        let (code, _, said) = outcome(&["events", "tail", "--until-end", &from, "--endpoint", &server.endpoint]);
        assert_eq!(code, Some(1), "{from}: {said}");
        assert!(said.contains("from: ") && said.contains(word), "{from}: {said}");
    }
    let args = ["events", "tail", "--until-end", "--type", "Nothing", "--endpoint", &server.endpoint];
    assert!(outcome(&args).2.contains("there is no event \"Nothing\""));
    assert!(server.stop().contains("stopping"));
}

#[test]
fn a_port_that_something_else_has_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    for (flag, other) in [("--grpc-addr", "--http-addr"), ("--http-addr", "--grpc-addr")] {
        let args = ["up", "--data-dir", path.to_str().unwrap(), flag, &addr, other, "127.0.0.1:0"];
        let (code, _, said) = outcome(&args);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&addr) && said.contains(flag), "{said}");
        assert!(!path.exists(), "nothing was made");
    }
    // And as a client of what is no server: it is not taken for one.
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = taken.accept().unwrap();
        stream.write_all(b"220 mail.example.org ESMTP\r\n").unwrap();
        let mut bytes = [0; 1_024];
        let _ = stream.read(&mut bytes);
    });
    let (code, _, said) = outcome(&["threads", "list", "--endpoint", &addr]);
    assert!(matches!(code, Some(1 | 4)), "{said}");
    serving.join().unwrap();
}

/// Bytes that follow no protocol, or one for a while.
fn garbage() -> Vec<Vec<u8>> {
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        noise.clone(),
        b"\0".repeat(10_000),
        [&http2[..], &noise].concat(),
        [&http2[..], &[0xff; 9]].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/1.1\r\nHost: \xff\xfe\r\nContent-Length: -1\r\n\r\n".to_vec(),
        [&b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"[..], &noise].concat(),
        [&b"GET /"[..], &b"a".repeat(1 << 20), b" HTTP/1.1\r\n\r\n"].concat(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_a_port_and_messages_above_the_limit_leave_the_server_well() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    for addr in [&server.endpoint, &server.http] {
        for bytes in garbage() {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            // The server may hang up in the middle.
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 1_024]);
        }
    }
    let mut ingest = server.ingest().await;
    let interactions = (0..10_000).map(|number| {
        let mut large = message(number);
        large.text = "x".repeat(2_000);
        large
    });
    let refused = ingest.publish_batch(PublishBatchRequest { interactions: interactions.collect() }).await.unwrap_err();
    assert!(refused.message().contains("16777216"), "{refused:?}");
    let small = PublishBatchRequest { interactions: vec![message(1)] };
    assert_eq!(ingest.publish_batch(small).await.unwrap().into_inner().results.len(), 1);
    let (code, out, said) = outcome(&["doctor", "--endpoint", &server.endpoint]);
    assert!(matches!(code, Some(0 | 3)) && out.contains("live"), "{said}");
    let mut stream = TcpStream::connect(&server.http).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!server.stop().contains("panicked"));
}
