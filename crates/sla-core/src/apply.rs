//! The fold: what each own event changes. Never refuses, reads nothing but the event.

use rejoinder_machine::request;
use rejoinder_machine::{Own, TimerKey};
use rejoinder_model::{AlarmId, ClockId, Millis, ThreadId};
use rejoinder_wire::event::{
    AlarmAcknowledged, AlarmRaised, ClockCancelled, ClockFigures, ClockOpened, ClockRetargeted, ClockTerms,
    ClocksReviewed, Event, SlaPolicyAdopted, ThreadFollowed, event::Body, thread_followed::What,
};

use crate::decision::{self, start_rules};
use crate::follow::{self, Threads, key};
use crate::policy;
use crate::record::{
    Acknowledged, Alarm, Carried, Clock, Counts, LATE_MS, Request, Review, Status, Terms, Thread, Workspace,
};
use crate::state::{DUE, SlaTimer, WARN};

pub(crate) fn apply(state: &mut SlaTimer, own: Own, event: &Event) {
    if let (Some(request), Some(body)) = (request::Request::of(event), &event.body) {
        remember(state, request, event.decided_at, body);
    }
    if let Some(Body::ClockBreached(breached)) = &event.body
        && let Some(figures) = breached.figures.as_ref().filter(|figures| !figures.retroactive)
        && let Some((_, thread, clock)) = state.clock(ClockId(figures.clock))
    {
        let slot = LATE_MS.iter().position(|bound| breached.late_by_ms <= *bound).unwrap_or(LATE_MS.len());
        upsert_workspace(state, &event.workspace, |workspace| {
            workspace.late[slot] += 1;
            *workspace.fired.entry((clock.rule, thread.queue.clone())).or_default() += 1;
        });
    }
    apply_body(state, own, event);
}

fn apply_body(state: &mut SlaTimer, own: Own, event: &Event) {
    let workspace = event.workspace.as_str();
    let mut clock = |figures: &Option<ClockFigures>, change: &dyn Fn(&mut Clock)| {
        if let Some(figures) = figures {
            change_clock(state, own, workspace, figures, change);
        }
    };
    match &event.body {
        Some(Body::ClockPaused(paused)) => clock(&paused.figures, &|clock| clock.status = Status::Paused),
        Some(Body::ClockResumed(resumed)) => clock(&resumed.figures, &|clock| clock.status = Status::Running),
        Some(Body::ClockReopened(reopened)) => clock(&reopened.figures, &|clock| clock.status = Status::Running),
        Some(Body::ClockRetargeted(retargeted)) => clock(&retargeted.figures, &|clock| retarget(clock, retargeted)),
        Some(Body::ClockWarned(warned)) => clock(&warned.figures, &|clock| clock.warned = warned.warning),
        Some(Body::ClockBreached(breached)) => clock(&breached.figures, &|clock| clock.breached = true),
        Some(Body::BreachRetracted(retracted)) => clock(&retracted.figures, &|clock| clock.breached = false),
        Some(Body::ClockMet(met)) => clock(&met.figures, &|clock| clock.status = Status::Met),
        Some(Body::ClockCancelled(cancelled)) => clock(&cancelled.figures, &|clock| cancel(clock, cancelled)),
        Some(Body::ClockOpened(opened)) => open(state, own, workspace, opened),
        Some(Body::ThreadFollowed(followed)) => follow_thread(state, own, workspace, followed),
        Some(Body::AlarmRaised(raised)) => raise(state, own, workspace, raised),
        Some(Body::AlarmAcknowledged(acknowledged)) => acknowledge(state, own, acknowledged),
        Some(Body::AlarmCleared(cleared)) => clear(state, AlarmId(cleared.alarm)),
        Some(Body::SlaPolicyAdopted(adopted)) => adopt(state, own, workspace, adopted),
        Some(Body::ClocksReviewed(reviewed)) => review(state, reviewed),
        Some(Body::Quarantined(quarantined)) => state.quarantine.set_aside(own, workspace, quarantined),
        Some(Body::QuarantineReleased(released)) => state.quarantine.release(released),
        _ => {}
    }
}

