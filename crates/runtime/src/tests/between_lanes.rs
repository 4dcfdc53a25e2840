//! What must hold between lanes: nothing fires that a reply in the log has cancelled, and two writers
//! of one lane are never both its owner.

use super::*;

/// Routing in small: each note arms one timer a second ahead, a note about a reply cancels it.
struct Watch {
    due: Table<u64, Millis>,
    timers: Timers,
}

/// The one timer's entity, and the key of its due time.
const WATCHED: u64 = 1;

impl State for Watch {
    const SERVICE: Service = Service::Routing;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { due: Table::new(1, backing.clone()), timers: Timers::new(2, backing) }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        match &event.body {
            Some(Body::NoteAdded(note)) => {
                self.due.put(WATCHED, note.at);
                self.timers.arm(TimerKey { due: note.at, entity: WATCHED, kind: 0 }, own.own_seq);
            }
            Some(Body::ThreadStateChanged(ended)) => {
                self.due.remove(&WATCHED);
                self.timers.disarm(&TimerKey { due: ended.until, entity: WATCHED, kind: 0 });
            }
            _ => {}
        }
    }

    fn consider(&self, context: &Context, _: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), CoreFailure> {
        let Some(Body::NoteAdded(_)) = input.body else { return Ok(()) };
        let armed = self.due.get(&WATCHED).map(|due| *due);
        match (input.workspace.as_str(), armed) {
            ("reply", Some(until)) => {
                let ended = ThreadStateChanged { thread: WATCHED, until, ..ThreadStateChanged::default() };
                out.push(event("cancelled", Body::ThreadStateChanged(ended)));
            }
            ("w", None) => {
                let note = NoteAdded { thread: WATCHED, at: context.now + DELAY, ..NoteAdded::default() };
                out.push(event("armed", Body::NoteAdded(note)));
            }
            _ => {}
        }
        Ok(())
    }

    fn fire(&self, _: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let ended = ThreadStateChanged { thread: WATCHED, until: timer.due, ..ThreadStateChanged::default() };
        out.push(event("fired", Body::ThreadStateChanged(ended)));
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.due);
        visitor.visit(self.timers.table());
    }
}

fn watch(world: &World) -> Lane<Watch> {
    let store = world.store.lane(Service::Routing, 0);
    let jobs = Arc::new(JobQueue::new(1 << 20));
    Lane::open(0, world.log.clone(), world.clock.clone(), store, jobs, World::options()).unwrap()
}

/// What became of routing's timers, by its frames in the log.
fn outcomes(log: &MemoryLog) -> Vec<String> {
    let records = log.read(0, 0, usize::MAX).unwrap();
    let frames = records.iter().map(|stored| RecordView::verify(&stored.bytes).unwrap());
    let events = frames.filter(|frame| frame.service == Service::Routing).flat_map(|frame| frame.events().unwrap());
    let events = events.map(|bytes| <Event as prost::Message>::decode(bytes).unwrap());
    events.filter(|event| !event.workspace.is_empty()).map(|event| event.workspace).collect()
}

/// A world in which routing's timer is due, the reply stands before the tick, and threading has
/// considered neither.
fn a_reply_before_the_tick() -> (World, Lane<Adder>, Lane<Follower>, Lane<Watch>) {
    let world = World::new(MemoryLog::new(1));
    let (mut adder, mut follower, mut watch) = (world.adder(), world.follower(), watch(&world));
    settle(vec![&mut adder, &mut follower, &mut watch]);
    world.add("w", 1);
    settle(vec![&mut adder, &mut follower, &mut watch]);
    let due = watch.next_deadline().unwrap();
    world.add("reply", 1);
    settle(vec![&mut adder]);
    world.clock.advance_to(due);
    settle(vec![&mut watch]);
    (world, adder, follower, watch)
}

#[test]
fn a_reply_that_reached_the_log_before_the_tick_cancels_however_far_behind_the_others_are() {
    let (world, _adder, mut follower, mut watch) = a_reply_before_the_tick();
    assert_eq!(outcomes(&world.log), ["armed"], "the tick waits for threading");
    settle(vec![&mut follower]);
    settle(vec![&mut watch]);
    assert_eq!(outcomes(&world.log), ["armed", "cancelled"]);
}

