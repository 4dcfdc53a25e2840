//! What the clocks of a thread should be, against what they are: the difference becomes events.
//!
//! A due time that is past already breaches no clock here: its timer does, once all that could have
//! fulfilled it is read. Only what ends a clock too late says at once that it was breached.

use std::collections::BTreeMap;

use rejoinder_machine::Context;
use rejoinder_model::{AlarmId, ClockId, Millis, ThreadId};
use rejoinder_wire::event::{
    AlarmCleared, BreachRetracted, ClockBreached, ClockCancelled, ClockFigures, ClockMet, ClockOpened, ClockPaused,
    ClockReopened, ClockResumed, ClockRetargeted, ClockTerms, ClocksReviewed, Event, Metric, ThreadFollowed,
    alarm_cleared, clock_cancelled::Reason, clock_retargeted::Cause, event::Body, sla_policy::Retarget,
    thread_followed,
};

use crate::count::{Count, Counting};
use crate::decision::{Decision, Why};
use crate::follow;
use crate::metric::{self, End, Instance};
use crate::record::{Carried, Clock, Rule, Status, Terms, Thread};
use crate::state::SlaTimer;
use crate::timeline::{Span, Timeline};

/// A review of one thread.
struct Review<'d, 'a> {
    decision: &'d mut Decision<'a>,
    thread: &'d Thread,
    root: u64,
    rule: Option<&'d Rule>,
    why: Why,
    quiet: bool,
    /// The message whose clocks are given up; 0: none.
    revoked: u128,
}

/// Brings the clocks of a thread in line with its facts.
pub(crate) fn review(decision: &mut Decision<'_>, root: u64, thread: &mut Thread, why: Why, quiet: bool) {
    let policy = decision.policy.clone();
    let rule = policy.rule_for(thread);
    let metrics = Rule::metrics(rule);
    if thread.metrics.is_some_and(|before| before != metrics) {
        let metrics = rule.into_iter().flat_map(|rule| &rule.targets).map(|target| target.metric).collect();
        let what = thread_followed::What::Ruled(thread_followed::Ruled { metrics });
        follow::follow(thread, root, root, decision.next_seq(), &what);
        decision.push(Body::ThreadFollowed(ThreadFollowed { thread: root, what: Some(what) }));
    }
    let timeline = Timeline::of(thread);
    let revoked = if let Why::Revoked(message) = why { message } else { 0 };
    // What was answered stays history.
    let gone = thread.said.iter().any(|said| said.key == revoked && said.mute);
    let mut review = Review { decision, thread, root, rule, why, quiet, revoked: if gone { revoked } else { 0 } };
    review.revoke();
    for (metric, plan) in metric::ALL {
        let terms = rule.and_then(|rule| rule.target(metric).map(|terms| (rule, terms)));
        let Some((rule, target)) = terms else {
            review.withdraw(metric);
            continue;
        };
        let instances = plan(&timeline, metric::Terms { rule, workspace: &policy });
        review.compare(metric, target, &instances);
    }
}

/// Threads that one decision of a newly adopted policy looks at, unless it has so many events before.
const THREADS_AT_ONCE: usize = 100;
/// Events after which such a decision ends.
const EVENTS_AT_ONCE: usize = 64;

/// Lets some more threads follow a newly adopted policy.
pub(crate) fn follow_up(state: &SlaTimer, context: &Context, out: &mut Vec<Event>) {
    let Some(adopted) = state.next_review() else { return };
    let Some(next) = state.reviews.get(&adopted) else { return };
    let page = state.threads.page(&ThreadId(next.upto.saturating_add(1)), THREADS_AT_ONCE);
    let mut upto = if page.len() < THREADS_AT_ONCE { 0 } else { page.last().map_or(0, |(id, _)| id.0) };
    let mut decision = Decision::new(state, context, &next.workspace, out);
    for (id, thread) in page {
        if thread.is_alive() && thread.workspace == next.workspace {
            review(&mut decision, id.0, &mut (*thread).clone(), Why::Policy, false);
        }
        if decision.events() >= EVENTS_AT_ONCE {
            upto = id.0;
            break;
        }
    }
    decision.push(Body::ClocksReviewed(ClocksReviewed { adopted, upto }));
}

impl Review<'_, '_> {
    fn clocks(&self, metric: Metric) -> impl Iterator<Item = &Clock> {
        let revoked = self.revoked;
        // Who was cancelled with its message, now or before, is out of the game.
        self.thread.clocks.iter().filter(move |clock| {
            clock.metric == metric as i32
                && clock.status != Status::cancelled(Reason::Deleted)
                && !(revoked != 0 && clock.opener == revoked && clock.status.is_live())
        })
    }

    /// The message that opened them is gone.
    fn revoke(&mut self) {
        let revoked = self.revoked;
        let opened = |clock: &&Clock| revoked != 0 && clock.opener == revoked && clock.status.is_live();
        let clocks: Vec<Clock> = self.thread.clocks.iter().filter(opened).cloned().collect();
        clocks.iter().for_each(|clock| self.cancel(clock, Reason::Deleted));
    }

    /// The policy has no target for this metric.
    fn withdraw(&mut self, metric: Metric) {
        let live: Vec<Clock> = self.clocks(metric).filter(|clock| clock.status.is_live()).cloned().collect();
        live.iter().for_each(|clock| self.cancel(clock, Reason::Policy));
    }

