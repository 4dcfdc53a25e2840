//! The services in virtual time on the memory log, as `replay` runs them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rejoinder_channels::{Format, Interaction, Options as Reading, framing, read};
use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_ingest::{Publish, as_given};
use rejoinder_ingest_core::{Ingest, NewPolicy, publish_policy};
use rejoinder_machine::{Context, State};
use rejoinder_model::{DAY_MS, HOUR_MS, Millis, Service, ThreadId};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, Decide, JobQueue, Lane, ManualClock, Options, Turns};
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::record::Clock as Kept;
use rejoinder_threading_core::{Asked, Command, Threading, decide_command};
use rejoinder_wire::event::{Event, Metric, SlaPolicy, ThreadingPolicy};

pub(crate) const WORKSPACE: &str = "default";
const QUEUE_BYTES: usize = 256 << 20;

/// All four lanes of one partition.
pub(crate) struct Services {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: Arc<MemoryLog>,
    ingest: Lane<Ingest>,
    ingest_jobs: Arc<JobQueue<Ingest>>,
    pub(crate) threading: Lane<Threading>,
    threading_jobs: Arc<JobQueue<Threading>>,
    routing: Lane<Routing>,
    pub(crate) sla: Lane<SlaTimer>,
    store: ProjectionStore,
    _dir: tempfile::TempDir,
}

impl Services {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 8 << 20).unwrap();
        let memory = MemoryLog::new(1);
        let clock = Arc::new(ManualClock::default());
        let (log, time): (Arc<dyn EventLog>, Arc<dyn Clock>) = (memory.clone(), clock.clone());
        let options = Options { tick_interval_ms: 0, ..Options::default() };
        fn lane<S: State>(
            log: &Arc<dyn EventLog>,
            time: &Arc<dyn Clock>,
            store: &ProjectionStore,
            options: Options,
        ) -> (Lane<S>, Arc<JobQueue<S>>) {
            let jobs = Arc::new(JobQueue::new(QUEUE_BYTES));
            let stored = store.lane(S::SERVICE, 0);
            (Lane::open(0, log.clone(), time.clone(), stored, jobs.clone(), options).unwrap(), jobs)
        }
        let (ingest, ingest_jobs) = lane(&log, &time, &store, options);
        let (threading, threading_jobs) = lane(&log, &time, &store, options);
        let (routing, _) = lane(&log, &time, &store, options);
        let (sla, _) = lane(&log, &time, &store, options);
        let mut services =
            Self { clock, log: memory, ingest, ingest_jobs, threading, threading_jobs, routing, sla, store, _dir: dir };
        services.settle();
        services
    }

    fn turns(&mut self) -> Turns<'_> {
        Turns(vec![&mut self.ingest, &mut self.threading, &mut self.routing, &mut self.sla])
    }

    /// Everything runs until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        self.turns().run_to_quiescence().unwrap();
    }

    /// Time passes; every deadline on the way has its turn.
    pub(crate) fn reach(&mut self, time: Millis) {
        loop {
            let clock = self.clock.clone();
            let mut turns = self.turns();
            let Some(deadline) = turns.next_deadline().filter(|deadline| *deadline < time) else { break };
            clock.advance_to(deadline);
            turns.run_to_quiescence().unwrap();
        }
        self.clock.advance_to(time);
    }

    /// What was said at this moment.
    pub(crate) fn publish(&mut self, said: Vec<Interaction>) {
        let now = self.clock.wall_ms();
        let bytes = said.len() * 1_024;
        let arrivals = said.into_iter().map(|said| as_given(said, now)).collect();
        let job = Publish::new(WORKSPACE.to_owned(), arrivals, bytes, |done| assert!(done.is_some()));
        assert!(self.ingest_jobs.push(Box::new(job)).is_ok());
        self.settle();
    }

    /// A policy stands from now on.
    pub(crate) fn adopt(&mut self, sla: SlaPolicy) {
        let decision = move |state: &Ingest, context: &Context, out: &mut Vec<Event>| {
            let new = NewPolicy { threading: threading(), sla: Some(sla), ..NewPolicy::default() };
            publish_policy(state, context, WORKSPACE, new, out).unwrap();
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(self.ingest_jobs.push(Box::new(job)).is_ok());
        self.settle();
    }

    /// A command to threading.
    pub(crate) fn command(&mut self, command: Command) {
        let decision = move |state: &Threading, context: &Context, out: &mut Vec<Event>| {
            decide_command(state, context, WORKSPACE, Asked::default(), &command, out).unwrap();
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(self.threading_jobs.push(Box::new(job)).is_ok());
        self.settle();
    }

    /// Plays records in the order of their times.
    pub(crate) fn replay(&mut self, mut said: Vec<Interaction>) {
        said.sort_by_key(|said| said.event_time);
        self.play(said);
    }

    /// Plays records as they come.
    pub(crate) fn play(&mut self, said: Vec<Interaction>) {
        let mut said = said.into_iter().peekable();
        while let Some(first) = said.next() {
            let time = first.event_time.max(self.clock.wall_ms());
            self.reach(time);
            let mut batch = vec![first];
            while let Some(next) = said.next_if(|next| next.event_time <= time) {
                batch.push(next);
            }
            self.publish(batch);
        }
    }

    /// The clocks of a metric with the thread that each is on.
    pub(crate) fn clocks(&self, metric: Metric) -> Vec<(ThreadId, Kept)> {
        let threads = self.sla.state().threads.page(&ThreadId(0), usize::MAX >> 8);
        let clocks = threads.into_iter().flat_map(|(id, thread)| {
            let of_thread = thread.clocks.iter().filter(|clock| clock.metric == metric as i32);
            of_thread.map(|clock| (id, clock.clone())).collect::<Vec<_>>()
        });
        clocks.collect()
    }

    /// The digest of sla-timer's state, and that of one that only folded the log.
    pub(crate) fn digests(&mut self) -> (u128, u128) {
        let live = self.sla.collect();
        let (log, time): (Arc<dyn EventLog>, Arc<dyn Clock>) = (self.log.clone(), self.clock.clone());
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 8 << 20).unwrap();
        let options = Options { follow_only: true, ..Options::default() };
        let lane = store.lane(Service::SlaTimer, 0);
        let mut again: Lane<SlaTimer> =
            Lane::open(0, log, time, lane, Arc::new(JobQueue::new(1 << 20)), options).unwrap();
        while again.step() == rejoinder_runtime::Progress::Worked {}
        self.store.sync().unwrap();
        (live, again.collect())
    }
}

/// Threads never go silent.
fn threading() -> ThreadingPolicy {
    let window = 7 * DAY_MS;
    ThreadingPolicy { reopen_window_ms: window, burst_gap_ms: HOUR_MS, ..ThreadingPolicy::default() }
}

/// The folder of the corpora, or `None` with a line that says so.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn corpora() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("REJOINDER_CORPORA").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no corpora at {} (set REJOINDER_CORPORA)", folder.display());
    None
}

/// The records of a file.
pub(crate) fn interactions(path: &Path, format: Format) -> Vec<Interaction> {
    let input = framing::decompressed(Box::new(File::open(path).unwrap())).unwrap();
    let mut said = Vec::new();
    read(format, &Reading { account: None }, input, &mut |item| {
        said.push(item.unwrap_or_else(|malformed| panic!("{malformed}")).interaction);
        true
    });
    said
}
