//! All services in one process on the embedded log: what `up` and `demo` run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rejoinder_api::admin::admin_service_server::AdminServiceServer;
use rejoinder_api::feed::event_feed_service_server::EventFeedServiceServer;
use rejoinder_api::ingest::ingest_service_server::IngestServiceServer;
use rejoinder_api::ingest::policy_service_server::PolicyServiceServer;
use rejoinder_api::threading::person_service_server::PersonServiceServer;
use rejoinder_api::threading::thread_service_server::ThreadServiceServer;
use rejoinder_event_log::EventLog;
use rejoinder_event_log_embedded::{EmbeddedLog, Options as LogOptions};
use rejoinder_ingest::{Admission, Ingestion, Policies};
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_model::{MINUTE_MS, Service};
use rejoinder_projection_store::{OpenError, ProjectionStore};
use rejoinder_runtime::{Clock, JobQueue, Lane, Memory, Options as LaneOptions, Phase, SystemClock, Turn, Workers};
use rejoinder_service_kit::{Lanes, LogNews};
use rejoinder_threading::{Persons, Threads};
use rejoinder_threading_core::Threading;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::{Server as GrpcServer, TcpIncoming};

use crate::admin::Administration;
use crate::config::Config;
use crate::feed::Feed;
use crate::http;

/// Bytes of frames that may wait to become durable: more than all lanes together have in flight.
const LOG_QUEUE_BYTES: usize = 256 << 20;
/// The largest message that gRPC takes.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// How long open calls may go on when the server stops.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// Services that have lanes here.
const SERVICES: usize = 2;
/// What RocksDB keeps of the state in memory, besides the lanes.
const STATE_CACHE_BYTES: usize = 64 << 20;

/// What the edge needs of the services inside.
pub(crate) struct Inside {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) news: LogNews,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_at: i64,
    pub(crate) ingest: Arc<Lanes<Ingest>>,
    pub(crate) threading: Arc<Lanes<Threading>>,
}

impl Inside {
    /// How each lane is, with its service and partition.
    pub(crate) fn lanes(&self) -> Vec<(Service, u16, rejoinder_runtime::Status)> {
        let of = |service: Service, statuses: Vec<rejoinder_runtime::Status>| {
            statuses.into_iter().zip(0..).map(move |(status, partition)| (service, partition, status))
        };
        of(Service::Ingest, self.ingest.statuses()).chain(of(Service::Threading, self.threading.statuses())).collect()
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

/// A running server.
pub(crate) struct Server {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) inside: Arc<Inside>,
    store: Arc<ProjectionStore>,
    workers: Workers,
    stop: watch::Sender<bool>,
    edges: Vec<JoinHandle<anyhow::Result<()>>>,
}

async fn listen(addr: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr).await;
    listener.with_context(|| format!("cannot listen on {addr}: stop what does, or name another address with {flag}"))
}

/// Opens the state; one that is damaged is put aside and made anew from the log.
fn open_state(dir: &Path, clock: &dyn Clock) -> anyhow::Result<ProjectionStore> {
    match ProjectionStore::open(dir, STATE_CACHE_BYTES) {
        Err(OpenError::Damaged { what, .. }) => {
            let aside = PathBuf::from(format!("{}.damaged-{}", dir.display(), clock.wall_ms()));
            tracing::error!(what, aside = %aside.display(), "the state is damaged: it is put aside and rebuilt");
            std::fs::rename(dir, &aside).with_context(|| format!("cannot move {} aside", dir.display()))?;
            Ok(ProjectionStore::open(dir, STATE_CACHE_BYTES)?)
        }
        opened => Ok(opened?),
    }
}

/// The lanes of one service: to step, and to ask.
type Both<S> = (Vec<Lane<S>>, Arc<Lanes<S>>);

fn lanes<S: State>(
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
    memory: &Arc<Memory>,
    config: &Config,
) -> anyhow::Result<Both<S>> {
    let options = LaneOptions { heartbeat_ms: MINUTE_MS, grace_ms: config.downtime_grace_ms, ..LaneOptions::default() };
    let mut stepped = Vec::new();
    let mut asked = Vec::new();
    for partition in 0..log.partitions() {
        let jobs = Arc::new(JobQueue::new(config.lane_queue_bytes));
        let stored = store.lane(S::SERVICE, partition);
        let lane = Lane::<S>::open(partition, log.clone(), clock.clone(), stored, jobs.clone(), options);
        let mut lane = lane.with_context(|| format!("{} of partition {partition}", S::SERVICE.name()))?;
        lane.share(memory);
        asked.push((jobs, lane.shared_status()));
        stepped.push(lane);
    }
    Ok((stepped, Arc::new(Lanes::new(log.clone(), S::SERVICE, asked))))
}

