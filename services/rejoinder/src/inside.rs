//! The inside of a process: the log, and the lanes of all services over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rejoinder_event_log::{EventLog, PartitionFold};
use rejoinder_forwarding::{Peers, UpstreamAnywhere};
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_model::{Millis, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{
    Clock, JobQueue, Lane, Memory, Options as LaneOptions, Phase, Status as LaneStatus, Tenure, Turn,
};
use rejoinder_service_kit::{Lanes, LogNews, Quarantines, refuse};
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;
use tonic::Status;

/// What the edge needs of the services inside.
pub(crate) struct Inside {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) news: LogNews,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_at: i64,
    /// Those that run here.
    pub(crate) services: Vec<Service>,
    pub(crate) ingest: Arc<Lanes<Ingest>>,
    pub(crate) threading: Arc<Lanes<Threading>>,
    pub(crate) routing: Arc<Lanes<Routing>>,
    pub(crate) sla: Arc<Lanes<SlaTimer>>,
    /// The rights to the lanes, by service and partition; empty in a process that has the log alone.
    pub(crate) tenures: BTreeMap<Service, Vec<Arc<Tenure>>>,
    /// Services that others wait for.
    upstreams: [Arc<UpstreamAnywhere>; 2],
    /// The age of the newest snapshot in milliseconds, and how many could not be taken; `None`: none are.
    snapshots: Mutex<Option<(Option<Millis>, u64)>>,
    /// How many services of this process have not heard of their group yet which partitions they have.
    pub(crate) unjoined: AtomicUsize,
}

/// Lanes for worker threads to step, a group for each.
pub(crate) type Groups = Vec<Vec<Box<dyn Turn + Send>>>;

impl Inside {
    /// Opens the lanes of all services, in groups for the workers: the services of a partition run side by side.
    pub(crate) fn open(
        log: Arc<dyn EventLog>,
        store: &ProjectionStore,
        clock: Arc<dyn Clock>,
        over: &Over,
    ) -> anyhow::Result<(Self, Groups)> {
        let mut groups: Groups = (0..over.workers).map(|_| Vec::new()).collect();
        let mut opening = Opening { log: log.clone(), store, clock: clock.clone(), over, tenures: BTreeMap::new() };
        let ingest = Arc::new(opening.lanes::<Ingest>(&mut groups, 0)?);
        let threading = Arc::new(opening.lanes::<Threading>(&mut groups, 1)?);
        let before_routing = Arc::new(UpstreamAnywhere::new(Service::Threading, threading.clone()));
        let routing = Arc::new(opening.lanes::<Routing>(&mut groups, 2)?.behind(before_routing.clone()));
        let before_sla = Arc::new(UpstreamAnywhere::new(Service::Routing, routing.clone()));
        let sla = Arc::new(opening.lanes::<SlaTimer>(&mut groups, 3)?.behind(before_sla.clone()));
        let upstreams = [before_routing, before_sla];
        let news = LogNews::of(&*log);
        let started_at = clock.wall_ms();
        let (tenures, unjoined) =
            (opening.tenures, AtomicUsize::new(over.group.as_ref().map_or(0, |_| over.services.len())));
        Ok((
            Self {
                log,
                news,
                clock,
                started_at,
                services: over.services.clone(),
                ingest,
                threading,
                routing,
                sla,
                upstreams,
                tenures,
                snapshots: Mutex::default(),
                unjoined,
            },
            groups,
        ))
    }

    /// Tells those who wait for other services where these are.
    pub(crate) fn connect(&self, peers: &Arc<Peers>) {
        self.upstreams.iter().for_each(|upstream| upstream.connect(peers));
    }

    /// How one lane is, if its service runs here.
    pub(crate) fn status(&self, service: Service, partition: u16) -> Option<LaneStatus> {
        match service {
            Service::Ingest => self.ingest.status(partition),
            Service::Threading => self.threading.status(partition),
            Service::Routing => self.routing.status(partition),
            Service::SlaTimer => self.sla.status(partition),
        }
    }

