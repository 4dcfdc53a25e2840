//! Each public event once, in order, whatever happens to publishers, on a real broker.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod world;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use rejoinder_public_topics::{Publisher, StartError, start};
use world::{PARTITIONS, World, broker, client};

/// How often something happens: `make soak` makes it more.
fn rounds(few: usize) -> usize {
    std::env::var("REJOINDER_CRASH_ROUNDS").ok().map_or(few, |rounds| rounds.parse().unwrap())
}

fn publisher(world: &World, instance: &str) -> Publisher {
    start(world.log.clone(), world.options(instance)).unwrap()
}

/// A publisher in a process of its own.
struct Process(Child);

impl Process {
    fn start(world: &World, instance: &str) -> Self {
        Self::telling(world, instance, Stdio::inherit())
    }

    fn telling(world: &World, instance: &str, stderr: Stdio) -> Self {
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().unwrap().parent().unwrap().join("examples/publish");
        let partitions = PARTITIONS.to_string();
        let arguments = [&broker(), &world.topic, &partitions, &world.prefix, &instance.to_owned()];
        let mut command = Command::new(program);
        command.args(arguments).env("RUST_LOG", "error").stdin(Stdio::piped()).stderr(stderr);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_public_event_is_there_once_in_order_and_stays_so_over_a_restart() {
    let mut world = World::new(1);
    world.go_on(300);
    let first = publisher(&world, "one");
    world.go_on(300);
    world.close();
    world.wait_until_published();
    first.stop();
    world.go_on(300);
    world.close();
    let again = publisher(&world, "one");
    world.wait_until_published();
    assert!(again.is_running());
    again.stop();
    world.check();
}

#[test]
fn a_position_moves_without_anything_public() {
    let mut world = World::new(2);
    world.close();
    let one = publisher(&world, "one");
    world.wait_until_published();
    world.go_on_inside(50);
    world.wait_until_published();
    one.stop();
    world.check();
}

#[test]
fn who_sets_an_offset_by_hand_has_events_from_there_on() {
    let mut world = World::new(3);
    world.go_on(200);
    let from = world.ends();
    world.expected.clear();
    world.go_on(200);
    world.close();
    let consumer: BaseConsumer = client().set("group.id", format!("{}-public", world.topic)).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    for (partition, end) in (0..).zip(from) {
        let offset = Offset::Offset(i64::try_from(end).unwrap());
        offsets.add_partition_offset(&world.topic, partition, offset).unwrap();
    }
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    let one = publisher(&world, "one");
    world.wait_until_published();
    one.stop();
    world.check();
}

#[test]
fn a_topic_that_does_not_fit_the_log_is_refused() {
    let world = World::new(4);
    let narrow = rejoinder_event_log::MemoryLog::new(2);
    start(narrow, world.options("one")).unwrap().stop();
    let Err(error) = start(world.log.clone(), world.options("one")) else { panic!("it was started") };
    assert!(matches!(error, StartError::Partitions { found: 2, wanted: PARTITIONS, .. }), "{error}");
    assert!(error.to_string().contains("another prefix"), "{error}");
}

#[test]
fn what_has_lost_its_position_is_not_published_twice() {
    let mut world = World::new(8);
    world.go_on(100);
    world.close();
    let one = publisher(&world, "one");
    world.wait_until_published();
    one.stop();
    // A group without members loses its offsets after days; another log's group never had any.
    let mut other = World::new(9);
    other.go_on(100);
    other.prefix = world.prefix.clone();
    let mut halted = Process::telling(&other, "one", Stdio::piped());
    let mut told = BufReader::new(halted.0.stderr.take().unwrap()).lines();
    for _ in 0..PARTITIONS {
        let line = told.by_ref().map(Result::unwrap).find(|line| line.contains("is not published any more"));
        assert!(line.unwrap().contains("set the offset"));
    }
    drop(halted);
    world.check();
}

/// Waits for something that takes less than a minute.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("not so: {what}");
}

/// Writes on in a thread while something happens.
fn while_writing(world: &mut World, mut happens: impl FnMut()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (world, over) = (&mut *world, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Acquire) {
                world.go_on(10);
                // Less than a thousand records a second: as much as small transactions carry.
                std::thread::sleep(Duration::from_millis(12));
            }
        });
        happens();
        over.store(true, Ordering::Release);
    });
}

