//! What sla-timer did: each clock lives its life in the order of the rules, fires when it is due and
//! all that could have ended it is considered, and ends in one way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_event_log::PartitionFold;
use rejoinder_machine::{NoBacking, Own, State, TimerKey};
use rejoinder_model::{ClockId, Millis, Service, ThreadId};
use rejoinder_sla_core::SlaTimer;
use rejoinder_wire::event::{ClockFigures, ClockOpened, Event, Metric, alarm_raised, event::Body};

use super::Frame;
use super::alarms::Alarms;
use super::breaches::About;
use super::hours::Hours;
use super::placement::Placement;
use super::time::{Roots, Time};
use crate::simulation::Wrong;
use crate::simulation::clients::Shop;
use crate::simulation::trace::Roughness;

/// Which timer of a clock: it is due, or a warning is.
const DUE: u8 = 1;
const WARN: u8 = 2;

/// Where a clock is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Paused,
    Met(Millis),
    Cancelled,
}

#[derive(Clone, Debug)]
struct Life {
    status: Status,
    breached: bool,
    about: About,
    workspace: String,
}

impl Life {
    fn is_live(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused)
    }
}

pub(super) struct Clocks {
    partition: u16,
    pub(super) state: SlaTimer,
    lives: BTreeMap<u64, Life>,
    alarms: Alarms,
    hours: Hours,
    /// Breaches, each with the tick by which it fired.
    fired: Vec<(u64, Roots, About)>,
    /// The first time that it fired before the others had considered enough.
    too_soon: Option<Wrong>,
    /// Clocks that this frame has changed, and their threads.
    touched: BTreeSet<(u64, u64)>,
    /// Workspaces where people part threads: what happened before stays history there.
    regroup: BTreeSet<String>,
    pub(super) rough: Roughness,
}

/// The clock as an event leaves it.
#[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no clock")]
fn figures(body: &Body) -> Option<&ClockFigures> {
    match body {
        Body::ClockOpened(e) => e.figures.as_ref(),
        Body::ClockPaused(e) => e.figures.as_ref(),
        Body::ClockResumed(e) => e.figures.as_ref(),
        Body::ClockRetargeted(e) => e.figures.as_ref(),
        Body::ClockWarned(e) => e.figures.as_ref(),
        Body::ClockBreached(e) => e.figures.as_ref(),
        Body::BreachRetracted(e) => e.figures.as_ref(),
        Body::ClockMet(e) => e.figures.as_ref(),
        Body::ClockCancelled(e) => e.figures.as_ref(),
        Body::ClockReopened(e) => e.figures.as_ref(),
        _ => None,
    }
}

impl Clocks {
    pub(super) fn new(partition: u16, shops: &[Shop]) -> Self {
        Self {
            partition,
            state: SlaTimer::open(Arc::new(NoBacking)),
            lives: BTreeMap::new(),
            alarms: Alarms::default(),
            hours: Hours::default(),
            fired: Vec::new(),
            too_soon: None,
            touched: BTreeSet::new(),
            regroup: shops.iter().filter(|shop| shop.regroups).map(|shop| shop.name.clone()).collect(),
            rough: Roughness::default(),
        }
    }

    pub(super) fn event(
        &mut self,
        frame: Frame,
        own_seq: u64,
        event: &Event,
        time: &Time,
        placement: &Placement,
    ) -> Result<(), Wrong> {
        if let Some(body) = &event.body
            && let Some(figures) = figures(body)
        {
            self.touched.insert((figures.clock, figures.thread));
            #[expect(clippy::wildcard_enum_match_arm, reason = "others follow from the clock alone")]
            match body {
                Body::ClockOpened(opened) => self.open(&event.workspace, figures, opened)?,
                Body::ClockBreached(_) if !figures.silent => {
                    self.breach(frame, own_seq, figures, time, placement)?;
                }
                Body::ClockWarned(_) => self.warn(frame, own_seq, figures, time, placement)?,
                _ => {}
            }
            self.live_on(body, figures)?;
        }
        self.alarms.event(event)?;
        self.rough.acknowledged += u64::from(matches!(event.body, Some(Body::AlarmAcknowledged(_))));
        self.state.apply(Own { partition: self.partition, own_seq }, event);
        Ok(())
    }

    fn open(&mut self, workspace: &str, figures: &ClockFigures, opened: &ClockOpened) -> Result<(), Wrong> {
        self.rough.clocks += 1;
        let about = About::new(figures);
        let life = Life { status: Status::Running, breached: false, about, workspace: workspace.to_owned() };
        if self.lives.insert(figures.clock, life).is_some() {
            return Err(format!("clock {} is opened twice", figures.clock));
        }
        let terms = opened.terms.clone().unwrap_or_default();
        let waits = [Metric::FirstResponse, Metric::PeriodicUpdate, Metric::RequesterWait, Metric::QueueWait];
        let runs_at_once = waits.iter().any(|metric| *metric as i32 == figures.metric);
        let is_due =
            |hours: &mut Hours| hours.is_due(&terms.calendar, figures.opened_at, terms.target_ms, figures.due_at);
        if runs_at_once && !is_due(&mut self.hours) {
            return Err(format!("a clock of {terms:?} is due at {}: {figures:?}", figures.due_at));
        }
        Ok(())
    }

