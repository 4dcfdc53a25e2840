//! Time: ticks are written, and timers fire by those that were read.

use rejoinder_event_log::settled;
use rejoinder_machine::{DueTimer, State};
use rejoinder_model::{Millis, Service};

use super::deciding::{FOLLOW_UPS, FRAME_TARGET_BYTES, Frame};
use super::{Failure, Lane, Phase};
use crate::clock::JUMP_MS;
use crate::inputs::Tick;

/// How many timers are looked up at a time.
const TIMER_PAGE: usize = 256;

impl<S: State> Lane<S> {
    /// The first tick that was passed, if nothing can cancel a timer of it any more.
    pub(super) fn ripe_tick(&self) -> Option<Tick> {
        let ripe = |tick: &&Tick| settled::may_act_on_tick(self.considered_fold(), S::SERVICE, tick.index);
        self.inputs.held_tick().filter(ripe).cloned()
    }

    /// Fires timers that are due by a tick, until the frame is full or none is left.
    pub(super) fn fire_due(&mut self, frame: &mut Frame<S>, tick: &Tick) -> Result<(), Failure> {
        let own_seq_end = tick.fold.lane(S::SERVICE).next_own_seq;
        let due = self.state.timers().due(tick.stamp, own_seq_end, TIMER_PAGE);
        if due.is_empty() {
            self.inputs.drop_tick();
            return Ok(());
        }
        let is_due = |state: &mut S, key| state.timers().armed_by(&key).is_some_and(|own_seq| own_seq < own_seq_end);
        for key in due {
            // Those that fired before it may have moved it or taken it away.
            if !is_due(&mut self.state, key) {
                continue;
            }
            let timer = DueTimer { due: key.due, entity: key.entity, kind: key.kind };
            let mut events = Vec::new();
            let context = self.context(frame);
            self.state.fire(&context, timer, &mut events);
            self.take(frame, events)?;
            self.follow_up(frame, FOLLOW_UPS)?;
            if is_due(&mut self.state, key) {
                return Err(Failure::Defect(format!("{key:?} fired and is still armed")));
            }
            if frame.builder.bytes() >= FRAME_TARGET_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// Has time reached the earliest timer, and nothing in the log says so yet?
    pub(super) fn is_tick_due(&mut self) -> bool {
        let now = self.clock.wall_ms();
        let soon = now < self.last_tick.saturating_add(self.options.tick_interval_ms);
        if soon || self.is_tick_on_its_way() || !self.may_fire(now) {
            return false;
        }
        let heartbeat = self.options.heartbeat_ms != 0
            && S::SERVICE == Service::Ingest
            && now >= self.fold.now.saturating_add(self.options.heartbeat_ms);
        heartbeat || self.state.timers().next_due().is_some_and(|due| due <= now)
    }

    /// A tick was written, and its turn is still to come: the log's news will wake the lane.
    fn is_tick_on_its_way(&self) -> bool {
        let unread = self.newest_tick.is_some_and(|index| index >= self.considered.index);
        self.tick_in_flight.is_some() || unread || self.inputs.held_tick().is_some()
    }

    /// A service has a new owner. Nothing counted for a while before: then what waits outside comes in
    /// first. Every lane reads so from the log, also one that claims when others are at work again.
    pub(super) fn after_claim(&mut self, service: Service, last: Millis, claimed_at: Millis) {
        let down_ms = claimed_at.saturating_sub(last);
        let was_down = self.options.grace_ms != 0 && last != 0 && down_ms > JUMP_MS;
        let grace_ms = self.options.grace_ms;
        // A newer owner goes by its own clock: the one before it may have been wrong.
        let fires_from = if was_down { claimed_at.saturating_add(grace_ms) } else { Millis::MIN };
        self.fires_from[service as usize - 1] = fires_from;
        if was_down && service == S::SERVICE && self.phase == Phase::Claiming {
            let (service, partition) = (S::SERVICE.name(), self.partition);
            tracing::warn!(service, partition, down_ms, grace_ms, "timers wait after a downtime");
        }
    }

    fn fires_from(&self) -> Millis {
        self.fires_from.into_iter().max().unwrap_or(Millis::MIN)
    }

    /// Neither in the grace after a downtime, nor by a clock that jumped, nor while the log lies in
    /// the future.
    fn may_fire(&self, now: Millis) -> bool {
        if self.options.grace_ms == 0 {
            return true;
        }
        now >= self.fires_from() && self.clock.is_trusted() && self.fold.now <= now.saturating_add(JUMP_MS)
    }

    /// In how many milliseconds the earliest timer is due; `None` when there is none, or another who fires it.
    pub fn due_in_ms(&mut self) -> Option<u64> {
        if self.phase != Phase::Live || self.is_tick_on_its_way() {
            return None;
        }
        let now = self.clock.wall_ms();
        let soonest = self.last_tick.saturating_add(self.options.tick_interval_ms).max(self.fires_from());
        let due = self.state.timers().next_due()?.max(soonest);
        Some(u64::try_from(due.saturating_sub(now)).unwrap_or(0).max(1))
    }

    /// When the earliest timer is due.
    pub fn next_deadline(&mut self) -> Option<Millis> {
        self.state.timers().next_due()
    }
}
