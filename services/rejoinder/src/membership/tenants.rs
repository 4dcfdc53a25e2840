//! What a service's group tells this process, told on to the lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rejoinder_model::{Millis, Service};
use rejoinder_runtime::{Phase, Tenure};

use crate::inside::Inside;

/// How long a group waits for lanes to be let go. A lane that takes longer is deposed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(1);

/// The lanes of one service.
pub(crate) struct Tenants {
    inside: Arc<Inside>,
    service: Service,
    told: AtomicBool,
}

impl Tenants {
    pub(crate) fn new(inside: Arc<Inside>, service: Service) -> Self {
        Self { inside, service, told: AtomicBool::new(false) }
    }

    fn tenure(&self, partition: u16) -> Option<&Arc<Tenure>> {
        self.inside.tenures.get(&self.service)?.get(usize::from(partition))
    }

    /// Has a lane look whether it is still, or now, to decide.
    fn wake(&self, partition: u16) {
        match self.service {
            Service::Ingest => self.inside.ingest.wake(partition),
            Service::Threading => self.inside.threading.wake(partition),
            Service::Routing => self.inside.routing.wake(partition),
            Service::SlaTimer => self.inside.sla.wake(partition),
        }
    }

    fn end(&self, partitions: &[u16]) {
        for partition in partitions {
            if let Some(tenure) = self.tenure(*partition) {
                tenure.end();
            }
            self.wake(*partition);
        }
    }

    fn is_held(&self, partition: u16) -> bool {
        let status = self.inside.status(self.service, partition);
        status.is_some_and(|status| matches!(status.phase, Phase::Live | Phase::Claiming))
    }
}

impl rejoinder_event_log_kafka::Tenant for Tenants {
    fn progress(&self, partition: u16) -> u64 {
        self.inside.status(self.service, partition).map_or(0, |status| status.considered)
    }

    fn confirmed(&self, partitions: &[u16], asked_at: Instant) {
        let ago = Millis::try_from(asked_at.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let asked_at = self.inside.clock.monotonic_ms().saturating_sub(ago);
        for partition in partitions {
            if let Some(tenure) = self.tenure(*partition) {
                tenure.confirm(asked_at);
            }
            self.wake(*partition);
        }
        if !self.told.swap(true, Ordering::AcqRel) {
            self.inside.unjoined.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn revoke(&self, partitions: &[u16]) {
        self.end(partitions);
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if !partitions.iter().any(|partition| self.is_held(*partition)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        tracing::warn!(service = self.service.name(), ?partitions, "lanes are not let go in time");
    }

    fn lost(&self, partitions: &[u16]) {
        self.end(partitions);
    }
}