fn follow_thread(state: &mut SlaTimer, own: Own, workspace: &str, followed: &ThreadFollowed) {
    let Some(what) = &followed.what else { return };
    let number = followed.thread;
    if matches!(what, What::Merged(_) | What::Unmerged(_) | What::Split(_) | What::Dissolved(_)) {
        let mut threads = Threads::new();
        decision::load(state, workspace, &mut threads, number, what);
        decision::regroup(&mut threads, number, what);
        for (id, thread) in threads {
            if let What::Split(split) = what
                && id == split.into
            {
                thread.clocks.iter().for_each(|clock| state.clocks.put(ClockId(clock.id), id));
            }
            state.threads.put(ThreadId(id), thread);
        }
        return;
    }
    let root = state.find(number).map_or(ThreadId(number), |(root, _)| root);
    let policy = state.workspace(workspace);
    if state.threads.get(&root).is_none() {
        state.threads.put(root, Thread { workspace: workspace.to_owned(), ..Thread::default() });
    }
    state.threads.update(&root, |thread| {
        follow::follow(thread, root.0, number, own.own_seq, what);
        start_rules(thread, &policy);
    });
}

fn terms(terms: &ClockTerms) -> Terms {
    Terms {
        target_ms: terms.target_ms,
        warn_after_ms: terms.warn_after_ms.clone(),
        calendar: terms.calendar.clone(),
        digest: terms.calendar_digest,
    }
}

fn open(state: &mut SlaTimer, own: Own, workspace: &str, opened: &ClockOpened) {
    let Some(figures) = &opened.figures else { return };
    let clock = Clock {
        id: figures.clock,
        metric: figures.metric,
        base: opened.base,
        opener: 0,
        status: Status::Running,
        opened_at: 0,
        at: 0,
        elapsed_ms: 0,
        due_at: 0,
        warn_at: 0,
        breached: false,
        retroactive: false,
        silent: false,
        warned: 0,
        alarm: 0,
        policy_version: 0,
        // Set below, where it is counted under its name.
        rule: String::new(),
        terms: opened.terms.as_ref().map(terms).unwrap_or_default(),
        carried: None,
    };
    state.clocks.put(ClockId(figures.clock), opened.base);
    state.threads.update(&ThreadId(figures.thread), |thread| thread.clocks.push(clock));
    change_clock(state, own, workspace, figures, &|_| {});
}

/// The timers of a clock.
fn armed(clock: &Clock) -> impl Iterator<Item = TimerKey> + use<> {
    let waits = clock.status.is_live() && !clock.breached && clock.due_at != 0;
    let (id, due_at, warn_at) = (clock.id, clock.due_at, clock.warn_at);
    let due = waits.then_some((due_at, DUE));
    let warn = (waits && warn_at != 0 && warn_at < due_at).then_some((warn_at, WARN));
    due.into_iter().chain(warn).map(move |(due, kind)| TimerKey { due, entity: id, kind })
}

fn change_clock(state: &mut SlaTimer, own: Own, workspace: &str, figures: &ClockFigures, change: &dyn Fn(&mut Clock)) {
    let root = ThreadId(figures.thread);
    let Some(thread) = state.threads.get(&root) else { return };
    let Ok(at) = thread.clocks.binary_search_by_key(&figures.clock, |clock| clock.id) else { return };
    let before = thread.clocks[at].clone();
    drop(thread);
    let mut after = before.clone();
    change(&mut after);
    after.opened_at = figures.opened_at;
    after.opener = key(&figures.opener);
    // A warning and a breach look at a clock as it was at that moment; it runs on from where it did.
    if after.warned <= before.warned && after.breached <= before.breached {
        after.at = figures.at;
        after.elapsed_ms = figures.elapsed_ms;
    }
    after.due_at = figures.due_at;
    after.warn_at = figures.warn_at;
    after.retroactive = figures.retroactive;
    after.silent = figures.silent;
    after.policy_version = figures.policy_version;
    after.rule.clone_from(&figures.rule);
    // One whose time stays was armed when it was: a tick that says so already still makes it fire.
    for timer in armed(&before).filter(|timer| armed(&after).all(|other| other != *timer)) {
        state.timers.disarm(&timer);
    }
    for timer in armed(&after).filter(|timer| armed(&before).all(|other| other != *timer)) {
        state.timers.arm(timer, own.own_seq);
    }
    count(state, workspace, &before, &after);
    state.threads.update(&root, |thread| thread.clocks[at] = after);
}

