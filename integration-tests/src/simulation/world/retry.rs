//! What was set aside is decided on again, as an operator would have it done.

use std::sync::Arc;

use prost::Message as _;
use rejoinder_event_log::{EventLog, MemoryLog, RecordView};
use rejoinder_machine::Context;
use rejoinder_machine::quarantine::{SetsAside, retry};
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

    fn retry_at<S>(&mut self, at: usize, seat: fn(&Desk) -> &Seat<Planted<S>>) -> Result<(), Wrong>
    where
        S: Faulty + SetsAside,
    {
        let partition = u16::try_from(at).unwrap_or_default();
        let first = |world: &Self| {
            let state = seat(&world.counters[at].desk).lane.state();
            state.quarantine().page(&0, 1).pop().map(|(number, aside)| (number, (aside.index, aside.event)))
        };
        while let Some((number, place)) = first(self) {
            let log: Arc<MemoryLog> = self.log.clone();
            let decision = move |state: &Planted<S>, context: &Context, out: &mut Vec<Event>| {
                // By the core itself: the poison has lost its strength. What fails again stays.
                let _ = retry::<S>(state, context, number, &input(&log, partition, place), out);
            };
            seat(&self.counters[at].desk).push(Decide::new(String::new(), decision, |_| {}));
            self.settle()?;
            if first(self).is_some_and(|(next, _)| next == number) {
                return Err(format!("what {} set aside fails again", S::SERVICE.name()));
            }
        }
        Ok(())
    }
}
