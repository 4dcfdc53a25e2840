//! Real conversations: the grouping agrees with what the sources themselves say, for every message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rejoinder_integration_tests::{
    Replay, assert_same_grouping, assert_same_grouping_by, corpora, data, decompressed, mbox_messages, members, number,
    partition, rows, shuffle,
};
use serde_json::{Value, json};

fn truth(path: &Path) -> String {
    String::from_utf8(decompressed(path)).expect("truth is UTF-8")
}

/// Every message's conversation is the one that the truth names.
fn assert_conversations(replay: &Replay, truth: &str) {
    let expected = partition(rows(truth).into_iter().map(|row| (row["message_id"], row["root_id"].to_owned())));
    let found = replay.grouping("conversation_id");
    assert_eq!(found.len(), expected.len(), "as many conversations");
    assert!(found == expected, "every message in its conversation");
}

/// The thread of every message by a count of its own: a customer's message is in the thread of its
/// author there, ours in that of the message it answers, ours without one in none.
fn threads_by_hand(truth: &str) -> BTreeMap<&str, String> {
    let all = rows(truth);
    let by_id: HashMap<&str, &BTreeMap<&str, &str>> = all.iter().map(|row| (row["message_id"], row)).collect();
    let label = |row: &BTreeMap<&str, &str>| {
        let mut row = row;
        while row["role"] == "agent" {
            match (row["parent_id"], by_id.get(row["parent_id"])) {
                ("", _) => return String::new(),
                (unseen, None) => return format!("awaits {unseen}"),
                (_, Some(parent)) => row = parent,
            }
        }
        format!("{} of {}", row["author"], row["root_id"])
    };
    all.iter().map(|row| (row["message_id"], label(row))).collect()
}

fn assert_threads(replay: &Replay, truth: &str) {
    let by_hand = threads_by_hand(truth);
    let expected = partition(by_hand.iter().map(|(id, label)| (*id, label.clone())));
    assert!(replay.grouping("thread_id") == expected, "every message in its thread");
    for row in rows(&replay.export) {
        let waits = by_hand[row["external_id"]].starts_with("awaits ");
        let nowhere = row["thread_id"].is_empty();
        assert_eq!(row["person_id"].is_empty(), waits || nowhere, "the person of {}", row["external_id"]);
    }
}

/// Threads, threads with a customer, bursts, messages in no thread.
fn counts(replay: &Replay) -> [usize; 4] {
    let all = rows(&replay.export);
    let distinct = |column: &str, with: &str| {
        let labels = all.iter().filter(|row| !row[with].is_empty()).map(|row| row[column]);
        labels.filter(|label| !label.is_empty()).collect::<BTreeSet<_>>().len()
    };
    [
        distinct("thread_id", "thread_id"),
        distinct("thread_id", "person_id"),
        distinct("burst_id", "burst_id"),
        all.iter().filter(|row| row["thread_id"].is_empty()).count(),
    ]
}

#[test]
fn twcs_head_groups_as_the_source_says_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let truth = truth(&corpora.join("twcs/truth-head.tsv.zst"));
    let replay = Replay::of(&corpora.join("twcs/head.csv.zst"), "twcs", &[]);
    assert_conversations(&replay, &truth);
    assert_threads(&replay, &truth);
    assert_eq!(counts(&replay), [961, 958, 1538, 14]);
    let csv = decompressed(&corpora.join("twcs/head.csv.zst"));
    let (header, mut records) = csv_records(&csv);
    assert!(records.len() > 2_000, "{}", records.len());
    assert_any_order(&replay, "twcs", &mut records, header);
}

/// The header of a CSV file and its records, as they stand: a record may have line feeds in quotes.
fn csv_records(csv: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (mut records, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in csv.iter().enumerate() {
        quoted ^= *byte == b'"';
        if *byte == b'\n' && !quoted {
            records.push(&csv[start..at]);
            start = at + 1;
        }
    }
    let header = records.remove(0);
    (&csv[..=header.len()], records)
}

#[test]
fn twcs_tail_groups_as_the_source_says_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let truth = truth(&corpora.join("twcs/truth-tail.tsv.zst"));
    let file = corpora.join("twcs/tail.json.zst");
    let replay = Replay::of(&file, "twcs", &[]);
    assert_conversations(&replay, &truth);
    assert_threads(&replay, &truth);
    assert_eq!(counts(&replay), [3454, 3259, 4744, 19]);

    let mut whole: Value = serde_json::from_slice(&decompressed(&file)).expect("the corpus is JSON");
    let results = whole["results"].as_array_mut().expect("rows");
    twice_a_third(results);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shuffled = dir.path().join("shuffled.json");
    std::fs::write(&shuffled, whole.to_string()).expect("written");
    assert_same_grouping(&replay.export, &Replay::of(&shuffled, "twcs", &["--order", "file"]).export);
}