    /// The newest ownership that a lane here has read of a partition.
    pub(crate) fn fold(&self, partition: u16) -> Option<PartitionFold> {
        let of_lanes = self.services.iter().filter_map(|service| self.status(*service, partition));
        of_lanes.map(|status| status.fold).max_by_key(|fold| fold.next_index)
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

    pub(crate) fn snapshots_are(&self, age_ms: Option<Millis>, failures: u64) {
        *self.snapshots.lock().unwrap_or_else(PoisonError::into_inner) = Some((age_ms, failures));
    }

    pub(crate) fn snapshots(&self) -> Option<(Option<Millis>, u64)> {
        *self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the process cannot go on, if so: no write can be promised any more.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.log.stopped().map(ToOwned::to_owned)
    }

    /// Do all lanes decide that are this process's to decide for, and stand the others by?
    pub(crate) fn is_ready(&self) -> bool {
        let stands_by = |service, partition, phase: &Phase| *phase == Phase::Warm && !self.holds(service, partition);
        let is_ready = |(service, partition, status): &(Service, u16, LaneStatus)| {
            status.phase == Phase::Live || stands_by(*service, *partition, &status.phase)
        };
        self.stopped().is_none() && self.unjoined.load(Ordering::Acquire) == 0 && self.lanes().iter().all(is_ready)
    }

    /// Is a lane this process's to decide for?
    pub(crate) fn holds(&self, service: Service, partition: u16) -> bool {
        let tenure = self.tenures.get(&service).and_then(|of| of.get(usize::from(partition)));
        tenure.is_none_or(|tenure| tenure.holds(self.clock.monotonic_ms(), None))
    }

    /// Have all lanes read the log to its end once?
    pub(crate) fn is_warm(&self) -> bool {
        self.lanes().iter().all(|(_, partition, status)| status.fold.next_index >= self.log.end(*partition))
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
    /// Services that have lanes here.
    pub(crate) services: Vec<Service>,
    /// The process is one of several over the log.
    pub(crate) group: Option<Group>,
}

/// What a process of several is to the others.
pub(crate) struct Group {
    /// How long it keeps its partitions when it is not heard of.
    pub(crate) session_ms: Millis,
    /// HOST:PORT where it is called.
    pub(crate) address: Arc<str>,
}

/// What lanes are opened over.
struct Opening<'a> {
    log: Arc<dyn EventLog>,
    store: &'a ProjectionStore,
    clock: Arc<dyn Clock>,
    over: &'a Over,
    tenures: BTreeMap<Service, Vec<Arc<Tenure>>>,
}

impl Opening<'_> {
    /// The lanes of one service: handed to the groups, and to ask. None, where it runs elsewhere.
    fn lanes<S: State>(&mut self, groups: &mut Groups, shift: usize) -> anyhow::Result<Lanes<S>> {
        let log: Arc<dyn EventLog> = self.log.clone();
        let mut asked = Vec::new();
        let hosted = self.over.services.contains(&S::SERVICE);
        let partitions = if hosted { log.partitions() } else { 0 };
        for partition in 0..partitions {
            let jobs = Arc::new(JobQueue::new(self.over.queue_bytes));
            let stored = self.store.lane(S::SERVICE, partition);
            let lane =
                Lane::<S>::open(partition, log.clone(), self.clock.clone(), stored, jobs.clone(), self.over.options);
            let mut lane = lane.with_context(|| format!("{} of partition {partition}", S::SERVICE.name()))?;
            if let Some(memory) = &self.over.memory {
                lane.share(memory);
            }
            if let Some(group) = &self.over.group {
                let tenure = Arc::new(Tenure::of_session(group.session_ms));
                lane.hold_by(tenure.clone());
                lane.answer_at(group.address.clone());
                self.tenures.entry(S::SERVICE).or_default().push(tenure);
            }
            asked.push((jobs, lane.shared_status()));
            let count = groups.len();
            groups[(usize::from(partition) + shift) % count].push(Box::new(lane));
        }
        Ok(Lanes::new(log, S::SERVICE, asked))
    }
}
