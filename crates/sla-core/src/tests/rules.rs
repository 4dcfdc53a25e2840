//! The rules of section 4 that concern more than one metric.

use rejoinder_machine::quarantine;
use rejoinder_model::MINUTE_MS;
use rejoinder_wire::event::{Event, Metric, SlaPolicy, clock_retargeted::Cause, event::Body, sla_policy};

use super::world::{WORKSPACE, World, policy, story, target};

const FIRST: Metric = Metric::FirstResponse;
const NEXT: Metric = Metric::NextResponse;

fn both() -> World {
    World::with(vec![target(FIRST, 60), target(NEXT, 60)])
}

fn has(events: &[Event], wanted: impl Fn(&Body) -> bool) -> usize {
    events.iter().filter_map(|event| event.body.as_ref()).filter(|body| wanted(body)).count()
}

#[test]
fn of_threads_that_merge_the_earliest_start_wins() {
    let mut world = both();
    for line in ["0 customer", "t2: 10 customer", "20 merge t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 60", "merged from 10, at 20 after 10"]);
    world.does("30 reply");
    assert_eq!(world.clocks(1, FIRST), ["met from 0, at 30 after 30", "merged from 10, at 20 after 10"]);
    assert_eq!(world.clocks(1, NEXT), [""; 0]);
}

#[test]
fn the_later_thread_may_have_the_earlier_start() {
    let mut world = both();
    for line in ["10 customer 10", "t2: 11 customer 0", "20 merge t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 60", "merged from 10, at 20 after 10"]);
    // It is due once, whichever thread it came from.
    world.does("60 tick");
    assert_eq!(world.clocks(1, FIRST)[0], "breached, running from 0, due 60");
}

#[test]
fn unmerge_gives_each_thread_its_clock_back() {
    let mut world = both();
    for line in ["0 customer", "t2: 10 customer", "20 merge t2", "30 unmerge t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 60"]);
    assert_eq!(world.clocks(2, FIRST), ["running from 10, due 70"]);
    assert_eq!(has(&world.events, |body| matches!(body, Body::ClockReopened(_))), 1);
    // Answered while they were one: the answer was in thread 1.
    let mut world = both();
    for line in ["0 customer", "t2: 10 customer", "20 merge t2", "25 reply", "30 unmerge t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["met from 0, at 25 after 25"]);
    assert_eq!(world.clocks(2, FIRST), ["running from 10, due 70"]);
}

#[test]
fn an_answer_that_waited_fulfils_when_its_question_joins_it() {
    let mut world = both();
    for line in ["5 reply", "t2: 10 customer 0", "10 merge t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["met from 0, at 5 after 5"]);
}

#[test]
fn a_split_takes_the_clock_of_its_message_along() {
    let mut world = both();
    for line in ["0 customer", "5 reply", "10 customer", "20 split m3 t2"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, NEXT), [""; 0]);
    // In its own thread it is the first message.
    assert_eq!(world.clocks(2, NEXT), ["regrouped from 10, at 20 after 10"]);
    assert_eq!(world.clocks(2, FIRST), ["running from 10, due 70"]);
    assert_eq!(world.clocks(1, FIRST), ["met from 0, at 5 after 5"]);
}

#[test]
fn what_is_dissolved_has_no_clocks() {
    let mut world = both();
    for line in ["0 customer", "10 dissolve", "70 tick"] {
        world.does(line);
    }
    assert_eq!(world.clocks(1, FIRST), ["regrouped from 0, at 10 after 10"]);
}

fn changed(minutes: i64, retarget: sla_policy::Retarget) -> SlaPolicy {
    let mut policy = policy(vec![target(FIRST, minutes)]);
    policy.rules[0].retarget = retarget as i32;
    policy
}

#[test]
fn running_clocks_follow_a_new_policy() {
    use sla_policy::Retarget::{Keep, Restart, ShortenOnly};
    let table = [
        (30, Keep, "running from 0, due 30"),
        (90, Keep, "running from 0, due 90"),
        (30, ShortenOnly, "running from 0, due 30"),
        (90, ShortenOnly, "running from 0, due 60"),
        (30, Restart, "running from 0, due 50"),
        (90, Restart, "running from 0, due 110"),
    ];
    for (minutes, retarget, expected) in table {
        let mut world = World::with(vec![target(FIRST, 60)]);
        world.does("0 customer");
        world.does("t2: 0 customer");
        world.does("t2: 5 reply");
        world.does("20 tick");
        world.adopt(2, changed(minutes, retarget));
        world.tick();
        assert_eq!(world.clocks(1, FIRST), [expected], "{minutes} {retarget:?}");
        assert_eq!(world.clocks(2, FIRST), ["met from 0, at 5 after 5"], "what has ended stays");
        // Once: a later message changes nothing more.
        world.does("25 customer");
        assert_eq!(world.clocks(1, FIRST), [expected], "{minutes} {retarget:?}");
        let by_policy = |body: &Body| matches!(body, Body::ClockRetargeted(r) if r.cause == Cause::Policy as i32);
        assert!(has(&world.events, by_policy) <= 1);
    }
}

