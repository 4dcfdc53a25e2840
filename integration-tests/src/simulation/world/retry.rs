//! What was set aside is decided on again, as an operator would have it done.

use std::sync::Arc;

use prost::Message as _;
use rejoinder_event_log::{EventLog, MemoryLog, RecordView};
use rejoinder_machine::Context;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::Decide;
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::Event;

use super::World;
use crate::simulation::Wrong;
use crate::simulation::plant::Planted;

/// An input as it stands in the log.
fn input(log: &MemoryLog, partition: u16, place: (u64, u32)) -> Event {
    let stored = log.read(partition, place.0, 1).unwrap_or_default();
    let events = stored.first().and_then(|stored| RecordView::peek(&stored.bytes).ok()?.events().ok());
    let bytes = events.and_then(|events| events.get(place.1 as usize).cloned()).unwrap_or_default();
    Event::decode(bytes).unwrap_or_default()
}

impl World {
    /// Retries everything, in the order in which it was set aside, upstream first.
    pub(super) fn retry_what_is_set_aside(&mut self) -> Result<(), Wrong> {
        for at in 0..self.counters.len() {
            let partition = u16::try_from(at).unwrap_or_default();
            let log: Arc<MemoryLog> = self.log.clone();
            let retry = move |state: &Planted<Threading>, context: &Context, out: &mut Vec<Event>| {
                let Some((number, aside)) = state.quarantine.page(&0, 1).pop() else { return };
                let input = input(&log, partition, (aside.place.index, aside.place.event));
                // One that fails again stays, and the audit says so.
                let _ = rejoinder_threading_core::quarantine::retry(state, context, number, &input, out);
            };
            while !self.counters[at].desk.threading.lane.state().quarantine.page(&0, 1).is_empty() {
                let job = Decide::new(String::new(), retry.clone(), |_| {});
                self.counters[at].desk.threading.push(job);
                self.settle()?;
            }
            let log: Arc<MemoryLog> = self.log.clone();
            let retry = move |state: &Planted<Routing>, context: &Context, out: &mut Vec<Event>| {
                let Some((number, aside)) = state.quarantine.page(&0, 1).pop() else { return };
                let input = input(&log, partition, (aside.index, aside.event));
                let _ = rejoinder_routing_core::quarantine::retry(state, context, number, &input, out);
            };
            while !self.counters[at].desk.routing.lane.state().quarantine.page(&0, 1).is_empty() {
                let job = Decide::new(String::new(), retry.clone(), |_| {});
                self.counters[at].desk.routing.push(job);
                self.settle()?;
            }
            let log: Arc<MemoryLog> = self.log.clone();
            let retry = move |state: &Planted<SlaTimer>, context: &Context, out: &mut Vec<Event>| {
                let Some((number, aside)) = state.quarantine.page(&0, 1).pop() else { return };
                let input = input(&log, partition, aside.place);
                rejoinder_sla_core::quarantine::retry(state, context, number, &input, out);
            };
            while !self.counters[at].desk.sla.lane.state().quarantine.page(&0, 1).is_empty() {
                let job = Decide::new(String::new(), retry.clone(), |_| {});
                self.counters[at].desk.sla.push(job);
                self.settle()?;
            }
        }
        Ok(())
    }
}
