//! Worker threads: each steps its lanes until none has anything to do, then sleeps until a record is
//! durable, a job comes or a timer is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rejoinder_event_log::EventLog;

use crate::lane::Progress;
use crate::turns::Turn;

/// The longest sleep. Nothing depends on it: whoever brings work wakes the worker.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Running worker threads.
pub struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts a thread for each group of lanes.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(groups: Vec<Vec<Box<dyn Turn + Send>>>, log: &Arc<dyn EventLog>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, mut lanes) in groups.into_iter().enumerate() {
            let stop = stop.clone();
            let worker = std::thread::Builder::new().name(format!("lanes-{number}"));
            let thread = worker.spawn(move || run(&mut lanes, &stop))?;
            threads.push(thread);
        }
        let wakers: Vec<Thread> = threads.iter().map(|thread| thread.thread().clone()).collect();
        log.watch(Arc::new(move |_| wakers.iter().for_each(Thread::unpark)));
        Ok(Self { stop, threads })
    }

    /// Lets all lanes finish what was queued, store their state and end.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a worker thread ended in a panic");
            }
        }
    }
}

fn run(lanes: &mut [Box<dyn Turn + Send>], stop: &AtomicBool) {
    let own = std::thread::current();
    for lane in lanes.iter_mut() {
        let own = own.clone();
        lane.wake_by(Arc::new(move || own.unpark()));
    }
    loop {
        // Asked before the steps: what was queued before the stop is still done.
        let stopping = stop.load(Ordering::Acquire);
        let mut worked = false;
        for lane in lanes.iter_mut() {
            worked |= lane.step() == Progress::Worked;
        }
        if worked {
            continue;
        }
        if stopping && lanes.iter().all(|lane| lane.is_quiet()) {
            break;
        }
        let due = lanes.iter_mut().filter_map(|lane| lane.due_in_ms()).min();
        let sleep = due.map_or(LONGEST_SLEEP, |ms| Duration::from_millis(ms).min(LONGEST_SLEEP));
        std::thread::park_timeout(sleep);
    }
    for lane in lanes {
        if let Err(failure) = lane.flush() {
            tracing::error!(%failure, "a state could not be stored; it will be folded again");
        }
    }
}
