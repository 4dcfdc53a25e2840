//! Any history of customers, agents, time and policies keeps what must hold: `World` checks it after every
//! decision. The events alone give the same state.

use proptest::prelude::*;
use rejoinder_wire::event::{Presence, RoutingPolicy, ThreadState, ThreadsMerged, event::Body, routing_policy as wire};

use super::world::{START, World, agent};
use crate::command::{Command, Session};
use crate::policy::{self, Strategy as Choice};
use crate::record::Phase;

const AGENTS: [&str; 3] = ["ann", "bob", "cid"];
const THREADS: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Asks(u64, usize),
    Replied(u64),
    Resolved(u64),
    Held(u64),
    Comes(usize),
    Drops(usize),
    Presence(usize, usize),
    Accept(usize),
    Decline(usize),
    Finish(usize),
    Park(usize),
    Release(usize),
    Take(usize, u64),
    Transfer(u64, usize),
    Wait(i64),
    Policy(usize),
    Merge(u64, u64),
    DeadStream(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (agent, thread) = (0..AGENTS.len(), 1..=THREADS);
    prop_oneof![
        6 => (thread.clone(), 0..3_usize).prop_map(|(t, c)| Step::Asks(t, c)),
        3 => thread.clone().prop_map(Step::Replied),
        1 => thread.clone().prop_map(Step::Resolved),
        1 => thread.clone().prop_map(Step::Held),
        4 => agent.clone().prop_map(Step::Comes),
        1 => agent.clone().prop_map(Step::Drops),
        1 => (agent.clone(), 0..3_usize).prop_map(|(a, p)| Step::Presence(a, p)),
        6 => agent.clone().prop_map(Step::Accept),
        2 => agent.clone().prop_map(Step::Decline),
        2 => agent.clone().prop_map(Step::Finish),
        1 => agent.clone().prop_map(Step::Park),
        1 => agent.clone().prop_map(Step::Release),
        1 => (agent.clone(), thread.clone()).prop_map(|(a, t)| Step::Take(a, t)),
        1 => (thread.clone(), 0..4_usize).prop_map(|(t, to)| Step::Transfer(t, to)),
        4 => prop_oneof![1..2_000_i64, 20_000..200_000_i64, 600_000..7_200_000_i64].prop_map(Step::Wait),
        1 => (0..4_usize).prop_map(Step::Policy),
        1 => (thread.clone(), thread).prop_map(|(a, b)| Step::Merge(a, b)),
        1 => agent.prop_map(Step::DeadStream),
    ]
}

/// Policies that differ in everything that can be changed.
fn policy_of(number: usize) -> RoutingPolicy {
    let mut policy = policy::defaults();
    policy.queues.push(policy::queue("second"));
    policy.queues[0].overflow = if number == 2 { "second".into() } else { String::new() };
    policy.queues[0].overflow_after_ms = if number == 2 { 60_000 } else { 0 };
    policy.queues[0].parallel_offers = if number == 1 { 2 } else { 1 };
    policy.queues[0].strategy =
        [Choice::LongestIdle, Choice::LeastLoaded, Choice::BestSkill, Choice::LongestIdle][number] as i32;
    policy.queues[0].skills = match number {
        3 => vec![wire::Skill {
            name: "billing".into(),
            level: 7,
            relaxations: vec![wire::Relaxation { after_ms: 60_000, level: 0 }],
        }],
        _ => Vec::new(),
    };
    policy.not_responding_after = if number == 1 { 2 } else { 1 };
    let both: &[(&str, u32, i64)] = &[("default", 1, 0), ("second", 2, 0)];
    let late: &[(&str, u32, i64)] = &[("default", 2, 30_000), ("second", 1, 0)];
    let mut ann = agent("ann", &[("billing", 8)], both);
    ann.may_overcommit = true;
    policy.agents = vec![ann, agent("bob", &[("billing", 3)], if number == 0 { both } else { late })];
    if number != 3 {
        policy.agents.push(agent("cid", &[], &both[..1]));
    }
    if number == 2 {
        policy.agents[0].total = 20;
        policy.kinds[3].wrap_up_ms = policy::MANUAL;
        policy.kinds[2].wrap_up_ms = 30_000;
        policy.groups.push(wire::Group { name: "text".into(), max: 2 });
        policy.kinds[2].group = "text".into();
        policy.kinds[3].group = "text".into();
    }
    policy
}