impl Server {
    /// Starts all services; when it returns, every lane is live and calls are answered.
    ///
    /// # Errors
    /// When a port or the directory is in use, the log is damaged, or the disk cannot be written.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let grpc = listen(config.grpc_addr, "--grpc-addr").await?;
        let http = listen(config.http_addr, "--http-addr").await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let log_options =
            LogOptions { partitions: config.partitions, queue_bytes: LOG_QUEUE_BYTES, ..LogOptions::default() };
        let log = EmbeddedLog::open(&config.data_dir.join("log"), log_options)?;
        let store = Arc::new(open_state(&config.data_dir.join("state"), &*clock)?);
        let shared: Arc<dyn EventLog> = log.clone();
        let memory = Memory::new(config.lane_memory_bytes, SERVICES * usize::from(config.partitions));
        let (ingest_lanes, ingest) = lanes::<Ingest>(&shared, &clock, &store, &memory, config)?;
        let (threading_lanes, threading) = lanes::<Threading>(&shared, &clock, &store, &memory, config)?;
        let workers = start_workers(config, &shared, ingest_lanes, threading_lanes)?;
        let news = LogNews::of(&*shared);
        let started_at = clock.wall_ms();
        let inside = Arc::new(Inside { log, news, clock, started_at, ingest, threading });
        let admission = Arc::new(Admission::new(config.quota, &config.quotas, config.min_free_bytes));
        let (stop, stopping) = watch::channel(false);
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let edges = vec![
            tokio::spawn(serve_grpc(grpc, inside.clone(), admission.clone(), stopping.clone())),
            tokio::spawn(http::serve(http, inside.clone(), stopping.clone())),
            tokio::spawn(keep_house(inside.clone(), admission, store.clone(), stopping)),
        ];
        let server = Self { grpc: addresses.0, http: addresses.1, inside, store, workers, stop, edges };
        server.until_ready().await?;
        Ok(server)
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        loop {
            if self.inside.is_ready() {
                return Ok(());
            }
            if let Some(what) = self.inside.stopped() {
                bail!("the event log stopped: {what}");
            }
            for (service, partition, status) in self.inside.lanes() {
                if let Phase::Stopped(failure) = status.phase {
                    bail!("{} of partition {partition} has stopped: {failure}", service.name());
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends calls, lets the lanes finish, stores the state and closes the log.
    ///
    /// # Errors
    /// When something could not be written; the log holds whatever was acknowledged.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // Whoever listens ends; there may be nobody left.
        let _ = self.stop.send(true);
        for edge in self.edges {
            edge.abort_after(LAST_CALLS).await;
        }
        let (workers, store, log) = (self.workers, self.store, self.inside.log.clone());
        let stored = tokio::task::spawn_blocking(move || {
            workers.stop();
            let stored = store.sync();
            log.close();
            stored
        });
        stored.await?.map_err(|error| anyhow!(error)).context("the state cannot be written")?;
        match self.inside.stopped() {
            Some(what) => bail!("the event log stopped: {what}"),
            None => Ok(()),
        }
    }
}

/// Ends a task that does not end by itself.
trait AbortAfter {
    async fn abort_after(self, patience: Duration);
}

impl AbortAfter for JoinHandle<anyhow::Result<()>> {
    async fn abort_after(mut self, patience: Duration) {
        match tokio::time::timeout(patience, &mut self).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(error = %format!("{error:#}"), "an edge failed"),
            Ok(Err(error)) => tracing::error!(%error, "an edge failed"),
            Err(_) => self.abort(),
        }
    }
}

/// Spreads the lanes over worker threads, so that the two services of a partition run side by side.
fn start_workers(
    config: &Config,
    log: &Arc<dyn EventLog>,
    ingest: Vec<Lane<Ingest>>,
    threading: Vec<Lane<Threading>>,
) -> anyhow::Result<Workers> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = if config.workers == 0 { cores } else { config.workers };
    let mut groups: Vec<Vec<Box<dyn Turn + Send>>> = (0..count).map(|_| Vec::new()).collect();
    let ingest = ingest.into_iter().map(|lane| Box::new(lane) as Box<dyn Turn + Send>);
    let threading = threading.into_iter().map(|lane| Box::new(lane) as Box<dyn Turn + Send>);
    for (partition, (ingest, threading)) in ingest.zip(threading).enumerate() {
        groups[partition % count].push(ingest);
        groups[(partition + 1) % count].push(threading);
    }
    Workers::start(groups, log).context("cannot start the worker threads")
}

async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    // An error: the server is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn serve_grpc(
    listener: TcpListener,
    inside: Arc<Inside>,
    admission: Arc<Admission>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let ingestion = Ingestion::new(inside.ingest.clone(), admission, inside.clock.clone());
    let ingestion = IngestServiceServer::new(ingestion).max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rejoinder_api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<IngestServiceServer<Ingestion>>().await;
    reporter.set_serving::<ThreadServiceServer<Threads>>().await;
    reporter.set_serving::<PersonServiceServer<Persons>>().await;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    GrpcServer::builder()
        .add_service(health)
        .add_service(reflection)
        .add_service(ingestion)
        .add_service(PolicyServiceServer::new(Policies::new(inside.ingest.clone())))
        .add_service(ThreadServiceServer::new(Threads::new(inside.threading.clone(), inside.news.clone())))
        .add_service(PersonServiceServer::new(Persons::new(inside.threading.clone())))
        .add_service(AdminServiceServer::new(Administration::new(inside.clone())))
        .add_service(EventFeedServiceServer::new(Feed::new(inside)))
        .serve_with_incoming_shutdown(incoming, until_stopped(stopping))
        .await
        .context("gRPC")
}

/// Looks at the disk, and makes the state durable now and then, so that a restart folds little.
async fn keep_house(
    inside: Arc<Inside>,
    admission: Arc<Admission>,
    store: Arc<ProjectionStore>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_secs(1);
    const SYNC_EVERY: u32 = 15;
    for round in 1_u32.. {
        admission.free_bytes_are(inside.log.free_bytes());
        if round % SYNC_EVERY == 0 {
            let store = store.clone();
            if let Err(what) = tokio::task::spawn_blocking(move || store.sync()).await? {
                tracing::error!(what, "the state cannot be written: a restart will fold more of the log");
            }
        }
        if tokio::time::timeout(LOOK, until_stopped(stopping.clone())).await.is_ok() {
            break;
        }
    }
    Ok(())
}
