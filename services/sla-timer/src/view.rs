//! From the records of the state to what users are told. Runs on the lane's thread: reads no log.

use prost_types::Timestamp;
use rejoinder_api::sla::{self as api, clock::State};
use rejoinder_model::{AlarmId, ClockId, Millis, ThreadId};
use rejoinder_service_kit::timestamp;
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::record::{Alarm, Clock, Status};
use rejoinder_wire::event::{alarm_cleared, clock_cancelled};

fn text(id: Option<impl std::fmt::Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn time(at: Millis) -> Option<Timestamp> {
    (at != 0).then(|| timestamp(at))
}

/// A clock's state.
pub(crate) fn api_state(status: Status) -> State {
    match status {
        Status::Running => State::Running,
        Status::Paused => State::Paused,
        Status::Met => State::Met,
        Status::Cancelled(_) => State::Cancelled,
    }
}

/// A clock of a thread as it stands at `now`.
pub(crate) fn clock(state: &SlaTimer, thread: ThreadId, clock: &Clock, now: Millis) -> api::Clock {
    let counted_to = if clock.status == Status::Running { now.max(clock.at) } else { clock.at };
    // What was counted under other terms has its own moment from which it goes on.
    let carried = clock.carried.filter(|carried| clock.status == Status::Running && carried.at > clock.at);
    let (from, counted_ms) = carried.map_or((clock.at, clock.elapsed_ms), |carried| (carried.at, carried.ms));
    let since = state.calendar(clock.terms.digest).elapsed(from, counted_to);
    let because = match clock.status {
        Status::Cancelled(reason) => reason_name(reason),
        Status::Running | Status::Paused | Status::Met => String::new(),
    };
    api::Clock {
        clock_id: ClockId(clock.id).to_string(),
        thread_id: thread.to_string(),
        metric: clock.metric,
        state: api_state(clock.status) as i32,
        breached: clock.breached,
        retroactive: clock.retroactive,
        opened_at: Some(timestamp(clock.opened_at)),
        due_at: time(clock.due_at),
        ended_at: (!clock.status.is_live()).then(|| timestamp(clock.at)),
        elapsed_ms: counted_ms + since,
        counted_to: Some(timestamp(counted_to)),
        target_ms: clock.terms.target_ms,
        calendar: clock.terms.calendar.clone(),
        policy: clock.rule.clone(),
        policy_version: clock.policy_version,
        cancelled_because: because,
        warnings: clock.warned,
        alarm_id: text(AlarmId::from_wire(clock.alarm)),
    }
}

fn reason_name(reason: i32) -> String {
    let name = clock_cancelled::Reason::try_from(reason).unwrap_or_default().as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name).to_lowercase()
}

/// Why an alarm was cleared, in words.
pub(crate) fn cleared_because(reason: i32) -> String {
    let name = alarm_cleared::Reason::try_from(reason).unwrap_or_default().as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name).to_lowercase()
}

/// An alarm.
pub(crate) fn alarm(id: AlarmId, alarm: &Alarm) -> api::Alarm {
    let seen = alarm.acknowledged.as_ref();
    api::Alarm {
        alarm_id: id.to_string(),
        clock_id: text(ClockId::from_wire(alarm.clock)),
        thread_id: text(ThreadId::from_wire(alarm.thread)),
        metric: alarm.metric,
        kind: alarm.kind,
        due_at: time(alarm.due_at),
        raised_at: Some(timestamp(alarm.at)),
        policy: alarm.rule.clone(),
        acknowledged_at: seen.map(|seen| timestamp(seen.at)),
        acknowledged_by: seen.map(|seen| seen.actor.clone()).unwrap_or_default(),
        etag: alarm.version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event;

    use super::*;

    #[test]
    fn metrics_and_kinds_have_the_numbers_of_events() {
        for number in 1..=8 {
            let ours = event::Metric::try_from(number).map(|metric| metric.as_str_name());
            assert_eq!(api::Metric::try_from(number).map(|metric| metric.as_str_name()), ours);
        }
        for number in 0..=2 {
            let ours = event::alarm_raised::Kind::try_from(number).map(|kind| kind.as_str_name());
            assert_eq!(api::alarm::Kind::try_from(number).map(|kind| kind.as_str_name()), ours);
        }
    }
}
