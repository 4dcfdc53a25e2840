//! What the clocks of a thread should be, against what they are: the difference becomes events.
//!
//! A due time that is past already breaches no clock here: its timer does, once all that could have
//! fulfilled it is read. Only what ends a clock too late says at once that it was breached.

use std::collections::BTreeMap;

use rejoinder_machine::Context;
use rejoinder_model::ThreadId;
use rejoinder_wire::event::{
    ClocksReviewed, Event, Metric, ThreadFollowed, clock_cancelled::Reason, event::Body, thread_followed,
};

use crate::decision::{Decision, Why};
use crate::follow;
use crate::metric::{self, End, Instance};
use crate::record::{Clock, Rule, Status, Terms, Thread};
use crate::state::SlaTimer;
use crate::timeline::Timeline;

mod change;
mod figures;

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
            review.set_right(metric, |rule| plan(&timeline, metric::Terms { rule, workspace: &policy }));
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

    /// What a policy of before promised stays history, but not as a breach that was none: a reply that
    /// was sent in time takes it back whenever it comes.
    fn set_right(&mut self, metric: Metric, plan: impl Fn(&Rule) -> Vec<Instance>) {
        let breached = |clock: &&Clock| clock.breached && clock.status == Status::Met;
        let clocks: Vec<Clock> = self.clocks(metric).filter(breached).cloned().collect();
        if clocks.is_empty() {
            return;
        }
        let instances = plan(self.rule.unwrap_or(&Rule::default()));
        for clock in clocks {
            let its = instances.iter().find(|instance| instance.covers.contains(&clock.opener));
            let in_time = its.filter(|its| matches!(its.end, End::Met(at) if at <= clock.due_at));
            in_time.into_iter().for_each(|instance| self.follow(&clock, &clock.terms, instance));
        }
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
        // It ended while nobody promised anything; only what runs on comes back with a target.
        let by_news = matches!(self.why, Why::Facts | Why::Policy);
        let stays = |clock: &Clock, instance: &Instance| {
            let withdrawn = clock.status == Status::cancelled(Reason::Policy);
            !clock.status.is_live() && (withdrawn || by_news && instance.seq < since)
        };
        for (n, instance) in instances.iter().enumerate() {
            let ended = instance.end.time().is_some();
            match chosen.get(&n) {
                Some(clock) if ended && stays(clock, instance) => {}
                Some(clock) => self.follow(clock, terms, instance),
                None if matches!(instance.end, End::Cancelled(..)) => {}
                // Nobody had promised that then.
                None if ended && instance.seq < since => {}
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
}
