//! What every backend must do alike. A backend's tests call [`suite`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::log::{AppendError, EventLog, StoredRecord};
use crate::record::MAX_FRAME_BYTES;

/// Runs all checks on fresh logs of four partitions.
///
/// # Panics
/// When a check fails.
pub fn suite<L: EventLog>(open: &dyn Fn() -> Arc<L>) {
    indices_are_dense_and_partitions_apart(&*open());
    a_read_keeps_its_limits(&*open());
    the_order_of_a_caller_is_kept(&open());
    sizes_have_a_limit(&*open());
    watchers_are_called(&*open());
}

/// All records of a partition from an index on, once there are `count` of them.
fn read_all(log: &impl EventLog, partition: u16, count: usize) -> Vec<StoredRecord> {
    // Durability may take a while, but not forever.
    for _ in 0..2_000 {
        let mut records = Vec::new();
        loop {
            let more = log.read(partition, records.len() as u64, 1 << 20).expect("the log can be read");
            if more.is_empty() {
                break;
            }
            records.extend(more);
        }
        assert!(log.end(partition) >= records.len() as u64, "the end shows what can be read");
        if records.len() >= count {
            return records;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{count} records of partition {partition} did not become durable");
}

fn indices_are_dense_and_partitions_apart(log: &impl EventLog) {
    for n in 0..50_u8 {
        for partition in 0..4_u16 {
            log.append(partition, Bytes::from(vec![n, u8::try_from(partition).unwrap_or(9)])).expect("appended");
        }
    }
    for partition in 0..4_u16 {
        let records = read_all(log, partition, 50);
        assert_eq!(records.len(), 50);
        for (n, record) in records.iter().enumerate() {
            assert_eq!(record.index, n as u64);
            assert_eq!(record.bytes[..], [u8::try_from(n).unwrap_or(0), u8::try_from(partition).unwrap_or(9)]);
        }
    }
    assert_eq!(log.partitions(), 4);
}

fn a_read_keeps_its_limits(log: &impl EventLog) {
    for _ in 0..10 {
        log.append(1, Bytes::from(vec![0; 100])).expect("appended");
    }
    read_all(log, 1, 10);
    let read = |from, bytes| log.read(1, from, bytes).expect("the log can be read").len();
    assert_eq!(read(0, 250), 2);
    assert_eq!(read(0, 1), 1, "one at least");
    assert_eq!(read(8, 1 << 20), 2);
    assert_eq!(read(10, 1 << 20), 0);
    assert_eq!(read(99, 1 << 20), 0);
}

fn the_order_of_a_caller_is_kept<L: EventLog>(log: &Arc<L>) {
    let callers: Vec<_> = (0..4_u8)
        .map(|caller| {
            let log = log.clone();
            std::thread::spawn(move || {
                for n in 0..100_u8 {
                    log.append(2, Bytes::from(vec![caller, n])).expect("appended");
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().expect("a caller ends"));
    let records = read_all(&**log, 2, 400);
    for caller in 0..4_u8 {
        let own = records.iter().filter(|record| record.bytes[0] == caller).map(|record| record.bytes[1]);
        assert!(own.eq(0..100), "records of one caller keep their order");
    }
}

fn sizes_have_a_limit(log: &impl EventLog) {
    log.append(0, Bytes::from(vec![1; MAX_FRAME_BYTES])).expect("a full frame fits");
    log.append(0, Bytes::from_static(b"x")).expect("a byte fits");
    let too_large = log.append(0, Bytes::from(vec![1; 2 * MAX_FRAME_BYTES]));
    assert!(matches!(too_large, Err(AppendError::TooLarge { .. })));
    let records = read_all(log, 0, 2);
    assert_eq!(records.iter().map(|record| record.bytes.len()).collect::<Vec<_>>(), [MAX_FRAME_BYTES, 1]);
}

fn watchers_are_called(log: &impl EventLog) {
    let called = Arc::new(AtomicU64::new(0));
    let counter = called.clone();
    log.watch(Arc::new(move |partition| {
        counter.fetch_add(u64::from(partition), Ordering::SeqCst);
    }));
    log.append(3, Bytes::from_static(b"x")).expect("appended");
    read_all(log, 3, 1);
    for _ in 0..2_000 {
        if called.load(Ordering::SeqCst) >= 3 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the watcher was not told of partition 3");
}
