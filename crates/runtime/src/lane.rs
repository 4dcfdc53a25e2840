//! One lane: the writer of one service in one partition.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;
use rejoinder_event_log::fold::Consumed;
use rejoinder_event_log::{
    AppendError, Damage, EventLog, FrameBuilder, PartitionFold, RecordView, StoredRecord, Verdict, record, settled,
};
use rejoinder_machine::{Context, DIGEST_VERSION, DueTimer, Failure as CoreFailure, Job, Own, Source, State, event};
use rejoinder_model::{Millis, Position, Service};
use rejoinder_projection_store::LaneStore;
use rejoinder_wire::event::{Checkpoint, ClockTick, Event, Quarantined, event::Body};
use rejoinder_wire::log::{Claim, Header};

use crate::clock::{Clock, JUMP_MS};
use crate::inputs::{self, Input, Inputs, Tick};
use crate::memory::Memory;
use crate::queue::{JobQueue, Waker};
use crate::recover;

/// How many bytes are read from the log at a time.
const READ_BYTES: usize = 1 << 20;
/// A frame is closed once it has so many bytes of events.
const FRAME_TARGET_BYTES: usize = 192 << 10;
/// The most that one decision may write: it fits into every frame that is not closed yet.
const MAX_DECISION_BYTES: usize = record::MAX_FRAME_BYTES - FRAME_TARGET_BYTES;
/// How many timers are looked up at a time.
const TIMER_PAGE: usize = 256;
/// Decisions that follow one input at once; what is left takes turns with other inputs.
const FOLLOW_UPS: usize = 64;

/// How a lane runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Own events between checkpoints.
    pub checkpoint_events: u64,
    /// Frames that may wait to be read back.
    pub max_in_flight: usize,
    /// The least time between two ticks.
    pub tick_interval_ms: Millis,
    /// Bytes that the tables may hold in memory before unused entries are let go, unless the lane
    /// shares its memory with others.
    pub memory_bytes: usize,
    /// Writes claims and frames; otherwise it only folds along.
    pub follow_only: bool,
    /// Stores what it folds even if it only follows: for a rebuild in a state of its own.
    pub stores_following: bool,
    /// The longest time of ingest's lane without a tick, so that time moves on in a silent partition;
    /// 0: none is written for that.
    pub heartbeat_ms: Millis,
    /// How long no timer fires after a downtime of more than a minute, so that what waits outside can
    /// come in first; 0: virtual time, where neither downtimes nor jumps are looked for.
    pub grace_ms: Millis,
    /// Tells this process's claims from those of others; 0: virtual time, where there are no others
    /// and the same input gives the same log.
    pub writer: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_events: 20_000,
            max_in_flight: 8,
            tick_interval_ms: 50,
            memory_bytes: 64 << 20,
            follow_only: false,
            stores_following: false,
            heartbeat_ms: 0,
            grace_ms: 0,
            writer: 0,
        }
    }
}

/// Where a lane is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It folds along.
    #[default]
    Warm,
    /// It waits to read its claim back.
    Claiming,
    /// It decides and writes.
    Live,
    /// It stopped, loudly.
    Stopped(Failure),
}

/// Why a lane stopped. The other lanes go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The log cannot be read or written.
    #[error("the event log: {0}")]
    Log(String),
    /// The stored state cannot be read; it can be rebuilt.
    #[error("the state: {0}; rebuild it from the event log")]
    State(String),
    /// The state is not what it was when the checkpoint was written.
    #[error("the state differs from the checkpoint at {at}; rebuild it from the event log")]
    Differs {
        /// Where the checkpoint stands.
        at: Position,
    },
    /// A core broke a rule.
    #[error("a defect: {0}")]
    Defect(String),
}

/// A decision that no frame can hold: nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision of {0} bytes is larger than the {MAX_DECISION_BYTES} that a frame has room for")]
struct TooLarge(usize);