#[test]
fn a_new_policy_reaches_any_number_of_threads() {
    let mut world = World::with(vec![target(FIRST, 60)]);
    for thread in 1..=350 {
        world.does(&format!("t{thread}: 0 customer"));
    }
    world.adopt(2, changed(30, sla_policy::Retarget::Keep));
    for thread in 1..=350 {
        assert_eq!(world.clocks(thread, FIRST), ["running from 0, due 30"], "thread {thread}");
    }
    let parts = has(&world.events, |body| matches!(body, Body::ClocksReviewed(_)));
    assert!(parts >= 350 / 64, "{parts} decisions");
}

#[test]
fn a_metric_that_the_new_policy_lacks_is_cancelled_and_one_it_adds_counts_from_then_on() {
    let mut world = World::with(vec![target(FIRST, 60)]);
    for line in ["0 customer", "1 reply", "2 customer", "3 reply", "4 customer"] {
        world.does(line);
    }
    world.does("t2: 5 customer");
    world.adopt(2, policy(vec![target(NEXT, 60)]));
    world.tick();
    assert_eq!(world.clocks(1, NEXT), ["running from 4, due 64"], "what waits now, nothing of before");
    assert_eq!(world.clocks(2, FIRST), ["policy from 5, at 5 after 0"]);
    world.does("6 reply");
    world.does("7 customer");
    assert_eq!(world.clocks(1, NEXT), ["met from 4, at 6 after 2", "running from 7, due 67"]);
    world.does("t2: 8 customer");
    assert_eq!(world.clocks(2, FIRST), ["policy from 5, at 5 after 0"]);
}

#[test]
fn a_target_that_comes_back_counts_for_what_runs_on_and_not_for_what_ended_meanwhile() {
    let mut world = World::with(vec![target(FIRST, 60)]);
    world.does("0 customer");
    world.does("t2: 0 customer");
    world.adopt(2, policy(vec![target(NEXT, 60)]));
    world.does("t2: 90 reply");
    world.adopt(3, policy(vec![target(FIRST, 120)]));
    world.tick();
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 120"]);
    assert_eq!(world.clocks(2, FIRST), ["policy from 0, at 0 after 0"], "nobody had promised an answer by then");
    world.does("t2: 95 customer");
    world.does("t2: 100 reply");
    assert_eq!(world.clocks(2, FIRST), ["policy from 0, at 0 after 0"]);
    assert_eq!(has(&world.events, |body| matches!(body, Body::ClockBreached(_))), 0);
}

#[test]
fn a_thread_resolved_without_a_target_is_not_met_by_what_the_customer_writes_later() {
    let mut world = World::with(vec![target(Metric::Resolution, 60)]);
    world.does("0 customer");
    world.adopt(2, policy(vec![target(NEXT, 60)]));
    world.does("90 resolve");
    world.adopt(3, policy(vec![target(Metric::Resolution, 200)]));
    world.does("100 customer");
    assert_eq!(has(&world.events, |body| matches!(body, Body::ClockBreached(_) | Body::ClockMet(_))), 0);
}

#[test]
fn what_was_met_stays_met_when_the_thread_was_reopened_and_resolved_without_a_target() {
    let mut world = World::with(vec![target(Metric::Resolution, 60)]);
    world.does("0 customer");
    world.does("10 resolve");
    world.adopt(2, policy(vec![target(NEXT, 600)]));
    world.does("20 customer");
    world.does("90 resolve");
    world.adopt(3, policy(vec![target(Metric::Resolution, 60)]));
    assert_eq!(world.clocks(1, Metric::Resolution), ["met from 0, at 10 after 10"]);
    assert_eq!(has(&world.events, |body| matches!(body, Body::ClockBreached(_))), 0);
}

