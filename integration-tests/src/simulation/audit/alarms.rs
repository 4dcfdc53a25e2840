//! Alarms: one for each breach or warning, one at a time for a clock, acknowledged once, cleared once.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_wire::event::{AlarmRaised, Event, alarm_raised::Kind, event::Body};

use crate::simulation::Wrong;

/// An alarm that rings, or was heard.
struct Alarm {
    clock: u64,
    acknowledged: bool,
}

/// All alarms that are not cleared.
#[derive(Default)]
pub(super) struct Alarms {
    open: BTreeMap<u64, Alarm>,
    by_clock: BTreeMap<u64, u64>,
    /// What fell due in this frame and has not rung yet.
    due: BTreeSet<(u64, i32)>,
    newest: u64,
}

impl Alarms {
    /// Something fell due that somebody must see.
    pub(super) fn fell_due(&mut self, clock: u64, kind: Kind) {
        self.due.insert((clock, kind as i32));
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), Wrong> {
        match &event.body {
            Some(Body::AlarmRaised(raised)) => self.raise(raised),
            Some(Body::AlarmAcknowledged(acknowledged)) => match self.open.get_mut(&acknowledged.alarm) {
                Some(alarm) if !alarm.acknowledged => {
                    alarm.acknowledged = true;
                    Ok(())
                }
                _ => Err(format!("alarm {} is acknowledged twice, or is none", acknowledged.alarm)),
            },
            Some(Body::AlarmCleared(cleared)) => match self.open.remove(&cleared.alarm) {
                Some(alarm) => {
                    self.by_clock.remove(&alarm.clock);
                    Ok(())
                }
                None => Err(format!("alarm {} is cleared twice, or is none", cleared.alarm)),
            },
            _ => Ok(()),
        }
    }

    fn raise(&mut self, raised: &AlarmRaised) -> Result<(), Wrong> {
        let AlarmRaised { alarm, clock, kind, .. } = *raised;
        if !self.due.remove(&(clock, kind)) {
            return Err(format!("alarm {alarm} rings for clock {clock}, and nothing fell due"));
        }
        if let Some(other) = self.by_clock.insert(clock, alarm) {
            return Err(format!("clock {clock} rings by {alarm} and by {other}"));
        }
        if alarm <= self.newest {
            return Err(format!("alarm {alarm} rings again"));
        }
        self.newest = alarm;
        self.open.insert(alarm, Alarm { clock, acknowledged: false });
        Ok(())
    }

    /// Whatever fell due has rung, and clocks that have ended do not ring.
    pub(super) fn end_of_frame(&self, ended: impl Fn(u64) -> bool) -> Result<(), Wrong> {
        if let Some((clock, _)) = self.due.first() {
            return Err(format!("clock {clock} fell due and does not ring"));
        }
        match self.by_clock.iter().find(|(clock, _)| ended(**clock)) {
            Some((clock, alarm)) => Err(format!("clock {clock} has ended, and {alarm} rings")),
            None => Ok(()),
        }
    }
}
