//! What was set aside is decided on again, as an operator would have it done.

use std::sync::Arc;

use prost::Message as _;
use rejoinder_event_log::{EventLog, MemoryLog, RecordView};
use rejoinder_machine::Context;
use rejoinder_machine::quarantine::{self, SetsAside};
use rejoinder_runtime::Decide;
use rejoinder_wire::event::Event;

use super::World;
use crate::simulation::Wrong;
use crate::simulation::desk::{Desk, Seat};
use crate::simulation::plant::{Faulty, Planted};

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

    fn retry_at<S: SetsAside + Faulty>(
        &mut self,
        at: usize,
        seat: fn(&Desk) -> &Seat<Planted<S>>,
    ) -> Result<(), Wrong> {
        let partition = u16::try_from(at).unwrap_or_default();
        let first = |world: &Self| seat(&world.counters[at].desk).lane.state().quarantine().page(&0, 1).pop();
        while let Some((number, aside)) = first(self) {
            let log: Arc<MemoryLog> = self.log.clone();
            let retry = move |state: &Planted<S>, context: &Context, out: &mut Vec<Event>| {
                let input = input(&log, partition, (aside.index, aside.event));
                // One that fails again stays, which is looked for below. The core itself: it is healthy again.
                let _ = quarantine::retry(&**state, context, number, &input, out);
            };
            seat(&self.counters[at].desk).push(Decide::new(String::new(), retry, |_| {}));
            self.settle()?;
            if first(self).is_some_and(|(next, _)| next == number) {
                return Err(format!("what {} set aside fails again", S::SERVICE.name()));
            }
        }
        Ok(())
    }
}
