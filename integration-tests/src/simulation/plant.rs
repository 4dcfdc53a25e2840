//! Faults that are planted to see that the audit finds them.

use std::cell::Cell;
use std::sync::Arc;

use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_model::Service;

mod core;
mod views;

pub(super) use core::{Faulty, Planted};
use views::{EarlyReads, SettledAtOnce};

/// A fault that is planted in the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    /// None: whatever the audit finds is real.
    #[default]
    Nothing,
    /// The log shows its readers what is not durable yet.
    EarlyReads,
    /// A state, that of ingest, is stored with what was decided and is not done.
    EarlyFlush,
    /// Clients take an unknown outcome for a refusal.
    LostIsRefused,
    /// Claims do not tell whose they are.
    NamelessClaims,
    /// Nobody waits after a downtime for what waits outside.
    NoGrace,
    /// sla-timer believes that the others have considered all that stands before their frames.
    SettledIgnored,
    /// Who comes too late is given the item all the same.
    AcceptedTwice,
    /// Offers cost an agent nothing.
    CapacityUncounted,
    /// After a restart a breach fires once more.
    FiredAgain,
    /// A reply that was sent in time and came late takes no breach back.
    RetractionOmitted,
    /// A clock that is due is put off for ever.
    TimerLost,
    /// No fault, but bad luck: some inputs cannot be decided on, and are set aside.
    Poison,
}

thread_local! {
    /// A state is opened by its lane, which knows nothing of plants.
    static PLANTED: Cell<Plant> = const { Cell::new(Plant::Nothing) };
}

impl Plant {
    /// From here on states that are opened in this thread have the fault in them.
    pub(super) fn take_root(self) {
        PLANTED.set(self);
    }

    /// The log as the lanes of a service see it.
    pub(super) fn view(self, log: &Arc<MemoryLog>, service: Service) -> Arc<dyn EventLog> {
        match (self, service) {
            (Self::EarlyReads, _) => Arc::new(EarlyReads(log.clone())),
            (Self::SettledIgnored, Service::SlaTimer) => Arc::new(SettledAtOnce(log.clone())),
            _ => log.clone(),
        }
    }
}
