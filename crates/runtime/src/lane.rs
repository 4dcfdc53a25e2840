//! One lane: the writer of one service in one partition.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{EventLog, PartitionFold};
use rejoinder_machine::{DIGEST_VERSION, Job, State, event};
use rejoinder_model::{Millis, Position};
use rejoinder_projection_store::LaneStore;
use rejoinder_wire::event::{Checkpoint, ClockTick, event::Body};

use self::deciding::Frame;
pub use self::options::Options;
pub use self::phase::{Failure, Phase, Progress, Status};
use crate::clock::Clock;
use crate::inputs::Inputs;
use crate::memory::Memory;
use crate::queue::{JobQueue, Waker};
use crate::recover;
use crate::tenure::Tenure;

mod considering;
mod deciding;
mod firing;
mod options;
mod ownership;
mod phase;
mod storing;

/// A frame that is not read back yet.
struct InFlight<S> {
    frame_no: u64,
    jobs: Vec<Box<dyn Job<S>>>,
}

/// The writer of one service in one partition.
pub struct Lane<S: State> {
    pub(crate) partition: u16,
    pub(crate) log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    pub(crate) store: LaneStore,
    options: Options,
    jobs: Arc<JobQueue<S>>,
    pub(crate) state: S,
    phase: Phase,
    /// Ownership as of the read position: always near the end, or own commits would not be read back.
    pub(crate) fold: PartitionFold,
    /// Ownership as of where inputs were read up to, a chunk at a time, however far that lags.
    behind: PartitionFold,
    /// Ownership as of each record of that chunk.
    snapshots: VecDeque<PartitionFold>,
    inputs: Inputs,
    considered: Consumed,
    /// Own frames below this index are in the state already.
    pub(crate) applied: u64,
    pub(crate) last_checksum: u32,
    claims: u64,
    nonce: u64,
    next_frame_no: u64,
    next_own_seq: u64,
    stamp: Millis,
    in_flight: VecDeque<InFlight<S>>,
    /// The newest frame in flight, as long as the log has no room for it.
    unsent: Option<Bytes>,
    job: Option<(Box<dyn Job<S>>, usize)>,
    /// Jobs that wait until all below an index is considered.
    waiting: BTreeMap<u64, VecDeque<Box<dyn Job<S>>>>,
    shared: Arc<Mutex<Status>>,
    /// The newest tick read, by whatever service, and its stamp.
    newest_tick: Option<u64>,
    last_tick: Millis,
    /// The number of the frame with a tick that is not read back yet.
    tick_in_flight: Option<u64>,
    /// By service: no timer fires before this time, since its owner came back after a downtime.
    pub(crate) fires_from: [Millis; 4],
    /// The state was damaged, and folded again.
    rebuilt: bool,
    /// What it knows is not to be used any more: it goes on from what is stored, once the log can be read.
    is_over: bool,
    /// May it claim?
    tenure: Arc<Tenure>,
    /// When somebody else claimed, by the monotonic clock.
    deposed_at: Option<Millis>,
    /// Until when it waits for its own frames before it lets the lane go, by the monotonic clock.
    leaving_until: Option<Millis>,
    /// Where its owner is called, for its claims to say.
    address: Arc<str>,
    since_checkpoint: u64,
    flush_wanted: bool,
    /// How far the log was read when the state was last stored.
    stored_at: u64,
    memory: Arc<Memory>,
    /// Bytes that the tables held when they were last stored.
    held: usize,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<S: State> Lane<S> {
    /// A lane that starts from what is stored.
    ///
    /// A stored state that is not of this log is dropped and folded again, unless the lane only follows.
    ///
    /// # Errors
    /// When the log or the state cannot be read.
    pub fn open(
        partition: u16,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        store: LaneStore,
        jobs: Arc<JobQueue<S>>,
        options: Options,
    ) -> Result<Self, Failure> {
        let start = match recover::start::<S>(&*log, partition, &store) {
            Err(Failure::State(what)) if !options.follow_only => {
                tracing::error!(service = S::SERVICE.name(), partition, what, "a state is rebuilt from the event log");
                store.clear().map_err(Failure::State)?;
                recover::start::<S>(&*log, partition, &store)?
            }
            start => start?,
        };
        Ok(Self {
            partition,
            log,
            clock,
            store,
            options,
            jobs,
            state: start.state,
            phase: Phase::Warm,
            considered: start.fold.lane(S::SERVICE).consumed,
            snapshots: VecDeque::new(),
            fold: start.fold,
            behind: start.fold,
            inputs: Inputs::default(),
            applied: start.applied,
            last_checksum: start.checksum,
            claims: 0,
            nonce: 0,
            next_frame_no: 1,
            next_own_seq: start.next_own_seq,
            stamp: 0,
            in_flight: VecDeque::new(),
            unsent: None,
            job: None,
            waiting: BTreeMap::new(),
            shared: Arc::default(),
            newest_tick: None,
            last_tick: Millis::MIN,
            tick_in_flight: None,
            fires_from: start.fires_from,
            rebuilt: false,
            is_over: false,
            tenure: Arc::new(Tenure::for_good()),
            deposed_at: None,
            leaving_until: None,
            address: Arc::default(),
            since_checkpoint: 0,
            flush_wanted: false,
            stored_at: start.fold.next_index,
            memory: Memory::new(options.memory_bytes, 1),
            held: 0,
            changes: BTreeMap::new(),
        })
    }

    /// Whose right to the lane another one tells, from now on.
    pub fn hold_by(&mut self, tenure: Arc<Tenure>) {
        self.tenure = tenure;
    }

    /// Its claims say where its owner is called, from now on.
    pub fn answer_at(&mut self, address: Arc<str>) {
        self.address = address;
    }

    /// The state, as far as it was decided.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The state, for looking at its timers.
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status { phase: self.phase.clone(), considered: self.considered.index, fold: self.fold }
    }

