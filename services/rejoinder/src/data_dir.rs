//! A data directory: `log/` and `state/`, and the lanes of both services over them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use rejoinder_event_log::EventLog;
use rejoinder_event_log_embedded::EmbeddedLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_model::Service;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, JobQueue, Lane, ManualClock, Options, Phase, Progress, Status, Turn};
use rejoinder_threading_core::Threading;

/// Bytes of jobs that may wait in one lane.
const QUEUE_BYTES: usize = 64 << 20;

/// Both services in one partition.
pub(crate) struct Partition {
    pub(crate) ingest: Lane<Ingest>,
    pub(crate) ingest_jobs: Arc<JobQueue<Ingest>>,
    pub(crate) threading: Lane<Threading>,
}

impl Partition {
    pub(crate) fn open(
        partition: u16,
        log: &Arc<EmbeddedLog>,
        clock: &Arc<dyn Clock>,
        store: &ProjectionStore,
        options: Options,
    ) -> anyhow::Result<Self> {
        let ingest_jobs = Arc::new(JobQueue::new(QUEUE_BYTES));
        let log: Arc<dyn EventLog> = log.clone();
        Ok(Self {
            ingest: lane(partition, &log, clock, store, ingest_jobs.clone(), options)?,
            ingest_jobs,
            threading: lane(partition, &log, clock, store, Arc::new(JobQueue::new(QUEUE_BYTES)), options)?,
        })
    }

    /// Folds both lanes to the log's end.
    pub(crate) fn fold_to_end(&mut self) -> anyhow::Result<()> {
        let lanes: [&mut dyn Turn; 2] = [&mut self.ingest, &mut self.threading];
        for lane in lanes {
            while lane.step() == Progress::Worked {}
            if let Some(failure) = lane.failure() {
                return Err(anyhow!(failure));
            }
        }
        Ok(())
    }

    /// How many events both services have written.
    pub(crate) fn events(&self) -> u64 {
        let of = |status: Status, service| status.fold.lane(service).next_own_seq - 1;
        of(self.ingest.status(), Service::Ingest) + of(self.threading.status(), Service::Threading)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.ingest.status().phase == Phase::Live && self.threading.status().phase == Phase::Live
    }
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
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) store: ProjectionStore,
}

impl Stopped {
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        if !dir.join("log").is_dir() {
            bail!("{} is no data directory: it has no event log", dir.display());
        }
        let log = EmbeddedLog::open_read_only(&dir.join("log"))?;
        let store = ProjectionStore::open_read_only(&dir.join("state"))?;
        Ok(Self { log, store })
    }

    pub(crate) fn partition(&self, number: u16) -> anyhow::Result<Partition> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let options = Options { follow_only: true, ..Options::default() };
        let mut partition = Partition::open(number, &self.log, &clock, &self.store, options)?;
        partition.fold_to_end()?;
        Ok(partition)
    }
}
