//! Whatever the order of messages, the clocks end as the reference has them; whatever happens, one
//! clock of a metric runs on a thread, each timer is one clock's, and the events alone give the state.

use std::sync::Arc;

use proptest::prelude::*;
use rejoinder_machine::{Change, NoBacking, Own, State, TableOps, TableVisitor};
use rejoinder_model::{MINUTE_MS, MessageKey, Millis, ThreadId};
use rejoinder_wire::event::{Metric, ThreadState, clock_cancelled::Reason, sla_policy, thread_state_changed::Cause};

use super::reference::{How, Kept, Reference, Step};
use super::world::{By, T, WORKSPACE, World, policy, target};
use crate::record::{Clock, Status};
use crate::state::SlaTimer;

/// No due time meets an event: those are at whole minutes.
const TARGET_MS: Millis = 45 * MINUTE_MS + 30_000;

const METRICS: [Metric; 6] = [
    Metric::FirstResponse,
    Metric::NextResponse,
    Metric::PeriodicUpdate,
    Metric::RequesterWait,
    Metric::AgentWork,
    Metric::Resolution,
];

fn targets() -> Vec<sla_policy::Target> {
    METRICS.map(|metric| sla_policy::Target { target_ms: TARGET_MS, ..target(metric, 0) }).to_vec()
}

/// The clocks of a thread that count, as the reference has them.
fn kept(world: &World, thread: u64) -> Vec<Kept> {
    let record = world.state.threads.get(&ThreadId(thread));
    let clocks = record.iter().flat_map(|record| &record.clocks);
    let counts = |clock: &&Clock| match clock.status {
        Status::Cancelled(reason) => reason == Reason::NotNeeded as i32,
        Status::Running | Status::Paused | Status::Met => true,
    };
    let told = |clock: &Clock| Kept {
        metric: clock.metric,
        opened_at: clock.opened_at,
        how: match clock.status {
            Status::Running | Status::Paused => How::Live,
            Status::Met => How::Met,
            Status::Cancelled(_) => How::NotNeeded,
        },
        ended_at: (!clock.status.is_live()).then_some(clock.at),
        elapsed_ms: clock.elapsed_ms + if clock.status == Status::Running { world.now - clock.at } else { 0 },
        breached: clock.breached,
    };
    let mut kept: Vec<Kept> = clocks.filter(counts).map(told).collect();
    kept.sort();
    kept
}

/// A breach of a clock that never ran is late by nothing: who was given up is compared without.
fn ended_alike(kept: Vec<Kept>) -> Vec<Kept> {
    kept.into_iter().filter(|kept| kept.how != How::NotNeeded).collect()
}

fn message(n: usize) -> MessageKey {
    MessageKey::new(WORKSPACE, "x", None, &format!("law {n}"))
}

/// Messages of distinct minutes: by whom, and whether they come in time or how many minutes late.
fn messages() -> impl Strategy<Value = Vec<(Millis, By)>> {
    let by = prop::sample::select(vec![By::Customer, By::Customer, By::Agent, By::Bot]);
    prop::collection::btree_map(0..200_i64, by, 1..12).prop_map(|said| said.into_iter().collect())
}

fn by_reference(said: &[(Millis, By)], now: Millis) -> Vec<Kept> {
    let mut reference = Reference::new(TARGET_MS);
    for (minute, by) in said {
        let step = match by {
            By::Customer => Step::Customer,
            By::Agent => Step::Agent,
            By::Bot => Step::Bot,
        };
        reference.step(T + minute * MINUTE_MS, step);
    }
    reference.kept(now)
}

