//! A clock as an event tells it.

use rejoinder_model::{AlarmId, Millis};
use rejoinder_wire::event::{
    AlarmCleared, ClockCancelled, ClockFigures, ClockRetargeted, ClockTerms, alarm_cleared, clock_cancelled::Reason,
    clock_retargeted::Cause, event::Body,
};

use super::Review;
use crate::count::{Count, Counting};
use crate::metric::{End, Instance};
use crate::record::{Carried, Clock, Status, Terms};

impl Review<'_, '_> {
    pub(super) fn figures(&self, clock: &Clock, count: Count, instance: &Instance, terms: &Terms) -> ClockFigures {
        let now = self.decision.context.now;
        let due = count.due.unwrap_or_default();
        let past = due != 0 && due <= now && instance.end.time().is_none();
        // Stays as it was decided, unless the due time is another.
        let (retroactive, silent) = if due == clock.due_at && clock.id != 0 {
            (clock.retroactive, clock.silent)
        } else {
            (past, past && self.quiet)
        };
        ClockFigures {
            clock: clock.id,
            thread: self.root,
            metric: clock.metric,
            policy_version: clock.policy_version,
            opened_at: instance.start,
            at: count.at,
            elapsed_ms: count.elapsed_ms,
            due_at: due,
            warn_at: self.warn_at(clock, count, instance, terms),
            retroactive,
            silent,
            opener: instance.opener.to_le_bytes().to_vec(),
            rule: clock.rule.clone(),
        }
    }

    /// When the next warning is given; one that only imported messages make late is not.
    pub(super) fn warn_at(&self, clock: &Clock, count: Count, instance: &Instance, terms: &Terms) -> Millis {
        let now = self.decision.context.now;
        let Some(due) = count.due.filter(|due| instance.end == End::Running && *due > now) else { return 0 };
        let calendar = self.decision.state.calendar(terms.digest);
        let counting = Counting { calendar: &calendar, instance, carried: clock.carried };
        let warning = counting.warning(terms, clock.warned, now, !self.quiet);
        warning.filter(|at| *at < due).unwrap_or_default()
    }

    pub(super) fn count(&self, clock: &Clock, instance: &Instance, terms: &Terms) -> Count {
        let calendar = self.decision.state.calendar(terms.digest);
        Counting { calendar: &calendar, instance, carried: clock.carried }.count(terms)
    }

    /// Gives a clock up where it stands.
    pub(super) fn cancel(&mut self, clock: &Clock, reason: Reason) {
        let calendar = self.decision.state.calendar(clock.terms.digest);
        let now = self.decision.context.now;
        let (mut at, mut elapsed_ms) = (clock.at, clock.elapsed_ms);
        if clock.status == Status::Running {
            elapsed_ms += calendar.elapsed(at, now.max(at));
            at = now.max(at);
        }
        let figures = ClockFigures {
            clock: clock.id,
            thread: self.root,
            metric: clock.metric,
            policy_version: clock.policy_version,
            opened_at: clock.opened_at,
            at,
            elapsed_ms,
            due_at: clock.due_at,
            warn_at: 0,
            retroactive: clock.retroactive,
            silent: clock.silent,
            opener: clock.opener.to_le_bytes().to_vec(),
            rule: clock.rule.clone(),
        };
        let cancelled = ClockCancelled { figures: Some(figures), reason: reason as i32 };
        self.decision.push(Body::ClockCancelled(cancelled));
        self.clear(clock, alarm_cleared::Reason::Cancelled);
    }

    pub(super) fn clear(&mut self, clock: &Clock, reason: alarm_cleared::Reason) {
        if let Some(alarm) = AlarmId::from_wire(clock.alarm) {
            let at = self.decision.context.now;
            self.decision.push(Body::AlarmCleared(AlarmCleared { alarm: alarm.0, reason: reason as i32, at }));
        }
    }
}

/// The terms of a clock.
pub(super) fn told(terms: &Terms) -> ClockTerms {
    ClockTerms {
        target_ms: terms.target_ms,
        warn_after_ms: terms.warn_after_ms.clone(),
        calendar: terms.calendar.clone(),
        calendar_digest: terms.digest,
    }
}

/// Its due time has changed.
pub(super) fn retargeting(clock: &Clock, figures: ClockFigures, cause: Cause, new_terms: bool) -> Body {
    let terms = new_terms.then(|| told(&clock.terms));
    let carried = clock.carried.unwrap_or(Carried { ms: 0, at: 0 });
    Body::ClockRetargeted(ClockRetargeted {
        figures: Some(figures),
        cause: cause as i32,
        terms,
        carried_ms: carried.ms,
        carried_at: carried.at,
    })
}