    /// How it is, for other threads, as of its last step.
    pub fn shared_status(&self) -> Arc<Mutex<Status>> {
        self.shared.clone()
    }

    /// Does what there is to do, one frame at the most. Never waits.
    pub fn step(&mut self) -> Progress {
        let progress = self.step_or_stop();
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.status();
        progress
    }

    fn step_or_stop(&mut self) -> Progress {
        // A panic in `apply` stops this partition only.
        let step = catch_unwind(AssertUnwindSafe(|| self.try_step()));
        match step.unwrap_or_else(|panic| Err(Failure::Defect(panic_text(&*panic)))) {
            Ok(progress) => progress,
            Err(failure) if self.may_rebuild(&failure) => {
                let (service, partition) = (S::SERVICE.name(), self.partition);
                tracing::error!(service, partition, %failure, "a state is rebuilt from the event log");
                self.rebuilt = true;
                if let Err(failure) = self.store.clear().map_err(Failure::State).and_then(|()| self.start_over()) {
                    self.phase = Phase::Stopped(failure);
                }
                Progress::Worked
            }
            Err(failure) => {
                if !matches!(self.phase, Phase::Stopped(_)) {
                    let (service, partition) = (S::SERVICE.name(), self.partition);
                    tracing::error!(service, partition, %failure, "a partition has stopped");
                    self.phase = Phase::Stopped(failure);
                    self.lose_jobs();
                }
                Progress::Idle
            }
        }
    }

    fn try_step(&mut self) -> Result<Progress, Failure> {
        if matches!(self.phase, Phase::Stopped(_)) {
            // Some may have come before anybody could see that it stopped.
            return Ok(if self.lose_jobs() { Progress::Worked } else { Progress::Idle });
        }
        if self.is_over && !self.go_on()? {
            return Ok(if self.lose_jobs() { Progress::Worked } else { Progress::Idle });
        }
        let read = self.read()?;
        if self.is_over {
            return Ok(Progress::Worked);
        }
        self.store_if_far()?;
        let at_end = self.fold.next_index >= self.log.end(self.partition);
        let worked = match self.phase {
            Phase::Warm if self.options.follow_only => at_end && self.answer_readers(),
            Phase::Live if self.may_own() => self.live()?,
            Phase::Live => self.leave()?,
            Phase::Warm if self.may_own() => at_end && self.claim()?,
            Phase::Warm => self.stand_by(at_end)?,
            Phase::Claiming => !self.may_own() && self.lose_jobs(),
            Phase::Stopped(_) => false,
        };
        if let Some(what) = self.store.failure() {
            return Err(Failure::State(what));
        }
        Ok(if read || worked { Progress::Worked } else { Progress::Idle })
    }

    /// A lane that only follows answers questions, as of the log's end; commands need one that writes.
    fn answer_readers(&mut self) -> bool {
        let index = self.fold.next_index.saturating_sub(1);
        let context = self.context(&Frame::new(self.next_own_seq, self.fold.now));
        let mut any = false;
        while let Some(mut job) = self.jobs.pop() {
            any = true;
            let mut events = Vec::new();
            (0..job.parts()).for_each(|part| job.decide(part, &self.state, &context, &mut events));
            if events.is_empty() {
                job.done(Position { partition: self.partition, index });
            } else {
                job.lost();
            }
        }
        any
    }

    fn lose_jobs(&mut self) -> bool {
        let mut jobs: Vec<_> = self.in_flight.drain(..).flat_map(|frame| frame.jobs).collect();
        jobs.extend(self.job.take().map(|(job, _)| job));
        jobs.extend(std::mem::take(&mut self.waiting).into_values().flatten());
        jobs.extend(std::iter::from_fn(|| self.jobs.pop()));
        let any = !jobs.is_empty();
        jobs.into_iter().for_each(Job::lost);
        any
    }