fn take(world: &mut World, step: &Step) {
    let theirs = |world: &World, a: usize, phases: &[Phase]| {
        let held = world.agent(AGENTS[a]).held;
        held.iter().find(|held| phases.contains(&held.phase)).map(|held| rejoinder_model::WorkItemId(held.item))
    };
    // Refusals are answers: whether one is right is for the rules' own tests.
    let _ = match step {
        Step::Asks(thread, channel) => {
            let (channel, private) = [("x", true), ("x", false), ("chat", true)][*channel];
            if world.phase(*thread).is_some_and(|phase| phase != Phase::Parked) {
                world.asks(*thread);
            } else {
                world.thread_of(channel, private, *thread, ThreadState::AwaitingAgent);
            }
            return;
        }
        Step::Replied(thread) => return world.replied(*thread),
        Step::Resolved(thread) => return world.thread(*thread, ThreadState::Resolved),
        Step::Held(thread) => return world.thread(*thread, ThreadState::OnHold),
        Step::Comes(a) => {
            if world.state.policy("w").agents.contains_key(AGENTS[*a]) {
                world.comes(AGENTS[*a]);
            }
            return;
        }
        Step::Drops(a) => return world.drops(AGENTS[*a]),
        Step::Presence(a, to) => {
            let to = [Presence::Available, Presence::Away, Presence::Offline][*to];
            world.presence(AGENTS[*a], to)
        }
        Step::Accept(a) => world.accept(AGENTS[*a]),
        Step::Decline(a) => world.decline(AGENTS[*a]),
        Step::Finish(a) => {
            let Some(item) = theirs(world, *a, &[Phase::Assigned, Phase::Wrapping]) else { return };
            world.command(&Command::Finish { by: world.by(AGENTS[*a]), item })
        }
        Step::Park(a) => {
            let Some(item) = theirs(world, *a, &[Phase::Assigned]) else { return };
            world.command(&Command::Park { by: world.by(AGENTS[*a]), item })
        }
        Step::Release(a) => {
            let Some(item) = theirs(world, *a, &[Phase::Assigned]) else { return };
            world.command(&Command::Release { by: world.by(AGENTS[*a]), item })
        }
        Step::Take(a, thread) => {
            let item = world.item_of(*thread);
            world.command(&Command::Take { item, agent: AGENTS[*a].into() })
        }
        Step::Transfer(thread, to) => {
            let item = world.item_of(*thread);
            let (queue, agent) = [("second", ""), ("default", "ann"), ("", "bob"), ("nowhere", "")][*to];
            world.command(&Command::Transfer { item, queue: queue.into(), agent: agent.into() })
        }
        Step::Wait(ms) => return world.wait(*ms),
        Step::Policy(number) => return world.adopt(policy_of(*number)),
        Step::Merge(a, b) => {
            let state =
                if world.item_of(*a).0 != 0 { ThreadState::AwaitingAgent } else { ThreadState::AwaitingCustomer };
            let merged = ThreadsMerged { into: *a, from: *b, state: state as i32, ..ThreadsMerged::default() };
            return world.feed(Body::ThreadsMerged(merged));
        }
        Step::DeadStream(a) => {
            let by = Session { agent: AGENTS[*a].into(), session: 12_345 };
            world.command(&Command::SetPresence { by, presence: Presence::Available })
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(first in 0..4_usize, steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::of(policy_of(first));
        for step in &steps {
            let ages: Vec<(u64, i64)> = (1..=THREADS)
                .filter(|thread| world.phase(*thread).is_some_and(|phase| phase != Phase::Parked))
                .filter(|thread| !world.item(*thread).answered)
                .map(|thread| (world.item_of(thread).0, world.item(thread).eligible_since))
                .collect();
            take(&mut world, step);
            for (id, since) in ages {
                let item = world.state.item(id).expect("items stay known");
                // Somebody answered and the customer wrote anew within one step only by waiting.
                let woken = item.phase == Phase::Parked || item.answered;
                prop_assert!(woken || item.eligible_since <= since, "the age of an item never falls: {:?}", step);
            }
        }
        prop_assert_eq!(world.digest(), world.rebuilt());
        prop_assert!(world.now >= START);
    }

    #[test]
    fn everybody_is_served_in_the_end(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::of(policy_of(0));
        for step in &steps {
            take(&mut world, step);
        }
        world.adopt(policy_of(0));
        for _ in 0..40 {
            for id in AGENTS {
                if !world.agent(id).is_available() {
                    world.comes(id);
                }
                while world.accept(id).is_ok() {}
                for held in world.agent(id).held {
                    let item = rejoinder_model::WorkItemId(held.item);
                    let _ = world.command(&Command::Finish { by: world.by(id), item });
                }
            }
            world.wait(60_000);
        }
        for thread in 1..=THREADS {
            prop_assert!(!matches!(world.phase(thread), Some(Phase::Queued | Phase::Offered)), "{thread} waits for ever");
        }
    }
}