#[test]
fn elapsed_time_is_kept_when_the_calendar_changes() {
    let mut world = World::with(vec![target(FIRST, 60)]);
    world.does("0 customer");
    world.does("20 tick");
    // Monday 2026-01-05: open from 02:00 UTC on.
    let period = sla_policy::Period { weekday: 0, from: 120, to: 1_440 };
    let late =
        sla_policy::Calendar { name: "late".into(), time_zone: "UTC".into(), week: vec![period], holidays: vec![] };
    let mut policy = changed(60, sla_policy::Retarget::Keep);
    policy.calendars = vec![late];
    policy.rules[0].targets[0].calendar = "late".into();
    world.adopt(2, policy);
    world.tick();
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 160"], "20 minutes are gone, 40 are left");
    world.does("30 customer -10");
    assert_eq!(world.clocks(1, FIRST), ["running from -10, due 160"], "it was closed then");
    world.does("130 reply");
    assert_eq!(world.clocks(1, FIRST), ["met from -10, at 130 after 30"]);
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rule = |name: &str, channel: &str, minutes| sla_policy::Rule {
        name: name.into(),
        channels: if channel.is_empty() { vec![] } else { vec![channel.into()] },
        targets: vec![target(FIRST, minutes)],
        ..sla_policy::Rule::default()
    };
    let rules = vec![rule("mail", "email", 30), rule("posts", "x", 60), rule("rest", "", 90)];
    let mut world = World::new();
    world.adopt(1, SlaPolicy { calendars: vec![], rules: rules.clone() });
    world.does("0 customer");
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 60"]);
    let counts = world.state.workspace(WORKSPACE).counts.clone();
    assert_eq!(counts.iter().map(|(rule, counts)| (rule.as_str(), counts.live)).collect::<Vec<_>>(), [("posts", 1)]);
    world.adopt(2, SlaPolicy { calendars: vec![], rules: rules[..1].to_vec() });
    world.tick();
    assert_eq!(world.clocks(1, FIRST), ["policy from 0, at 0 after 0"], "none matches");
}

#[test]
fn an_input_that_was_set_aside_is_let_in_or_given_up() {
    let mut world = both();
    world.does("0 customer");
    world.does("50 tick");
    let reply = rejoinder_wire::event::MessagePlaced {
        message: rejoinder_model::MessageKey(7).to_wire(),
        thread: 1,
        direction: rejoinder_wire::event::Direction::Outbound as i32,
        clock_time: super::world::T + 20 * MINUTE_MS,
        ..Default::default()
    };
    let input = rejoinder_machine::event(WORKSPACE, Body::MessagePlaced(Box::new(reply)));
    let aside = || {
        let quarantined = rejoinder_wire::event::Quarantined { source_index: 3, ..Default::default() };
        vec![rejoinder_machine::event(WORKSPACE, Body::Quarantined(quarantined))]
    };
    let set_aside = |world: &World| world.state.quarantine.page(&0, 10).first().map(|(number, _)| *number);
    world.commit(aside());
    let number = set_aside(&world).unwrap();
    let mut out = Vec::new();
    quarantine::retry(&world.state, &world.context(), number, &input, &mut out).unwrap();
    world.commit(out);
    assert_eq!(world.clocks(1, FIRST), ["met from 0, at 20 after 20"]);
    assert_eq!(set_aside(&world), None);
    world.commit(aside());
    let mut out = Vec::new();
    quarantine::skip(&world.state, set_aside(&world).unwrap(), &mut out);
    world.commit(out);
    assert_eq!(set_aside(&world), None);
}

#[test]
fn without_a_policy_the_built_in_one_counts() {
    let mut world = World::new();
    world.does("0 customer");
    assert_eq!(world.clocks(1, FIRST), ["running from 0, due 60"]);
    assert_eq!(world.clocks(1, Metric::Resolution), ["running from 0, due 4320"]);
    world.does("1 reply");
    world.does("2 customer");
    assert_eq!(world.clocks(1, NEXT), ["running from 2, due 242"]);
}

#[test]
fn business_hours_stop_a_clock() {
    let office: Vec<sla_policy::Period> =
        (0..5).map(|weekday| sla_policy::Period { weekday, from: 540, to: 1_020 }).collect();
    let mut hours = policy(vec![target(FIRST, 60)]);
    hours.calendars = vec![sla_policy::Calendar {
        name: "o".into(),
        time_zone: "Europe/Berlin".into(),
        week: office,
        holidays: vec![],
    }];
    hours.rules[0].targets[0].calendar = "o".into();
    hours.rules[0].targets[0].warn_after_ms = vec![30 * MINUTE_MS];
    let mut world = World::new();
    world.adopt(1, hours);
    // T is 01:00 in Berlin; 16:30 is minute 930, and the office opens again at minute 1,920.
    let lines: &[(&str, &[&str])] = &[
        ("930 customer", &["running from 930, due 1950"]),
        ("1949 tick", &["running from 930, due 1950"]),
        ("1950 tick", &["breached, running from 930, due 1950"]),
        ("1980 reply", &["breached, met from 930, at 1980 after 90"]),
    ];
    story(world, FIRST, lines);
}
