//! When snapshots are taken, and what is told of them.

use super::*;

fn snapshots(world: &World, instance: &str) -> Snapshots {
    Snapshots::new(options(world, instance))
}

fn options(world: &World, instance: &str) -> Options {
    Options {
        dir: world.shared(),
        every_ms: HOUR_MS,
        keep: 2,
        instance: instance.into(),
        version: "0.1.0".into(),
        log_id: LOG,
        services: TWO.to_vec(),
    }
}

#[test]
fn one_is_taken_each_time_and_the_oldest_go() {
    let world = World::new();
    let one = snapshots(&world, "one");
    assert_eq!(one.age_ms(START), None);
    for n in 0..4 {
        let now = START + n * HOUR_MS;
        assert!(one.due(now));
        write(&world.store, Service::Ingest, 0, 40 + n.unsigned_abs());
        assert!(one.take(&world.store, now).unwrap().is_some());
        assert!(!one.due(now + HOUR_MS - 1));
        assert_eq!(one.age_ms(now + 5_000), Some(5_000));
    }
    assert_eq!((world.shelf().len(), one.failures()), (2, 0));
    let into = world.dir.path().join("other").join("state");
    assert!(matches!(one.restore(&into, &|_| 1_000).unwrap(), Outcome::Restored(_)));
    assert_eq!(stored(&ProjectionStore::open(&into, 1 << 20).unwrap(), Service::Ingest, 0), Some(43));
}

#[test]
fn instances_of_the_same_services_take_turns_and_a_restart_takes_none() {
    let world = World::new();
    let (one, two) = (snapshots(&world, "one"), snapshots(&world, "two"));
    assert!(one.take(&world.store, START).unwrap().is_some());
    let later = START + HOUR_MS / 2;
    for other in [two, snapshots(&world, "one")] {
        assert!(other.due(later));
        assert!(other.take(&world.store, later).unwrap().is_none(), "there is a fresh one");
        assert!(!other.due(START + HOUR_MS - 1));
        assert!(other.due(START + HOUR_MS));
        assert_eq!(other.age_ms(later), Some(HOUR_MS / 2));
    }
    let fewer = Snapshots::new(Options { services: vec![Service::Ingest], ..options(&world, "three") });
    assert!(fewer.take(&world.store, later).unwrap().is_some(), "of other services there is none");
}

#[test]
fn of_two_who_take_one_at_the_same_time_one_does() {
    let world = World::new();
    write(&world.store, Service::Ingest, 0, 40);
    let one = snapshots(&world, "one");
    let take = || one.take(&world.store, START).unwrap().is_some();
    let taken = std::thread::scope(|scope| [scope.spawn(take), scope.spawn(take)].map(|it| it.join().unwrap()));
    assert_eq!((taken.iter().filter(|taken| **taken).count(), world.shelf().len()), (1, 1), "{taken:?}");
    assert!(one.due(START + HOUR_MS));
}

#[test]
fn a_failure_is_counted_and_tried_again_sooner() {
    let world = World::new();
    fs::write(world.dir.path().join("shared"), "a file where the directory should be").unwrap();
    let one = snapshots(&world, "one");
    assert!(one.take(&world.store, START).is_err());
    assert_eq!((one.failures(), one.age_ms(START)), (1, None));
    assert!(!one.due(START + HOUR_MS / 4 - 1));
    assert!(one.due(START + HOUR_MS / 4));
    fs::remove_file(world.dir.path().join("shared")).unwrap();
    assert!(one.take(&world.store, START + HOUR_MS / 4).unwrap().is_some());
    assert_eq!(one.failures(), 1);
}

#[test]
fn who_stops_leaves_no_half_snapshot_and_counts_no_failure() {
    let world = World::new();
    write(&world.store, Service::Ingest, 0, 40);
    let one = snapshots(&world, "one");
    one.stop();
    assert!(!one.due(START));
    assert!(matches!(one.take(&world.store, START), Err(SnapshotError::Stopped)));
    assert_eq!((one.failures(), world.shelf().len()), (0, 0));
}

#[test]
fn a_snapshot_of_the_future_is_nothing_to_wait_for() {
    let world = World::new();
    let (one, two) = (snapshots(&world, "one"), snapshots(&world, "two"));
    assert!(one.take(&world.store, START + 100 * HOUR_MS).unwrap().is_some());
    assert!(two.take(&world.store, START).unwrap().is_some());
    assert!(two.due(START + HOUR_MS));
}
