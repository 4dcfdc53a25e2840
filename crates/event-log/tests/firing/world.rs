//! A small world: a question, perhaps an answer, ticks, and three services that each lag as they like.

use rejoinder_event_log::Verdict;
use rejoinder_model::Service;
use stateright::{Model, Property};

use crate::desk::{Desk, Fault};
use crate::log::{Fact, Log};

pub(crate) const CANCELLED_FIRST: &str = "an answer that stands before the tick cancels first";
pub(crate) const BY_ITS_TICK: &str = "a timer fires by a tick after its arming, and not before it is due";
pub(crate) const ENDS_ONCE: &str = "an armed timer fires or is cancelled, once";
pub(crate) const SETTLED: &str = "who is settled has said all";
pub(crate) const COUNTED: &str = "every frame counts";
pub(crate) const ENDED: &str = "when all is considered, no timer is armed that a tick found due";

/// When the answer is due; time begins at 0.
const DUE: i64 = 1;

/// How often each thing may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Ticks that are written, at any time.
    pub(crate) ticks: u8,
    /// A service dies and starts again.
    pub(crate) restarts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) desks: Vec<Desk>,
    asked: bool,
    answered: bool,
    ticks: u8,
    restarts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask,
    Answer,
    /// Time has come to the stamp.
    Tick {
        stamp: i64,
    },
    /// A service does one thing, or all that it can.
    Work {
        desk: usize,
        all: bool,
    },
    Restart(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Firing {
    pub(crate) fault: Option<Fault>,
    pub(crate) bounds: Bounds,
}

impl Model for Firing {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let desks = [Service::Threading, Service::Routing, Service::SlaTimer].map(Desk::new).into();
        let Bounds { ticks, restarts, .. } = self.bounds;
        vec![World { log: Log::new(), desks, asked: false, answered: false, ticks, restarts }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend((!world.asked).then_some(Step::Ask));
        if !world.asked {
            return;
        }
        steps.extend((!world.answered).then_some(Step::Answer));
        if world.ticks > 0 {
            steps.extend((world.log.fold.now..=DUE).map(|stamp| Step::Tick { stamp }));
        }
        for (number, desk) in world.desks.iter().enumerate() {
            if !desk.is_idle(self.fault, &world.log) {
                steps.push(Step::Work { desk: number, all: false });
                // Nobody hears the last in line: how it cuts its frames matters to none.
                let is_heard = desk.service != Service::SlaTimer;
                steps.extend(is_heard.then_some(Step::Work { desk: number, all: true }));
            }
            let has_something_to_lose = *desk != Desk::restarted(desk.service, &world.log);
            steps.extend((world.restarts > 0 && has_something_to_lose).then_some(Step::Restart(number)));
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        let mut write = |stamp, fact| world.log.append(Service::Ingest, stamp, (0, 0), vec![fact]);
        match step {
            Step::Ask => {
                write(0, Fact::Asked { due: DUE });
                world.asked = true;
            }
            Step::Answer => {
                write(0, Fact::Answered);
                world.answered = true;
            }
            Step::Tick { stamp } => {
                write(stamp, Fact::Tick);
                world.ticks -= 1;
            }
            Step::Work { desk, all } => world.desks[desk].work(self.fault, &mut world.log, all),
            Step::Restart(desk) => {
                world.restarts -= 1;
                world.desks[desk] = Desk::restarted(world.desks[desk].service, &world.log);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CANCELLED_FIRST, |_, world| firings(world).all(|(_, tick)| !answered_before(world, tick))),
            Property::always(BY_ITS_TICK, |_, world| firings(world).all(|(by, tick)| is_due_by(world, by, tick))),
            Property::always(ENDS_ONCE, |_, world: &World| {
                world.desks.iter().all(|desk| {
                    let count =
                        |kind: fn(&Fact) -> bool| world.log.facts(desk.service).filter(|(_, fact)| kind(fact)).count();
                    let armed = count(|fact| matches!(fact, Fact::Armed { .. }));
                    let ended = count(|fact| matches!(fact, Fact::Fired { .. } | Fact::Cancelled));
                    armed == ended + usize::from(desk.timer.is_some())
                })
            }),
            Property::always(SETTLED, |_, world: &World| {
                world.desks.iter().all(|desk| {
                    let settled = world.log.fold.lane(desk.service).settled;
                    !answered_before(world, settled) || world.log.answered(desk.service).is_some()
                })
            }),
            Property::always(COUNTED, |_, world: &World| {
                let mut entries = world.log.entries.iter().skip(Service::ALL.len());
                entries.all(|entry| entry.verdict == Verdict::Counted)
            }),
            Property::always(ENDED, |model: &Self, world: &World| {
                let is_quiet = world.desks.iter().all(|desk| desk.is_idle(model.fault, &world.log));
                let end = world.log.entries.len() as u64;
                let is_found_due = |desk: &Desk| (0..end).any(|tick| is_due_by(world, desk.service, tick));
                !is_quiet || !world.desks.iter().any(|desk| desk.timer.is_some() && is_found_due(desk))
            }),
            Property::sometimes("the last in line fires", |_, world| {
                firings(world).any(|(by, _)| by == Service::SlaTimer)
            }),
            Property::sometimes(
                "an answer cancels though its tick came before it was considered",
                |_, world: &World| {
                    let tick = (0..).zip(&world.log.entries).find(|(_, entry)| entry.facts.contains(&Fact::Tick));
                    let cancelled = world.log.facts(Service::SlaTimer).find(|(_, fact)| *fact == Fact::Cancelled);
                    let (Some((tick, _)), Some((cancelled, _))) = (tick, cancelled) else { return false };
                    answered_before(world, tick) && tick < cancelled && is_due_by(world, Service::SlaTimer, tick)
                },
            ),
            Property::sometimes("a timer fires although the answer has come since the tick", |_, world: &World| {
                let answered = world.log.answered(Service::Ingest);
                firings(world).any(|(by, tick)| {
                    let fired = world.log.facts(by).find(|(_, fact)| matches!(fact, Fact::Fired { .. }));
                    by == Service::SlaTimer
                        && answered.is_some_and(|at| tick < at && fired.is_some_and(|(f, _)| at < f))
                })
            }),
            Property::sometimes("a tick is passed and waits", |_, world: &World| {
                world.desks.iter().any(|desk| {
                    let lane = world.log.fold.lane(desk.service);
                    !desk.held.is_empty() && lane.consumed.index > desk.held[0]
                })
            }),
        ]
    }
}

/// Who fired, and by which tick.
fn firings(world: &World) -> impl Iterator<Item = (Service, u64)> {
    world.desks.iter().flat_map(|desk| {
        world.log.facts(desk.service).filter_map(|(_, fact)| match fact {
            Fact::Fired { tick } => Some((desk.service, tick)),
            Fact::Asked { .. } | Fact::Answered | Fact::Tick | Fact::Armed { .. } | Fact::Cancelled => None,
        })
    })
}

/// Does the company's answer stand below an index?
fn answered_before(world: &World, index: u64) -> bool {
    world.log.answered(Service::Ingest).is_some_and(|at| at < index)
}

/// Is there a tick at an index that stands after the arming, stamped at the due time or later?
fn is_due_by(world: &World, service: Service, tick: u64) -> bool {
    let Some(stamp) = world.log.stamp_of_tick(tick) else { return false };
    let mut facts = world.log.facts(service);
    facts.any(|(index, fact)| matches!(fact, Fact::Armed { due } if index < tick && due <= stamp))
}
