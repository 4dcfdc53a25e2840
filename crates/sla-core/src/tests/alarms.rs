//! Warnings, breaches and their alarms: ring once, clear by themselves, are acknowledged by people.

use rejoinder_machine::State as _;
use rejoinder_model::{AlarmId, MINUTE_MS};
use rejoinder_wire::event::{Event, Metric, alarm_cleared, alarm_raised, event::Body};

use super::world::{T, WORKSPACE, World, policy, target};
use crate::command::{Asked, Refusal, acknowledge};

fn world(warn_after: &[i64]) -> World {
    let mut first = target(Metric::FirstResponse, 60);
    first.warn_after_ms = warn_after.iter().map(|minutes| minutes * MINUTE_MS).collect();
    World::with(vec![first])
}

/// What rang and stopped ringing since the `from`th event.
fn rung(events: &[Event], from: usize) -> Vec<String> {
    let told = |event: &Event| match &event.body {
        Some(Body::AlarmRaised(raised)) => {
            let kind = alarm_raised::Kind::try_from(raised.kind).unwrap();
            Some(format!("{} at {}", kind.as_str_name(), (raised.at - T) / MINUTE_MS))
        }
        Some(Body::AlarmCleared(cleared)) => {
            let reason = alarm_cleared::Reason::try_from(cleared.reason).unwrap();
            Some(reason.as_str_name().replace("REASON_", "").to_lowercase())
        }
        Some(Body::ClockBreached(breached)) => {
            let retroactive = breached.figures.as_ref().is_some_and(|figures| figures.retroactive);
            Some(format!(
                "breach{}, late by {}",
                if retroactive { " retroactive" } else { "" },
                breached.late_by_ms / MINUTE_MS
            ))
        }
        Some(Body::ClockWarned(warned)) => Some(format!("warning {}", warned.warning)),
        Some(Body::BreachRetracted(_)) => Some("breach retracted".into()),
        _ => None,
    };
    events[from..].iter().filter_map(told).collect()
}

/// Each line of a story with what rings at it.
fn rings(mut world: World, lines: &[(&str, &[&str])]) {
    for (line, expected) in lines {
        let before = world.events.len();
        world.does(line);
        world.tick();
        assert_eq!(rung(&world.events, before), *expected, "at {line:?}");
    }
}

#[test]
fn warnings_then_a_breach_each_ring_once() {
    rings(
        world(&[30, 45]),
        &[
            ("0 customer", &[]),
            ("29 tick", &[]),
            ("30 tick", &["warning 1", "KIND_WARNING at 30"]),
            ("40 tick", &[]),
            ("45 tick", &["warning 2", "superseded", "KIND_WARNING at 45"]),
            ("61 tick", &["breach, late by 1", "superseded", "KIND_BREACH at 61"]),
            ("99 tick", &[]),
            ("100 reply", &["fulfilled"]),
        ],
    );
}

#[test]
fn a_reply_in_time_that_came_late_takes_the_breach_back() {
    rings(
        world(&[]),
        &[
            ("0 customer", &[]),
            ("60 tick", &["breach, late by 0", "KIND_BREACH at 60"]),
            ("70 reply 60", &["breach retracted", "retracted"]),
        ],
    );
}

#[test]
fn a_reply_in_time_takes_a_breach_back_when_nobody_promises_that_any_more() {
    let mut world = world(&[]);
    for line in ["0 customer", "60 tick", "70 reply"] {
        world.does(line);
    }
    world.adopt(2, policy(vec![target(Metric::NextResponse, 60)]));
    world.tick();
    let before = world.events.len();
    world.does("80 reply 65");
    assert_eq!(rung(&world.events, before), [""; 0], "it was too late as well");
    world.does("90 reply 60");
    assert_eq!(rung(&world.events, before), ["breach retracted"]);
    assert_eq!(world.clocks(1, Metric::FirstResponse), ["met from 0, at 60 after 60"]);
}

#[test]
fn what_was_due_when_it_came_is_one_breach_marked_retroactive() {
    rings(
        world(&[30, 45]),
        &[("200 customer 100", &["breach retroactive, late by 40", "KIND_BREACH at 200"]), ("300 tick", &[])],
    );
    // Only the warnings were past: the last of them is given at once.
    rings(world(&[30, 45]), &[("150 customer 100", &["warning 2", "KIND_WARNING at 150"])]);
    // Nobody ticked before it was answered too late: the breach is history, nothing rings.
    let mut world = world(&[]);
    world.does("0 customer");
    let before = world.events.len();
    world.does("70 reply");
    assert_eq!(rung(&world.events, before), ["breach retroactive, late by 10"]);
}

#[test]
fn imported_messages_ring_only_for_what_falls_due_later() {
    rings(
        world(&[30, 45]),
        &[
            ("200 quiet customer 100", &["breach retroactive, late by 40"]),
            ("300 quiet reply 110", &["breach retracted"]),
        ],
    );
    rings(
        world(&[30, 45]),
        &[
            ("140 quiet customer 100", &[]),
            ("145 tick", &["warning 2", "KIND_WARNING at 145"]),
            ("160 tick", &["breach, late by 0", "superseded", "KIND_BREACH at 160"]),
        ],
    );
}

#[test]
fn an_alarm_is_acknowledged_once_and_lasts_until_its_clock_ends() {
    let mut world = world(&[]);
    world.does("0 customer");
    world.does("60 tick");
    let (alarm, known) = world.state.alarms.page(&AlarmId(0), 10).pop().expect("an alarm");
    let ask = |world: &mut World, asked: Asked<'_>, workspace: &str, alarm| {
        let mut out = Vec::new();
        let context = world.context();
        let done = acknowledge(&world.state, &context, workspace, asked, alarm, &mut out);
        world.commit(out);
        done
    };
    let asked = Asked { actor: "eve", request_id: "r1", etag: known.version };
    let stale = Asked { etag: known.version + 1, ..Asked::default() };
    let refused = ask(&mut world, stale, WORKSPACE, alarm);
    assert_eq!(refused, Err(Refusal::Stale { alarm, current: known.version }));
    assert_eq!(ask(&mut world, asked, "elsewhere", alarm), Err(Refusal::NotFound(alarm)));
    assert_eq!(ask(&mut world, asked, WORKSPACE, alarm), Ok(alarm));
    let events = world.events.len();
    assert_eq!(ask(&mut world, asked, WORKSPACE, alarm), Ok(alarm), "a repeat does nothing");
    assert_eq!(world.events.len(), events);
    let again = ask(&mut world, Asked::default(), WORKSPACE, alarm);
    assert_eq!(again, Err(Refusal::Acknowledged { alarm, actor: "eve".into() }));
    assert!(world.state.alarms.get(&alarm).is_some_and(|alarm| alarm.acknowledged.is_some()));
    world.does("90 reply");
    assert_eq!(ask(&mut world, Asked::default(), WORKSPACE, alarm), Err(Refusal::NotFound(alarm)));
    assert!(world.state.alarms.page(&AlarmId(0), 10).is_empty());
}

#[test]
fn a_timer_whose_time_stays_keeps_the_event_that_armed_it() {
    let mut world = world(&[30]);
    world.does("0 customer");
    let end = world.events.len() as u64 + 1;
    // Between the tick that finds it due and its firing: a warning, and another question.
    world.does("30 tick");
    world.does("40 customer");
    let due = world.state.timers().due(T + 60 * MINUTE_MS, end, 10);
    assert_eq!(due.len(), 1, "the tick that stands behind event {end} makes it fire");
}