/// Sends a third of the records a second time, and all of them in another order.
fn twice_a_third<T: Clone>(records: &mut Vec<T>) {
    let third: Vec<T> = records.iter().step_by(3).cloned().collect();
    records.extend(third);
    shuffle(records, 7);
}

/// Replays shuffled records, a third of them twice, as the file has them: the grouping is the same.
fn assert_any_order(replay: &Replay, format: &str, records: &mut Vec<impl AsRef<[u8]> + Clone>, header: &[u8]) {
    assert_same_grouping(&replay.export, &in_another_order(format, records, header).export);
}

/// A replay of the records shuffled, a third of them twice.
fn in_another_order(format: &str, records: &mut Vec<impl AsRef<[u8]> + Clone>, header: &[u8]) -> Replay {
    twice_a_third(records);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shuffled = dir.path().join("shuffled");
    let records: Vec<u8> = records.iter().flat_map(|record| record.as_ref().iter().copied().chain(*b"\n")).collect();
    std::fs::write(&shuffled, [header, &records].concat()).expect("written");
    Replay::of(&shuffled, format, &["--order", "file"])
}

#[test]
fn the_same_input_twice_gives_the_same_log_and_a_rebuild_the_same_state() {
    let Some(corpora) = corpora() else { return };
    let file = corpora.join("twcs/tail.json.zst");
    let (one, two) = (Replay::of(&file, "twcs", &[]), Replay::of(&file, "twcs", &[]));
    assert_eq!(one.log_digest(), two.log_digest());
    assert_eq!(one.export, two.export);
    let _ = data(&["log", "rebuild", "--compare", "--data-dir", &one.data_dir()]);
    let by_file = Replay::of(&file, "twcs", &["--order", "file"]);
    assert_ne!(one.log_digest(), by_file.log_digest(), "the digest tells logs apart");
}

#[test]
fn native_tweets_group_as_the_source_says_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let file = corpora.join("tweets-native/threads.tar.zst");
    let replay = Replay::of(&file, "x-api", &[]);
    assert_conversations(&replay, &truth(&corpora.join("tweets-native/truth.tsv.zst")));
    let mut lines = Vec::new();
    let bytes = decompressed(&file);
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().expect("a tar") {
        if let Ok(value) = serde_json::from_reader::<_, Value>(entry.expect("an entry")) {
            lines.push(value.to_string());
        }
    }
    assert_any_order(&replay, "x-api", &mut lines, b"");
}

#[test]
fn reddit_groups_as_the_source_says_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let file = corpora.join("reddit/things.jsonl.zst");
    let replay = Replay::of(&file, "reddit", &[]);
    assert_conversations(&replay, &truth(&corpora.join("reddit/truth.tsv.zst")));
    let text = String::from_utf8(decompressed(&file)).expect("UTF-8");
    let mut lines: Vec<&str> = text.lines().collect();
    assert_any_order(&replay, "reddit", &mut lines, b"");
}

