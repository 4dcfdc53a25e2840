//! Lanes over the memory log: a service that counts, with a timer, and one that follows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rejoinder_event_log::{EventLog, FrameBuilder, MemoryLog, PartitionFold, RecordView, Verdict, record};
use rejoinder_machine::{
    Backing, Context, DueTimer, Failure as CoreFailure, Job, Own, Source, State, Table, TableVisitor, TimerKey, Timers,
    event,
};
use rejoinder_model::{Millis, Position, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_wire::event::{
    Event, NoteAdded, OutcomeRecorded, PolicyAdopted, ReachUpdated, ThreadStateChanged, event::Body,
};
use rejoinder_wire::log::{Claim, Header};

use super::*;

mod between_lanes;
mod faults;
mod firing;
mod snapshots;
mod tenure;

/// A workspace whose events cannot be applied.
const BROKEN: &str = "broken";

/// Ingest in small: adds up.
struct Adder {
    sums: Table<u64, u64>,
    timers: Timers,
}

impl State for Adder {
    const SERVICE: Service = Service::Ingest;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { sums: Table::new(1, backing.clone()), timers: Timers::new(2, backing) }
    }

    fn apply(&mut self, _: Own, event: &Event) {
        assert_ne!(event.workspace, BROKEN);
        if let Some(Body::ReachUpdated(_)) = event.body {
            let sum = self.sums.get(&0).map_or(0, |sum| *sum);
            self.sums.put(0, sum + 1);
        }
    }

    fn consider(&self, _: &Context, _: Source, _: &Event, _: &mut Vec<Event>) -> Result<(), CoreFailure> {
        Ok(())
    }

    fn fire(&self, _: &Context, _: DueTimer, _: &mut Vec<Event>) {}

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.sums);
        visitor.visit(self.timers.table());
    }
}

const DELAY: Millis = 1_000;
/// Where the follower keeps how much of a fan-out is left.
const FAN_OUT: u64 = u64::MAX;

/// Threading in small: answers each addition, and fires a timer a second after it.
struct Follower {
    seen: Table<u64, u64>,
    timers: Timers,
}

impl State for Follower {
    const SERVICE: Service = Service::Threading;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { seen: Table::new(1, backing.clone()), timers: Timers::new(2, backing) }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        match &event.body {
            Some(Body::NoteAdded(note)) => {
                self.seen.put(note.thread, 1);
                self.timers.arm(TimerKey { due: note.at, entity: note.thread, kind: 0 }, own.own_seq);
            }
            Some(Body::ThreadStateChanged(fired)) => {
                self.timers.disarm(&TimerKey { due: fired.until, entity: fired.thread, kind: 0 });
                self.seen.update(&fired.thread, |times| *times += 1);
            }
            Some(Body::PolicyAdopted(policy)) => self.seen.put(FAN_OUT, policy.version),
            Some(Body::OutcomeRecorded(_)) => {
                self.seen.update(&FAN_OUT, |left| *left -= 1);
            }
            _ => {}
        }
    }

    fn consider(
        &self,
        context: &Context,
        source: Source,
        input: &Event,
        out: &mut Vec<Event>,
    ) -> Result<(), CoreFailure> {
        if let Some(Body::ReachUpdated(_)) = &input.body {
            if input.workspace == "large" {
                // More than any frame has room for.
                let note = NoteAdded { author: "x".repeat(600 << 10), ..NoteAdded::default() };
                out.push(event(&input.workspace, Body::NoteAdded(note)));
                return Ok(());
            }
            if input.workspace == "poison" {
                return Err(CoreFailure("it cannot be read".into()));
            }
            let note = NoteAdded { thread: source.own_seq, at: context.now + DELAY, ..NoteAdded::default() };
            out.push(event(&input.workspace, Body::NoteAdded(note)));
        }
        Ok(())
    }

    fn fire(&self, _: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let fired = ThreadStateChanged { thread: timer.entity, until: timer.due, ..ThreadStateChanged::default() };
        out.push(event("w", Body::ThreadStateChanged(fired)));
    }

    /// What fans out: as many outcomes as a policy's version says, one a decision.
    fn follow_up(&self, _: &Context, out: &mut Vec<Event>) {
        if self.seen.get(&FAN_OUT).is_some_and(|left| *left > 0) {
            out.push(event("w", Body::OutcomeRecorded(OutcomeRecorded::default())));
        }
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.seen);
        visitor.visit(self.timers.table());
    }
}

