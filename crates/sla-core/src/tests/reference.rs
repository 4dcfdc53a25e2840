//! The rules once more, slowly and in another way: messages in order of their times, commands where
//! they stand, and every clock moved by hand from event to event.

use rejoinder_model::Millis;
use rejoinder_wire::event::Metric;

/// What happens to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Customer,
    Agent,
    Bot,
    Hold,
    Over,
    Resolve,
    Reopen,
}

/// How a clock ended, or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Live,
    Met,
    NotNeeded,
}

/// A clock as the reference has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) metric: i32,
    pub(crate) opened_at: Millis,
    pub(crate) how: How,
    /// When it ended.
    pub(crate) ended_at: Option<Millis>,
    pub(crate) elapsed_ms: Millis,
    pub(crate) breached: bool,
}

struct Running {
    kept: Kept,
    since: Option<Millis>,
    target_ms: Millis,
}

impl Running {
    /// Lets time pass.
    fn reach(&mut self, now: Millis) {
        if let Some(since) = self.since {
            self.kept.elapsed_ms += now - since;
            self.since = Some(now);
            self.kept.breached |= self.kept.elapsed_ms > self.target_ms;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    AwaitingAgent,
    AwaitingCustomer,
    OnHold,
    Resolved,
}

/// Clocks moved by hand. Round the clock, all targets alike; a bot is nobody for first_response.
pub(crate) struct Reference {
    clocks: Vec<Running>,
    state: State,
    asked: bool,
    /// A question waits for a reply.
    pending: bool,
    target_ms: Millis,
}

impl Reference {
    pub(crate) fn new(target_ms: Millis) -> Self {
        Self { clocks: Vec::new(), state: State::New, asked: false, pending: false, target_ms }
    }

    pub(crate) fn step(&mut self, now: Millis, step: Step) {
        self.clocks.iter_mut().for_each(|clock| clock.reach(now));
        let before = self.state;
        match step {
            Step::Customer => {
                self.state = State::AwaitingAgent;
                if !std::mem::replace(&mut self.asked, true) {
                    self.pending = true;
                    self.open(Metric::FirstResponse, now);
                } else if !std::mem::replace(&mut self.pending, true) {
                    self.open(Metric::NextResponse, now);
                }
                self.life(before, now);
            }
            Step::Agent | Step::Bot => {
                if !matches!(self.state, State::OnHold | State::Resolved) {
                    self.state = State::AwaitingCustomer;
                }
                if self.asked {
                    self.pending = false;
                    self.end(Metric::NextResponse, How::Met, now);
                    self.end(Metric::PeriodicUpdate, How::Met, now);
                    if self.state != State::Resolved {
                        self.open(Metric::PeriodicUpdate, now);
                    }
                    if step == Step::Agent {
                        self.end(Metric::FirstResponse, How::Met, now);
                    }
                }
            }
            Step::Hold => self.state = State::OnHold,
            Step::Over => self.state = State::AwaitingAgent,
            Step::Resolve => {
                self.state = State::Resolved;
                self.pending = false;
                for metric in [Metric::FirstResponse, Metric::NextResponse, Metric::PeriodicUpdate] {
                    self.end(metric, How::NotNeeded, now);
                }
                for metric in [Metric::RequesterWait, Metric::AgentWork, Metric::Resolution] {
                    self.end(metric, How::Met, now);
                }
            }
            Step::Reopen => {
                self.state = State::AwaitingAgent;
                if before == State::Resolved {
                    self.pending = true;
                    self.open(Metric::NextResponse, now);
                    self.life(before, now);
                }
            }
        }
        let awaiting = self.state == State::AwaitingAgent;
        for clock in self.clocks.iter_mut().filter(|clock| clock.kept.how == How::Live) {
            let pauses = [Metric::AgentWork as i32, Metric::NextResponse as i32].contains(&clock.kept.metric);
            clock.since = (awaiting || !pauses).then_some(now);
        }
    }

    /// The clocks of the thread's life, as it opens or opens again.
    fn life(&mut self, before: State, now: Millis) {
        let open = |metric: Metric, clocks: &[Running]| {
            clocks.iter().any(|clock| clock.kept.metric == metric as i32 && clock.kept.how == How::Live)
        };
        for metric in [Metric::RequesterWait, Metric::AgentWork] {
            if !open(metric, &self.clocks) {
                self.open(metric, now);
            }
        }
        let known = self.clocks.iter_mut().rev().find(|clock| clock.kept.metric == Metric::Resolution as i32);
        match known {
            Some(clock) if before == State::Resolved => {
                clock.kept.how = How::Live;
                clock.kept.ended_at = None;
                clock.since = Some(now);
            }
            Some(_) => {}
            None => self.open(Metric::Resolution, now),
        }
    }

    fn open(&mut self, metric: Metric, now: Millis) {
        let kept = Kept {
            metric: metric as i32,
            opened_at: now,
            how: How::Live,
            ended_at: None,
            elapsed_ms: 0,
            breached: false,
        };
        self.clocks.push(Running { kept, since: Some(now), target_ms: self.target_ms });
    }

    fn end(&mut self, metric: Metric, how: How, now: Millis) {
        let live = |clock: &&mut Running| clock.kept.metric == metric as i32 && clock.kept.how == How::Live;
        for clock in self.clocks.iter_mut().filter(live) {
            clock.kept.how = how;
            clock.kept.ended_at = Some(now);
            clock.since = None;
        }
    }

    /// The clocks as they are at the end.
    pub(crate) fn kept(mut self, now: Millis) -> Vec<Kept> {
        self.clocks.iter_mut().for_each(|clock| clock.reach(now));
        let mut kept: Vec<Kept> = self.clocks.into_iter().map(|clock| clock.kept).collect();
        kept.sort();
        kept
    }
}
