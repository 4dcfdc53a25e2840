//! The backend does what every backend does, on a real broker: `make kafka` starts one.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod broker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rejoinder_event_log::{EventLog, conformance};
use rejoinder_event_log_kafka::{KafkaLog, OpenError, Options};

/// A log of its own.
fn fresh() -> Options {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let topic = format!("events-{}-{number}", std::process::id());
    Options { partitions: 4, replication: 1, ..Options::new(broker::script(None, &["start"]).as_str(), &topic) }
}

#[test]
fn it_is_a_log_like_the_others() {
    conformance::suite(&|| KafkaLog::open(fresh()).unwrap());
}

fn read_from(log: &KafkaLog, from: u64, count: usize) -> Vec<Bytes> {
    let mut records = Vec::new();
    while records.len() < count {
        assert_eq!(log.stopped(), None);
        let more = log.read(0, from + records.len() as u64, 2_000).unwrap();
        records.extend(more.into_iter().map(|record| record.bytes));
        std::thread::sleep(Duration::from_millis(1));
    }
    records
}

#[test]
fn what_is_older_than_memory_is_read_from_the_broker() {
    let options = Options { ring_bytes: 1_000, ..fresh() };
    let log = KafkaLog::open(options.clone()).unwrap();
    let record = |n: u32| Bytes::from(n.to_be_bytes().repeat(25));
    (0..500).for_each(|n| log.append(0, record(n)).unwrap());
    let all: Vec<Bytes> = (0..500).map(record).collect();
    assert_eq!(read_from(&log, 0, 500), all);
    // Two readers at once, in turns, and one that begins in the middle.
    assert_eq!(read_from(&log, 250, 250), all[250..]);
    for n in (0..400).step_by(40) {
        assert_eq!(log.read(0, n, 100).unwrap()[0].bytes, all[usize::try_from(n).unwrap()]);
    }
    let id = log.id();
    drop(log);
    let again = KafkaLog::open(options).unwrap();
    assert_eq!((again.id(), again.end(0)), (id, 500));
    assert_eq!(read_from(&again, 0, 500), all);
}

#[test]
fn what_is_shown_at_once_is_what_the_topic_gets() {
    let options = Options { deferred: true, id: Some(77), ring_bytes: 1_000, ..fresh() };
    let log = KafkaLog::open(options.clone()).unwrap();
    let record = |n: u32| Bytes::from(n.to_be_bytes().repeat(25));
    for n in 0..300 {
        log.append(0, record(n)).unwrap();
        assert_eq!(log.end(0), u64::from(n) + 1, "there at once");
    }
    let all: Vec<Bytes> = (0..300).map(record).collect();
    assert_eq!(read_from(&log, 0, 300), all, "also what memory has let go");
    log.close();
    assert_eq!(log.stopped(), None);
    let reader = KafkaLog::open(Options { create: false, partitions: 0, deferred: false, ..options.clone() }).unwrap();
    assert_eq!((reader.id(), reader.partitions(), reader.end(0)), (77, 4, 300));
    assert_eq!(read_from(&reader, 0, 300), all);
    // Somebody else writes to the topic too: what was shown is not what is there.
    let mine = KafkaLog::open(options.clone()).unwrap();
    reader.append(0, record(999)).unwrap();
    while reader.end(0) < 301 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The stranger's record lands first.
    let _ = mine.append(0, record(300));
    mine.close();
    assert!(mine.stopped().is_some_and(|what| what.contains("others write to the topic")));
    let absent = KafkaLog::open(Options { create: false, topic: "no-such".into(), ..options });
    assert!(matches!(absent, Err(OpenError::Absent { .. })));
}

#[test]
fn what_is_appended_in_a_rush_is_taken_too() {
    let log = KafkaLog::open(fresh()).unwrap();
    let record = |n: u32| Bytes::from(n.to_be_bytes().repeat(200));
    // Four times what one request to the topic may hold.
    (0..3_000).for_each(|n| log.append(0, record(n)).unwrap());
    assert_eq!(read_from(&log, 0, 3_000), (0..3_000).map(record).collect::<Vec<_>>());
    assert_eq!(log.stopped(), None);
}

#[test]
fn a_topic_that_lost_what_was_read_stops_the_log() {
    let options = fresh();
    let log = KafkaLog::open(options.clone()).unwrap();
    (0..10_u8).for_each(|n| log.append(0, Bytes::from(vec![n])).unwrap());
    assert_eq!(read_from(&log, 0, 10).len(), 10);
    let admin: AdminClient<_> = options.cluster.connection().unwrap().client().create().unwrap();
    futures_executor::block_on(admin.delete_topics(&[&options.topic], &AdminOptions::new())).unwrap();
    // Another one under its name.
    let again = KafkaLog::open(options).unwrap();
    while log.stopped().is_none() {
        let _ = again.append(0, Bytes::from_static(b"x"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(log.stopped().is_some_and(|what| what.contains("lost")), "{:?}", log.stopped());
}

#[test]
fn two_processes_see_one_log() {
    let options = fresh();
    let one = KafkaLog::open(options.clone()).unwrap();
    let two = KafkaLog::open(options).unwrap();
    assert_eq!(one.id(), two.id());
    let logs: [Arc<KafkaLog>; 2] = [one, two];
    for n in 0..100_u8 {
        logs[usize::from(n % 2)].append(0, Bytes::from(vec![n])).unwrap();
    }
    let seen = logs.each_ref().map(|log| read_from(log, 0, 100));
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_topic_that_would_forget_is_refused_with_the_remedy() {
    let options = fresh();
    drop(KafkaLog::open(options.clone()).unwrap());
    let other = KafkaLog::open(Options { partitions: 8, ..options.clone() });
    assert!(matches!(other, Err(OpenError::Partitions { found: 4, wanted: 8, .. })));
    let copies = KafkaLog::open(Options { replication: 3, ..options.clone() });
    assert!(matches!(copies, Err(OpenError::Copies { found: 1, wanted: 3, .. })));
    let of_topic = ["tool", "configs", "--alter", "--entity-type", "topics", "--entity-name", &options.topic];
    broker::script(None, &[&of_topic[..], &["--add-config", "retention.ms=1000"]].concat());
    let Err(error @ OpenError::Setting { .. }) = KafkaLog::open(options) else { panic!("it was opened") };
    assert!(error.to_string().contains("--add-config retention.ms=-1"), "{error}");
}

#[test]
fn nobody_there_is_said() {
    let nobody = Options { replication: 1, ..Options::new("127.0.0.1:1", "events") };
    let Err(error) = KafkaLog::open(nobody) else { panic!("it was opened") };
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