/// Adds `parts` times.
struct Add {
    workspace: &'static str,
    parts: usize,
    done: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Job<Adder> for Add {
    fn workspace(&self) -> &str {
        self.workspace
    }

    fn parts(&self) -> usize {
        self.parts
    }

    fn decide(&mut self, _: usize, _: &Adder, _: &Context, out: &mut Vec<Event>) {
        out.push(event(self.workspace, Body::ReachUpdated(ReachUpdated::default())));
    }

    fn done(self: Box<Self>, _: Position) {
        self.done.fetch_add(self.parts as u64, Ordering::SeqCst);
    }

    fn lost(self: Box<Self>) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }
}

struct World {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    store: ProjectionStore,
    jobs: Arc<JobQueue<Adder>>,
    asks: Arc<JobQueue<Follower>>,
    done: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(log: Arc<MemoryLog>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            log,
            clock: Arc::new(ManualClock::new(1_000_000)),
            store: ProjectionStore::open(&dir.path().join("state"), 1 << 20).unwrap(),
            jobs: Arc::new(JobQueue::new(1 << 20)),
            asks: Arc::new(JobQueue::new(1 << 20)),
            done: Arc::default(),
            lost: Arc::default(),
            _dir: dir,
        }
    }

    fn options() -> Options {
        Options { checkpoint_events: 50, tick_interval_ms: 0, ..Options::default() }
    }

    fn adder(&self) -> Lane<Adder> {
        let store = self.store.lane(Service::Ingest, 0);
        Lane::open(0, self.log.clone(), self.clock.clone(), store, self.jobs.clone(), Self::options()).unwrap()
    }

    fn follower(&self) -> Lane<Follower> {
        let store = self.store.lane(Service::Threading, 0);
        Lane::open(0, self.log.clone(), self.clock.clone(), store, self.asks.clone(), Self::options()).unwrap()
    }

    fn add(&self, workspace: &'static str, parts: usize) {
        let job = Add { workspace, parts, done: self.done.clone(), lost: self.lost.clone() };
        assert!(self.jobs.push(Box::new(job)).is_ok());
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }
}

fn settle(lanes: Vec<&mut dyn Turn>) {
    Turns(lanes).run_to_quiescence().unwrap();
}

fn sum(lane: &Lane<Adder>) -> u64 {
    lane.state().sums.get(&0).map_or(0, |sum| *sum)
}

#[test]
fn an_answer_waits_until_its_frame_is_durable() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let mut adder = world.adder();
    settle(vec![&mut adder]);
    world.log.sync();
    settle(vec![&mut adder]);
    world.add("w", 3);
    let ask = Ask::new("w".into(), |adder: &Adder| adder.sums.get(&0).map_or(0, |sum| *sum), {
        let done = world.done.clone();
        move |answer: Option<(u64, Position)>| {
            assert_eq!(answer.map(|(sum, _)| sum), Some(3), "the question sees what was decided before it");
            done.fetch_add(100, Ordering::SeqCst);
        }
    });
    assert!(world.jobs.push(Box::new(ask)).is_ok());
    settle(vec![&mut adder]);
    assert_eq!((sum(&adder), world.done()), (3, 0), "decided, but not durable: no answer, no view of it");
    world.log.sync();
    settle(vec![&mut adder]);
    assert_eq!(world.done(), 103);
}