/// Lets the messages come, with ticks in between, in two base threads that merge at some point.
fn arrive(order: &[(usize, (Millis, By))], ticks: &[bool], merged_after: usize) -> World {
    let mut world = World::with(targets());
    // All come after the last was written, or with its own time as the clock moves on.
    for (n, (key, (minute, by))) in order.iter().enumerate() {
        world.now = world.now.max(T + minute * MINUTE_MS);
        let base = if merged_after > 0 && key % 2 == 1 { 2 } else { 1 };
        world.say_as(message(*key), base, T + minute * MINUTE_MS, *by, None, false);
        if ticks.get(n).copied().unwrap_or_default() {
            world.tick();
        }
        if merged_after > 0 && n + 1 >= merged_after {
            // As soon as both are there.
            world.merge(1, 2);
        }
    }
    world.merge(1, 2);
    world.now = T + 300 * MINUTE_MS;
    world.tick();
    world
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Agent, Bot, Customer, Hold, Over, Reopen, Resolve};
    prop::sample::select(vec![Customer, Customer, Agent, Agent, Bot, Hold, Over, Resolve, Reopen])
}

/// A step as it is possible in the state that the thread is in.
fn possible(world: &World, step: Step) -> bool {
    let open = [ThreadState::AwaitingAgent, ThreadState::AwaitingCustomer, ThreadState::OnHold];
    match step {
        Step::Customer | Step::Agent | Step::Bot => true,
        Step::Hold => open[..2].iter().any(|state| world.is(1, *state)),
        Step::Over => world.is(1, ThreadState::OnHold),
        Step::Resolve => open.iter().any(|state| world.is(1, *state)),
        Step::Reopen => world.is(1, ThreadState::Resolved) || open[1..].iter().any(|state| world.is(1, *state)),
    }
}

#[derive(Default)]
struct Digest(u128);

impl TableVisitor for Digest {
    fn visit(&mut self, table: &mut dyn TableOps) {
        let mut changes: Vec<Change> = Vec::new();
        table.collect(&mut changes);
        self.0 = self.0.wrapping_add(table.digest());
    }
}

fn digest(state: &mut SlaTimer) -> u128 {
    let mut digest = Digest::default();
    state.visit_tables(&mut digest);
    digest.0
}