#[test]
fn ibm_cdp_groups_as_the_source_says_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let dialogs: Value =
        serde_json::from_slice(&decompressed(&corpora.join("ibm-cdp/conversations.json.zst"))).expect("JSON");
    let mut lines = Vec::new();
    for dialog in dialogs.as_array().expect("a list") {
        let company = &dialog["dialogHeader"]["company"];
        let mut turns: Vec<(&Value, &Value, bool)> = Vec::new();
        for turn in dialog["dialogContent"].as_array().expect("turns") {
            let customer = turn.get("client").or_else(|| turn.get("client1"));
            turns.push((&turn["tweet_ID"], customer.unwrap_or(company), customer.is_none()));
        }
        // A dialog ends with the answer that names a page.
        turns.push((&dialog["agentURL"]["tweet_ID"], company, true));
        let mut before = &Value::Null;
        for (id, author, is_agent) in turns {
            // The time is in the id itself.
            let number: i64 = id.as_str().and_then(|id| id.parse().ok()).expect("an id");
            let time = jiff::Timestamp::from_millisecond((number >> 22) + 1_288_834_974_657).expect("a time");
            lines.push(
                json!({
                    "channel": "x", "account": company, "external_id": id,
                    "direction": if is_agent { "out" } else { "in" },
                    "author": {"id": author}, "event_time": time.to_string(), "reply_to": before,
                })
                .to_string(),
            );
            before = id;
        }
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("dialogs.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("written");
    let truth = truth(&corpora.join("ibm-cdp/truth.tsv.zst"));
    let replay = Replay::of(&file, "jsonl", &[]);
    assert_conversations(&replay, &truth);
    assert_threads(&replay, &truth);
    assert_any_order(&replay, "jsonl", &mut lines, b"");
}

#[test]
fn no_mail_conversation_is_split_and_none_joined_without_a_name_in_any_order() {
    let Some(corpora) = corpora() else { return };
    let mut lists = vec![("r-sig-mac-2018-2022", 2006), ("r-help-2019-2020", 8772)];
    if number("REJOINDER_SOAK", 0) > 0 {
        // Five more than the truth names.
        lists.push(("r-help-2002-2004", 45_754));
    }
    for (list, messages) in lists {
        let truth = truth(&corpora.join(format!("email/truth-{list}.tsv.zst")));
        let replay = Replay::of(&corpora.join(format!("email/{list}.tar.zst")), "email", &[]);
        let members = members(&corpora.join(format!("email/{list}.tar.zst")));
        let mails: Vec<&[u8]> = members.iter().flat_map(|(_, mbox)| mbox_messages(mbox)).collect();
        assert!(mails.len() >= messages, "{}", mails.len());
        assert_mail(&replay, &truth, messages, &mails);
        // Some ids are given to two mails that answer different ones, and the first to come counts; a mail
        // without a date takes that of the one before it. Only without these there is one answer in every
        // order.
        let mut unique = one_of_each(&mails);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("unique.mbox");
        std::fs::write(&file, unique.concat()).expect("written");
        let replay = Replay::of(&file, "email", &[]);
        if list == "r-help-2002-2004" {
            // Many of its dates cannot be read: such a mail takes the time of the one before it, which is
            // another one in another order, and bursts go by time.
            let other = in_another_order("email", &mut unique, b"");
            assert_same_grouping_by(&["conversation_id", "thread_id", "person_id"], &replay.export, &other.export);
        } else {
            assert_any_order(&replay, "email", &mut unique, b"");
        }
    }
}

/// The first mail of each id, where it has a date.
fn one_of_each<'a>(mails: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut seen = BTreeSet::new();
    let mut is_wanted = |mail: &[u8]| {
        let message = String::from_utf8_lossy(mail).into_owned();
        let head = message.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name));
            line.map(|line| line[name.len()..].split_whitespace().collect::<String>())
        };
        header("date:").is_some() && header("message-id:").is_none_or(|id| seen.insert(id))
    };
    mails.iter().copied().filter(|mail| is_wanted(mail)).collect()
}

fn assert_mail(replay: &Replay, truth: &str, messages: usize, mails: &[&[u8]]) {
    let found = rows(&replay.export);
    assert_eq!(found.len(), messages);
    let bare = |id: &str| id.trim_matches(['<', '>']).split_whitespace().collect::<String>();
    let conversation: HashMap<String, &str> =
        found.iter().map(|row| (bare(row["external_id"]), row["conversation_id"])).collect();
    let mut of_root: HashMap<&str, &str> = HashMap::new();
    let mut roots_in: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    let mut compared = 0;
    let all = rows(truth);
    for row in &all {
        let Some(found) = conversation.get(&bare(row["message_id"])) else { continue };
        compared += 1;
        let first = of_root.entry(row["root_id"]).or_insert(found);
        assert_eq!(first, found, "conversation {} of the truth is split", row["root_id"]);
        roots_in.entry(found).or_default().insert(row["root_id"]);
    }
    assert!(compared * 100 >= all.len() * 99, "only {compared} of {} messages were found", all.len());
    // Two conversations of the truth are one only where a message names an id of the other.
    let mut names: HashMap<String, String> = HashMap::new();
    fn root(names: &HashMap<String, String>, id: &str) -> String {
        let mut id = id.to_owned();
        while let Some(up) = names.get(&id).filter(|up| **up != id) {
            id.clone_from(up);
        }
        id
    }
    for mail in mails {
        let message = String::from_utf8_lossy(mail);
        let head = message.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.map(|line| line[name.len() + 1..].to_owned()).unwrap_or_default()
        };
        let all = [header("message-id"), header("in-reply-to"), header("references")].join(" ");
        // An id may be folded in its middle.
        let mut inside = false;
        let all: String = all
            .chars()
            .filter(|c| {
                inside = *c == '<' || (inside && *c != '>');
                !(inside && c.is_whitespace())
            })
            .collect();
        let ids: Vec<String> = all.split(['<', '>', ' ', '\t', ',']).filter(|id| id.contains('@')).map(bare).collect();
        for pair in ids.windows(2) {
            let (a, b) = (root(&names, &pair[0]), root(&names, &pair[1]));
            names.insert(a, b.clone());
            names.entry(b.clone()).or_insert(b);
        }
    }
    for (conversation, roots) in roots_in.iter().filter(|(_, roots)| roots.len() > 1) {
        let joined: BTreeSet<String> = roots.iter().map(|id| root(&names, &bare(id))).collect();
        assert_eq!(joined.len(), 1, "{conversation} joins {roots:?} and no message names both");
    }
}
