//! The rules of a workspace, drawn at random: who works there, how much they hold, what is promised.

use rejoinder_ingest_core::NewPolicy;
use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use rejoinder_routing_core::policy::{self, MANUAL};
use rejoinder_wire::event::routing_policy::{Agent, Group, Membership, Queue, Relaxation, Skill, Strategy};
use rejoinder_wire::event::sla_policy::{Calendar, Period, Retarget, Rule, Target};
use rejoinder_wire::event::threading_policy::Account;
use rejoinder_wire::event::{Metric, RoutingPolicy, SlaPolicy, ThreadingPolicy};

use crate::client::Random;

fn draw<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.below(of.len() as u64)).unwrap_or_default()]
}

/// Rules for all services.
pub(super) fn rules(random: &mut Random, agents: &[String]) -> NewPolicy {
    let silence_ms = draw(random, &[0, 10 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS]);
    NewPolicy {
        threading: threading(silence_ms),
        routing: routing(random, agents),
        sla: Some(sla(random)),
        ..NewPolicy::default()
    }
}

/// Rules for threads: after so much silence they are resolved; 0: never.
pub(super) fn threading(silence_ms: Millis) -> ThreadingPolicy {
    let account = |channel: &str, id: &str, bot| Account { channel: channel.into(), id: id.into(), bot };
    let of = |channel| [account(channel, "us", false), account(channel, "robot", true)];
    ThreadingPolicy {
        accounts: ["x", "dm"].into_iter().flat_map(of).collect(),
        reopen_window_ms: 7 * DAY_MS,
        silence_ms,
        burst_gap_ms: 30 * MINUTE_MS,
        ..ThreadingPolicy::default()
    }
}

fn routing(random: &mut Random, agents: &[String]) -> RoutingPolicy {
    let mut rules = policy::defaults();
    let strategies = [Strategy::LongestIdle, Strategy::LeastLoaded, Strategy::BestSkill];
    let queue = |random: &mut Random, name: &str| Queue {
        strategy: draw(random, &strategies) as i32,
        parallel_offers: draw(random, &[1, 1, 2, 3]),
        preferred_wait_ms: draw(random, &[0, MINUTE_MS]),
        ..policy::queue(name)
    };
    rules.queues = vec![queue(random, "default"), queue(random, "second")];
    if random.below(3) == 0 {
        let levels =
            vec![Relaxation { after_ms: MINUTE_MS, level: 5 }, Relaxation { after_ms: 5 * MINUTE_MS, level: 0 }];
        rules.queues[0].skills = vec![Skill { name: "billing".into(), level: 7, relaxations: levels }];
    }
    if random.below(3) == 0 {
        rules.queues[0].overflow = "second".into();
        rules.queues[0].overflow_after_ms = draw(random, &[30_000, 10 * MINUTE_MS]);
    }
    // Little room: it is often full, and often lowered below what is held.
    rules.total = draw(random, &[10, 20, 30, 40, 60, 100]);
    rules.max_parked = draw(random, &[0, 1, 2, 30]);
    rules.not_responding_after = draw(random, &[1, 2, 3]);
    rules.give_back_ms = draw(random, &[MINUTE_MS, 15 * MINUTE_MS]);
    if random.below(3) == 0 {
        rules.groups = vec![Group { name: "text".into(), max: 2 }];
    }
    for kind in &mut rules.kinds {
        kind.offer_timeout_ms = draw(random, &[30_000, 2 * MINUTE_MS, HOUR_MS, HOUR_MS, HOUR_MS]);
        kind.wrap_up_ms = draw(random, &[0, 0, 30_000, MANUAL]);
        kind.parked_cost = draw(random, &[0, 0, 5]);
        kind.group = if rules.groups.is_empty() { String::new() } else { "text".into() };
    }
    match random.below(4) {
        // Direct messages are chats: their customers wait on the line.
        0 => rules.kinds[1].channels.push("dm".into()),
        1 => rules.kinds[2].beside = vec!["email".into()],
        _ => {}
    }
    let works = |random: &mut Random| random.below(6) > 0;
    let staff = agents.iter().filter(|_| works(random)).cloned().collect::<Vec<String>>();
    rules.agents = staff.into_iter().map(|id| agent(random, id)).collect();
    rules
}

fn agent(random: &mut Random, id: String) -> Agent {
    let membership = |random: &mut Random, queue: &str| Membership {
        queue: queue.into(),
        priority: draw(random, &[1, 2]),
        delay_ms: draw(random, &[0, 0, 0, 30_000]),
    };
    let mut memberships = vec![membership(random, "default")];
    if random.below(2) == 0 {
        memberships.push(membership(random, "second"));
    }
    Agent {
        id,
        total: draw(random, &[0, 0, 20, 50]),
        skills: [("billing".to_owned(), draw(random, &[0, 3, 8]))].into(),
        memberships,
        max: if random.below(4) == 0 { [("direct_message".to_owned(), 1)].into() } else { [].into() },
        may_overcommit: random.below(2) == 0,
        weight: 100,
    }
}

/// Business hours in Berlin, where the clock changes at night from Saturday to Sunday: minutes of each day.
pub(super) const HOURS: [(&str, &[(u32, u32)]); 3] =
    [("night", &[(150, 240)]), ("all-night", &[(0, 1_440)]), ("shifts", &[(480, 720), (810, 1_080)])];

fn calendar((name, hours): (&str, &[(u32, u32)])) -> Calendar {
    let of_day = |weekday: u32| hours.iter().map(move |(from, to)| Period { weekday, from: *from, to: *to });
    let week = (0..7).flat_map(of_day).collect();
    Calendar { name: name.into(), time_zone: "Europe/Berlin".into(), week, holidays: Vec::new() }
}

fn sla(random: &mut Random) -> SlaPolicy {
    let calendars = HOURS.into_iter().map(calendar).collect();
    let rule = |random: &mut Random, name: &str| Rule {
        name: name.into(),
        retarget: draw(random, &[Retarget::Keep, Retarget::ShortenOnly, Retarget::Restart]) as i32,
        bots_answer: random.below(2) == 0,
        confirmed: random.below(3) == 0,
        targets: targets(random),
        ..Rule::default()
    };
    let mut rules = vec![rule(random, "all")];
    if random.below(3) == 0 {
        let mut first = rule(random, "second");
        match random.below(3) {
            0 => first.channels = vec!["dm".into()],
            1 => first.queues = vec!["second".into()],
            _ => first.bands = vec!["safety".into()],
        }
        rules.insert(0, first);
    }
    SlaPolicy { calendars, rules }
}

fn targets(random: &mut Random) -> Vec<Target> {
    let metrics = [
        Metric::FirstResponse,
        Metric::NextResponse,
        Metric::PeriodicUpdate,
        Metric::RequesterWait,
        Metric::AgentWork,
        Metric::Resolution,
        Metric::QueueWait,
        Metric::OfferAccept,
    ];
    let wanted: Vec<Metric> = metrics.into_iter().filter(|_| random.below(5) > 1).collect();
    let target = |metric: &Metric| {
        let target_ms = draw(random, &[MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS]);
        let calendar = draw(random, &["", "", "", "night", "all-night", "shifts"]).to_owned();
        let warn_after_ms = if random.below(3) == 0 { vec![target_ms / 2, target_ms / 4 * 3] } else { Vec::new() };
        Target { metric: *metric as i32, target_ms, calendar, warn_after_ms }
    };
    wanted.iter().map(target).collect()
}
