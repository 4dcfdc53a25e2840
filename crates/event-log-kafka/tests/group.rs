//! Who should own a partition: groups on a real broker, with members that come, go, die and wake again.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a helper of tests fails as a test does")]

#[path = "group/child.rs"]
mod child;
#[path = "group/journal.rs"]
mod journal;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};


use rejoinder_event_log_kafka::{GroupOptions, KafkaLog, Member, Options};

use child::Process;
use journal::{Entry, Journal, Kind, Teller, clock, holders, no_overlap};

const PARTITIONS: u16 = 8;

/// The broker of development; it is started if nobody has.
fn broker() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka.sh");
    let started = Command::new(script).arg("start").output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    String::from_utf8(started.stdout).unwrap().trim().to_owned()
}

/// A topic of its own.
fn fresh() -> Options {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let topic = format!("group-{}-{number}", std::process::id());
    let options = Options { partitions: PARTITIONS, replication: 1, ..Options::new(&broker(), &topic) };
    drop(KafkaLog::open(options.clone()).unwrap());
    options
}

/// A member in this process.
fn join(options: &Options, name: &str, journal: &Journal) -> Member {
    let journal = journal.clone();
    let teller = Teller { member: name.to_owned(), tell: Box::new(move |entry| journal.push(entry)) };
    Member::join(options.clone(), GroupOptions::new("routing", name), Arc::new(teller)).unwrap()
}

fn all() -> BTreeSet<u16> {
    (0..PARTITIONS).collect()
}

fn taken_from<'e>(entries: &'e [Entry], member: &'e str, kind: Kind) -> impl Iterator<Item = &'e Entry> {
    entries.iter().filter(move |entry| entry.member == member && entry.kind == kind)
}

fn report(what: &str, micros: u64) {
    println!("{what}: {} ms", micros / 1_000);
}

#[test]
fn member_of_a_test() {
    child::live();
}

#[test]
fn a_member_more_and_a_member_less_move_what_is_needed_and_nothing_twice() {
    let (options, journal) = (fresh(), Journal::default());
    let start = clock();
    let one = join(&options, "one", &journal);
    report("alone", journal.settled(start, &[("one", 8)]) - start);

    let start = clock();
    let two = join(&options, "two", &journal);
    let settled = journal.settled(start, &[("one", 4), ("two", 4)]);
    let entries = journal.entries();
    let revoked: Vec<&Entry> = taken_from(&entries, "one", Kind::Revoke).collect();
    assert_eq!(revoked.iter().map(|entry| entry.partitions.len()).sum::<usize>(), 4);
    report("join to settled", settled - start);
    report("revoke to confirmed by the other", settled - revoked[0].at);

    let start = clock();
    let three = join(&options, "three", &journal);
    let settled = journal.settled(start, &[("one", 3), ("two", 3), ("three", 2)]);
    let entries = journal.entries();
    let moved: usize = ["one", "two"]
        .iter()
        .flat_map(|member| taken_from(&entries, member, Kind::Revoke))
        .filter(|entry| entry.at >= start)
        .map(|entry| entry.partitions.len())
        .sum();
    assert_eq!(moved, 2);
    report("join to settled", settled - start);

    // Who leaves is missed at once, not after the session time-out.
    let start = clock();
    two.leave();
    let left = clock();
    let settled = journal.settled(start, &[("one", 4), ("three", 4)]);
    let entries = journal.entries();
    let revoke = taken_from(&entries, "two", Kind::Revoke).map(|entry| entry.at).max().unwrap();
    report("leave returns after", left - start);
    report("leave to confirmed by others", settled - start);
    report("revoke to confirmed by others", settled - revoke);
    assert!(settled - start < 3_000_000);
    let others: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.at >= start && entry.kind == Kind::Revoke).map(|e| &*e.member).collect();
    assert_eq!(others, BTreeSet::from(["two"]), "nobody else lets go");
    no_overlap(&entries);
    assert_eq!(holders(&entries).keys().copied().collect::<BTreeSet<_>>(), all());
    drop((one, three));
}

#[test]
fn who_is_killed_and_comes_back_under_its_name_has_what_it_had_and_nobody_else_notices() {
    let (options, journal) = (fresh(), Journal::default());
    let start = clock();
    let stays = join(&options, "stays", &journal);
    let dies = Process::start(&options, "dies", &journal);
    journal.settled(start, &[("stays", 4), ("dies", 4)]);
    let before = journal.entries();
    let had: BTreeSet<u16> =
        holders(&before).into_iter().filter(|(_, holder)| holder.member == "dies").map(|(p, _)| p).collect();
    let killed = clock();
    dies.signal("KILL");
    let again = Process::start(&options, "dies", &journal);
    let back = journal.wait("that it is back", |entries| {
        let mut since = entries.iter().filter(|entry| entry.at > killed && entry.member == "dies");
        since.find(|entry| entry.partitions == had).map(|entry| entry.at)
    });
    report("killed and back", back - killed);
    let entries = journal.entries();
    assert!(entries.iter().all(|entry| entry.at < killed || matches!(entry.kind, Kind::Confirmed(_))));

    // Who does not come back is missed after the session time-out.
    let killed = clock();
    again.signal("KILL");
    let settled = journal.settled(killed, &[("stays", 8)]);
    report("killed to confirmed by the other", settled - killed);
    assert!((4_000_000..12_000_000).contains(&(settled - killed)));
    drop(stays);
}