    /// Finds the clock of each instance, and what has become of it.
    fn compare(&mut self, metric: Metric, terms: &Terms, instances: &[Instance]) {
        let mut of_key: BTreeMap<u128, usize> = BTreeMap::new();
        for (n, instance) in instances.iter().enumerate() {
            of_key.extend(instance.covers.iter().map(|key| (*key, n)));
        }
        let once = metric == Metric::FirstResponse && !instances.is_empty();
        let mut chosen: BTreeMap<usize, Clock> = BTreeMap::new();
        let mut left: Vec<Clock> = Vec::new();
        // The earliest start wins; one that counts before one that was given up.
        let rank = |clock: &Clock| (matches!(clock.status, Status::Cancelled(_)), clock.opened_at, clock.id);
        for clock in self.clocks(metric) {
            let instance = of_key.get(&clock.opener).copied().or(once.then_some(0));
            match instance.map(|n| (n, chosen.get(&n))) {
                None => left.push(clock.clone()),
                Some((_, Some(other))) if rank(other) <= rank(clock) => left.push(clock.clone()),
                Some((n, _)) => left.extend(chosen.insert(n, clock.clone())),
            }
        }
        for clock in left {
            self.superfluous(&clock);
        }
        let since = self.thread.since.get(&(metric as i32)).copied().unwrap_or_default();
        for (n, instance) in instances.iter().enumerate() {
            match chosen.get(&n) {
                Some(clock) => self.follow(metric, clock, terms, instance),
                None if matches!(instance.end, End::Cancelled(..)) => {}
                // Nobody had promised that then.
                None if instance.end.time().is_some() && instance.seq < since => {}
                None => self.open(metric, terms, instance),
            }
        }
    }

    /// A clock that no instance is behind.
    fn superfluous(&mut self, clock: &Clock) {
        let reason = match self.why {
            Why::Regrouped => Reason::Regrouped,
            Why::Facts | Why::Merged | Why::Revoked(_) | Why::Policy => Reason::Merged,
        };
        let met = clock.status == Status::Met && matches!(self.why, Why::Merged | Why::Regrouped);
        if clock.status.is_live() || met {
            self.cancel(clock, reason);
        }
    }

    fn figures(&self, clock: &Clock, count: Count, instance: &Instance, terms: &Terms) -> ClockFigures {
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
    fn warn_at(&self, clock: &Clock, count: Count, instance: &Instance, terms: &Terms) -> Millis {
        let now = self.decision.context.now;
        let Some(due) = count.due.filter(|due| instance.end == End::Running && *due > now) else { return 0 };
        let calendar = self.decision.state.calendar(terms.digest);
        let counting = Counting { calendar: &calendar, instance, carried: clock.carried };
        let warning = counting.warning(terms, clock.warned, now, !self.quiet);
        warning.filter(|at| *at < due).unwrap_or_default()
    }

    fn count(&self, clock: &Clock, instance: &Instance, terms: &Terms) -> Count {
        let calendar = self.decision.state.calendar(terms.digest);
        Counting { calendar: &calendar, instance, carried: clock.carried }.count(terms)
    }

    fn open(&mut self, metric: Metric, terms: &Terms, instance: &Instance) {
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
        let told = ClockTerms {
            target_ms: terms.target_ms,
            warn_after_ms: terms.warn_after_ms.clone(),
            calendar: terms.calendar.clone(),
            calendar_digest: terms.digest,
        };
        let (due_at, warn_at) = (figures.due_at, figures.warn_at);
        let (retroactive, silent) = (figures.retroactive, figures.silent);
        let opened = ClockOpened { figures: Some(figures), terms: Some(told), base: instance.base };
        self.decision.push(Body::ClockOpened(opened));
        if instance.end != End::Running {
            let clock = Clock { id, due_at, warn_at, retroactive, silent, ..clock };
            self.follow(metric, &clock, terms, instance);
        }
    }

    /// What has become of a clock by its instance.
    fn follow(&mut self, _: Metric, clock: &Clock, wanted: &Terms, instance: &Instance) {
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

    /// Gives a clock up where it stands.
    fn cancel(&mut self, clock: &Clock, reason: Reason) {
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

    fn clear(&mut self, clock: &Clock, reason: alarm_cleared::Reason) {
        if let Some(alarm) = AlarmId::from_wire(clock.alarm) {
            let at = self.decision.context.now;
            self.decision.push(Body::AlarmCleared(AlarmCleared { alarm: alarm.0, reason: reason as i32, at }));
        }
    }
}

fn retargeting(clock: &Clock, figures: ClockFigures, cause: Cause, new_terms: bool) -> Body {
    let terms = new_terms.then(|| ClockTerms {
        target_ms: clock.terms.target_ms,
        warn_after_ms: clock.terms.warn_after_ms.clone(),
        calendar: clock.terms.calendar.clone(),
        calendar_digest: clock.terms.digest,
    });
    let carried = clock.carried.unwrap_or(Carried { ms: 0, at: 0 });
    Body::ClockRetargeted(ClockRetargeted {
        figures: Some(figures),
        cause: cause as i32,
        terms,
        carried_ms: carried.ms,
        carried_at: carried.at,
    })
}
