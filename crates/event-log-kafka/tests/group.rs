//! Who should own a partition: groups on a real broker, with members that come, go, die and wake again.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a helper of tests fails as a test does")]

mod broker;
#[path = "group/child.rs"]
mod child;
#[path = "group/journal.rs"]
mod journal;
mod own_broker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, TopicPartitionList};
use rejoinder_event_log_kafka::{GroupOptions, KafkaLog, Member, Options};

use child::Process;
use journal::{Entry, Journal, Kind, Teller, clock, holders, no_overlap};
use own_broker::OwnBroker;

const PARTITIONS: u16 = 8;

/// The broker of development; it is started if nobody has.
fn broker() -> String {
    broker::script(None, &["start"])
}

/// A topic of its own.
fn fresh() -> Options {
    fresh_at(&broker())
}

fn fresh_at(broker: &str) -> Options {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let topic = format!("group-{}-{number}", std::process::id());
    let options = Options { partitions: PARTITIONS, replication: 1, ..Options::new(broker, &topic) };
    drop(KafkaLog::open(options.clone()).unwrap());
    options
}

/// A member in this process.
fn join(options: &Options, name: &str, journal: &Journal) -> Member {
    join_as(options, name, name, journal)
}

/// One that the journal knows by another name than the group.
fn join_as(options: &Options, name: &str, alias: &str, journal: &Journal) -> Member {
    let journal = journal.clone();
    let teller = Teller { member: alias.to_owned(), tell: Box::new(move |entry| journal.push(entry)) };
    Member::join(options.clone(), GroupOptions::new("routing", name), Arc::new(teller)).unwrap()
}

fn all() -> BTreeSet<u16> {
    (0..PARTITIONS).collect()
}

fn taken_from<'e>(entries: &'e [Entry], member: &'e str, kind: Kind) -> impl Iterator<Item = &'e Entry> {
    entries.iter().filter(move |entry| entry.member == member && entry.kind == kind)
}

/// What tools that show lag go by.
fn committed(options: &Options) -> Vec<i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&options.topic, 0, i32::from(PARTITIONS) - 1);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.cluster.brokers)
        .set("group.id", GroupOptions::new("routing", "nobody").group(options))
        .create()
        .unwrap();
    let found = consumer.committed_offsets(asked, Duration::from_secs(10)).unwrap();
    found.elements().iter().map(|element| element.offset().to_raw().unwrap()).collect()
}

fn report(what: &str, micros: u64) {
    println!("{what}: {} ms", micros / 1_000);
}

/// No test: what a child process of this executable runs.
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
    assert_eq!(committed(&options), (0..PARTITIONS).map(|partition| i64::from(partition) + 1_000).collect::<Vec<_>>());
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

#[test]
fn a_member_that_slept_past_its_session_hears_so_before_it_is_confirmed_again() {
    let (options, journal) = (fresh(), Journal::default());
    let start = clock();
    let stays = join(&options, "stays", &journal);
    let sleeps = Process::start(&options, "sleeps", &journal);
    journal.settled(start, &[("stays", 4), ("sleeps", 4)]);
    sleeps.signal("STOP");
    let stopped = clock();
    let expelled = journal.wait("that it is expelled", |entries| {
        let mut since = entries.iter().filter(|entry| entry.at > stopped && entry.member == "stays");
        since.find(|entry| entry.partitions == all()).map(|entry| entry.at)
    });
    sleeps.signal("CONT");
    let woken = clock();
    let settled = journal.settled(woken, &[("stays", 4), ("sleeps", 4)]);
    report("stopped to confirmed by the other", expelled - stopped);
    report("woken to settled", settled - woken);
    let entries = journal.entries();
    let lost = taken_from(&entries, "sleeps", Kind::Lost).next().unwrap();
    assert_eq!(lost.partitions.len(), 4);
    for entry in entries.iter().filter(|entry| entry.member == "sleeps") {
        let Kind::Confirmed(asked) = entry.kind else { continue };
        // What was asked while others had it is confirmed to nobody.
        assert!(asked < stopped + 100_000 || (asked > woken && entry.at > lost.at), "{entry}");
    }
    sleeps.leave();
    drop(stays);
}

#[test]
fn of_two_with_one_name_the_first_says_so_and_ends() {
    let (options, journal) = (fresh(), Journal::default());
    let start = clock();
    let first = join_as(&options, "twin", "first", &journal);
    journal.settled(start, &[("first", 8)]);
    let second = join_as(&options, "twin", "second", &journal);
    let lost = journal.wait("that the first is fenced", |entries| {
        taken_from(entries, "first", Kind::Lost).next().map(|entry| entry.at)
    });
    journal.settled(lost, &[("second", 8)]);
    while first.failure().is_none() {
        std::thread::yield_now();
    }
    let failure = first.failure().unwrap();
    assert!(failure.contains("another process has joined group") && failure.contains("as twin"), "{failure}");
    // It does not come back, and the other stays.
    journal.settled(clock(), &[("second", 8)]);
    assert_eq!(second.failure(), None);
    first.leave();
    journal.settled(clock(), &[("second", 8)]);
    drop(second);
}

#[test]
fn members_that_come_and_go_each_second_leave_every_partition_with_one_of_those_who_stay() {
    let (options, journal) = (fresh(), Journal::default());
    let stays = join(&options, "stays", &journal);
    let mut others = Vec::new();
    for second in 0..10 {
        if second % 3 == 2 {
            Member::leave(others.remove(0));
        } else {
            others.push(join(&options, &format!("other-{second}"), &journal));
        }
        // The pace is what is tried.
        std::thread::sleep(Duration::from_secs(1));
    }
    while others.len() > 1 {
        Member::leave(others.remove(0));
    }
    let end = clock();
    let settled = journal.settled(end, &[("stays", 4), ("other-9", 4)]);
    report("flapping's end to settled", settled.saturating_sub(end));
    no_overlap(&journal.entries());
    assert!(journal.entries().iter().all(|entry| entry.kind != Kind::Lost));
    others.into_iter().for_each(Member::leave);
    drop(stays);
}

#[test]
fn a_broker_that_was_away_past_the_session_is_found_again() {
    let away = OwnBroker(9_720);
    let options = fresh_at(&broker::script(Some(away.0), &["start"]));
    let journal = Journal::default();
    let start = clock();
    let members = ["one", "two"].map(|name| join(&options, name, &journal));
    journal.settled(start, &[("one", 4), ("two", 4)]);
    broker::script(Some(away.0), &["kill"]);
    let killed = clock();
    for name in ["one", "two"] {
        let lost = journal.wait("that its session ends", |entries| {
            taken_from(entries, name, Kind::Lost).next().map(|entry| entry.at)
        });
        report("broker killed to lost", lost - killed);
    }
    let back = clock();
    broker::script(Some(away.0), &["restart"]);
    let settled = journal.settled(back, &[("one", 4), ("two", 4)]);
    report("broker started to settled", settled - back);
    assert!(members.iter().all(|member| member.failure().is_none()));
}