#[test]
fn a_decision_in_a_silent_partition_knows_what_time_it_is() {
    let world = World::new(MemoryLog::new(1));
    let mut adder = world.adder();
    settle(vec![&mut adder]);
    world.clock.advance_to(1_040_000);
    let now = Arc::new(AtomicU64::new(0));
    let told = now.clone();
    let decision = move |_: &Adder, context: &Context, _: &mut Vec<Event>| {
        told.store(context.now.cast_unsigned(), Ordering::SeqCst);
    };
    assert!(world.jobs.push(Box::new(Decide::new("w".into(), decision, |_: Option<((), _)>| {}))).is_ok());
    settle(vec![&mut adder]);
    assert_eq!(now.load(Ordering::SeqCst), 1_040_000);
}

#[test]
fn what_follows_an_event_goes_on_in_turns_and_after_a_restart() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let mut follower = world.follower();
    settle(vec![&mut follower]);
    world.log.sync();
    settle(vec![&mut follower]);
    // More than fits into the frames that may be in flight.
    let fan_out = 200_000;
    let decision = move |_: &Follower, _: &Context, out: &mut Vec<Event>| {
        out.push(event("w", Body::PolicyAdopted(PolicyAdopted { version: fan_out, ..PolicyAdopted::default() })));
    };
    assert!(world.asks.push(Box::new(Decide::new("w".into(), decision, |_: Option<((), _)>| {}))).is_ok());
    let left = |lane: &Lane<Follower>| left_of(lane.state());
    follower.step();
    let after_one = left(&follower);
    assert!(0 < after_one && after_one < fan_out, "a frame at a time: {after_one} left");
    let answered = world.done.clone();
    let ask = Ask::new("w".into(), left_of, move |answer: Option<(u64, Position)>| {
        assert!(answer.is_some_and(|(left, _)| left > 0), "asked in between");
        answered.fetch_add(1, Ordering::SeqCst);
    });
    assert!(world.asks.push(Box::new(ask)).is_ok());
    follower.step();
    world.log.sync();
    follower.step();
    assert_eq!(world.done(), 1);
    // The process dies here, in the middle of it.
    drop(follower);
    world.log.crash();
    let mut follower = world.follower();
    for _ in 0..100 {
        settle(vec![&mut follower]);
        world.log.sync();
    }
    settle(vec![&mut follower]);
    assert_eq!(left(&follower), 0);
}

fn left_of(state: &Follower) -> u64 {
    state.seen.get(&FAN_OUT).map_or(0, |left| *left)
}

#[test]
fn a_crash_loses_nothing_acknowledged_and_doubles_nothing() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    for round in 0..20 {
        let mut adder = world.adder();
        for step in 0..7 {
            world.add("w", 5);
            settle(vec![&mut adder]);
            if (round + step) % 3 != 0 {
                world.log.sync_some(0, 1 + step % 2);
            }
        }
        // The process dies here: what is not durable is gone, and so is the state in memory.
        drop(adder);
        world.log.crash();
        while world.jobs.pop().is_some() {}
    }
    let mut adder = world.adder();
    settle(vec![&mut adder]);
    world.log.sync();
    settle(vec![&mut adder]);
    assert!(world.done() > 0 && sum(&adder) >= world.done(), "{} of {}", sum(&adder), world.done());
    assert_eq!(sum(&adder), counted_events(&world.log), "each counted event is folded once");
}

/// Additions in counted frames of the log, by a fold of their own.
fn counted_events(log: &MemoryLog) -> u64 {
    let mut fold = PartitionFold::default();
    let mut count = 0;
    for stored in log.read(0, 0, usize::MAX).unwrap() {
        let view = RecordView::verify(&stored.bytes).unwrap();
        let counted = fold.fold(stored.index, view.service, &view.header) == Verdict::Counted;
        if counted && view.service == Service::Ingest {
            let is_add = |bytes: &bytes::Bytes| {
                let event = <Event as prost::Message>::decode(bytes.clone()).unwrap();
                matches!(event.body, Some(Body::ReachUpdated(_)))
            };
            count += view.events().unwrap().iter().filter(|bytes| is_add(bytes)).count() as u64;
        }
    }
    count
}

