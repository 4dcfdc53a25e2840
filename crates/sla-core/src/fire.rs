//! What falls due: warnings and breaches of clocks, with their alarms.

use rejoinder_machine::{Context, DueTimer, event};
use rejoinder_model::{AlarmId, ClockId, Millis, ThreadId};
use rejoinder_wire::event::{
    AlarmCleared, AlarmRaised, ClockBreached, ClockFigures, ClockWarned, Event, alarm_cleared, alarm_raised::Kind,
    event::Body,
};

use crate::count::Counting;
use crate::metric::{self, Instance};
use crate::record::{Clock, Thread};
use crate::state::{SlaTimer, WARN};
use crate::timeline::Timeline;

pub(crate) fn fire(state: &SlaTimer, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
    let Some((root, thread, clock)) = state.clock(ClockId(timer.entity)) else { return };
    // What fired before it by the same tick may have moved or ended it.
    let at = if timer.kind == WARN { clock.warn_at } else { clock.due_at };
    if !clock.status.is_live() || clock.breached || at != timer.due {
        return;
    }
    let firing = Firing { state, context, root, thread: &thread, clock: &clock, start: out.len() };
    if timer.kind == WARN { firing.warn(timer.due, out) } else { firing.breach(timer.due, out) }
}

/// A clock whose time has come.
struct Firing<'a> {
    state: &'a SlaTimer,
    context: &'a Context,
    root: ThreadId,
    thread: &'a Thread,
    clock: &'a Clock,
    start: usize,
}

impl Firing<'_> {
    fn breach(&self, due: Millis, out: &mut Vec<Event>) {
        // By then it has run for just that long, or had before under other terms.
        let carried = self.clock.carried.filter(|carried| carried.at == due).map_or(0, |carried| carried.ms);
        let elapsed_ms = self.clock.terms.target_ms.max(carried);
        let figures = ClockFigures { elapsed_ms, ..self.figures(due) };
        let late_by_ms = (self.context.now - due).max(0);
        let breached = ClockBreached { figures: Some(figures), late_by_ms };
        out.push(event(&self.thread.workspace, Body::ClockBreached(breached)));
        if !self.clock.silent {
            self.alarm(Kind::Breach, out);
        }
    }

    fn warn(&self, at: Millis, out: &mut Vec<Event>) {
        // Those that were past before it was armed are given with it.
        let passed = self.clock.terms.warn_after_ms.iter().filter(|after_ms| **after_ms <= self.elapsed(at)).count();
        let warning = u32::try_from(passed).unwrap_or(u32::MAX).max(self.clock.warned + 1);
        let warn_at = self.next_warning(warning, at);
        let figures = ClockFigures { warn_at, elapsed_ms: self.elapsed(at), ..self.figures(at) };
        let warned = ClockWarned { figures: Some(figures), warning };
        out.push(event(&self.thread.workspace, Body::ClockWarned(warned)));
        self.alarm(Kind::Warning, out);
    }

    fn figures(&self, at: Millis) -> ClockFigures {
        let clock = self.clock;
        ClockFigures {
            clock: clock.id,
            thread: self.root.0,
            metric: clock.metric,
            policy_version: clock.policy_version,
            opened_at: clock.opened_at,
            at,
            elapsed_ms: clock.elapsed_ms,
            due_at: clock.due_at,
            warn_at: 0,
            retroactive: clock.retroactive,
            silent: clock.silent,
            opener: clock.opener.to_le_bytes().to_vec(),
            rule: clock.rule.clone(),
        }
    }

    /// Business time up to an instant, since it last began to run at the least.
    fn elapsed(&self, until: Millis) -> Millis {
        let calendar = self.state.calendar(self.clock.terms.digest);
        match self.instance() {
            Some(instance) => {
                Counting { calendar: &calendar, instance: &instance, carried: self.clock.carried }.elapsed(until)
            }
            None => self.clock.elapsed_ms.saturating_add(calendar.elapsed(self.clock.at, until)),
        }
    }

    fn next_warning(&self, warned: u32, now: Millis) -> Millis {
        let calendar = self.state.calendar(self.clock.terms.digest);
        let Some(instance) = self.instance() else { return 0 };
        let counting = Counting { calendar: &calendar, instance: &instance, carried: self.clock.carried };
        let next = counting.warning(&self.clock.terms, warned, now, true);
        next.filter(|at| *at < self.clock.due_at).unwrap_or_default()
    }

    fn instance(&self) -> Option<Instance> {
        let policy = self.state.workspace(&self.thread.workspace);
        let rule = policy.rule_for(self.thread)?;
        let timeline = Timeline::of(self.thread);
        let (_, plan) = metric::ALL.into_iter().find(|(metric, _)| *metric as i32 == self.clock.metric)?;
        let instances = plan(&timeline, metric::Terms { rule, workspace: &policy });
        instances.into_iter().find(|instance| instance.covers.contains(&self.clock.opener))
    }

    /// One alarm a clock: a later one takes the place of an earlier.
    fn alarm(&self, kind: Kind, out: &mut Vec<Event>) {
        let workspace = &self.thread.workspace;
        let at = self.context.now;
        if self.clock.alarm != 0 {
            let reason = alarm_cleared::Reason::Superseded as i32;
            out.push(event(workspace, Body::AlarmCleared(AlarmCleared { alarm: self.clock.alarm, reason, at })));
        }
        let own_seq = self.context.next_own_seq + (out.len() - self.start) as u64;
        let raised = AlarmRaised {
            alarm: AlarmId::new(self.context.partition, own_seq).0,
            clock: self.clock.id,
            thread: self.root.0,
            metric: self.clock.metric,
            kind: kind as i32,
            due_at: self.clock.due_at,
            at,
            rule: self.clock.rule.clone(),
        };
        out.push(event(workspace, Body::AlarmRaised(raised)));
    }
}