/// Steps lanes and makes durable what they wrote, until nothing is left to do.
fn settle_durably(world: &World, lanes: &mut [&mut dyn Turn]) {
    loop {
        let before = world.log.visible(0).len();
        lanes.iter_mut().for_each(|lane| while lane.step() == Progress::Worked {});
        world.log.sync();
        let worked = lanes.iter_mut().any(|lane| lane.step() == Progress::Worked);
        if !worked && world.log.visible(0).len() == before {
            return;
        }
    }
}

#[test]
fn a_tick_that_was_passed_and_not_acted_on_is_found_again_after_a_restart() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let (mut adder, mut follower, mut first) = (world.adder(), world.follower(), watch(&world));
    settle_durably(&world, &mut [&mut adder, &mut follower, &mut first]);
    world.add("w", 1);
    settle_durably(&world, &mut [&mut adder, &mut follower, &mut first]);
    let due = first.next_deadline().unwrap();
    // In the log: a message, the reply, the tick, and threading's word on the message alone.
    world.add("w", 1);
    settle_durably(&world, &mut [&mut adder]);
    world.add("reply", 1);
    settle(vec![&mut adder]);
    world.clock.advance_to(due);
    settle(vec![&mut first]);
    let tick = world.log.visible(0).len() as u64 - 1;
    settle(vec![&mut follower]);
    settle_durably(&world, &mut [&mut first]);
    let lane = *first.status().fold.lane(Service::Routing);
    assert!(lane.consumed.index > tick + 1 && lane.settled <= tick, "passed, not acted on: {lane:?}");
    first.flush().unwrap();
    drop(first);
    let mut second = watch(&world);
    settle_durably(&world, &mut [&mut second]);
    assert_eq!(outcomes(&world.log), ["armed"]);
    settle_durably(&world, &mut [&mut follower]);
    settle_durably(&world, &mut [&mut second]);
    assert_eq!(outcomes(&world.log), ["armed", "cancelled"]);
    assert!(second.status().fold.lane(Service::Routing).settled > tick, "the tick was answered");
}

#[test]
fn a_tick_in_flight_is_enough_also_when_an_earlier_frame_comes_back_first() {
    let world = World::new(MemoryLog::with_manual_sync(1));
    let (mut adder, mut follower) = (world.adder(), world.follower());
    settle_durably(&world, &mut [&mut adder, &mut follower]);
    world.add("w", 1);
    settle_durably(&world, &mut [&mut adder, &mut follower]);
    world.add("w", 1);
    settle_durably(&world, &mut [&mut adder]);
    settle(vec![&mut follower]);
    world.clock.advance_to(follower.next_deadline().unwrap());
    settle(vec![&mut follower]);
    let end = world.log.visible(0).len();
    world.log.sync_some(0, 1);
    settle(vec![&mut follower]);
    assert_eq!(world.log.visible(0).len(), end, "the tick is the last one, not read back yet");
}

#[test]
fn two_writers_that_claim_from_the_same_position_do_not_both_become_live() {
    let log = MemoryLog::with_manual_sync(1);
    let worlds = [World::new(log.clone()), World::new(log.clone())];
    let mut lanes: Vec<Lane<Adder>> = (1..).zip(&worlds).map(|(writer, world)| open_as(world, writer)).collect();
    lanes.iter_mut().for_each(|lane| settle(vec![lane]));
    log.sync();
    lanes.iter_mut().for_each(|lane| settle(vec![lane]));
    let live = lanes.iter().filter(|lane| lane.status().phase == Phase::Live).count();
    assert_eq!(live, 1);
    worlds.iter().for_each(|world| world.add("w", 1));
    lanes.iter_mut().for_each(|lane| settle(vec![lane]));
    log.sync();
    lanes.iter_mut().for_each(|lane| settle(vec![lane]));
    let done: u64 = worlds.iter().map(World::done).sum();
    assert_eq!((done, counted_events(&log)), (1, 1), "what is acknowledged stands in the log");
}

fn open_as(world: &World, writer: u64) -> Lane<Adder> {
    let store = world.store.lane(Service::Ingest, 0);
    let options = Options { writer, ..World::options() };
    Lane::open(0, world.log.clone(), world.clock.clone(), store, world.jobs.clone(), options).unwrap()
}
