//! The lanes of one partition in one process.

use std::sync::Arc;

use rejoinder_event_log::EventLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::{Job, State};
use rejoinder_projection_store::LaneStore;
use rejoinder_runtime::{Clock, JobQueue, Lane, Options, Phase, Progress, Turn};
use rejoinder_threading_core::Threading;

use super::Wrong;

/// Room for jobs: more than clients send at once.
const QUEUE_BYTES: usize = 1 << 20;

/// Far more steps than lanes need until they have nothing to do.
const MOST_STEPS: u64 = 2_000;

/// A lane, and where its jobs wait.
pub(super) struct Seat<S: State> {
    pub(super) lane: Lane<S>,
    jobs: Arc<JobQueue<S>>,
}

impl<S: State> Seat<S> {
    pub(super) fn open(
        partition: u16,
        log: &Arc<dyn EventLog>,
        clock: &Arc<dyn Clock>,
        store: &LaneStore,
        options: Options,
    ) -> Result<Self, Wrong> {
        let jobs = Arc::new(JobQueue::new(QUEUE_BYTES));
        let lane = Lane::open(partition, log.clone(), clock.clone(), store.clone(), jobs.clone(), options);
        Ok(Self { lane: lane.map_err(|failure| format!("a lane does not open: {failure}"))?, jobs })
    }

    /// Gives the lane something to decide; `false` when there is no room.
    pub(super) fn push(&self, job: impl Job<S> + 'static) -> bool {
        self.jobs.push(Box::new(job)).is_ok()
    }

    pub(super) fn step(&mut self) -> Result<Progress, Wrong> {
        let progress = self.lane.step();
        match self.lane.failure() {
            Some(failure) => Err(format!("a lane of {} stopped: {failure}", S::SERVICE.name())),
            None => Ok(progress),
        }
    }

    /// It lost its partition, and knows it.
    fn is_deposed(&self) -> bool {
        self.lane.status().phase == Phase::Warm
    }

    pub(super) fn is_live(&self) -> bool {
        self.lane.status().phase == Phase::Live
    }
}

/// A process's lanes of one partition.
pub(super) struct Desk {
    /// Tells it from all others.
    pub(super) number: u64,
    /// On which machine it runs.
    pub(super) machine: usize,
    pub(super) ingest: Seat<Ingest>,
    pub(super) threading: Seat<Threading>,
}

impl Desk {
    /// Steps the lanes in turn, `threading` only if it does not hang.
    pub(super) fn step(&mut self, threading_hangs: bool) -> Result<bool, Wrong> {
        let mut worked = self.ingest.step()? == Progress::Worked;
        if !threading_hangs {
            worked |= self.threading.step()? == Progress::Worked;
        }
        Ok(worked)
    }

    pub(super) fn run(&mut self, threading_hangs: bool) -> Result<(), Wrong> {
        for _ in 0..MOST_STEPS {
            if !self.step(threading_hangs)? {
                return Ok(());
            }
        }
        Err("lanes never rest".into())
    }

    pub(super) fn is_deposed(&self) -> bool {
        self.ingest.is_deposed() && self.threading.is_deposed()
    }

    pub(super) fn is_live(&self) -> bool {
        self.ingest.is_live() && self.threading.is_live()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.ingest.lane.is_quiet() && self.threading.lane.is_quiet()
    }

    /// It may claim again.
    pub(super) fn assign(&mut self) {
        self.ingest.lane.assign();
        self.threading.lane.assign();
    }

    pub(super) fn next_deadline(&mut self) -> Option<i64> {
        [self.ingest.lane.next_deadline(), self.threading.lane.next_deadline()].into_iter().flatten().min()
    }
}