/// Anything at all.
fn line() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec![
        "customer",
        "customer",
        "reply",
        "bot",
        "hold",
        "over",
        "resolve",
        "ask",
        "reopen",
        "confirm",
        "tick",
        "queue",
        "assign",
        "cancel",
        "offer 1",
        "offer 2",
        "accept 1",
        "decline 1",
        "merge t2",
        "unmerge t2",
        "delete m1",
        "delete m2",
        "split m1 t3",
        "split m2 t4",
        "dissolve",
        "policy",
    ]);
    (0..40_i64, verb, 1..3_u64, any::<bool>(), 0..60_i64).prop_map(|(later, verb, thread, quiet, earlier)| {
        let quiet = if quiet && ["customer", "reply"].contains(&verb) { "quiet " } else { "" };
        format!("{later} {earlier} t{thread}: {quiet}{verb}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_the_clocks_end_as_the_reference_has_them(
        (said, order) in messages().prop_flat_map(|said| {
            let numbered: Vec<(usize, (Millis, By))> = said.iter().copied().enumerate().collect();
            (Just(said), Just(numbered).prop_shuffle())
        }),
        ticks in prop::collection::vec(any::<bool>(), 12),
    ) {
        let world = arrive(&order, &ticks, 0);
        prop_assert_eq!(ended_alike(kept(&world, 1)), ended_alike(by_reference(&said, world.now)));
    }

    #[test]
    fn threads_that_merge_at_any_time_end_as_one(
        (said, order) in messages().prop_flat_map(|said| {
            let numbered: Vec<(usize, (Millis, By))> = said.iter().copied().enumerate().collect();
            (Just(said), Just(numbered).prop_shuffle())
        }),
        ticks in prop::collection::vec(any::<bool>(), 12),
        merged_after in 1..14_usize,
    ) {
        let world = arrive(&order, &ticks, merged_after);
        // Which of two clocks goes on may differ, not what it says.
        prop_assert_eq!(ended_alike(kept(&world, 1)), ended_alike(by_reference(&said, world.now)));
    }

    #[test]
    fn what_people_do_moves_the_clocks_as_the_reference_does(
        steps in prop::collection::vec((1..30_i64, step(), any::<bool>()), 1..25),
    ) {
        let mut world = World::with(targets());
        let mut reference = Reference::new(TARGET_MS);
        let first = std::iter::once((1, Step::Customer, false));
        for (n, (later, step, tick)) in first.chain(steps).enumerate() {
            if !possible(&world, step) {
                continue;
            }
            world.now += later * MINUTE_MS;
            let (now, of) = (world.now, message(n));
            match step {
                Step::Customer => world.say_as(of, 1, now, By::Customer, None, false),
                Step::Agent => world.say_as(of, 1, now, By::Agent, None, false),
                Step::Bot => world.say_as(of, 1, now, By::Bot, None, false),
                Step::Hold => world.command(1, ThreadState::OnHold, Cause::Command, false),
                Step::Over => world.command(1, ThreadState::AwaitingAgent, Cause::HoldOver, false),
                Step::Resolve => world.command(1, ThreadState::Resolved, Cause::Command, false),
                Step::Reopen => world.command(1, ThreadState::AwaitingAgent, Cause::Command, false),
            }
            reference.step(now, step);
            if tick {
                world.tick();
            }
        }
        world.now += 20 * MINUTE_MS;
        world.tick();
        prop_assert_eq!(kept(&world, 1), reference.kept(world.now));
    }

    #[test]
    fn whatever_happens_the_events_alone_give_the_state(lines in prop::collection::vec(line(), 1..40)) {
        let mut world = World::with(targets());
        let (mut minute, mut said, mut split) = (0, 0, Vec::new());
        for line in lines {
            let mut words = line.splitn(3, ' ');
            minute += words.next().unwrap().parse::<i64>().unwrap();
            let earlier: i64 = words.next().unwrap().parse().unwrap();
            let (thread, verb) = words.next().unwrap().split_once(' ').unwrap();
            let number: usize = verb.rsplit('m').next().and_then(|n| n.split(' ').next()?.parse().ok()).unwrap_or(0);
            let root = world.root(thread[1..2].parse().unwrap());
            let messages = verb.ends_with("customer") || verb.ends_with("reply") || verb == "bot";
            let skip = match verb {
                "policy" => {
                    world.now = T + minute * MINUTE_MS;
                    let mut changed = policy(targets());
                    changed.rules[0].targets.truncate(usize::try_from(earlier % 6).unwrap());
                    changed.rules[0].targets.iter_mut().for_each(|target| target.target_ms += earlier * MINUTE_MS);
                    world.adopt(2, changed);
                    true
                }
                _ if verb.starts_with("split") => {
                    // A message of thread 1 that is there, once each.
                    let there = said >= number && !split.contains(&number) && !world.is(1, ThreadState::Unspecified);
                    split.push(number);
                    !there || world.state.threads.get(&ThreadId(1)).is_none_or(|thread| thread.said.len() < 2)
                }
                _ if verb.starts_with("delete") => said < number,
                "unmerge t2" => root != 1 || world.root(2) != 1,
                "merge t2" => root != 1 || world.root(2) != 2,
                "dissolve" => root == 1,
                _ => false,
            };
            let exists = world.state.find(root).is_some();
            if skip || !(exists || messages) {
                continue;
            }
            said += usize::from(messages);
            let written = if messages { format!(" {}", minute - earlier) } else { String::new() };
            let number = if messages { thread.to_owned() } else { format!("t{root}:") };
            world.does(&format!("{number} {minute} {verb}{written}"));
        }
        let mut again = SlaTimer::open(Arc::new(NoBacking));
        for (n, event) in world.events.iter().enumerate() {
            again.apply(Own { partition: 0, own_seq: n as u64 + 1 }, event);
        }
        prop_assert_eq!(digest(&mut world.state), digest(&mut again));
    }
}
