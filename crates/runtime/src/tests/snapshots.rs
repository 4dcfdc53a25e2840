//! A lane that starts from a snapshot of its state, taken elsewhere and earlier.

use std::sync::atomic::AtomicBool;

use rejoinder_projection_store::snapshot::{Facts, Outcome, Wanted, restore};

use super::*;

const BOTH: [Service; 2] = [Service::Ingest, Service::Threading];

impl World {
    fn snapshot(&self, shared: &std::path::Path) {
        let (instance, version) = ("one".into(), "0.1.0".into());
        let facts = Facts { log_id: self.log.id(), services: BOTH.to_vec(), instance, version, now_ms: 1_000_000 };
        self.store.snapshot(shared, &facts, &AtomicBool::new(false)).unwrap();
    }

    /// Another machine over a log: its disk has what the shared directory has.
    fn elsewhere(log: Arc<MemoryLog>, shared: &std::path::Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let wanted = Wanted { log_id: log.id(), services: &BOTH, ends: &|_| u64::MAX };
        assert!(matches!(restore(shared, &wanted, &state).unwrap(), Outcome::Restored(_)));
        Self { store: ProjectionStore::open(&state, 1 << 20).unwrap(), _dir: dir, ..Self::new(log) }
    }
}

/// The digests of both lanes at the end of the log, and from where they were folded.
fn folded(world: &World) -> ([u128; 2], [u64; 2]) {
    let (mut adder, mut follower) = (world.adder(), world.follower());
    let from = [adder.applied, follower.applied];
    settle(vec![&mut adder, &mut follower]);
    ([adder.collect(), follower.collect()], from)
}

#[test]
fn a_lane_from_an_older_snapshot_folds_the_rest_and_is_as_one_that_folded_all() {
    let shared = tempfile::tempdir().unwrap();
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    for _ in 0..10 {
        world.add("w", 300);
        settle(vec![&mut adder, &mut follower]);
    }
    world.snapshot(shared.path());
    let taken = world.log.end(0);
    for _ in 0..10 {
        world.add("w", 300);
        settle(vec![&mut adder, &mut follower]);
    }
    let live = [adder.collect(), follower.collect()];
    let all = sum(&adder);
    drop((adder, follower));
    let other = World::elsewhere(world.log.clone(), shared.path());
    let (digests, from) = folded(&other);
    assert!(from.iter().all(|from| 0 < *from && *from <= taken), "{from:?} of {taken}");
    let (from_the_start, start) = folded(&World::new(world.log.clone()));
    assert_eq!((start, all), ([0, 0], 6_000));
    assert_eq!((digests, from_the_start), (live, live));
}

#[test]
fn a_lane_that_writes_little_in_a_busy_partition_stores_its_state_too() {
    let world = World::new(MemoryLog::new(1));
    let options = Options { store_records: 100, ..World::options() };
    let open = || {
        let (store, jobs) = (world.store.lane(Service::Ingest, 0), world.jobs.clone());
        Lane::<Adder>::open(0, world.log.clone(), world.clock.clone(), store, jobs, options).unwrap()
    };
    let others = |records: usize| {
        let claim = Claim { prev_epoch: 1_000_000, ..Claim::default() };
        (0..records).for_each(|_| world.log.append(0, record::claim(Service::Threading, claim.clone(), 0)).unwrap());
    };
    let stored = || world.store.lane(Service::Ingest, 0).meta().unwrap().map_or(0, |meta| meta.applied);
    let mut adder = open();
    world.add("w", 3);
    settle(vec![&mut adder]);
    others(90);
    adder.step();
    assert_eq!(stored(), 0);
    others(90);
    adder.step();
    assert_eq!(stored(), world.log.end(0), "it is live");
    drop(adder);
    others(110);
    let mut adder = open();
    adder.step();
    assert!(stored() >= 290, "it folds along");
    settle(vec![&mut adder]);
    assert_eq!(sum(&adder), 3);
}

#[test]
fn a_snapshot_from_beyond_the_end_of_the_log_or_of_another_past_is_dropped_and_the_log_is_folded() {
    let shared = tempfile::tempdir().unwrap();
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    for _ in 0..10 {
        world.add("w", 300);
        settle(vec![&mut adder, &mut follower]);
    }
    drop((adder, follower));
    world.snapshot(shared.path());
    let records = world.log.visible(0);
    // The log came back from a copy that is a third as long; then something else happened.
    for more in [0, 100] {
        let log = MemoryLog::new(1);
        records[..records.len() / 3].iter().for_each(|record| log.append(0, record.clone()).unwrap());
        let past = World::new(log.clone());
        for _ in 0..more {
            past.add("other", 1);
            settle(vec![&mut past.adder(), &mut past.follower()]);
        }
        assert_eq!(log.end(0) > records.len() as u64, more > 0);
        let (right, _) = folded(&past);
        let (digests, from) = folded(&World::elsewhere(log, shared.path()));
        assert_eq!((digests, from), (right, [0, 0]));
    }
}
