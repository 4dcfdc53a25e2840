//! What becomes of one clock by the instance that it stands for.

use rejoinder_model::{ClockId, Millis};
use rejoinder_wire::event::{
    BreachRetracted, ClockBreached, ClockCancelled, ClockFigures, ClockMet, ClockOpened, ClockPaused, ClockReopened,
    ClockResumed, Metric, alarm_cleared, clock_retargeted::Cause, event::Body, sla_policy::Retarget,
};

use super::Review;
use super::figures::{retargeting, told};
use crate::count::Counting;
use crate::decision::Why;
use crate::metric::{End, Instance};
use crate::record::{Carried, Clock, Status, Terms};
use crate::timeline::Span;

impl Review<'_, '_> {
    pub(super) fn open(&mut self, metric: Metric, terms: &Terms, instance: &Instance) {
        let id = ClockId::new(self.decision.context.partition, self.decision.next_seq()).0;
        let clock = Clock {
            id: 0,
            metric: metric as i32,
            base: instance.base,
            opener: instance.opener,
            status: Status::Running,
            opened_at: instance.start,
            at: instance.start,
            elapsed_ms: 0,
            due_at: 0,
            warn_at: 0,
            breached: false,
            retroactive: false,
            silent: false,
            warned: 0,
            alarm: 0,
            policy_version: self.decision.policy.policy_version,
            rule: self.rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            terms: terms.clone(),
            carried: None,
        };
        // As it was when it opened; what follows at once are events of their own.
        let first = instance.spans.first().filter(|span| span.from == instance.start);
        let running = Instance {
            spans: vec![Span { from: first.map_or(instance.start, |span| span.from), to: None }],
            end: End::Running,
            ..instance.clone()
        };
        let shown = if instance.end == End::Running { instance } else { &running };
        let count = self.count(&clock, shown, terms);
        let mut figures = self.figures(&clock, count, shown, terms);
        figures.clock = id;
        let told = told(terms);
        let (due_at, warn_at) = (figures.due_at, figures.warn_at);
        let (retroactive, silent) = (figures.retroactive, figures.silent);
        let opened = ClockOpened { figures: Some(figures), terms: Some(told), base: instance.base };
        self.decision.push(Body::ClockOpened(opened));
        if instance.end != End::Running {
            let clock = Clock { id, due_at, warn_at, retroactive, silent, ..clock };
            self.follow(&clock, terms, instance);
        }
    }

    /// What has become of a clock by its instance.
    pub(super) fn follow(&mut self, clock: &Clock, wanted: &Terms, instance: &Instance) {
        let mut clock = clock.clone();
        if let Some(carried) = clock.carried.as_mut().filter(|_| instance.start < clock.opened_at) {
            // What came to light before the change counts by the calendar of today.
            let calendar = self.decision.state.calendar(clock.terms.digest);
            carried.ms += calendar.elapsed(instance.start, clock.opened_at.min(carried.at));
        }
        let mut cause = if instance.start == clock.opened_at { Cause::Recounted } else { Cause::StartMoved };
        let retargeted = instance.end.time().is_none() && self.retarget(&mut clock, wanted, instance);
        if retargeted {
            cause = Cause::Policy;
        }
        let terms = clock.terms.clone();
        let count = self.count(&clock, instance, &terms);
        let figures = self.figures(&clock, count, instance, &terms);
        let was_live = clock.status.is_live();
        match instance.end {
            End::Running | End::Paused => {
                let paused = instance.end == End::Paused;
                let same = (clock.opened_at, clock.due_at) == (figures.opened_at, figures.due_at)
                    && (clock.at, clock.elapsed_ms) == (figures.at, figures.elapsed_ms);
                if clock.breached && was_live && !self.is_due(&figures) {
                    let retracted = BreachRetracted { figures: Some(figures.clone()) };
                    self.decision.push(Body::BreachRetracted(retracted));
                    self.clear(&clock, alarm_cleared::Reason::Retracted);
                }
                if !was_live {
                    self.decision.push(Body::ClockReopened(ClockReopened { figures: Some(figures.clone()) }));
                }
                if retargeted || (was_live && !same && (clock.status == Status::Paused) == paused) {
                    self.decision.push(retargeting(&clock, figures.clone(), cause, retargeted));
                }
                if paused && clock.status != Status::Paused {
                    self.decision.push(Body::ClockPaused(ClockPaused { figures: Some(figures) }));
                } else if !paused && clock.status == Status::Paused {
                    self.decision.push(Body::ClockResumed(ClockResumed { figures: Some(figures) }));
                }
            }
            End::Met(at) => {
                let same = clock.status == Status::Met
                    && (clock.at, clock.opened_at, clock.elapsed_ms) == (at, figures.opened_at, figures.elapsed_ms);
                if same {
                    return;
                }
                let late = self.judge(&clock, &figures, at, true);
                let overdue_ms = if late { self.overdue(&terms, instance, &figures, at) } else { 0 };
                let retracted = clock.breached && !late;
                self.decision.push(Body::ClockMet(ClockMet { figures: Some(figures), overdue_ms }));
                let reason =
                    if retracted { alarm_cleared::Reason::Retracted } else { alarm_cleared::Reason::Fulfilled };
                self.clear(&clock, reason);
            }
            End::Cancelled(at, reason) => {
                if matches!(clock.status, Status::Cancelled(_)) {
                    return;
                }
                self.judge(&clock, &figures, at, false);
                let cancelled = ClockCancelled { figures: Some(figures), reason: reason as i32 };
                self.decision.push(Body::ClockCancelled(cancelled));
                self.clear(&clock, alarm_cleared::Reason::Cancelled);
            }
        }
    }