    /// A damaged state is folded again, once: a second time the cause lies elsewhere.
    fn may_rebuild(&self, failure: &Failure) -> bool {
        let of_state = matches!(failure, Failure::State(_) | Failure::Differs { .. });
        let may = !self.rebuilt && !self.options.follow_only && !self.store.is_damaged();
        of_state && may && !matches!(self.phase, Phase::Stopped(_))
    }

    /// Goes on from what is stored.
    fn start_over(&mut self) -> Result<(), Failure> {
        self.lose_jobs();
        self.unsent = None;
        self.leaving_until = None;
        self.phase = Phase::Warm;
        self.is_over = true;
        self.go_on()?;
        Ok(())
    }

    /// `false`: the log is away, and it is to be tried again.
    fn go_on(&mut self) -> Result<bool, Failure> {
        let start = match recover::start::<S>(&*self.log, self.partition, &self.store) {
            Err(Failure::Unreachable(_)) => return Ok(false),
            start => start?,
        };
        self.is_over = false;
        self.state = start.state;
        self.fold = start.fold;
        self.behind = start.fold;
        self.snapshots.clear();
        self.inputs = Inputs::default();
        self.considered = start.fold.lane(S::SERVICE).consumed;
        self.applied = start.applied;
        self.last_checksum = start.checksum;
        self.next_own_seq = start.next_own_seq;
        self.fires_from = start.fires_from;
        self.changes.clear();
        self.since_checkpoint = 0;
        self.flush_wanted = false;
        self.stored_at = start.fold.next_index;
        self.newest_tick = None;
        self.tick_in_flight = None;
        Ok(true)
    }

    fn live(&mut self) -> Result<bool, Failure> {
        self.leaving_until = None;
        if self.unsent.is_some() {
            // Nothing is decided while the log is full; it wakes the lane when it has written.
            return self.send();
        }
        if self.flush_wanted {
            if self.in_flight.is_empty() {
                self.flush_wanted = false;
                self.flush()?;
                return Ok(true);
            }
            return Ok(false);
        }
        if self.in_flight.len() >= self.options.max_in_flight {
            return Ok(false);
        }
        let mut frame = Frame::new(self.next_own_seq, self.next_stamp());
        if self.is_tick_due() {
            self.take(&mut frame, vec![event("", Body::ClockTick(ClockTick {}))])?;
            self.tick_in_flight = Some(self.next_frame_no);
            self.commit(frame)?;
            return Ok(true);
        }
        if self.since_checkpoint >= self.options.checkpoint_events {
            let digest = self.collect();
            let checkpoint = Checkpoint { digest_version: DIGEST_VERSION, digest: digest.to_le_bytes().to_vec() };
            self.take(&mut frame, vec![event("", Body::Checkpoint(checkpoint))])?;
            self.since_checkpoint = 0;
            self.flush_wanted = true;
        }
        self.read_inputs()?;
        let considered = self.consider(&mut frame)?;
        self.run_jobs(&mut frame)?;
        self.follow_up(&mut frame, usize::MAX)?;
        self.trust(&mut frame)?;
        let moved = considered && self.inputs.front().is_none() && self.owes_answer();
        if frame.builder.count() == 0 && !moved {
            return Ok(self.answer_unwritten(frame.jobs) || considered);
        }
        self.commit(frame)?;
        Ok(true)
    }

    /// What was decided on a state that could not be read is neither written nor answered.
    fn trust(&self, frame: &mut Frame<S>) -> Result<(), Failure> {
        let Some(what) = self.store.failure() else { return Ok(()) };
        frame.jobs.drain(..).for_each(Job::lost);
        Err(Failure::State(what))
    }

    /// Is nothing on its way, and nothing known to do at this time? A tick that waits for upstreams is
    /// theirs to answer.
    pub fn is_quiet(&self) -> bool {
        if self.options.follow_only {
            // It considers nothing: what stands behind its own frames is not its to answer.
            return self.waiting.is_empty() && self.jobs.is_empty();
        }
        if self.phase == Phase::Warm && !self.may_own() {
            return self.jobs.is_empty();
        }
        self.in_flight.is_empty()
            && self.job.is_none()
            && self.waiting.is_empty()
            && self.jobs.is_empty()
            && self.inputs.front().is_none()
            && self.behind.next_index == self.fold.next_index
    }

    /// Whom to wake when a job comes.
    pub fn wake_by(&self, waker: Waker) {
        self.jobs.wake_by(waker);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a panic: {}", text.unwrap_or_default())
}
