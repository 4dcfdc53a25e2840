//! A small world: two writers of one lane, records in flight, and what may befall them.
//!
//! Three things keep it small and lose nothing. The writers are alike, so the first one claims first.
//! Who only folds along reads when he claims: nothing depends on him before. And where the power
//! stays on, what is visible is durable: to read it later is the same as to have it durable later.

use stateright::{Model, Property};

use crate::log::{Log, Record};
use crate::properties;
use crate::rules::Rules;
use crate::writer::{Phase, Writer};

/// How often each thing may happen: what keeps the world finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Commits that are decided, by whomever.
    pub(crate) decisions: u8,
    /// Further frames of the upstream.
    pub(crate) inputs: u8,
    /// A writer dies and starts again.
    pub(crate) crashes: u8,
    /// A record is lost on its way.
    pub(crate) losses: u8,
    /// A record lands twice, or a claim is sent again.
    pub(crate) repeats: u8,
    /// The power goes.
    pub(crate) cuts: u8,
    /// A writer that was deposed is assigned again.
    pub(crate) moves: u8,
    /// A writer stores its state.
    pub(crate) flushes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) log: Log,
    /// Sent and not landed: lands in any order, at any time.
    pub(crate) air: Vec<Record>,
    pub(crate) writers: [Writer; 2],
    /// Commits that were acknowledged, a bit each.
    pub(crate) acknowledged: u32,
    commits: u8,
    left: Bounds,
}

/// What may happen next. Numbers are those of a writer or of a record in the air. A writer that takes
/// no step is a zombie until it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Land(usize),
    LandAndStay(usize),
    Lose(usize),
    Sync,
    Cut,
    Upstream,
    Read(usize),
    Claim(usize),
    ClaimAgain(usize),
    Decide { writer: usize, considers: bool, events: u32 },
    Flush(usize),
    Crash(usize),
    Assign(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    pub(crate) rules: Rules,
    pub(crate) bounds: Bounds,
    /// Which of the paths in `properties::paths` the bounds must let happen.
    pub(crate) reaches: &'static [&'static str],
}

/// Frames that a writer may have in flight.
const PIPELINE: usize = 2;

impl Model for Ownership {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            log: Log::new(self.rules),
            air: Vec::new(),
            writers: [Writer::new(0), Writer::new(1)],
            acknowledged: 0,
            commits: 0,
            left: self.bounds,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let left = &world.left;
        for at in 0..world.air.len() {
            // Equal records in the air make equal worlds.
            if world.air[..at].contains(&world.air[at]) {
                continue;
            }
            steps.push(Step::Land(at));
            steps.extend((left.repeats > 0).then_some(Step::LandAndStay(at)));
            steps.extend((left.losses > 0).then_some(Step::Lose(at)));
        }
        if world.log.durable < world.log.records.len() {
            steps.push(Step::Sync);
            steps.extend((left.cuts > 0).then_some(Step::Cut));
        }
        steps.extend((left.inputs > 0).then_some(Step::Upstream));
        for (number, writer) in world.writers.iter().enumerate() {
            let is_first = number == 0 || world.writers[0].has_claimed();
            if writer.phase != Phase::Warm {
                steps.push(Step::Read(number));
            } else if writer.assigned && is_first {
                steps.push(Step::Claim(number));
            }
            steps.extend((writer.phase == Phase::Claiming && left.repeats > 0).then_some(Step::ClaimAgain(number)));
            if writer.phase == Phase::Live && writer.in_flight.len() < PIPELINE && left.decisions > 0 {
                steps.push(Step::Decide { writer: number, considers: false, events: 1 });
                if writer.next_input(&world.log).is_some() {
                    let decide = |events| Step::Decide { writer: number, considers: true, events };
                    steps.extend([0, 2].map(decide));
                }
            }
            steps.extend((writer.may_flush() && left.flushes > 0).then_some(Step::Flush(number)));
            let has_something_to_lose = writer.phase != Phase::Warm;
            steps.extend((has_something_to_lose && left.crashes > 0).then_some(Step::Crash(number)));
            steps.extend((!writer.assigned && left.moves > 0).then_some(Step::Assign(number)));
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        let World { log, air, writers, acknowledged, commits, left } = &mut world;
        let rules = self.rules;
        let mut sent = None;
        match step {
            Step::Land(at) => log.land(rules, air.remove(at)),
            Step::LandAndStay(at) => {
                left.repeats -= 1;
                log.land(rules, air[at].clone());
            }
            Step::Lose(at) => {
                left.losses -= 1;
                air.remove(at);
            }
            Step::Sync => log.durable = log.records.len(),
            Step::Cut => {
                left.cuts -= 1;
                log.cut(rules);
            }
            Step::Upstream => {
                left.inputs -= 1;
                log.land_upstream(rules);
            }
            Step::Read(writer) => writers[writer].read(rules, log, acknowledged),
            Step::Claim(writer) => {
                writers[writer].read(rules, log, acknowledged);
                sent = Some(writers[writer].claim(rules));
            }
            Step::ClaimAgain(writer) => {
                left.repeats -= 1;
                sent = Some(writers[writer].claim_again(rules));
            }
            Step::Decide { writer, considers, events } => {
                left.decisions -= 1;
                *commits += 1;
                sent = Some(writers[writer].decide(rules, log, considers, events, *commits));
            }
            Step::Flush(writer) => {
                left.flushes -= 1;
                writers[writer].flush(rules, log);
            }
            Step::Crash(writer) => {
                left.crashes -= 1;
                writers[writer].crash();
            }
            Step::Assign(writer) => {
                left.moves -= 1;
                writers[writer].assigned = true;
            }
        }
        if let Some(record) = sent {
            air.push(Record { sent_at: log.records.len(), ..record });
        }
        if self.bounds.cuts == 0 {
            log.durable = log.records.len();
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let reached = |path: &Property<Self>| self.reaches.contains(&path.name);
        properties::laws().into_iter().chain(properties::paths().into_iter().filter(reached)).collect()
    }
}
