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
use crate::simulation::desk::{Desk, Seat};
use crate::simulation::plant::{Faulty, Planted};

/// A core that sets inputs aside.
trait SetsAside: Faulty {
    /// The first of them, and where it stands in the log.
    fn first_aside(&self) -> Option<(u64, (u64, u32))>;

    /// Decides on it again. One that fails again stays, and the audit says so.
    fn retry(&self, context: &Context, aside: u64, input: &Event, out: &mut Vec<Event>);
}

impl SetsAside for Threading {
    fn first_aside(&self) -> Option<(u64, (u64, u32))> {
        let (number, aside) = self.quarantine.page(&0, 1).pop()?;
        Some((number, (aside.place.index, aside.place.event)))
    }

    fn retry(&self, context: &Context, aside: u64, input: &Event, out: &mut Vec<Event>) {
        let _ = rejoinder_threading_core::quarantine::retry(self, context, aside, input, out);
    }
}

impl SetsAside for Routing {
    fn first_aside(&self) -> Option<(u64, (u64, u32))> {
        let (number, aside) = self.quarantine.page(&0, 1).pop()?;
        Some((number, (aside.index, aside.event)))
    }

    fn retry(&self, context: &Context, aside: u64, input: &Event, out: &mut Vec<Event>) {
        let _ = rejoinder_routing_core::quarantine::retry(self, context, aside, input, out);
    }
}

impl SetsAside for SlaTimer {
    fn first_aside(&self) -> Option<(u64, (u64, u32))> {
        let (number, aside) = self.quarantine.page(&0, 1).pop()?;
        Some((number, aside.place))
    }

    fn retry(&self, context: &Context, aside: u64, input: &Event, out: &mut Vec<Event>) {
        rejoinder_sla_core::quarantine::retry(self, context, aside, input, out);
    }
}

/// An input as it stands in the log.
fn input(log: &MemoryLog, partition: u16, place: (u64, u32)) -> Event {
    let stored = log.read(partition, place.0, 1).unwrap_or_default();
    let events = stored.first().and_then(|stored| RecordView::peek(&stored.bytes).ok()?.events().ok());
    let bytes = events.and_then(|events| events.get(place.1 as usize).cloned()).unwrap_or_default();
    Event::decode(bytes).unwrap_or_default()
}

impl World {
    /// Retries everything in the order in which it was set aside, upstream first.
    pub(super) fn retry_what_is_set_aside(&mut self) -> Result<(), Wrong> {
        for at in 0..self.counters.len() {
            self.retry_at(at, |desk| &desk.threading)?;
            self.retry_at(at, |desk| &desk.routing)?;
            self.retry_at(at, |desk| &desk.sla)?;
        }
        Ok(())
    }

    fn retry_at<S: SetsAside>(&mut self, at: usize, seat: fn(&Desk) -> &Seat<Planted<S>>) -> Result<(), Wrong> {
        let partition = u16::try_from(at).unwrap_or_default();
        while let Some((number, place)) = seat(&self.counters[at].desk).lane.state().first_aside() {
            let log: Arc<MemoryLog> = self.log.clone();
            let retry = move |state: &Planted<S>, context: &Context, out: &mut Vec<Event>| {
                state.retry(context, number, &input(&log, partition, place), out);
            };
            seat(&self.counters[at].desk).push(Decide::new(String::new(), retry, |_| {}));
            self.settle()?;
            if seat(&self.counters[at].desk).lane.state().first_aside().is_some_and(|(next, _)| next == number) {
                return Err(format!("what {} set aside fails again", S::SERVICE.name()));
            }
        }
        Ok(())
    }
}