/// Brings the counts of a clock's rule up to date.
fn count(state: &mut SlaTimer, workspace: &str, before: &Clock, after: &Clock) {
    fn counts(clock: &Clock) -> Counts {
        let one = u64::from;
        if clock.rule.is_empty() {
            return Counts::default();
        }
        Counts {
            live: one(clock.status.is_live()),
            open_breaches: one(clock.status.is_live() && clock.breached),
            breached: one(clock.breached),
            met: one(clock.status == Status::Met),
            cancelled: one(matches!(clock.status, Status::Cancelled(_))),
        }
    }
    let (was, is) = (counts(before), counts(after));
    if was == is && before.rule == after.rule {
        return;
    }
    upsert_workspace(state, workspace, |workspace| {
        workspace.counts.entry(before.rule.clone()).or_default().subtract(&was);
        workspace.counts.entry(after.rule.clone()).or_default().add(&is);
        workspace.counts.remove("");
    });
}

fn upsert_workspace(state: &mut SlaTimer, name: &str, change: impl FnOnce(&mut Workspace)) {
    let key = name.to_owned();
    if state.workspaces.get(&key).is_none() {
        state.workspaces.put(key.clone(), Workspace::default());
    }
    state.workspaces.update(&key, change);
}

fn retarget(clock: &mut Clock, retargeted: &ClockRetargeted) {
    if let Some(changed) = &retargeted.terms {
        clock.terms = terms(changed);
        clock.warned = 0;
    }
    let carried = Carried { ms: retargeted.carried_ms, at: retargeted.carried_at };
    clock.carried = (carried.at != 0).then_some(carried);
}

fn cancel(clock: &mut Clock, cancelled: &ClockCancelled) {
    clock.status = Status::Cancelled(cancelled.reason);
}

fn raise(state: &mut SlaTimer, own: Own, workspace: &str, raised: &AlarmRaised) {
    let alarm = Alarm {
        workspace: workspace.to_owned(),
        clock: raised.clock,
        thread: raised.thread,
        metric: raised.metric,
        kind: raised.kind,
        due_at: raised.due_at,
        at: raised.at,
        rule: raised.rule.clone(),
        acknowledged: None,
        version: own.own_seq,
    };
    state.alarms.put(AlarmId(raised.alarm), alarm);
    set_alarm(state, raised.clock, raised.alarm);
}

fn set_alarm(state: &mut SlaTimer, clock: u64, alarm: u64) {
    let Some((root, thread, _)) = state.clock(ClockId(clock)) else { return };
    drop(thread);
    state.threads.update(&root, |thread| {
        if let Some(found) = thread.clocks.iter_mut().find(|found| found.id == clock) {
            found.alarm = alarm;
        }
    });
}

fn acknowledge(state: &mut SlaTimer, own: Own, acknowledged: &AlarmAcknowledged) {
    state.alarms.update(&AlarmId(acknowledged.alarm), |alarm| {
        alarm.acknowledged = Some(Acknowledged { actor: acknowledged.actor.clone(), at: acknowledged.at });
        alarm.version = own.own_seq;
    });
}

fn clear(state: &mut SlaTimer, id: AlarmId) {
    let Some(alarm) = state.alarms.get(&id) else { return };
    set_alarm(state, alarm.clock, 0);
    state.alarms.remove(&id);
}

fn adopt(state: &mut SlaTimer, own: Own, workspace: &str, adopted: &SlaPolicyAdopted) {
    for (digest, hours) in adopted.policy.iter().flat_map(policy::calendars) {
        if state.hours.get(&digest).is_none() {
            state.hours.put(digest, hours);
        }
    }
    let rules = adopted.policy.as_ref().map_or_else(|| Workspace::default().rules, policy::rules);
    upsert_workspace(state, workspace, |workspace| {
        workspace.policy_version = adopted.version;
        workspace.rules = rules;
        workspace.reopen_window_ms = adopted.reopen_window_ms;
    });
    state.reviews.put(own.own_seq, Review { workspace: workspace.to_owned(), upto: 0 });
    state.next_review.set(None);
}

fn review(state: &mut SlaTimer, reviewed: &ClocksReviewed) {
    if reviewed.upto == 0 {
        state.reviews.remove(&reviewed.adopted);
        state.next_review.set(None);
    } else {
        state.reviews.update(&reviewed.adopted, |review| review.upto = reviewed.upto);
    }
}

/// Remembers what a request did.
fn remember(state: &mut SlaTimer, request: request::Request, decided_at: Millis, body: &Body) {
    let subject = if let Body::AlarmAcknowledged(acknowledged) = body { acknowledged.alarm } else { 0 };
    let did = Request { subject, content: request.content };
    state.requests.remember(decided_at, request.key, did);
}
