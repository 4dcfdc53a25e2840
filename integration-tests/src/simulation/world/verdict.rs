//! The end of a world: what the audit finds, and whether live, folded and rebuilt states are the same.

use std::sync::Arc;

use rejoinder_event_log::EventLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, Options, Progress};
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;
use xxhash_rust::xxh3::Xxh3;

use super::open::place_on_disk;
use super::{MACHINES, World};
use crate::simulation::Wrong;
use crate::simulation::audit;
use crate::simulation::clock::ProcessClock;
use crate::simulation::desk::{Post as _, Seat};
use crate::simulation::disk::Disk;
use crate::simulation::trace::Trace;

impl World {
    pub(in crate::simulation) fn verdict(mut self, store: &ProjectionStore) -> Result<Trace, Wrong> {
        let (mut bytes, mut aside) = (Xxh3::new(), 0);
        for partition in 0..self.log.partitions() {
            self.log.visible(partition).iter().for_each(|record| bytes.update(record));
            let theirs = self.clients.promises.iter().filter(|(of, _)| *of == partition);
            let promises: Vec<_> = theirs.map(|(_, promise)| promise.clone()).collect();
            let found = audit::partition(&self.log, partition, &promises, &self.clients.shops, &mut self.random)?;
            let live = self.counters[usize::from(partition)].desk.posts().map(|(_, post)| post.digest());
            if live != found.digests {
                return Err(format!("partition {partition}: the live state is not the fold of the log"));
            }
            let rebuilt = [
                self.rebuilt::<Ingest>(store, partition)?,
                self.rebuilt::<Threading>(store, partition)?,
                self.rebuilt::<Routing>(store, partition)?,
                self.rebuilt::<SlaTimer>(store, partition)?,
            ];
            if live != rebuilt {
                return Err(format!("partition {partition}: the live state is not the rebuilt one"));
            }
            self.rough = self.rough.with(found.rough);
            aside += found.aside;
        }
        self.rough.lost = self.clients.lost;
        self.rough.duplicates = self.clients.duplicates;
        Ok(Trace { log: bytes.digest(), actions: self.actions.digest(), rough: self.rough, aside })
    }

    /// The digest of a state that a lane of its own folds from the first record on.
    fn rebuilt<S: State>(&self, store: &ProjectionStore, partition: u16) -> Result<u128, Wrong> {
        let empty = Disk::new(store.lane(S::SERVICE, place_on_disk(partition, MACHINES)))?;
        let clock: Arc<dyn Clock> = ProcessClock::new(&self.sky);
        let options = Options { follow_only: true, ..self.options };
        let log: Arc<dyn EventLog> = self.log.clone();
        let mut seat = Seat::<S>::open(partition, &log, &clock, &empty.store, options)?;
        while seat.step()? == Progress::Worked {}
        Ok(seat.digest())
    }
}