#[test]
fn who_is_deposed_answers_unknown_and_harms_nothing() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let mut zombie = world.adder();
    settle(vec![&mut zombie]);
    world.log.sync();
    settle(vec![&mut zombie]);
    let epoch = 0;
    let foreign = Claim { prev_epoch: epoch, lane_is_new: false, nonce: 42, ..Claim::default() };
    world.log.append(0, record::claim(Service::Ingest, foreign, 0)).unwrap();
    world.add("w", 4);
    settle(vec![&mut zombie]);
    world.log.sync();
    settle(vec![&mut zombie]);
    assert_eq!((world.done(), world.lost.load(Ordering::SeqCst)), (0, 1), "unknown outcome, never a refusal");
    // Its frame came after the claim: void. The other owner's first frame counts.
    let mut builder = FrameBuilder::default();
    builder.push(&event("w", Body::ReachUpdated(ReachUpdated::default())));
    let header =
        Header { service: 1, epoch: 1, frame_no: 1, first_own_seq: 1, record_time: 1_000_000, ..Header::default() };
    world.log.append(0, builder.finish(&header)).unwrap();
    assert_eq!(counted_events_after_sync(&world), 1);
}

fn counted_events_after_sync(world: &World) -> u64 {
    world.log.sync();
    counted_events(&world.log)
}

#[test]
fn a_timer_fires_once_by_a_tick_and_empty_frames_answer_but_are_not_answered() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 2);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.state().seen.page(&0, 9).len(), 2);
    let deadline = follower.next_deadline().unwrap();
    world.clock.advance_to(deadline - 1);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.next_deadline(), Some(deadline), "not before it is due");
    world.clock.advance_to(deadline);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.next_deadline(), None);
    let fired = follower.state().seen.page(&0, 9);
    assert!(fired.iter().all(|(_, times)| **times == 2), "each fired once: {fired:?}");
    let end = world.log.end(0);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(world.log.end(0), end, "quiescent: nothing answers an empty frame");
}

#[test]
fn poison_is_set_aside_and_the_rest_goes_on() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    world.add("poison", 1);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.state().seen.page(&0, 9).len(), 1);
    let set_aside = world
        .log
        .read(0, 0, usize::MAX)
        .unwrap()
        .into_iter()
        .flat_map(|stored| RecordView::verify(&stored.bytes).unwrap().events().unwrap());
    let reasons: Vec<String> = set_aside
        .filter_map(|bytes| match <Event as prost::Message>::decode(bytes).unwrap().body {
            Some(Body::Quarantined(quarantined)) => Some(quarantined.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["it cannot be read"]);
}

#[test]
fn a_decision_that_no_frame_can_hold_is_not_taken_and_the_lane_goes_on() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    let lost = world.lost.clone();
    let decision = |_: &Adder, _: &Context, out: &mut Vec<Event>| {
        let note = NoteAdded { author: "x".repeat(600 << 10), ..NoteAdded::default() };
        out.push(event("w", Body::NoteAdded(note)));
    };
    let job = Decide::new("w".into(), decision, move |answer: Option<((), Position)>| {
        assert!(answer.is_none());
        lost.fetch_add(10, Ordering::SeqCst);
    });
    assert!(world.jobs.push(Box::new(job)).is_ok());
    world.add("large", 1);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!((world.lost.load(Ordering::SeqCst), world.done(), sum(&adder)), (10, 2, 2));
    assert_eq!(follower.state().seen.page(&0, 9).len(), 1, "the large one is set aside");
    assert_eq!((adder.status().phase, follower.status().phase), (Phase::Live, Phase::Live));
}

#[test]
fn a_large_batch_spans_frames_and_the_state_comes_back_from_the_store_or_the_log() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    world.add("w", 10_000);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!((world.done(), sum(&adder)), (10_000, 10_000));
    drop((adder, follower));
    // From the stored state and the rest of the log.
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle(vec![&mut adder, &mut follower]);
    let digest = (adder.collect(), follower.collect());
    assert_eq!(sum(&adder), 10_000);
    drop((adder, follower));
    // From the log alone: every checkpoint on the way is compared.
    world.store.lane(Service::Ingest, 0).clear().unwrap();
    world.store.lane(Service::Threading, 0).clear().unwrap();
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle(vec![&mut adder, &mut follower]);
    assert_eq!((adder.collect(), follower.collect()), digest);
}

