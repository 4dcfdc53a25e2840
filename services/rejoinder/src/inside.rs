//! The inside of a process: the log, and the lanes of all services over it.

use std::sync::Arc;

use anyhow::Context as _;
use rejoinder_event_log::EventLog;
use rejoinder_event_log_embedded::EmbeddedLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_model::Service;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, JobQueue, Lane, Memory, Options as LaneOptions, Phase, Status as LaneStatus, Turn};
use rejoinder_service_kit::{Lanes, LogNews, Quarantines, refuse};
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;
use tonic::Status;

/// What the edge needs of the services inside.
pub(crate) struct Inside {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) news: LogNews,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_at: i64,
    pub(crate) ingest: Arc<Lanes<Ingest>>,
    pub(crate) threading: Arc<Lanes<Threading>>,
    pub(crate) routing: Arc<Lanes<Routing>>,
    pub(crate) sla: Arc<Lanes<SlaTimer>>,
}

/// Lanes for worker threads to step, a group for each.
pub(crate) type Groups = Vec<Vec<Box<dyn Turn + Send>>>;

impl Inside {
    /// Opens the lanes of all services, in groups for the workers: the services of a partition run side by side.
    pub(crate) fn open(
        log: Arc<EmbeddedLog>,
        store: &ProjectionStore,
        clock: Arc<dyn Clock>,
        over: &Over,
    ) -> anyhow::Result<(Self, Groups)> {
        let mut groups: Groups = (0..over.workers).map(|_| Vec::new()).collect();
        let mut opening = Opening { log: log.clone(), store, clock: clock.clone(), over };
        let ingest = Arc::new(opening.lanes::<Ingest>(&mut groups, 0)?);
        let threading = Arc::new(opening.lanes::<Threading>(&mut groups, 1)?);
        let routing = Arc::new(opening.lanes::<Routing>(&mut groups, 2)?.behind(threading.clone()));
        let sla = Arc::new(opening.lanes::<SlaTimer>(&mut groups, 3)?.behind(routing.clone()));
        let news = LogNews::of(&*log);
        let started_at = clock.wall_ms();
        Ok((Self { log, news, clock, started_at, ingest, threading, routing, sla }, groups))
    }

    /// How each lane is, with its service and partition.
    pub(crate) fn lanes(&self) -> Vec<(Service, u16, LaneStatus)> {
        let of = |service: Service, statuses: Vec<LaneStatus>| {
            statuses.into_iter().zip(0..).map(move |(status, partition)| (service, partition, status))
        };
        of(Service::Ingest, self.ingest.statuses())
            .chain(of(Service::Threading, self.threading.statuses()))
            .chain(of(Service::Routing, self.routing.statuses()))
            .chain(of(Service::SlaTimer, self.sla.statuses()))
            .collect()
    }

    /// What the services have set aside; ingest has no inputs.
    pub(crate) fn quarantines(&self) -> Quarantines {
        Quarantines::new(vec![self.threading.clone(), self.routing.clone(), self.sla.clone()])
    }

    /// # Errors
    /// NOT_FOUND when there is no such workspace, or as `Lanes::ask`.
    pub(crate) async fn must_exist(&self, workspace: &str) -> Result<(), Status> {
        let name = workspace.to_owned();
        let (known, _) = self.ingest.ask(workspace, "", move |ingest| ingest.workspace(&name).is_some()).await?;
        if known { Ok(()) } else { Err(refuse::not_found("workspace", workspace)) }
    }

    /// Why the process cannot go on, if so: no write can be promised any more.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.log.stopped().map(ToOwned::to_owned)
    }

    /// Do all lanes decide?
    pub(crate) fn is_ready(&self) -> bool {
        self.stopped().is_none() && self.lanes().iter().all(|(_, _, status)| status.phase == Phase::Live)
    }
}

/// How lanes are opened.
pub(crate) struct Over {
    pub(crate) options: LaneOptions,
    /// Bytes of jobs that may wait in a lane.
    pub(crate) queue_bytes: usize,
    /// Threads that step them.
    pub(crate) workers: usize,
    /// What they share, unless each has its own bound.
    pub(crate) memory: Option<Arc<Memory>>,
}

/// What lanes are opened over.
struct Opening<'a> {
    log: Arc<EmbeddedLog>,
    store: &'a ProjectionStore,
    clock: Arc<dyn Clock>,
    over: &'a Over,
}

impl Opening<'_> {
    /// The lanes of one service: handed to the groups, and to ask.
    fn lanes<S: State>(&mut self, groups: &mut Groups, shift: usize) -> anyhow::Result<Lanes<S>> {
        let log: Arc<dyn EventLog> = self.log.clone();
        let mut asked = Vec::new();
        for partition in 0..log.partitions() {
            let jobs = Arc::new(JobQueue::new(self.over.queue_bytes));
            let stored = self.store.lane(S::SERVICE, partition);
            let lane =
                Lane::<S>::open(partition, log.clone(), self.clock.clone(), stored, jobs.clone(), self.over.options);
            let mut lane = lane.with_context(|| format!("{} of partition {partition}", S::SERVICE.name()))?;
            if let Some(memory) = &self.over.memory {
                lane.share(memory);
            }
            asked.push((jobs, lane.shared_status()));
            let count = groups.len();
            groups[(usize::from(partition) + shift) % count].push(Box::new(lane));
        }
        Ok(Lanes::new(log, S::SERVICE, asked))
    }
}
