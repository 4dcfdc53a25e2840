//! The lanes of one partition in one process.

use std::sync::Arc;

use rejoinder_event_log::EventLog;
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::{Job, State};
use rejoinder_model::{Millis, Service};
use rejoinder_projection_store::LaneStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, JobQueue, Lane, Options, Phase, Progress};
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;

use super::Wrong;
use super::plant::Planted;

/// Room for jobs: more than clients send at once.
const QUEUE_BYTES: usize = 1 << 20;

/// Far more steps than lanes need until they have nothing to do.
const MOST_STEPS: u64 = 4_000;

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
}

/// What is done with a lane, whatever its service.
pub(super) trait Post {
    fn step(&mut self) -> Result<Progress, Wrong>;
    /// Stores the state, as far as it may.
    fn flush(&mut self) -> Result<(), Wrong>;
    fn phase(&self) -> Phase;
    /// Nothing is on its way.
    fn is_quiet(&self) -> bool;
    /// It may claim again.
    fn assign(&mut self);
    fn next_deadline(&mut self) -> Option<Millis>;
    fn digest(&mut self) -> u128;
    /// The highest record time that it has read.
    fn now(&self) -> Millis;
}

impl<S: State> Post for Seat<S> {
    fn step(&mut self) -> Result<Progress, Wrong> {
        let progress = self.lane.step();
        match self.lane.status().phase {
            Phase::Stopped(failure) => Err(format!("a lane of {} stopped: {failure}", S::SERVICE.name())),
            Phase::Warm | Phase::Claiming | Phase::Live => Ok(progress),
        }
    }

    fn flush(&mut self) -> Result<(), Wrong> {
        self.lane.flush().map_err(|failure| failure.to_string())
    }

    fn phase(&self) -> Phase {
        self.lane.status().phase
    }

    fn is_quiet(&self) -> bool {
        self.lane.is_quiet()
    }

    fn assign(&mut self) {
        self.lane.assign();
    }

    fn next_deadline(&mut self) -> Option<Millis> {
        self.lane.next_deadline()
    }

    fn digest(&mut self) -> u128 {
        self.lane.collect()
    }

    fn now(&self) -> Millis {
        self.lane.status().fold.now
    }
}

/// Which services hang in a process, by number.
pub(super) type Hangs = [bool; 4];

/// A process's lanes of one partition.
pub(super) struct Desk {
    /// Tells it from all others.
    pub(super) number: u64,
    /// On which machine it runs.
    pub(super) machine: usize,
    pub(super) ingest: Seat<Ingest>,
    pub(super) threading: Seat<Planted<Threading>>,
    pub(super) routing: Seat<Planted<Routing>>,
    pub(super) sla: Seat<Planted<SlaTimer>>,
}

impl Desk {
    pub(super) fn posts(&mut self) -> [(Service, &mut dyn Post); 4] {
        [
            (Service::Ingest, &mut self.ingest),
            (Service::Threading, &mut self.threading),
            (Service::Routing, &mut self.routing),
            (Service::SlaTimer, &mut self.sla),
        ]
    }

    /// Steps the lanes in turn that do not hang.
    pub(super) fn step(&mut self, hangs: Hangs) -> Result<bool, Wrong> {
        let mut worked = false;
        for (service, post) in self.posts() {
            worked |= !hangs[service as usize - 1] && post.step()? == Progress::Worked;
        }
        Ok(worked)
    }

    pub(super) fn run(&mut self, hangs: Hangs) -> Result<(), Wrong> {
        for _ in 0..MOST_STEPS {
            if !self.step(hangs)? {
                return Ok(());
            }
        }
        Err("lanes never rest".into())
    }

    /// It lost its partition, and knows it.
    pub(super) fn is_deposed(&mut self) -> bool {
        self.posts().iter().all(|(_, post)| post.phase() == Phase::Warm)
    }

    pub(super) fn is_live(&mut self) -> bool {
        self.posts().iter().all(|(_, post)| post.phase() == Phase::Live)
    }

    pub(super) fn is_quiet(&mut self) -> bool {
        self.posts().iter().all(|(_, post)| post.is_quiet())
    }

    pub(super) fn next_deadline(&mut self) -> Option<Millis> {
        self.posts().into_iter().filter_map(|(_, post)| post.next_deadline()).min()
    }
}
