//! Commands and queries on their way to a lane: bounded, and fair between workspaces.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rejoinder_machine::Job;

/// A job that was not taken, and when to try again.
pub struct Refused<S> {
    /// The job, for the caller to answer.
    pub job: Box<dyn Job<S>>,
    /// How long to wait.
    pub retry_after_ms: u64,
}

/// The jobs of one workspace, and the bytes of all of them.
struct Line<S> {
    jobs: VecDeque<Box<dyn Job<S>>>,
    bytes: usize,
}

struct Jobs<S> {
    by_workspace: BTreeMap<String, Line<S>>,
    /// Workspaces that have jobs, in the order of their turns.
    turns: VecDeque<String>,
    bytes: usize,
    closed: bool,
}

/// Wakes whoever runs a lane.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The jobs of one lane. Each workspace has its own line, and the lines take turns.
pub struct JobQueue<S> {
    jobs: Mutex<Jobs<S>>,
    max_bytes: usize,
    waker: OnceLock<Waker>,
}

impl<S> JobQueue<S> {
    /// A queue that takes `max_bytes` in all, and half of it from one workspace.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        let jobs = Jobs { by_workspace: BTreeMap::new(), turns: VecDeque::new(), bytes: 0, closed: false };
        Self { jobs: Mutex::new(jobs), max_bytes, waker: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs<S>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job.
    ///
    /// # Errors
    /// When there is no room: the job comes back.
    pub fn push(&self, job: Box<dyn Job<S>>) -> Result<(), Refused<S>> {
        let mut jobs = self.lock();
        let size = job.bytes();
        let theirs = jobs.by_workspace.get(job.workspace()).map_or(0, |line| line.bytes);
        let full = jobs.bytes + size > self.max_bytes && jobs.bytes > 0;
        if jobs.closed || full || (theirs > 0 && theirs + size > self.max_bytes / 2) {
            return Err(Refused { job, retry_after_ms: 100 });
        }
        jobs.bytes += size;
        if let Some(line) = jobs.by_workspace.get_mut(job.workspace()) {
            line.bytes += size;
            line.jobs.push_back(job);
        } else {
            let workspace = job.workspace().to_owned();
            jobs.turns.push_back(workspace.clone());
            jobs.by_workspace.insert(workspace, Line { jobs: VecDeque::from([job]), bytes: size });
        }
        drop(jobs);
        self.wake();
        Ok(())
    }

    /// Has whoever runs the lane look at it.
    pub fn wake(&self) {
        if let Some(wake) = self.waker.get() {
            wake();
        }
    }

    /// The next job, one of each workspace in turn.
    pub(crate) fn pop(&self) -> Option<Box<dyn Job<S>>> {
        let mut jobs = self.lock();
        let workspace = jobs.turns.pop_front()?;
        let line = jobs.by_workspace.get_mut(&workspace)?;
        let job = line.jobs.pop_front()?;
        let size = job.bytes();
        line.bytes = line.bytes.saturating_sub(size);
        if line.jobs.is_empty() {
            jobs.by_workspace.remove(&workspace);
        } else {
            jobs.turns.push_back(workspace);
        }
        jobs.bytes = jobs.bytes.saturating_sub(size);
        Some(job)
    }

    /// How many workspaces wait for a turn.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().turns.is_empty()
    }

    /// Do jobs wait?
    pub fn is_busy(&self) -> bool {
        !self.is_empty()
    }

    /// Whom to wake when a job comes; the first one stays.
    pub(crate) fn wake_by(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    /// Takes no more.
    pub fn close(&self) {
        self.lock().closed = true;
    }
}
