//! Timers that come due together: the first to fire may change the others.

use super::*;

/// A service whose first timer, once it fires, takes away the second, moves the third and arms the
/// fourth anew.
struct Shift {
    timers: Timers,
    /// Which fired, in order.
    fired: Vec<u64>,
}

fn timer(entity: u64, due: Millis) -> TimerKey {
    TimerKey { due, entity, kind: 0 }
}

impl State for Shift {
    const SERVICE: Service = Service::Ingest;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { timers: Timers::new(1, backing), fired: Vec::new() }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        match &event.body {
            Some(Body::NoteAdded(note)) => self.timers.arm(timer(note.thread, note.at), own.own_seq),
            Some(Body::ThreadStateChanged(ended)) => {
                self.fired.push(ended.thread);
                self.timers.disarm(&timer(ended.thread, ended.until));
                if ended.thread == 1 {
                    self.timers.disarm(&timer(2, ended.until));
                    self.timers.disarm(&timer(3, ended.until));
                    self.timers.arm(timer(3, ended.until + DELAY), own.own_seq);
                    self.timers.arm(timer(4, ended.until), own.own_seq);
                }
            }
            _ => {}
        }
    }

    fn consider(&self, _: &Context, _: Source, _: &Event, _: &mut Vec<Event>) -> Result<(), CoreFailure> {
        Ok(())
    }

    fn fire(&self, _: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let ended = ThreadStateChanged { thread: timer.entity, until: timer.due, ..ThreadStateChanged::default() };
        out.push(event("w", Body::ThreadStateChanged(ended)));
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(self.timers.table());
    }
}

#[test]
fn a_timer_that_another_took_away_or_moved_does_not_fire_with_it() {
    let world = World::new(MemoryLog::new(1));
    let store = world.store.lane(Service::Ingest, 0);
    let jobs = Arc::new(JobQueue::new(1 << 20));
    let (log, clock) = (world.log.clone(), world.clock.clone());
    let mut lane: Lane<Shift> = Lane::open(0, log, clock, store, jobs.clone(), World::options()).unwrap();
    let due = 1_000_000 + DELAY;
    let decision = move |_: &Shift, _: &Context, out: &mut Vec<Event>| {
        let note = |thread| NoteAdded { thread, at: due, ..NoteAdded::default() };
        out.extend((1..=5).map(|thread| event("w", Body::NoteAdded(note(thread)))));
    };
    assert!(jobs.push(Box::new(Decide::new("w".into(), decision, |_: Option<((), _)>| {}))).is_ok());
    settle(vec![&mut lane]);
    world.clock.advance_to(due);
    settle(vec![&mut lane]);
    assert_eq!(lane.state().fired, [1, 5, 4], "the one armed anew waits for a tick after that");
    assert_eq!(lane.next_deadline(), Some(due + DELAY));
    world.clock.advance_to(due + DELAY);
    settle(vec![&mut lane]);
    assert_eq!(lane.state().fired, [1, 5, 4, 3]);
    assert_eq!((lane.next_deadline(), lane.status().phase), (None, Phase::Live));
}
