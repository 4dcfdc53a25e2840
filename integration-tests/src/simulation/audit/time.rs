//! Time as the log tells it: ticks, who may write them, and which of them makes a timer fire.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_machine::{State, TimerKey, Timers};
use rejoinder_model::{MINUTE_MS, Millis, Service};

use super::{Frame, GRACE_MS, TICK_MS};
use crate::simulation::Wrong;

/// The thread that each base thread is part of.
pub(super) type Roots = Arc<BTreeMap<u64, u64>>;

/// A tick that counts.
pub(super) struct Tick {
    pub(super) index: u64,
    pub(super) stamp: Millis,
    /// Events of each service before the tick have numbers below these.
    own_seq_ends: [u64; 4],
    /// Threads as of the tick.
    pub(super) roots: Roots,
}

/// All ticks.
pub(super) struct Time {
    pub(super) ticks: Vec<Tick>,
    /// By service: where its owner claimed, and until when what waits outside may come in first.
    graces: [(u64, Millis); 4],
    last: BTreeMap<(Service, u64), Millis>,
}

impl Default for Time {
    fn default() -> Self {
        Self { ticks: Vec::new(), graces: [(0, Millis::MIN); 4], last: BTreeMap::new() }
    }
}

impl Time {
    pub(super) fn claim(&mut self, service: Service, index: u64, last: Millis, back: Millis) {
        let was_down = last > 0 && back - last > MINUTE_MS;
        // The newest owner's clock is the one to go by.
        let until = if was_down { back + GRACE_MS } else { Millis::MIN };
        self.graces[service as usize - 1] = (index, until);
    }

    pub(super) fn tick(
        &mut self,
        service: Service,
        epoch: u64,
        index: u64,
        stamp: Millis,
        own_seq_ends: [u64; 4],
        roots: Roots,
    ) -> Result<(), Wrong> {
        self.ticks.push(Tick { index, stamp, own_seq_ends, roots });
        // Who ticks has read the log up to its own claim at least.
        if let Some((_, until)) = self.graces.iter().find(|(at, until)| *at <= epoch && stamp < *until) {
            return Err(format!("a tick at {stamp}, and the grace after a downtime ends at {until}"));
        }
        match self.last.insert((service, epoch), stamp) {
            Some(last) if stamp < last + TICK_MS => Err(format!("a tick at {stamp}, soon after the one at {last}")),
            _ => Ok(()),
        }
    }

    /// The tick by which a timer fires that is armed: the first that may fire it.
    pub(super) fn fires(
        &self,
        service: Service,
        timers: &mut Timers,
        key: TimerKey,
        frame: Frame,
        own_seq: u64,
    ) -> Result<&Tick, Wrong> {
        if key.due == 0 || !timers.due(key.due, own_seq, usize::MAX).contains(&key) {
            return Err(format!("{key:?} fires and is not armed"));
        }
        // Who was armed before a tick was so before all later ones.
        let end = |tick: &Tick| tick.own_seq_ends[service as usize - 1];
        let mut armed = |tick: &Tick| timers.due(key.due, end(tick), usize::MAX).contains(&key);
        let first = self.ticks.partition_point(|tick| !armed(tick));
        let tick = self.ticks[first..].iter().find(|tick| tick.stamp >= key.due);
        let tick = tick.filter(|tick| tick.index < frame.index && tick.index <= frame.consumed.0);
        tick.ok_or_else(|| format!("{key:?} fires, and no tick that was considered says that it is due"))
    }

    /// By each tick that was considered all has fired that was due.
    pub(super) fn all_fired<S: State>(&self, state: &mut S, considered: u64) -> Result<(), Wrong> {
        for tick in self.ticks.iter().filter(|tick| tick.index < considered) {
            let end = tick.own_seq_ends[S::SERVICE as usize - 1];
            if let Some(due) = state.timers().due(tick.stamp, end, 1).first() {
                return Err(format!("{}: {due:?} has not fired by the tick at {}", S::SERVICE.name(), tick.index));
            }
        }
        Ok(())
    }
}