#[test]
fn a_follower_far_behind_still_reads_its_own_commits_back() {
    let world = World::new(MemoryLog::new(1));
    let mut adder = world.adder();
    for _ in 0..40 {
        world.add("w", 2_000);
        settle(vec![&mut adder]);
    }
    let mut follower = world.follower();
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.state().seen.page(&0, 100_000).len(), 80_000);
}

#[test]
fn workspaces_take_turns() {
    let jobs = JobQueue::<Adder>::new(1 << 20);
    let order = Mutex::new(Vec::new());
    let push = |workspace| {
        let job = Add { workspace, parts: 1, done: Arc::default(), lost: Arc::default() };
        assert!(jobs.push(Box::new(job)).is_ok());
    };
    ["storm", "storm", "storm", "calm"].into_iter().for_each(push);
    while let Some(job) = jobs.pop() {
        order.lock().unwrap().push(job.workspace().to_owned());
    }
    assert_eq!(*order.lock().unwrap(), ["storm", "calm", "storm", "storm"]);
}

#[test]
fn who_only_follows_is_quiet_behind_inputs_that_it_does_not_consider() {
    let world = World::new(MemoryLog::new(1));
    let mut adder = world.adder();
    world.add("a", 3);
    settle(vec![&mut adder]);
    let store = world.store.lane(Service::Threading, 0);
    let options = Options { follow_only: true, ..World::options() };
    let asks = world.asks.clone();
    let mut reader = Lane::<Follower>::open(0, world.log.clone(), world.clock.clone(), store, asks, options).unwrap();
    while reader.step() == Progress::Worked {}
    assert!(reader.is_quiet(), "nobody waits for it for ever");
}

#[test]
fn a_full_queue_gives_the_job_back() {
    let jobs = JobQueue::<Adder>::new(600);
    let push = || {
        let job = Add { workspace: "w", parts: 1, done: Arc::default(), lost: Arc::default() };
        jobs.push(Box::new(job)).is_ok()
    };
    assert_eq!([push(), push()], [true, false], "half of the room is for others");
}

#[test]
fn a_state_that_is_not_of_this_log_is_folded_again() {
    let world = World::new(MemoryLog::new(1));
    let mut adder = world.adder();
    world.add("w", 100);
    settle(vec![&mut adder]);
    drop(adder);
    let other = World { log: MemoryLog::new(1), ..world };
    let mut adder = other.adder();
    settle(vec![&mut adder]);
    assert_eq!(sum(&adder), 0);
    other.add("w", 7);
    settle(vec![&mut adder]);
    assert_eq!(sum(&adder), 7);
}

#[test]
fn nothing_fires_in_the_grace_after_a_downtime_or_while_the_log_lies_in_the_future() {
    let world = World::new(MemoryLog::new(1));
    let open = |grace_ms| {
        let store = world.store.lane(Service::Threading, 0);
        let options = Options { grace_ms, ..World::options() };
        Lane::<Follower>::open(0, world.log.clone(), world.clock.clone(), store, world.asks.clone(), options).unwrap()
    };
    let (mut adder, mut follower) = (world.adder(), open(120_000));
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower]);
    drop((adder, follower));
    let armed = 1_000_000 + DELAY;
    let fires_at = |now| {
        let (mut adder, mut follower) = (world.adder(), open(120_000));
        world.clock.set(now);
        settle(vec![&mut adder, &mut follower]);
        follower.next_deadline() != Some(armed)
    };
    assert!(!fires_at(1_000_000 - 3_600_000), "the log lies in the future");
    let back = 1_000_000 + 3_600_000;
    world.clock.set(back);
    let (mut adder, mut follower) = (world.adder(), open(120_000));
    settle(vec![&mut adder, &mut follower]);
    world.clock.set(back + 119_999);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.next_deadline(), Some(armed), "what waits outside comes in first");
    world.clock.set(back + 120_000);
    settle(vec![&mut adder, &mut follower]);
    assert_eq!(follower.next_deadline(), None);
}

