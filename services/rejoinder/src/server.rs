//! A process over the event log: all services of `up` and `demo`, or the one of `serve`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rejoinder_forwarding::Peers;
use rejoinder_ingest::Admission;
use rejoinder_model::{MINUTE_MS, Millis, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, Memory, Options as LaneOptions, Phase, SystemClock, Workers};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use crate::backend;
use crate::config::{Config, LogKind};
use crate::inside::{Group, Inside, Over};
use crate::membership::Membership;
use crate::owners::LogOwners;
use crate::state::State;
use crate::{grpc, http};

/// How long open calls may go on when the server stops.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// The state was found damaged while it was in use.
#[derive(Debug, thiserror::Error)]
#[error("the state is damaged: {0}; the next start rebuilds it from the event log")]
pub(crate) struct StateDamaged(pub(crate) String);

/// A running server.
pub(crate) struct Server {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) inside: Arc<Inside>,
    /// Where there are other processes over the log.
    membership: Option<Membership>,
    store: Arc<ProjectionStore>,
    workers: Workers,
    stop: watch::Sender<bool>,
    edges: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// How long a process that is not heard of keeps its partitions.
fn session(config: &Config) -> Millis {
    Millis::from(config.kafka_session_timeout_ms)
}

/// Where other processes call this one.
fn advertised(config: &Config, bound: SocketAddr) -> anyhow::Result<Arc<str>> {
    match &config.advertise_addr {
        Some(address) => Ok(address.as_str().into()),
        None if bound.ip().is_unspecified() => {
            bail!("gRPC listens on {bound}, where nobody can call: say how others reach it with --advertise-addr")
        }
        None => Ok(bound.to_string().into()),
    }
}

async fn listen(addr: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr).await;
    listener.with_context(|| format!("cannot listen on {addr}: stop what does, or name another address with {flag}"))
}

impl Server {
    /// Starts services; when it returns, every lane is live or stands by, and calls are answered.
    ///
    /// # Errors
    /// When a port or the directory is in use, the log is damaged, or the disk cannot be written.
    pub(crate) async fn start(config: &Config, services: &[Service]) -> anyhow::Result<Self> {
        let grpc = listen(config.grpc_addr, "--grpc-addr").await?;
        let http = listen(config.http_addr, "--http-addr").await?;
        let admin = match config.admin_addr {
            Some(addr) => Some(listen(addr, "--admin-addr").await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let group = match config.log {
            LogKind::Embedded if services.len() < Service::ALL.len() => {
                bail!("one service alone needs a log that others can read too: --log kafka, or `up` for all services")
            }
            LogKind::Embedded => None,
            LogKind::Kafka => Some(Group { session_ms: session(config), address: advertised(config, addresses.0)? }),
        };
        let opened = config.clone();
        // Asks brokers, and waits for them.
        let log = tokio::task::spawn_blocking(move || backend::open(&opened)).await??;
        let (opened, known, of) = (config.clone(), log.clone(), services.to_vec());
        let at = clock.wall_ms();
        let state = tokio::task::spawn_blocking(move || State::open(&opened, &of, &*known, at)).await??;
        let store = state.store.clone();
        let options = LaneOptions {
            heartbeat_ms: MINUTE_MS,
            grace_ms: config.downtime_grace_ms,
            writer: uuid::Uuid::new_v4().as_u64_pair().0,
            ..LaneOptions::default()
        };
        let memory = Memory::new(config.lane_memory_bytes, services.len() * usize::from(log.partitions()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if config.workers == 0 { cores } else { config.workers };
        let over = Over {
            options,
            queue_bytes: config.lane_queue_bytes,
            workers: count,
            memory: Some(memory),
            services: services.to_vec(),
            group,
        };
        let (inside, lanes) = Inside::open(log.clone(), &store, clock, &over)?;
        let workers = Workers::start(lanes, &log).context("cannot start the worker threads")?;
        let inside = Arc::new(inside);
        let peers = match &over.group {
            Some(group) => Peers::new(LogOwners::start(inside.clone(), group.address.clone()), log.partitions()),
            None => Peers::alone(log.partitions()),
        };
        inside.connect(&peers);
        let admission = Arc::new(Admission::new(config.quota, &config.quotas, config.min_free_bytes));
        let (stop, stopping) = watch::channel(false);
        let mut edges = vec![
            tokio::spawn(serve_grpc(grpc, peers, inside.clone(), admission.clone(), stopping.clone())),
            tokio::spawn(state.keep(inside.clone(), admission, until_stopped(stopping.clone()))),
        ];
        let operators = http::admin(inside.clone())?;
        let public = match admin {
            Some(listener) => {
                edges.push(tokio::spawn(http::serve(listener, operators, stopping.clone())));
                axum::Router::new()
            }
            None => operators,
        };
        edges.push(tokio::spawn(http::serve(http, public, stopping)));
        let (grpc, http) = addresses;
        let mut server = Self { grpc, http, inside, membership: None, store, workers, stop, edges };
        if over.group.is_some() {
            // Who has to fold first would keep a partition from deciding.
            server.until(Inside::is_warm).await?;
            let (config, inside, services) = (config.clone(), server.inside.clone(), services.to_vec());
            let joining = tokio::task::spawn_blocking(move || Membership::join(&config, &inside, &services));
            server.membership = Some(joining.await??);
        }
        server.until(Inside::is_ready).await?;
        Ok(server)
    }

    /// What damage of the state was found since the start. Only a new start mends it.
    pub(crate) fn damage(&self) -> Option<StateDamaged> {
        self.store.damage().map(|what| StateDamaged(what.to_owned()))
    }

    /// Why the process cannot go on, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        let of_group = || self.membership.as_ref().and_then(Membership::failure);
        self.inside.stopped().map(|what| format!("the event log stopped: {what}")).or_else(of_group)
    }

    async fn until(&self, is_so: impl Fn(&Inside) -> bool) -> anyhow::Result<()> {
        loop {
            if let Some(damage) = self.damage() {
                return Err(damage.into());
            }
            if is_so(&self.inside) {
                return Ok(());
            }
            if let Some(what) = self.failure() {
                bail!(what);
            }
            for (service, partition, status) in self.inside.lanes() {
                if let Phase::Stopped(failure) = status.phase {
                    bail!("{} of partition {partition} has stopped: {failure}", service.name());
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Leaves the group, ends calls, lets the lanes finish, stores the state and closes the log.
    ///
    /// # Errors
    /// When something could not be written; the log holds whatever was acknowledged.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(membership) = self.membership {
            // Others go on with the partitions while the last calls end here.
            tokio::task::spawn_blocking(move || membership.leave()).await?;
        }
        // Whoever listens ends; there may be nobody left.
        let _ = self.stop.send(true);
        self.inside.news.end();
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

async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    // An error: the server is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn serve_grpc(
    listener: TcpListener,
    peers: Arc<Peers>,
    inside: Arc<Inside>,
    admission: Arc<Admission>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let owners = peers.owners().clone();
    let (router, agents) = grpc::router(peers, inside, admission).await?;
    // Whoever is first ends them: this, or the first agent who comes.
    tokio::spawn(agents.end_old_sessions(owners));
    router.serve_with_incoming_shutdown(incoming, until_stopped(stopping)).await.context("gRPC")
}
