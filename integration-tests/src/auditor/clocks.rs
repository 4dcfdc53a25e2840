//! Clocks and alarms as the log tells of them: each fires or is cancelled once, none fires whose reply
//! stood in the log before the tick that fired it, none is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_event_log::PartitionFold;
use rejoinder_model::{AlarmId, ClockId, Millis, Service};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{ClockFigures, Direction, MessagePlaced, Metric};

use super::ticks::Ticks;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Paused,
    Met,
    Cancelled,
}

struct Clock {
    workspace: String,
    thread: u64,
    metric: i32,
    status: Status,
    breached: bool,
    opened_at: Millis,
    due: Millis,
    warned: u32,
    /// The frame that armed it.
    armed: u64,
    /// The frame that armed it anew, perhaps by a warning: the breach may wait for the next tick.
    rearmed: u64,
    /// The alarm that nobody has cleared; 0: none.
    alarm: u64,
    /// What happened to it: where, what, its due time then.
    story: Vec<(u64, &'static str, Millis)>,
}

/// A reply of ours: where it was received, and when it was sent.
struct Reply {
    received: u64,
    sent: Millis,
}

#[derive(Default)]
struct Alarm {
    clock: u64,
    acknowledged: Option<u64>,
    cleared: bool,
}

/// What a watcher is told of an alarm: where, which, what.
pub(super) type Told = (u64, AlarmId, &'static str);

/// The clocks of one partition.
#[derive(Default)]
pub(super) struct Clocks {
    clocks: BTreeMap<u64, Clock>,
    alarms: BTreeMap<u64, Alarm>,
    /// By workspace, all that happened to alarms.
    pub(super) told: BTreeMap<String, Vec<Told>>,
    replies: BTreeMap<u64, Vec<Reply>>,
    /// Threads that are others' by now, and those whose messages moved.
    merged: BTreeMap<u64, u64>,
    regrouped: BTreeSet<u64>,
    /// A breach of the frame at hand that has to be explained by the clock's end.
    late: BTreeSet<u64>,
    /// How late the latest breach was seen that was not past already when its clock came to be.
    pub(super) latest_ms: Millis,
    pub(super) findings: Vec<String>,
}

impl Clocks {
    fn wrong(&mut self, index: u64, what: impl std::fmt::Display) {
        self.findings.push(format!("sla-timer at {index}: {what}"));
    }

    fn root(&self, mut thread: u64) -> u64 {
        while let Some(into) = self.merged.get(&thread) {
            thread = *into;
        }
        thread
    }

    /// What threading says, as far as replies go by it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no reply")]
    pub(super) fn placed(&mut self, body: &Body) {
        match body {
            Body::MessagePlaced(placed) if placed.direction == Direction::Outbound as i32 => self.reply(placed),
            Body::ThreadsMerged(merged) if merged.into != merged.from => {
                let (from, into) = (self.root(merged.from), self.root(merged.into));
                if from != into {
                    self.merged.insert(from, into);
                    let moved = self.replies.remove(&from).unwrap_or_default();
                    self.replies.entry(into).or_default().extend(moved);
                }
            }
            Body::ThreadRelinked(relinked) => self.regrouped.extend([relinked.from, relinked.to]),
            Body::ThreadsUnmerged(unmerged) => self.regrouped.extend(unmerged.parts.iter().map(|part| part.thread)),
            Body::ThreadSplit(split) => self.regrouped.extend([split.thread, split.into]),
            _ => {}
        }
    }

    fn reply(&mut self, placed: &MessagePlaced) {
        if placed.by_bot || placed.deleted || placed.root == 0 {
            return;
        }
        let received = placed.source.unwrap_or_default().index;
        let root = self.root(placed.root);
        self.replies.entry(root).or_default().push(Reply { received, sent: placed.clock_time });
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no clock")]
    pub(super) fn event(&mut self, index: u64, considered: u64, ticks: &Ticks, workspace: &str, body: &Body) {
        use Status::{Cancelled, Met, Paused, Running};
        match body {
            Body::ClockOpened(e) => self.opened(index, workspace, e.figures.as_ref()),
            Body::ClockPaused(e) => self.change(index, e.figures.as_ref(), "paused", &[Running], Some(Paused)),
            Body::ClockResumed(e) => self.change(index, e.figures.as_ref(), "resumed", &[Paused], Some(Running)),
            Body::ClockReopened(e) => {
                self.change(index, e.figures.as_ref(), "reopened", &[Met, Cancelled], Some(Running));
            }
            Body::ClockRetargeted(e) => {
                if e.terms.is_some()
                    && let Some(clock) = e.figures.as_ref().and_then(|figures| self.clocks.get_mut(&figures.clock))
                {
                    clock.warned = 0;
                }
                self.change(index, e.figures.as_ref(), "retargeted", &[Running, Paused], None);
            }
            Body::ClockWarned(e) => {
                let Some(clock) = e.figures.as_ref().and_then(|figures| self.clocks.get_mut(&figures.clock)) else {
                    return self.wrong(index, "a clock warns that was never opened");
                };
                let (before, breached) = (std::mem::replace(&mut clock.warned, e.warning), clock.breached);
                if e.warning <= before || breached {
                    self.wrong(index, format!("warning {} after {before}, breached: {breached}", e.warning));
                }
                self.change(index, e.figures.as_ref(), "warned", &[Running], None);
            }
            Body::ClockBreached(e) => {
                if e.figures.as_ref().is_some_and(|figures| !figures.retroactive) {
                    self.latest_ms = self.latest_ms.max(e.late_by_ms);
                }
                self.breached(index, considered, ticks, e.figures.as_ref());
            }
            Body::BreachRetracted(e) => {
                let Some(clock) = e.figures.as_ref().and_then(|figures| self.clocks.get_mut(&figures.clock)) else {
                    return self.wrong(index, "a breach is retracted of a clock that was never opened");
                };
                if !std::mem::take(&mut clock.breached) {
                    self.wrong(index, "a breach is retracted that never was");
                }
                self.change(index, e.figures.as_ref(), "retracted", &[Running, Paused, Met, Cancelled], None);
            }
            Body::ClockMet(e) => {
                self.change(index, e.figures.as_ref(), "met", &[Running, Paused, Met, Cancelled], Some(Met));
                self.late.remove(&e.figures.as_ref().map_or(0, |figures| figures.clock));
            }
            Body::ClockCancelled(e) => {
                self.change(index, e.figures.as_ref(), "cancelled", &[Running, Paused, Met], Some(Cancelled));
                self.late.remove(&e.figures.as_ref().map_or(0, |figures| figures.clock));
            }
            Body::AlarmRaised(e) => {
                self.tell(workspace, (index, AlarmId(e.alarm), "raised"));
                if self.alarms.insert(e.alarm, Alarm { clock: e.clock, ..Alarm::default() }).is_some() {
                    self.wrong(index, format!("{} is raised twice", AlarmId(e.alarm)));
                }
                let before = self.clocks.get_mut(&e.clock).map(|clock| std::mem::replace(&mut clock.alarm, e.alarm));
                if before != Some(0) {
                    self.wrong(index, format!("{} is raised, its clock has {before:?}", AlarmId(e.alarm)));
                }
            }
            Body::AlarmAcknowledged(e) => {
                self.tell(workspace, (index, AlarmId(e.alarm), "acknowledged"));
                let alarm = self.alarms.entry(e.alarm).or_default();
                if alarm.acknowledged.replace(index).is_some() || alarm.cleared {
                    self.wrong(index, format!("{} is acknowledged twice, or after its end", AlarmId(e.alarm)));
                }
            }
            Body::AlarmCleared(e) => {
                self.tell(workspace, (index, AlarmId(e.alarm), "cleared"));
                let alarm = self.alarms.entry(e.alarm).or_default();
                let (before, clock) = (std::mem::replace(&mut alarm.cleared, true), alarm.clock);
                let of_clock = self.clocks.get_mut(&clock).map(|clock| std::mem::take(&mut clock.alarm));
                if before || of_clock != Some(e.alarm) {
                    self.wrong(index, format!("{} is cleared twice, or was never raised", AlarmId(e.alarm)));
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, workspace: &str, told: Told) {
        self.told.entry(workspace.to_owned()).or_default().push(told);
    }

    fn opened(&mut self, index: u64, workspace: &str, figures: Option<&ClockFigures>) {
        let Some(figures) = figures else { return };
        let clock = Clock {
            workspace: workspace.to_owned(),
            thread: figures.thread,
            metric: figures.metric,
            status: Status::Running,
            breached: false,
            opened_at: figures.opened_at,
            due: figures.due_at,
            warned: 0,
            armed: index,
            rearmed: index,
            alarm: 0,
            story: vec![(index, "opened", figures.due_at)],
        };
        if self.clocks.insert(figures.clock, clock).is_some() {
            self.wrong(index, format!("{} is opened twice", ClockId(figures.clock)));
        }
    }

    fn change(
        &mut self,
        index: u64,
        figures: Option<&ClockFigures>,
        what: &'static str,
        from: &[Status],
        to: Option<Status>,
    ) {
        let Some(figures) = figures else { return self.wrong(index, format!("{what} without figures")) };
        let Some(clock) = self.clocks.get_mut(&figures.clock) else {
            return self.wrong(index, format!("{} is {what} and was never opened", ClockId(figures.clock)));
        };
        let status = clock.status;
        clock.status = to.unwrap_or(status);
        (clock.thread, clock.opened_at) = (figures.thread, figures.opened_at);
        // A timer whose time stays is armed by the event that set it: a warning and the breach may fall due
        // by one tick.
        if clock.due != figures.due_at {
            clock.armed = index;
        }
        clock.due = figures.due_at;
        clock.rearmed = index;
        clock.story.push((index, what, figures.due_at));
        if !from.contains(&status) {
            let story = format!("metric {}, {:?}", clock.metric, clock.story);
            self.wrong(index, format!("{} is {what} while it is {status:?}: {story}", ClockId(figures.clock)));
        }
    }

    fn breached(&mut self, index: u64, considered: u64, ticks: &Ticks, figures: Option<&ClockFigures>) {
        let Some(figures) = figures else { return };
        let id = ClockId(figures.clock);
        let Some(clock) = self.clocks.get_mut(&figures.clock) else {
            return self.wrong(index, format!("{id} is breached and was never opened"));
        };
        let (armed, due, thread, metric) = (clock.armed, clock.due, clock.thread, clock.metric);
        let (before, opened_at) = (std::mem::replace(&mut clock.breached, true), clock.opened_at);
        if before {
            self.wrong(index, format!("{id} is breached twice"));
        }
        if figures.silent && figures.retroactive {
            // Said by what ended it too late, which follows in the same decision; or past when imported.
            if ticks.first(armed, due).is_none_or(|tick| tick >= considered) {
                self.late.insert(figures.clock);
            }
            // What came to light later may show that one was met too late.
            let from = [Status::Running, Status::Paused, Status::Met];
            return self.change(index, Some(figures), "breached", &from, None);
        }
        let Some(tick) = ticks.first(armed, due).filter(|tick| *tick < considered) else {
            let story = self.clocks.get(&figures.clock).map(|clock| clock.story.clone());
            return self.wrong(index, format!("{id}, due {due}, is breached and no tick says so: {story:?}"));
        };
        let root = self.root(thread);
        let answered = [Metric::FirstResponse as i32, Metric::NextResponse as i32].contains(&metric)
            && !self.regrouped.contains(&root);
        let reply = self
            .replies
            .get(&root)
            .into_iter()
            .flatten()
            .find(|reply| answered && reply.received < tick && reply.sent > opened_at && reply.sent <= due);
        if let Some(reply) = reply {
            let what =
                format!("{id} is breached by the tick at {tick}, and the reply at {} was in time", reply.received);
            self.wrong(index, what);
        }
        // One that stands still had run for long enough before, or it has no due time.
        self.change(index, Some(figures), "breached", &[Status::Running, Status::Paused], None);
    }

    /// What must hold whenever a decision is through.
    pub(super) fn end_of_frame(&mut self, index: u64) {
        for id in std::mem::take(&mut self.late) {
            self.wrong(index, format!("{} is breached without a tick, and goes on", ClockId(id)));
        }
    }

    /// What must hold where the log ends; `closed`: nothing was left to do in this workspace.
    pub(super) fn conclude(&mut self, ticks: &Ticks, fold: &PartitionFold, closed: Option<&str>) {
        let settled = fold.lane(Service::SlaTimer).settled;
        let mut wrong = Vec::new();
        for (id, clock) in &self.clocks {
            let (id, live) = (ClockId(*id), matches!(clock.status, Status::Running | Status::Paused));
            let waits = live && !clock.breached && clock.due != 0;
            if waits && ticks.first(clock.rearmed, clock.due).is_some_and(|tick| tick < settled) {
                let tick = ticks.first(clock.rearmed, clock.due);
                let what = format!("{id} was due at {}, and the tick at {tick:?} has not fired it", clock.due);
                wrong.push(format!("{what}, settled up to {settled}: {:?}", clock.story));
            }
            if live && closed == Some(&clock.workspace) {
                wrong.push(format!("{id} of metric {} is still {:?}", clock.metric, clock.status));
            }
            if !live && clock.alarm != 0 {
                wrong.push(format!("{id} has ended, and {} is not cleared", AlarmId(clock.alarm)));
            }
        }
        self.findings.extend(wrong);
    }

    /// Where an alarm was acknowledged.
    pub(super) fn acknowledged(&self, alarm: u64) -> Option<u64> {
        self.alarms.get(&alarm).and_then(|alarm| alarm.acknowledged)
    }
}
