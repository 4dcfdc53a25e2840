//! What the simulation found, each by itself.

use super::*;
use rejoinder_projection_store::LaneStore;

impl World {
    fn adder_with(&self, store: LaneStore, options: Options) -> Lane<Adder> {
        Lane::open(0, self.log.clone(), self.clock.clone(), store, self.jobs.clone(), options).unwrap()
    }

    /// The visible records that hold a tick.
    fn ticks(&self) -> usize {
        let records = self.log.visible(0).into_iter().map(|bytes| RecordView::verify(&bytes).unwrap());
        records.filter(|record| crate::inputs::is_tick_frame(record).unwrap()).count()
    }
}

#[test]
fn of_two_writers_who_claim_at_the_same_end_one_decides() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let options = |writer| Options { writer, ..World::options() };
    let jobs = Arc::new(JobQueue::new(1 << 20));
    let other_store = world.store.lane(Service::Ingest, 1);
    let mut one = world.adder_with(world.store.lane(Service::Ingest, 0), options(1));
    let mut other =
        Lane::<Adder>::open(0, world.log.clone(), world.clock.clone(), other_store, jobs.clone(), options(2));
    let other = other.as_mut().unwrap();
    settle(vec![&mut one, other]);
    world.log.sync();
    settle(vec![&mut one, other]);
    world.add("w", 3);
    let job = Add { workspace: "w", parts: 2, done: world.done.clone(), lost: world.lost.clone() };
    assert!(jobs.push(Box::new(job)).is_ok());
    settle(vec![&mut one, other]);
    world.log.sync();
    settle(vec![&mut one, other]);
    assert_eq!((world.done(), world.lost.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(counted_events(&world.log), 3);
}

#[test]
fn a_state_stored_before_the_lane_has_caught_up_again_counts_nothing_twice() {
    let world = World::new(MemoryLog::new(1));
    // No checkpoint on the way would show the damage.
    let options = Options { checkpoint_events: 1_000_000, ..World::options() };
    let store = world.store.lane(Service::Ingest, 0);
    let open = || world.adder_with(store.clone(), options);
    let mut adder = open();
    world.add("w", 120);
    settle(vec![&mut adder]);
    drop(adder);
    // It folds all, and considers nothing before it is live: it will read from the first record again.
    let mut adder = open();
    assert_eq!(adder.step(), Progress::Worked);
    adder.flush().unwrap();
    drop(adder);
    let mut adder = open();
    adder.flush().unwrap();
    drop(adder);
    let mut adder = open();
    settle(vec![&mut adder]);
    assert_eq!(sum(&adder), 120);
}

#[test]
fn a_lane_that_stopped_stores_nothing_that_was_never_written() {
    let world = World::new(MemoryLog::new(1));
    let mut adder = world.adder();
    settle(vec![&mut adder]);
    world.add("w", 5);
    world.add(BROKEN, 1);
    assert!(Turns(vec![&mut adder]).run_to_quiescence().is_err());
    adder.flush().unwrap();
    drop(adder);
    let mut adder = world.adder();
    settle(vec![&mut adder]);
    assert_eq!(sum(&adder), 0);
}

#[test]
fn a_tick_that_waits_behind_other_frames_is_not_written_twice() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    let mut settle_and_sync = |times| {
        for _ in 0..times {
            settle(vec![&mut adder, &mut follower]);
            world.log.sync();
        }
        settle(vec![&mut adder]);
        world.log.sync();
    };
    settle_and_sync(2);
    world.add("w", 1);
    settle_and_sync(2);
    world.add("w", 1);
    settle_and_sync(0);
    // A frame of the follower waits, then its tick.
    settle(vec![&mut follower]);
    world.clock.advance_to(follower.next_deadline().unwrap());
    settle(vec![&mut follower]);
    assert_eq!(world.ticks(), 1);
    world.log.sync_some(0, 1);
    settle(vec![&mut follower]);
    assert_eq!(world.ticks(), 1);
    world.log.sync();
    settle(vec![&mut follower]);
    assert_eq!((world.ticks(), follower.next_deadline()), (1, None), "one tick serves both");
}

#[test]
fn who_claims_after_a_downtime_when_others_are_at_work_again_waits_too() {
    let world = World::new(MemoryLog::new(1));
    let options = Options { grace_ms: 120_000, ..World::options() };
    let open_follower = || {
        let store = world.store.lane(Service::Threading, 0);
        Lane::<Follower>::open(0, world.log.clone(), world.clock.clone(), store, world.asks.clone(), options).unwrap()
    };
    let open_adder = || world.adder_with(world.store.lane(Service::Ingest, 0), options);
    let (mut adder, mut follower) = (open_adder(), open_follower());
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    drop((adder, follower));
    let back = 1_000_000 + 3_600_000;
    world.clock.set(back);
    let mut adder = open_adder();
    settle(vec![&mut adder]);
    world.add("w", 1);
    settle(vec![&mut adder]);
    let mut follower = open_follower();
    settle(vec![&mut adder, &mut follower]);
    world.clock.set(back + 119_999);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(world.ticks(), 0, "what waits outside comes in first");
    world.clock.set(back + 120_000);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!((world.ticks(), follower.next_deadline()), (1, None));
}

#[test]
fn who_starts_again_within_the_grace_of_another_knows_of_it() {
    let world = World::new(MemoryLog::new(1));
    let options = Options { grace_ms: 120_000, ..World::options() };
    let open_follower = || {
        let store = world.store.lane(Service::Threading, 0);
        Lane::<Follower>::open(0, world.log.clone(), world.clock.clone(), store, world.asks.clone(), options).unwrap()
    };
    let mut adder = world.adder_with(world.store.lane(Service::Ingest, 0), options);
    let mut follower = open_follower();
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    drop((adder, follower));
    let back = 1_000_000 + 3_600_000;
    world.clock.set(back);
    let mut adder = world.adder_with(world.store.lane(Service::Ingest, 0), options);
    settle(vec![&mut adder]);
    let mut follower = open_follower();
    settle(vec![&mut adder, &mut follower]);
    // Its stored state goes beyond the claim after the downtime; its own next claim is after none.
    follower.flush().unwrap();
    drop(follower);
    let mut follower = open_follower();
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    world.clock.set(back + 119_999);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(world.ticks(), 0, "what waits outside comes in first");
    world.clock.set(back + 120_000);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!((world.ticks(), follower.next_deadline()), (1, None));
}