    /// Has its due time come? When threads are parted, breaches that happened meanwhile stay.
    fn is_due(&self, figures: &ClockFigures) -> bool {
        let due = figures.due_at != 0 && figures.due_at <= self.decision.context.now;
        due || !matches!(self.why, Why::Facts | Why::Merged)
    }

    /// Business time past the due time.
    fn overdue(&self, terms: &Terms, instance: &Instance, figures: &ClockFigures, at: Millis) -> Millis {
        let calendar = self.decision.state.calendar(terms.digest);
        let within = |span: &Span| {
            let to = span.to.map_or(at, |to| to.min(at));
            calendar.elapsed(span.from.max(figures.due_at), to)
        };
        instance.spans.iter().map(within).sum()
    }

    /// Was it due before it ended? A breach that turns out to be none is retracted.
    fn judge(&mut self, clock: &Clock, figures: &ClockFigures, ended_at: Millis, fulfilled: bool) -> bool {
        let late = figures.due_at != 0 && ended_at > figures.due_at;
        if late && !clock.breached {
            let figures = ClockFigures { retroactive: true, silent: true, ..figures.clone() };
            let late_by_ms = (self.decision.context.now - figures.due_at).max(0);
            self.decision.push(Body::ClockBreached(ClockBreached { figures: Some(figures), late_by_ms }));
        }
        if !late && clock.breached && fulfilled {
            self.decision.push(Body::BreachRetracted(BreachRetracted { figures: Some(figures.clone()) }));
        }
        late
    }

    /// Gives a running clock the terms that the policy has now.
    fn retarget(&mut self, clock: &mut Clock, wanted: &Terms, instance: &Instance) -> bool {
        let Some(rule) = self.rule else { return false };
        if clock.terms == *wanted || clock.breached {
            return false;
        }
        let (now, state) = (self.decision.context.now, self.decision.state);
        let calendar = state.calendar(clock.terms.digest);
        let counting = Counting { calendar: &calendar, instance, carried: clock.carried };
        let (old_due, elapsed) = (counting.due(clock.terms.target_ms), counting.elapsed(now));
        let mut after = clock.clone();
        after.terms = wanted.clone();
        if rule.retarget() == Retarget::Restart {
            after.carried = Some(Carried { ms: 0, at: now });
        } else if wanted.digest != clock.terms.digest {
            after.carried = Some(Carried { ms: elapsed, at: now });
        }
        if rule.retarget() == Retarget::ShortenOnly {
            let new_due = self.count(&after, instance, wanted).due;
            let shorter = match (old_due, new_due) {
                (Some(old), Some(new)) => new < old,
                _ => wanted.target_ms < clock.terms.target_ms,
            };
            if !shorter {
                return false;
            }
        }
        after.policy_version = self.decision.policy.policy_version;
        after.rule.clone_from(&rule.name);
        *clock = after;
        true
    }
}
