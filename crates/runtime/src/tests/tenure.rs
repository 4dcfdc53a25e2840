//! Lanes whose right to write a group's coordinator tells: planned moves, zombies, lost contact.

use super::*;

/// One process of a group: a lane, its state and its right. The log is shared.
struct Member {
    world: World,
    tenure: Arc<Tenure>,
    lane: Lane<Adder>,
}

/// The session of the group.
const SESSION: Millis = 6_000;

impl Member {
    fn of(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>, address: &str) -> Self {
        let mut world = World::new(log.clone());
        world.clock = clock.clone();
        let tenure = Arc::new(Tenure::of_session(SESSION));
        let store = world.store.lane(Service::Ingest, 0);
        let options = Options { writer: address.len() as u64, ..World::options() };
        let mut lane = Lane::open(0, log.clone(), clock.clone(), store, world.jobs.clone(), options).unwrap();
        lane.hold_by(tenure.clone());
        lane.answer_at(address.into());
        Self { world, tenure, lane }
    }

    fn lost(&self) -> u64 {
        self.world.lost.load(Ordering::SeqCst)
    }

    fn phase(&self) -> Phase {
        self.lane.status().phase
    }
}

fn settle_both(one: &mut Member, other: &mut Member) {
    settle(vec![&mut one.lane, &mut other.lane]);
}

fn group() -> (Arc<MemoryLog>, Arc<ManualClock>, Member, Member) {
    let (log, clock) = (MemoryLog::with_manual_sync(1), Arc::new(ManualClock::new(1_000_000)));
    let (one, other) = (Member::of(&log, &clock, "one:1"), Member::of(&log, &clock, "another:2"));
    (log, clock, one, other)
}

/// `one` owns the lane, and has done something.
fn started() -> (Arc<MemoryLog>, Arc<ManualClock>, Member, Member) {
    let (log, clock, mut one, mut other) = group();
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), other.phase(), log.end(0)), (Phase::Warm, Phase::Warm, 0), "nobody was told to claim");
    one.tenure.confirm(clock.monotonic_ms());
    settle_both(&mut one, &mut other);
    log.sync();
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), other.phase()), (Phase::Live, Phase::Warm));
    for _ in 0..40 {
        one.world.add("w", 5);
        settle_both(&mut one, &mut other);
        log.sync();
        settle_both(&mut one, &mut other);
    }
    assert_eq!((one.world.done(), sum(&other.lane)), (200, 200), "the other one folds along");
    (log, clock, one, other)
}

fn fold_of(log: &MemoryLog) -> PartitionFold {
    let mut fold = PartitionFold::default();
    for stored in log.read(0, 0, usize::MAX).unwrap() {
        let view = RecordView::verify(&stored.bytes).unwrap();
        fold.fold(stored.index, view.service, &view.header);
    }
    fold
}

#[test]
fn a_planned_move_costs_a_round_trip_and_loses_nothing() {
    let (log, clock, mut one, mut other) = started();
    one.world.add("w", 3);
    one.lane.step();
    one.tenure.end();
    one.world.add("w", 7);
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), one.lost()), (Phase::Live, 0), "its last frame is on its way");
    log.sync();
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), one.world.done(), one.lost()), (Phase::Warm, 203, 1), "done is told, undecided is lost");
    other.tenure.confirm(clock.monotonic_ms());
    settle_both(&mut one, &mut other);
    log.sync();
    settle_both(&mut one, &mut other);
    assert_eq!((other.phase(), sum(&other.lane), sum(&one.lane)), (Phase::Live, 203, 203));
    let fold = fold_of(&log);
    assert_eq!((fold.void, fold.repeats), (0, 0));
    let epoch = fold.lane(Service::Ingest).epoch.unwrap();
    let claim = RecordView::verify(&log.read(0, epoch, 1).unwrap()[0].bytes).unwrap().header.claim.unwrap();
    assert_eq!(claim.address, "another:2", "who reads the claim knows where the owner is called");
}

#[test]
fn who_stands_by_starts_again_where_it_is_and_not_where_it_began() {
    let (_, _, one, mut other) = started();
    other.lane.flush().unwrap();
    let stored = other.world.store.lane(Service::Ingest, 0).meta().unwrap().unwrap();
    let end = one.world.log.end(0);
    assert_eq!((stored.applied, stored.fold.next_index), (end, end));
}

#[test]
fn a_zombie_is_deposed_and_claims_only_by_an_answer_to_a_later_question() {
    let (log, clock, mut zombie, mut owner) = started();
    // The zombie sleeps past its session, with a request at hand.
    zombie.world.add("w", 9);
    clock.advance_to(clock.wall_ms() + SESSION + 1);
    let asked_before = clock.monotonic_ms();
    owner.tenure.confirm(clock.monotonic_ms());
    settle(vec![&mut owner.lane]);
    log.sync();
    settle(vec![&mut owner.lane]);
    assert_eq!(owner.phase(), Phase::Live);
    clock.advance_to(clock.wall_ms() + 1);
    settle_both(&mut zombie, &mut owner);
    assert_eq!((zombie.phase(), zombie.lost()), (Phase::Warm, 1), "unknown outcome, never a refusal");
    // An answer that was on its way for long tells nothing about now.
    zombie.tenure.confirm(asked_before);
    let end = log.visible(0).len();
    settle_both(&mut zombie, &mut owner);
    assert_eq!(log.visible(0).len(), end, "no claim");
    clock.advance_to(clock.wall_ms() + 1);
    zombie.tenure.confirm(clock.monotonic_ms());
    owner.tenure.end();
    settle_both(&mut owner, &mut zombie);
    log.sync();
    settle_both(&mut owner, &mut zombie);
    assert_eq!((zombie.phase(), owner.phase()), (Phase::Live, Phase::Warm));
    assert_eq!(sum(&zombie.lane), 200);
}

#[test]
fn what_was_on_its_way_while_contact_was_lost_counts_when_it_lands() {
    let (log, clock, mut one, mut other) = started();
    one.world.add("w", 4);
    one.lane.step();
    clock.advance_to(clock.wall_ms() + SESSION);
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), one.lost()), (Phase::Live, 0));
    clock.advance_to(clock.wall_ms() + 2_000);
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), one.lost()), (Phase::Warm, 1), "the caller is told that the outcome is unknown");
    one.world.add("w", 1);
    settle_both(&mut one, &mut other);
    assert_eq!(one.lost(), 2);
    one.tenure.confirm(clock.monotonic_ms());
    settle_both(&mut one, &mut other);
    log.sync();
    settle_both(&mut one, &mut other);
    assert_eq!((one.phase(), sum(&one.lane), sum(&other.lane)), (Phase::Live, 204, 204));
    assert_eq!((fold_of(&log).void, fold_of(&log).repeats), (0, 0));
    one.world.add("w", 1);
    settle_both(&mut one, &mut other);
    log.sync();
    settle_both(&mut one, &mut other);
    assert_eq!((one.world.done(), sum(&other.lane)), (201, 205));
}
