//! A data directory: `log/` and `state/`, and the lanes of all services over them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rejoinder_event_log::EventLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_machine::quarantine::SetsAside as _;
use rejoinder_model::Service;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, Failure, JobQueue, Lane, ManualClock, Options, Phase, Progress, Status, Turn};
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;
use tempfile::TempDir;

use crate::backend;
use crate::config::Config;
use crate::table::say;

/// Bytes of jobs that may wait in one lane.
const QUEUE_BYTES: usize = 64 << 20;

/// All services in one partition, in the order in which they take turns.
pub(crate) struct Partition {
    pub(crate) ingest: Lane<Ingest>,
    pub(crate) ingest_jobs: Arc<JobQueue<Ingest>>,
    pub(crate) threading: Lane<Threading>,
    pub(crate) routing: Lane<Routing>,
    pub(crate) sla: Lane<SlaTimer>,
}

impl Partition {
    pub(crate) fn open(
        partition: u16,
        log: &Arc<dyn EventLog>,
        clock: &Arc<dyn Clock>,
        store: &ProjectionStore,
        options: Options,
    ) -> anyhow::Result<Self> {
        let ingest_jobs = Arc::new(JobQueue::new(QUEUE_BYTES));
        Ok(Self {
            ingest: lane(partition, log, clock, store, ingest_jobs.clone(), options)?,
            ingest_jobs,
            threading: unasked(partition, log, clock, store, options)?,
            routing: unasked(partition, log, clock, store, options)?,
            sla: unasked(partition, log, clock, store, options)?,
        })
    }

    /// The lanes, to take turns.
    pub(crate) fn lanes(&mut self) -> [&mut dyn Turn; 4] {
        [&mut self.ingest, &mut self.threading, &mut self.routing, &mut self.sla]
    }

    /// Stores what all lanes have folded.
    pub(crate) fn store_now(&mut self) -> Result<(), Failure> {
        self.ingest.store_now()?;
        self.threading.store_now()?;
        self.routing.store_now()?;
        self.sla.store_now()
    }

    /// How many inputs the services have set aside; counted up to a thousand each.
    pub(crate) fn set_aside(&self) -> usize {
        const MOST: usize = 1_000;
        self.threading.state().quarantine().page(&0, MOST).len()
            + self.routing.state().quarantine().page(&0, MOST).len()
            + self.sla.state().quarantine().page(&0, MOST).len()
    }

    /// How each lane is.
    pub(crate) fn statuses(&self) -> [(Service, Status); 4] {
        [
            (Service::Ingest, self.ingest.status()),
            (Service::Threading, self.threading.status()),
            (Service::Routing, self.routing.status()),
            (Service::SlaTimer, self.sla.status()),
        ]
    }

    /// Folds all lanes to the log's end.
    pub(crate) fn fold_to_end(&mut self) -> anyhow::Result<()> {
        for lane in self.lanes() {
            while lane.step() == Progress::Worked {}
            if let Some(failure) = lane.failure() {
                return Err(anyhow!(failure));
            }
        }
        Ok(())
    }

    /// How many events all services have written.
    pub(crate) fn events(&self) -> u64 {
        self.statuses().into_iter().map(|(service, status)| status.fold.lane(service).next_own_seq - 1).sum()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.statuses().iter().all(|(_, status)| status.phase == Phase::Live)
    }
}

/// A lane that nobody gives commands.
fn unasked<S: State>(
    partition: u16,
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
    options: Options,
) -> anyhow::Result<Lane<S>> {
    lane(partition, log, clock, store, Arc::new(JobQueue::new(QUEUE_BYTES)), options)
}

fn lane<S: State>(
    partition: u16,
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
    jobs: Arc<JobQueue<S>>,
    options: Options,
) -> anyhow::Result<Lane<S>> {
    let stored = store.lane(S::SERVICE, partition);
    Lane::open(partition, log.clone(), clock.clone(), stored, jobs, options)
        .with_context(|| format!("{} of partition {partition}", S::SERVICE.name()))
}

/// A stopped directory, folded to its end in memory: nothing is written.
pub(crate) struct Stopped {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: ProjectionStore,
    _stand_in: Option<TempDir>,
}

/// The stored state of a stopped directory. Where there is none, as in a copy of the log alone, an empty
/// one stands in: the lanes fold the log from its start.
pub(crate) fn stored(dir: &Path) -> anyhow::Result<(ProjectionStore, Option<TempDir>)> {
    let state = dir.join("state");
    if state.exists() {
        return Ok((ProjectionStore::open_read_only(&state)?, None));
    }
    say(&format!("{} has no state: it is folded from the event log", dir.display()));
    let stand_in = tempfile::tempdir()?;
    Ok((ProjectionStore::open(stand_in.path(), 8 << 20)?, Some(stand_in)))
}

impl Stopped {
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let log = backend::open_read_only(config)?;
        let (store, stand_in) = stored(&config.data_dir)?;
        Ok(Self { log, store, _stand_in: stand_in })
    }

    pub(crate) fn partition(&self, number: u16) -> anyhow::Result<Partition> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let options = Options { follow_only: true, ..Options::default() };
        let mut partition = Partition::open(number, &self.log, &clock, &self.store, options)?;
        partition.fold_to_end()?;
        Ok(partition)
    }
}