/// Records of the public topics, of open and aborted transactions too.
fn written(consumer: &BaseConsumer, prefix: &str) -> i64 {
    let topics = rejoinder_public_topics::Topic::ALL.map(|topic| topic.name(prefix));
    let end = |topic: &String, partition| {
        let patience = Duration::from_secs(20);
        consumer.fetch_watermarks(topic, partition, patience).map_or(0, |(_, end)| end)
    };
    topics.iter().flat_map(|topic| (0..i32::from(PARTITIONS)).map(move |partition| end(topic, partition))).sum()
}

#[test]
fn killed_in_the_middle_of_transactions_it_goes_on_where_it_was() {
    let mut world = World::new(5);
    world.go_on(100);
    let looker: BaseConsumer = client().create().unwrap();
    for round in 0..rounds(6) {
        let process = Process::start(&world, "one");
        let prefix = world.prefix.clone();
        while_writing(&mut world, || {
            let enough = written(&looker, &prefix) + 200 + 50 * i64::try_from(round % 5).unwrap();
            eventually("more is written", || written(&looker, &prefix) >= enough);
            process.signal("KILL");
        });
    }
    world.close();
    let last = publisher(&world, "one");
    world.wait_until_published();
    last.stop();
    world.check();
    let all: usize = world.read("read_uncommitted").values().map(Vec::len).sum();
    let aborted = all - world.expected_events();
    println!("{} events, {aborted} more in transactions that were cut off", world.expected_events());
    assert!(aborted > 0, "nobody was killed in a transaction");
}

#[test]
fn a_producer_that_is_fenced_begins_anew() {
    let mut world = World::new(10);
    let one = publisher(&world, "one");
    let mut fence = client();
    fence.set("transactional.id", format!("{}-public-one", world.topic));
    let (looker, prefix): (BaseConsumer, _) = (client().create().unwrap(), world.prefix.clone());
    let rounds = rounds(4);
    while_writing(&mut world, || {
        for _ in 0..rounds {
            let enough = written(&looker, &prefix) + 200;
            eventually("more is written", || written(&looker, &prefix) >= enough);
            let other: BaseProducer = fence.create().unwrap();
            other.init_transactions(Duration::from_secs(20)).unwrap();
        }
    });
    world.close();
    world.wait_until_published();
    one.stop();
    world.check();
}

/// A member of the group that takes its share, does nothing with it, and leaves.
fn visit(topic: &str) {
    let mut config = client();
    config
        .set("group.id", format!("{topic}-public"))
        .set("partition.assignment.strategy", "roundrobin")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    eventually("the visitor has partitions", || {
        // What is read is of no interest.
        let _ = consumer.poll(Duration::from_millis(20));
        consumer.assignment().unwrap().count() > 0
    });
}

#[test]
fn two_publishers_share_partitions_that_move_all_the_time() {
    let mut world = World::new(6);
    let (one, two) = (publisher(&world, "one"), publisher(&world, "two"));
    let topic = world.topic.clone();
    let rounds = rounds(5);
    while_writing(&mut world, || (0..rounds).for_each(|_| visit(&topic)));
    world.close();
    world.wait_until_published();
    one.stop();
    two.stop();
    world.check();
}

#[test]
fn a_zombie_changes_nothing() {
    let mut world = World::new(7);
    world.go_on(100);
    let zombie = Process::start(&world, "zombie");
    world.close();
    world.wait_until_published();
    let (looker, prefix): (BaseConsumer, _) = (client().create().unwrap(), world.prefix.clone());
    for _ in 0..rounds(1) {
        while_writing(&mut world, || {
            let enough = written(&looker, &prefix) + 500;
            eventually("more is written", || written(&looker, &prefix) >= enough);
            zombie.signal("STOP");
        });
        let other = Process::start(&world, "other");
        world.close();
        // Only the other can do that, once the zombie's session is over and so is its transaction.
        world.wait_until_published();
        while_writing(&mut world, || zombie.signal("CONT"));
        world.close();
        world.wait_until_published();
        drop(other);
        world.close();
        world.wait_until_published();
    }
    assert!(zombie_is_alive(zombie));
    world.check();
}

fn zombie_is_alive(mut zombie: Process) -> bool {
    zombie.0.try_wait().unwrap().is_none()
}