impl From<TooLarge> for Failure {
    fn from(error: TooLarge) -> Self {
        Self::Defect(error.to_string())
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more to do.
    Worked,
    /// Nothing to do until something comes.
    Idle,
}

/// How a lane is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Where it is in its life.
    pub phase: Phase,
    /// The first record not considered.
    pub considered: u64,
    /// Ownership as of the last record read.
    pub fold: PartitionFold,
}

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
    fires_from: [Millis; 4],
    /// The state was damaged, and folded again.
    rebuilt: bool,
    /// May it claim? Not after somebody else claimed, until it is assigned anew.
    assigned: bool,
    since_checkpoint: u64,
    flush_wanted: bool,
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
            fires_from: [Millis::MIN; 4],
            rebuilt: false,
            assigned: !options.follow_only,
            since_checkpoint: 0,
            flush_wanted: false,
            memory: Memory::new(options.memory_bytes, 1),
            held: 0,
            changes: BTreeMap::new(),
        })
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
        let read = self.read()?;
        let at_end = self.fold.next_index >= self.log.end(self.partition);
        let worked = match self.phase {
            Phase::Warm if at_end && self.assigned => self.claim()?,
            Phase::Warm if at_end && self.options.follow_only => self.answer_readers(),
            Phase::Warm if !self.assigned && !self.options.follow_only => self.lose_jobs(),
            Phase::Live => self.live()?,
            Phase::Warm | Phase::Claiming | Phase::Stopped(_) => false,
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

    /// Lets the lane claim: its assignment was confirmed after the claim that deposed it was read.
    pub fn assign(&mut self) {
        self.assigned = true;
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

    /// Reads on to the end: who owns what, and this lane's own commits.
    fn read(&mut self) -> Result<bool, Failure> {
        let records = self.stored(self.fold.next_index)?;
        let any = !records.is_empty();
        for stored in records {
            let at = Position { partition: self.partition, index: stored.index };
            let record = RecordView::peek(&stored.bytes).map_err(|damage| damaged(at, &damage))?;
            let last = self.fold.now;
            let verdict = self.fold.fold(stored.index, record.service, &record.header);
            if verdict == Verdict::ClaimCounted {
                self.after_claim(record.service, last, record.header.record_time);
            }
            self.last_checksum = record::checksum_of(&stored.bytes);
            if verdict == Verdict::Counted && inputs::is_tick_frame(&record).map_err(|damage| damaged(at, &damage))? {
                self.newest_tick = Some(at.index);
                self.last_tick = self.last_tick.max(record.header.record_time);
            }
            if record.service == S::SERVICE {
                RecordView::verify(&stored.bytes).map_err(|damage| damaged(at, &damage))?;
                self.own(at, &record, verdict)?;
            }
            if self.fold.next_index <= at.index {
                // Deposed: it folds again from what is stored.
                break;
            }
        }
        Ok(any)
    }

    fn stored(&self, from: u64) -> Result<Vec<StoredRecord>, Failure> {
        self.log.read(self.partition, from, READ_BYTES).map_err(|error| Failure::Log(error.to_string()))
    }

    /// Reads the next chunk of inputs once those at hand are considered.
    fn read_inputs(&mut self) -> Result<(), Failure> {
        while self.inputs.front().is_none() && self.behind.next_index < self.fold.next_index {
            self.snapshots.clear();
            for stored in self.stored(self.behind.next_index)? {
                // What the first cursor has not seen yet may not be considered before it has.
                if stored.index >= self.fold.next_index {
                    break;
                }
                let at = Position { partition: self.partition, index: stored.index };
                let record = RecordView::verify(&stored.bytes).map_err(|damage| damaged(at, &damage))?;
                let as_of = self.behind;
                self.snapshots.push_back(as_of);
                if self.behind.fold(stored.index, record.service, &record.header) == Verdict::Counted {
                    let offered = self.inputs.offer(S::SERVICE, stored.index, &record, &as_of);
                    offered.map_err(|damage| damaged(at, &damage))?;
                }
            }
            self.inputs.considered(self.considered, self.fold.lane(S::SERVICE).settled);
        }
        if self.inputs.front().is_none() {
            self.considered = self.considered.max(Consumed { index: self.behind.next_index, events: 0 });
        }
        Ok(())
    }

    /// Ownership as of the first record that is not considered.
    ///
    /// What an upstream says about itself further on is not to be believed yet: what it said before
    /// that is not considered either.
    fn considered_fold(&self) -> &PartitionFold {
        let first = self.snapshots.front().map_or(0, |fold| fold.next_index);
        let at = self.inputs.front().and_then(|input| usize::try_from(input.index().checked_sub(first)?).ok());
        at.and_then(|at| self.snapshots.get(at)).unwrap_or(&self.behind)
    }

    /// Ownership as of where a restart begins to read.
    fn restart_fold(&self) -> PartitionFold {
        self.inputs.held_tick().map_or(*self.considered_fold(), |tick| *tick.fold)
    }

    /// A record of this lane, by this writer or another.
    fn own(&mut self, at: Position, record: &RecordView, verdict: Verdict) -> Result<(), Failure> {
        match (verdict, &self.phase) {
            (Verdict::ClaimCounted, Phase::Claiming)
                if record.header.claim.as_ref().is_some_and(|claim| claim.nonce == self.nonce) =>
            {
                self.phase = Phase::Live;
                self.next_frame_no = 1;
                self.next_own_seq = self.fold.lane(S::SERVICE).next_own_seq;
            }
            (Verdict::ClaimCounted, Phase::Claiming | Phase::Live) => self.deposed()?,
            (Verdict::ClaimVoid, Phase::Claiming)
                if record.header.claim.as_ref().is_some_and(|claim| claim.nonce == self.nonce) =>
            {
                self.phase = Phase::Warm;
            }
            (Verdict::Counted, Phase::Live) => {
                let Some(frame) = self.in_flight.pop_front_if(|frame| frame.frame_no == record.header.frame_no) else {
                    return Err(Failure::Defect(format!("frame {at} counts and was not written here")));
                };
                self.applied = at.index + 1;
                self.tick_in_flight = self.tick_in_flight.filter(|tick| *tick != frame.frame_no);
                frame.jobs.into_iter().for_each(|job| job.done(at));
            }
            (Verdict::Counted, _) => self.apply_stored(at, record)?,
            (Verdict::Void, Phase::Live) if record.header.epoch == self.fold.lane(S::SERVICE).epoch.unwrap_or(0) => {
                self.deposed()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Folds a frame of this lane that stands in the log.
    fn apply_stored(&mut self, at: Position, record: &RecordView) -> Result<(), Failure> {
        let lane = *self.fold.lane(S::SERVICE);
        self.considered = self.considered.max(lane.consumed);
        self.inputs.considered(self.considered, lane.settled);
        if at.index < self.applied {
            return Ok(());
        }
        let events = record.events().map_err(|damage| Failure::Log(format!("damaged at {at}: {damage}")))?;
        let mut own_seq = record.header.first_own_seq;
        for bytes in events {
            let event =
                Event::decode(bytes).map_err(|e| Failure::Log(format!("damaged at {at}: event {own_seq}: {e}")))?;
            self.check_known(&event, at)?;
            if let Some(Body::Checkpoint(checkpoint)) = &event.body {
                let digest = self.collect();
                let comparable = checkpoint.digest_version == DIGEST_VERSION;
                if comparable && checkpoint.digest != digest.to_le_bytes() {
                    return Err(Failure::Differs { at });
                }
                self.since_checkpoint = 0;
                self.flush_wanted = true;
            }
            self.state.apply(Own { partition: self.partition, own_seq }, &event);
            own_seq += 1;
            self.since_checkpoint += 1;
        }
        self.applied = at.index + 1;
        self.next_own_seq = own_seq;
        if std::mem::take(&mut self.flush_wanted) {
            self.flush()?;
        }
        Ok(())
    }

    fn check_known(&self, event: &Event, at: Position) -> Result<(), Failure> {
        if event.body.is_none() && event.must_understand {
            let what = format!("{at} holds an event of a newer version that must be understood: use that version");
            return Err(Failure::Log(what));
        }
        Ok(())
    }

    /// `false`: the log has no room.
    fn claim(&mut self) -> Result<bool, Failure> {
        let epoch = self.fold.lane(S::SERVICE).epoch;
        self.claims += 1;
        // Two writers may claim at the same end of the log. One of the claims counts, and only the
        // nonce says whose: the writer must be in it. The rest is derived from counts.
        let count = self.fold.next_index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.claims;
        self.nonce = count ^ ((S::SERVICE as u64) << 56) ^ self.options.writer;
        let claim = Claim { prev_epoch: epoch.unwrap_or_default(), lane_is_new: epoch.is_none(), nonce: self.nonce };
        let stamp = self.next_stamp();
        if !self.append(record::claim(S::SERVICE, claim, stamp))? {
            return Ok(false);
        }
        self.phase = Phase::Claiming;
        Ok(true)
    }

    /// Somebody else owns the lane: what was decided and not done never was.
    fn deposed(&mut self) -> Result<(), Failure> {
        tracing::warn!(service = S::SERVICE.name(), partition = self.partition, "a lane was taken over");
        self.assigned = false;
        self.start_over()
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
        let start = recover::start::<S>(&*self.log, self.partition, &self.store)?;
        self.state = start.state;
        self.fold = start.fold;
        self.behind = start.fold;
        self.snapshots.clear();
        self.inputs = Inputs::default();
        self.considered = start.fold.lane(S::SERVICE).consumed;
        self.applied = start.applied;
        self.last_checksum = start.checksum;
        self.next_own_seq = start.next_own_seq;
        self.unsent = None;
        self.changes.clear();
        self.since_checkpoint = 0;
        self.flush_wanted = false;
        self.newest_tick = None;
        self.tick_in_flight = None;
        self.phase = Phase::Warm;
        Ok(())
    }

    /// `false`: the log has no room now.
    fn append(&self, record: Bytes) -> Result<bool, Failure> {
        match self.log.append(self.partition, record) {
            Ok(()) => Ok(true),
            Err(AppendError::Full(_)) => Ok(false),
            Err(error @ (AppendError::Stopped(_) | AppendError::TooLarge { .. })) => {
                Err(Failure::Log(error.to_string()))
            }
        }
    }

    /// Hands the frame that waits for room to the log.
    fn send(&mut self) -> Result<bool, Failure> {
        let Some(record) = &self.unsent else { return Ok(false) };
        let sent = self.append(record.clone())?;
        if sent {
            self.unsent = None;
        }
        Ok(sent)
    }

    fn next_stamp(&mut self) -> Millis {
        self.stamp = self.stamp.max(self.fold.now).max(self.clock.wall_ms());
        self.stamp
    }

    fn live(&mut self) -> Result<bool, Failure> {
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

    /// Frames with events were considered that no frame of this lane says so.
    fn owes_answer(&self) -> bool {
        !S::SERVICE.upstreams().is_empty()
    }

    /// Jobs that wrote nothing are answered when what they were judged on is done.
    fn answer_unwritten(&mut self, jobs: Vec<Box<dyn Job<S>>>) -> bool {
        let any = !jobs.is_empty();
        match self.in_flight.back_mut() {
            Some(frame) => frame.jobs.extend(jobs),
            None => {
                let index = self.fold.next_index.saturating_sub(1);
                jobs.into_iter().for_each(|job| job.done(Position { partition: self.partition, index }));
            }
        }
        any
    }

    fn commit(&mut self, mut frame: Frame<S>) -> Result<(), Failure> {
        let lane = *self.fold.lane(S::SERVICE);
        let held = self.inputs.held_tick().map_or(u64::MAX, |tick| tick.index);
        let settled = settled::settled_with(self.considered_fold(), S::SERVICE, self.considered.index.min(held));
        let header = Header {
            service: S::SERVICE.number(),
            epoch: lane.epoch.unwrap_or_default(),
            frame_no: self.next_frame_no,
            first_own_seq: self.next_own_seq,
            consumed_index: self.considered.index,
            consumed_events: self.considered.events,
            settled_index: settled.max(lane.settled),
            record_time: self.next_stamp(),
            ..Header::default()
        };
        let count = u64::from(frame.builder.count());
        self.unsent = Some(frame.builder.finish(&header));
        self.in_flight.push_back(InFlight { frame_no: self.next_frame_no, jobs: frame.jobs });
        self.next_frame_no += 1;
        self.next_own_seq += count;
        self.since_checkpoint += count;
        self.send()?;
        Ok(())
    }

    fn context(&self, frame: &Frame<S>) -> Context {
        let next_own_seq = frame.first_own_seq + u64::from(frame.builder.count());
        Context { partition: self.partition, now: frame.begun_at, next_own_seq }
    }

    /// Takes the events of one decision into the frame and into the state.
    fn take(&mut self, frame: &mut Frame<S>, events: Vec<Event>) -> Result<(), TooLarge> {
        let (count, bytes) = (frame.builder.count(), frame.builder.bytes());
        events.iter().for_each(|event| frame.builder.push(event));
        let decided = frame.builder.bytes() - bytes;
        if decided > MAX_DECISION_BYTES {
            frame.builder.cut_back(count, bytes);
            return Err(TooLarge(decided));
        }
        for (number, event) in (0_u32..).zip(&events) {
            let own_seq = frame.first_own_seq + u64::from(count + number);
            self.state.apply(Own { partition: self.partition, own_seq }, event);
        }
        Ok(())
    }

    /// Lets the state go on with what follows from its own events.
    fn follow_up(&mut self, frame: &mut Frame<S>, limit: usize) -> Result<(), Failure> {
        for _ in 0..limit {
            if frame.builder.bytes() >= FRAME_TARGET_BYTES {
                break;
            }
            let mut events = Vec::new();
            let context = self.context(frame);
            self.state.follow_up(&context, &mut events);
            if events.is_empty() {
                break;
            }
            self.take(frame, events)?;
        }
        Ok(())
    }

    /// Considers inputs until the frame is full: frames in log order, a tick once all that could
    /// cancel a timer of it was considered. Was there any?
    fn consider(&mut self, frame: &mut Frame<S>) -> Result<bool, Failure> {
        let mut any = false;
        while frame.builder.bytes() < FRAME_TARGET_BYTES {
            if let Some(tick) = self.ripe_tick() {
                self.fire_due(frame, &tick)?;
                any = true;
                continue;
            }
            match self.inputs.front() {
                None => break,
                Some(Input::Tick(tick)) => {
                    let after = tick.index + 1;
                    self.inputs.hold_tick();
                    self.move_considered(after, 0);
                }
                Some(Input::Frame { .. }) => {
                    self.consider_frame(frame)?;
                    any = true;
                }
            }
        }
        Ok(any)
    }

    /// The first tick that was passed, if nothing can cancel a timer of it any more.
    fn ripe_tick(&self) -> Option<Tick> {
        let ripe = |tick: &&Tick| settled::may_act_on_tick(self.considered_fold(), S::SERVICE, tick.index);
        self.inputs.held_tick().filter(ripe).cloned()
    }

    /// Fires timers that are due by a tick, until the frame is full or none is left.
    fn fire_due(&mut self, frame: &mut Frame<S>, tick: &Tick) -> Result<(), Failure> {
        let own_seq_end = tick.fold.lane(S::SERVICE).next_own_seq;
        let due = self.state.timers().due(tick.stamp, own_seq_end, TIMER_PAGE);
        if due.is_empty() {
            self.inputs.drop_tick();
            return Ok(());
        }
        let is_due = |state: &mut S, key| state.timers().armed_by(&key).is_some_and(|own_seq| own_seq < own_seq_end);
        for key in due {
            // Those that fired before it may have moved it or taken it away.
            if !is_due(&mut self.state, key) {
                continue;
            }
            let timer = DueTimer { due: key.due, entity: key.entity, kind: key.kind };
            let mut events = Vec::new();
            let context = self.context(frame);
            self.state.fire(&context, timer, &mut events);
            self.take(frame, events)?;
            self.follow_up(frame, FOLLOW_UPS)?;
            if is_due(&mut self.state, key) {
                return Err(Failure::Defect(format!("{key:?} fired and is still armed")));
            }
            if frame.builder.bytes() >= FRAME_TARGET_BYTES {
                break;
            }
        }
        Ok(())
    }

    fn consider_frame(&mut self, frame: &mut Frame<S>) -> Result<(), Failure> {
        let Some(Input::Frame { index, first_own_seq, events, next }) = self.inputs.front_mut() else { return Ok(()) };
        let (index, number, count) = (*index, *next, u32::try_from(events.len()).unwrap_or(u32::MAX));
        let own_seq = *first_own_seq + u64::from(number);
        let bytes = events.get(number as usize).cloned();
        *next += 1;
        let done = *next >= count;
        if let Some(bytes) = bytes {
            let at = Position { partition: self.partition, index };
            let input =
                Event::decode(bytes).map_err(|e| Failure::Log(format!("damaged at {at}: event {number}: {e}")))?;
            self.check_known(&input, at)?;
            let source = Source { index, event: number, own_seq };
            let mut decided = Vec::new();
            let context = self.context(frame);
            let state = &self.state;
            let decision = catch_unwind(AssertUnwindSafe(|| state.consider(&context, source, &input, &mut decided)));
            let decision = decision.unwrap_or_else(|panic| Err(CoreFailure(panic_text(&*panic))));
            let taken = decision
                .and_then(|()| self.take(frame, decided).map_err(|too_large| CoreFailure(too_large.to_string())));
            if let Err(failure) = taken {
                tracing::error!(position = %at, event = number, %failure, "an input is set aside");
                let quarantined = Quarantined {
                    source_index: index,
                    source_event: number,
                    reason: failure.0,
                    source_own_seq: own_seq,
                    at: context.now,
                };
                self.take(frame, vec![event(&input.workspace, Body::Quarantined(quarantined))])?;
            }
            self.follow_up(frame, FOLLOW_UPS)?;
        }
        if done {
            self.inputs.pop();
            self.move_considered(index + 1, 0);
        } else {
            self.move_considered(index, number + 1);
        }
        Ok(())
    }

    fn move_considered(&mut self, index: u64, events: u32) {
        let mut considered = Consumed { index, events };
        if self.inputs.front().is_none() {
            // Nothing that stands further on in what was read concerns this service.
            considered = Consumed { index: self.behind.next_index, events: 0 };
        }
        self.considered = self.considered.max(considered);
    }

    fn run_jobs(&mut self, frame: &mut Frame<S>) -> Result<(), Failure> {
        while frame.builder.bytes() < FRAME_TARGET_BYTES {
            let next = self.job.take().or_else(|| self.next_waiting().or_else(|| self.jobs.pop()).map(|job| (job, 0)));
            let Some((mut job, part)) = next else { break };
            if job.not_before() > self.considered.index {
                self.waiting.entry(job.not_before()).or_default().push_back(job);
                continue;
            }
            let mut events = Vec::new();
            let context = self.context(frame);
            let state = &self.state;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.decide(part, state, &context, &mut events))) {
                tracing::error!(failure = panic_text(&*panic), "a command or query failed");
                job.lost();
                continue;
            }
            if let Err(too_large) = self.take(frame, events) {
                tracing::error!(%too_large, "a command was not taken");
                job.lost();
                continue;
            }
            self.follow_up(frame, FOLLOW_UPS)?;
            if part + 1 < job.parts() {
                self.job = Some((job, part + 1));
            } else {
                frame.jobs.push(job);
            }
        }
        Ok(())
    }

    fn next_waiting(&mut self) -> Option<Box<dyn Job<S>>> {
        let mut first = self.waiting.first_entry().filter(|first| *first.key() <= self.considered.index)?;
        let job = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        job
    }

    /// Has time reached the earliest timer, and nothing in the log says so yet?
    fn is_tick_due(&mut self) -> bool {
        let now = self.clock.wall_ms();
        let soon = now < self.last_tick.saturating_add(self.options.tick_interval_ms);
        let unread = self.newest_tick.is_some_and(|index| index >= self.considered.index);
        let waiting = unread || self.inputs.held_tick().is_some();
        if soon || self.tick_in_flight.is_some() || waiting || !self.may_fire(now) {
            return false;
        }
        let heartbeat = self.options.heartbeat_ms != 0
            && S::SERVICE == Service::Ingest
            && now >= self.fold.now.saturating_add(self.options.heartbeat_ms);
        heartbeat || self.state.timers().next_due().is_some_and(|due| due <= now)
    }

    /// A service has a new owner. Nothing counted for a while before: then what waits outside comes in
    /// first. Every lane reads so from the log, also one that claims when others are at work again.
    fn after_claim(&mut self, service: Service, last: Millis, claimed_at: Millis) {
        let down_ms = claimed_at.saturating_sub(last);
        let was_down = self.options.grace_ms != 0 && last != 0 && down_ms > JUMP_MS;
        let grace_ms = self.options.grace_ms;
        // A newer owner goes by its own clock: the one before it may have been wrong.
        let fires_from = if was_down { claimed_at.saturating_add(grace_ms) } else { Millis::MIN };
        self.fires_from[service as usize - 1] = fires_from;
        if was_down && service == S::SERVICE && self.phase == Phase::Claiming {
            let (service, partition) = (S::SERVICE.name(), self.partition);
            tracing::warn!(service, partition, down_ms, grace_ms, "timers wait after a downtime");
        }
    }

    fn fires_from(&self) -> Millis {
        self.fires_from.into_iter().max().unwrap_or(Millis::MIN)
    }

    /// Neither in the grace after a downtime, nor by a clock that jumped, nor while the log lies in
    /// the future.
    fn may_fire(&self, now: Millis) -> bool {
        if self.options.grace_ms == 0 {
            return true;
        }
        now >= self.fires_from() && self.clock.is_trusted() && self.fold.now <= now.saturating_add(JUMP_MS)
    }

    /// Is nothing on its way, and nothing known to do at this time? A tick that waits for upstreams is
    /// theirs to answer.
    pub fn is_quiet(&self) -> bool {
        if self.options.follow_only {
            // It considers nothing: what stands behind its own frames is not its to answer.
            return self.waiting.is_empty() && self.jobs.is_empty();
        }
        self.in_flight.is_empty()
            && self.job.is_none()
            && self.waiting.is_empty()
            && self.jobs.is_empty()
            && self.inputs.front().is_none()
            && self.behind.next_index == self.fold.next_index
    }

    /// In how many milliseconds the earliest timer is due; `None` when there is none.
    pub fn due_in_ms(&mut self) -> Option<u64> {
        let now = self.clock.wall_ms();
        let soonest = self.last_tick.saturating_add(self.options.tick_interval_ms).max(self.fires_from());
        let due = self.state.timers().next_due()?.max(soonest);
        Some(u64::try_from(due.saturating_sub(now)).unwrap_or(0).max(1))
    }

    /// Whom to wake when a job comes.
    pub fn wake_by(&self, waker: Waker) {
        self.jobs.wake_by(waker);
    }

    /// When the earliest timer is due.
    pub fn next_deadline(&mut self) -> Option<Millis> {
        self.state.timers().next_due()
    }

    /// Brings the digest up to date and returns it; what changed is kept for the next flush.
    pub fn collect(&mut self) -> u128 {
        let mut collector = recover::Collector::default();
        self.state.visit_tables(&mut collector);
        self.changes.extend(collector.changes.into_iter().map(|change| (change.key, change.value)));
        collector.digest
    }

    /// Stores what is done, unless frames are in flight or the lane only follows.
    ///
    /// Nothing is stored either by a lane that stopped, whose state may hold what was never written,
    /// nor by one that has not read up to what its state holds again: its position would lie too low.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let stopped = matches!(self.phase, Phase::Stopped(_));
        let follows = self.options.follow_only && !self.options.stores_following;
        if stopped || !self.in_flight.is_empty() || follows || self.fold.next_index < self.applied {
            return Ok(());
        }
        self.store_now()
    }

    /// Stores what was folded, also by a lane that only follows: for a rebuild in a state of its own.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn store_now(&mut self) -> Result<(), Failure> {
        if let Some(what) = self.store.failure() {
            return Err(Failure::State(what));
        }
        self.collect();
        let fold = self.restart_fold();
        recover::store(self, &fold)
    }

    /// What differs from the stored state, by table and key; `None`: gone.
    pub fn take_changes(&mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.collect();
        std::mem::take(&mut self.changes)
    }

    /// Shares its memory with other lanes from now on.
    pub fn share(&mut self, memory: &Arc<Memory>) {
        self.memory = memory.clone();
    }

    pub(crate) fn is_memory_short(&self, bytes: usize) -> bool {
        self.memory.is_short(self.held, bytes)
    }

    pub(crate) fn holds(&mut self, bytes: usize) {
        self.memory.holds(self.held, bytes);
        self.held = bytes;
    }

    /// The number of the next event: nothing is in flight when it is asked.
    pub(crate) fn done_own_seq(&self) -> u64 {
        self.next_own_seq
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a panic: {}", text.unwrap_or_default())
}

fn damaged(at: Position, damage: &Damage) -> Failure {
    Failure::Log(format!("damaged at {at}: {damage}"))
}

/// A frame that is being decided.
struct Frame<S> {
    builder: FrameBuilder,
    first_own_seq: u64,
    /// Time when it was begun. It is what decisions take for now: in a silent partition the newest
    /// counted frame may be a minute old, and an offer must not time out before it is seen.
    begun_at: Millis,
    jobs: Vec<Box<dyn Job<S>>>,
}

impl<S> Frame<S> {
    fn new(first_own_seq: u64, begun_at: Millis) -> Self {
        Self { builder: FrameBuilder::default(), first_own_seq, begun_at, jobs: Vec::new() }
    }
}