#[test]
fn who_only_follows_answers_as_of_the_end_and_then_has_nothing_to_do() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 3);
    settle(vec![&mut adder]);
    // What ingest wrote last was never considered.
    drop((adder, follower));
    let options = Options { follow_only: true, ..World::options() };
    let store = world.store.lane(Service::Threading, 0);
    let mut reader =
        Lane::<Follower>::open(0, world.log.clone(), world.clock.clone(), store, world.asks.clone(), options).unwrap();
    let done = world.done.clone();
    let ask = Ask::new(
        "w".into(),
        |_: &Follower| (),
        move |answer: Option<((), Position)>| {
            assert!(answer.is_some());
            done.fetch_add(100, Ordering::SeqCst);
        },
    );
    assert!(world.asks.push(Box::new(ask)).is_ok());
    settle(vec![&mut reader]);
    assert_eq!(world.done(), 103);
    assert!(reader.is_quiet());
}

#[test]
fn a_question_waits_until_what_it_names_was_considered() {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle(vec![&mut adder, &mut follower]);
    world.add("w", 3);
    settle(vec![&mut adder]);
    let end = world.log.end(0);
    let done = world.done.clone();
    let ask = Ask::new(
        "w".into(),
        |follower: &Follower| follower.seen.page(&0, 9).len(),
        move |answer: Option<(usize, Position)>| {
            let (seen, _) = answer.unwrap();
            done.fetch_add(100 * seen as u64, Ordering::SeqCst);
        },
    );
    assert!(world.asks.push(Box::new(ask.not_before(end))).is_ok());
    settle(vec![&mut follower]);
    assert_eq!(world.done(), 303, "asked before it was considered, answered after");
}

/// A log that has no room as long as it is told so.
struct Crowded {
    inside: Arc<MemoryLog>,
    full: std::sync::atomic::AtomicBool,
}

impl EventLog for Crowded {
    fn id(&self) -> rejoinder_event_log::LogId {
        self.inside.id()
    }

    fn partitions(&self) -> u16 {
        self.inside.partitions()
    }

    fn append(&self, partition: u16, record: bytes::Bytes) -> Result<(), rejoinder_event_log::AppendError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(rejoinder_event_log::AppendError::Full(1));
        }
        self.inside.append(partition, record)
    }

    fn read(
        &self,
        partition: u16,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<rejoinder_event_log::StoredRecord>, rejoinder_event_log::ReadError> {
        self.inside.read(partition, from, max_bytes)
    }

    fn end(&self, partition: u16) -> u64 {
        self.inside.end(partition)
    }

    fn watch(&self, watcher: rejoinder_event_log::Watcher) {
        self.inside.watch(watcher);
    }
}

#[test]
fn a_full_log_holds_a_lane_up_and_stops_nothing() {
    let world = World::new(MemoryLog::new(1));
    let log = Arc::new(Crowded { inside: world.log.clone(), full: true.into() });
    let store = world.store.lane(Service::Ingest, 0);
    let (jobs, clock) = (world.jobs.clone(), world.clock.clone());
    let mut adder: Lane<Adder> = Lane::open(0, log.clone(), clock, store, jobs, World::options()).unwrap();
    let full = |full: bool| log.full.store(full, Ordering::SeqCst);
    settle(vec![&mut adder]);
    assert_eq!(adder.status().phase, Phase::Warm, "no room for its claim");
    full(false);
    settle(vec![&mut adder]);
    assert_eq!(adder.status().phase, Phase::Live);
    full(true);
    world.add("w", 3);
    settle(vec![&mut adder]);
    world.add("w", 4);
    settle(vec![&mut adder]);
    assert_eq!((sum(&adder), world.done()), (3, 0), "one frame waits, and nothing is decided after it");
    full(false);
    settle(vec![&mut adder]);
    assert_eq!((sum(&adder), world.done()), (7, 7));
    assert_eq!(counted_events(&world.log), 7);
}
