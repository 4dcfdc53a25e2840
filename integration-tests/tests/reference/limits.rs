//! `limits.md` is made from the constants of the code.

use rejoinder_integration_tests::golden;

/// What is bounded, the unit, and the constant that bounds it.
const LIMITS: [(&str, &str, &str, &str); 24] = [
    ("Text of an interaction", "bytes", "services/ingest/src/limits.rs", "MAX_TEXT_BYTES"),
    ("An interaction as a whole", "bytes", "services/ingest/src/limits.rs", "MAX_INTERACTION_BYTES"),
    ("Each id in an interaction", "bytes", "services/ingest/src/limits.rs", "MAX_ID_BYTES"),
    ("Messages that an interaction may name as answered", "", "services/ingest/src/limits.rs", "MAX_REPLY_TO"),
    ("Attachments of an interaction", "", "services/ingest/src/limits.rs", "MAX_ATTACHMENTS"),
    ("Interactions of a batch", "", "services/ingest/src/limits.rs", "MAX_BATCH"),
    (
        "Batches of one Publish stream that wait for their answers",
        "",
        "services/ingest/src/service.rs",
        "MAX_IN_FLIGHT",
    ),
    ("A request over gRPC to IngestService", "bytes", "services/rejoinder/src/grpc.rs", "MAX_REQUEST_BYTES"),
    ("`request_id` of commands", "bytes", "services/threading/src/refusal.rs", "MAX_REQUEST_ID_BYTES"),
    ("`request_id` of a policy", "bytes", "services/ingest/src/policy_service.rs", "MAX_REQUEST_ID_BYTES"),
    ("Name of a workspace", "bytes", "crates/service-kit/src/workspace.rs", "MAX_BYTES"),
    ("Page of a list", "entries", "crates/service-kit/src/page.rs", "MAX"),
    ("Page of who does not say", "entries", "crates/service-kit/src/page.rs", "DEFAULT"),
    ("Page of messages, one message at least", "bytes", "crates/service-kit/src/page.rs", "MAX_PAGE_BYTES"),
    (
        "Log read for one page of a workspace's messages",
        "bytes",
        "services/threading/src/acceptance.rs",
        "MAX_LOOKED_AT",
    ),
    ("Threads looked at for one page", "", "services/threading/src/thread_service.rs", "MAX_LOOKED_AT"),
    ("Threads told of a conversation", "", "services/threading/src/thread_service.rs", "MAX_IN_CONVERSATION"),
    ("A note", "bytes", "services/threading/src/thread_service.rs", "MAX_NOTE_BYTES"),
    ("Attributes of a thread", "", "crates/threading-core/src/command.rs", "MAX_ATTRIBUTES"),
    ("Policy files of a workspace together", "bytes", "crates/policy/src/lib.rs", "MAX_BYTES"),
    ("Answers that wait for a slow subscriber", "", "services/rejoinder/src/feed.rs", "MAX_WAITING"),
    ("A commit", "bytes", "crates/event-log/src/record.rs", "MAX_FRAME_BYTES"),
    ("A mail in a file", "bytes", "crates/channels/src/email.rs", "MAX_MESSAGE_BYTES"),
    ("A text in a file; the rest is cut off", "bytes", "crates/channels/src/format.rs", "MAX_TEXT_BYTES"),
];

/// The value of a constant in a source: numbers, `*` and `<<`.
fn value(file: &str, name: &str) -> u64 {
    let source = golden::text(file);
    let wanted = format!("const {name}: ");
    let line = source.lines().find(|line| line.contains(&wanted)).unwrap_or_else(|| panic!("{file} has no {name}"));
    let (_, value) = line.split_once(" = ").unwrap();
    let value = value.trim_end_matches(';').replace('_', "");
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|error| panic!("{file}: {name}: {error}"));
    if let Some((a, b)) = value.split_once("<<") {
        return number(a) << number(b);
    }
    value.split('*').map(number).product()
}

/// As people read it.
fn shown(value: u64, unit: &str) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match (value, unit) {
        (MIB.., "bytes") if value.is_multiple_of(MIB) => format!("{} MiB", value / MIB),
        (KIB.., "bytes") if value.is_multiple_of(KIB) => format!("{} KiB", value / KIB),
        _ => format!("{value} {unit}").trim_end().to_owned(),
    }
}

#[test]
fn every_limit_is_the_one_of_the_code() {
    let mut rows = vec!["| what | at most | set in |\n|---|---|---|".to_owned()];
    for (what, unit, file, name) in LIMITS {
        rows.push(format!("| {what} | {} | `{name}` in `{file}` |", shown(value(file, name), unit)));
    }
    golden::page("docs/reference/limits.md", &rows.join("\n"));
}