    /// A clock fell due: by a tick that says so, after all that could have ended it.
    fn breach(
        &mut self,
        frame: Frame,
        own_seq: u64,
        figures: &ClockFigures,
        time: &Time,
        placement: &Placement,
    ) -> Result<(), Wrong> {
        self.rough.breaches += 1;
        let life = self.lives.get(&figures.clock).ok_or("no clock is breached")?;
        if life.breached {
            return Err(format!("clock {} is breached twice", figures.clock));
        }
        let key = TimerKey { due: figures.due_at, entity: figures.clock, kind: DUE };
        let tick = time.fires(Service::SlaTimer, self.state.timers(), key, frame, own_seq)?;
        // What was set aside nobody knew of.
        if self.state.quarantine.page(&0, 1).is_empty() && placement.all_known() {
            life.about.is_false(tick.index, &tick.roots, placement)?;
            self.fired.push((tick.index, tick.roots.clone(), life.about.clone()));
        }
        if let Err(why) = placement.is_settled(tick, frame) {
            self.too_soon.get_or_insert(format!("{key:?} {why}"));
        }
        self.alarms.fell_due(figures.clock, alarm_raised::Kind::Breach);
        Ok(())
    }

    fn warn(
        &mut self,
        frame: Frame,
        own_seq: u64,
        figures: &ClockFigures,
        time: &Time,
        placement: &Placement,
    ) -> Result<(), Wrong> {
        self.rough.warnings += 1;
        let known = self.state.clock(ClockId(figures.clock)).map(|(_, _, clock)| clock.warn_at);
        let key = TimerKey { due: known.unwrap_or_default(), entity: figures.clock, kind: WARN };
        let tick = time.fires(Service::SlaTimer, self.state.timers(), key, frame, own_seq)?;
        if let Err(why) = placement.is_settled(tick, frame) {
            self.too_soon.get_or_insert(format!("{key:?} {why}"));
        }
        self.alarms.fell_due(figures.clock, alarm_raised::Kind::Warning);
        Ok(())
    }

    /// What follows in a clock's life.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only events of clocks come here")]
    fn live_on(&mut self, body: &Body, figures: &ClockFigures) -> Result<(), Wrong> {
        let life = self.lives.get_mut(&figures.clock).ok_or_else(|| format!("no clock {}", figures.clock))?;
        let (was, live) = (life.status, life.is_live());
        let right = match body {
            Body::ClockOpened(_) => true,
            Body::ClockPaused(_) => was == Status::Running,
            Body::ClockResumed(_) => was == Status::Paused,
            Body::ClockRetargeted(_) => live,
            Body::ClockWarned(_) => live && !life.breached,
            Body::ClockBreached(_) => !life.breached && (live || figures.silent),
            Body::BreachRetracted(_) => life.breached,
            Body::ClockMet(_) => true,
            Body::ClockCancelled(_) => was != Status::Cancelled,
            Body::ClockReopened(_) => !live,
            _ => false,
        };
        if !right {
            return Err(format!("clock {} is {life:?}, and then: {body:?}", figures.clock));
        }
        match body {
            Body::ClockPaused(_) => life.status = Status::Paused,
            Body::ClockResumed(_) | Body::ClockReopened(_) => life.status = Status::Running,
            Body::ClockBreached(_) => life.breached = true,
            Body::BreachRetracted(_) => {
                life.breached = false;
                self.rough.retractions += 1;
            }
            Body::ClockMet(_) => life.status = Status::Met(figures.at),
            Body::ClockCancelled(_) => life.status = Status::Cancelled,
            _ => {}
        }
        life.about = About::new(figures);
        Ok(())
    }

    /// What must hold between two decisions.
    pub(super) fn end_of_frame(&mut self) -> Result<(), Wrong> {
        for (clock, thread) in std::mem::take(&mut self.touched) {
            let Some(life) = self.lives.get(&clock) else { continue };
            if let Status::Met(at) = life.status
                && life.about.due_at != 0
                && life.breached != (at > life.about.due_at)
            {
                return Err(format!("clock {clock} is met, and that is not what a breach would say: {life:?}"));
            }
            self.has_one_of_each(thread)?;
        }
        let lives = &self.lives;
        self.alarms.end_of_frame(|clock| lives.get(&clock).is_none_or(|life| !life.is_live()))
    }

    /// One running clock of each metric.
    fn has_one_of_each(&self, thread: u64) -> Result<(), Wrong> {
        let Some((root, thread)) = self.state.find(thread) else { return Ok(()) };
        let mut metrics = BTreeSet::new();
        let live = thread.clocks.iter().filter(|clock| clock.status.is_live());
        match live.map(|clock| clock.metric).find(|metric| !metrics.insert(*metric)) {
            Some(metric) => Err(format!("two clocks of metric {metric} run on {root}")),
            None => Ok(()),
        }
    }

    /// Each clock was met, breached or cancelled; whose reply came late has its breach taken back.
    pub(super) fn conclude(&mut self, fold: &PartitionFold, time: &Time, placement: &Placement) -> Result<(), Wrong> {
        // Where a reply stood in the log is known by now, whenever it found its thread.
        for (tick, roots, about) in &self.fired {
            about.is_false(*tick, roots, placement)?;
        }
        self.too_soon.take().map_or(Ok(()), Err)?;
        time.all_fired(&mut self.state, fold.lane(Service::SlaTimer).consumed.index)?;
        for (id, _) in self.state.threads.page(&ThreadId(0), 100_000) {
            self.has_one_of_each(id.0)?;
        }
        for (id, life) in &self.lives {
            if life.status == Status::Running && !life.breached {
                return Err(format!("clock {id} runs and is never due: {life:?}"));
            }
            let stays = life.status == Status::Cancelled || self.regroup.contains(&life.workspace);
            if life.breached
                && !stays
                && let Some(reply) = life.about.came_in_the_end(placement)
            {
                return Err(format!(
                    "{} holds a reply in time, and no breach was taken back: {life:?}",
                    reply.received
                ));
            }
        }
        Ok(())
    }
}
