//! Who owns what, as the log says: a lane's epoch is the index of the claim in force, and the claim says
//! where its owner is called.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoinder_event_log::RecordView;
use rejoinder_model::Service;
use rejoinder_runtime::Phase;
use rejoinder_service_kit::{Owner, Owners};
use tokio::sync::watch;

use crate::inside::Inside;

/// How often it is looked whether something has moved.
const LOOK: Duration = Duration::from_millis(20);

/// Owners by the log that this process reads.
pub(crate) struct LogOwners {
    inside: Arc<Inside>,
    own_address: Arc<str>,
    /// What claims say, by lane: the epoch, and the address.
    claims: Mutex<BTreeMap<(Service, u16), (u64, String)>>,
    changed: watch::Sender<u64>,
}

/// What decides who owns the lanes of a partition here.
type Seen = (Vec<bool>, [Option<u64>; 4]);

impl LogOwners {
    /// Must run on a runtime: a task looks for changes as long as it lives.
    pub(crate) fn start(inside: Arc<Inside>, own_address: Arc<str>) -> Arc<Self> {
        let changed = watch::Sender::new(0);
        let owners = Arc::new(Self { inside, own_address, claims: Mutex::default(), changed });
        let watched = Arc::downgrade(&owners);
        tokio::spawn(async move {
            let mut before = Vec::new();
            while let Some(owners) = watched.upgrade() {
                let seen = owners.seen();
                if seen != before {
                    before = seen;
                    owners.changed.send_modify(|changes| *changes += 1);
                }
                drop(owners);
                tokio::time::sleep(LOOK).await;
            }
        });
        owners
    }

    fn seen(&self) -> Vec<Seen> {
        (0..self.inside.log.partitions()).map(|partition| self.seen_of(partition)).collect()
    }

    fn seen_of(&self, partition: u16) -> Seen {
        let here = self.inside.services.iter().filter_map(|service| self.inside.status(*service, partition));
        let live = here.map(|status| status.phase == Phase::Live).collect();
        let fold = self.inside.fold(partition).unwrap_or_default();
        (live, Service::ALL.map(|service| fold.lane(service).epoch))
    }

    fn address(&self, service: Service, partition: u16, epoch: u64) -> Option<String> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, address)) = claims.get(&(service, partition)).filter(|(known, _)| *known == epoch) {
            return Some(address.clone());
        }
        let records = self.inside.log.read(partition, epoch, 1).ok()?;
        let record = RecordView::verify(&records.first()?.bytes).ok()?;
        let address = record.header.claim?.address;
        claims.insert((service, partition), (epoch, address.clone()));
        Some(address)
    }
}

impl Owners for LogOwners {
    fn owner(&self, service: Service, partition: u16) -> Owner {
        if self.inside.status(service, partition).is_some_and(|status| status.phase == Phase::Live) {
            return Owner::Here;
        }
        let epoch = self.inside.fold(partition).and_then(|fold| fold.lane(service).epoch);
        let address = epoch.and_then(|epoch| self.address(service, partition, epoch)).unwrap_or_default();
        // Our own claim, by a lane that does not decide now: it is on its way to somebody.
        if address.is_empty() || *address == *self.own_address { Owner::Nobody } else { Owner::At(address) }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
