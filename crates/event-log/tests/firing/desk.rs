//! A service as the runtime's lane is one: it considers the log in order, passes ticks that are not
//! ripe, and says in each frame how far it and its upstreams are settled.

use rejoinder_event_log::{PartitionFold, settled};
use rejoinder_model::Service;

use crate::log::{Fact, Log};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A tick fires timers that were armed after it.
    OldTickFires,
    /// A tick is acted on once the first upstream has considered it, settled or not.
    ConsumedOfOneUpstream,
    /// Whether a tick is ripe is asked as of what was read, not as of what was considered.
    RipeAsOfRead,
    /// So is what is written as settled.
    SettledAsOfRead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Timer {
    pub(crate) due: i64,
    /// The number of the event that armed it.
    own_seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Desk {
    pub(crate) service: Service,
    /// The first record not considered.
    pub(crate) considered: u64,
    /// Ticks that were passed and not acted on.
    pub(crate) held: Vec<u64>,
    pub(crate) timer: Option<Timer>,
}

/// What a desk has to do next.
enum Next {
    Act { tick: u64 },
    Pass { tick: u64 },
    Consider { index: u64 },
}

impl Desk {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, considered: 0, held: Vec::new(), timer: None }
    }

    /// A desk that starts again from what its frames say.
    pub(crate) fn restarted(service: Service, log: &Log) -> Self {
        let lane = *log.fold.lane(service);
        let held = (lane.settled..lane.consumed.index).filter(|index| log.stamp_of_tick(*index).is_some()).collect();
        let mut desk = Self { service, considered: lane.consumed.index, held, timer: None };
        for entry in log.entries.iter().filter(|entry| entry.service == service) {
            for (own_seq, fact) in (entry.header.first_own_seq..).zip(&entry.facts) {
                desk.apply(own_seq, *fact);
            }
        }
        desk
    }

    fn apply(&mut self, own_seq: u64, fact: Fact) {
        match fact {
            Fact::Armed { due } => self.timer = Some(Timer { due, own_seq }),
            Fact::Fired { .. } | Fact::Cancelled => self.timer = None,
            Fact::Asked { .. } | Fact::Answered | Fact::Tick => {}
        }
    }

    /// Has it anything to do?
    pub(crate) fn is_idle(&self, fault: Option<Fault>, log: &Log) -> bool {
        self.next(fault, log).is_none()
    }

    fn next(&self, fault: Option<Fault>, log: &Log) -> Option<Next> {
        let place = self.place(log);
        if let Some(tick) = self.held.first().copied()
            && self.is_ripe(fault, log, place, tick)
        {
            return Some(Next::Act { tick });
        }
        let end = log.entries.len() as u64;
        let is_tick = log.stamp_of_tick(place).is_some();
        (place < end).then_some(if is_tick { Next::Pass { tick: place } } else { Next::Consider { index: place } })
    }

    /// The first record that concerns it and is not considered.
    fn place(&self, log: &Log) -> u64 {
        let end = log.entries.len() as u64;
        let concerns = |index: &u64| {
            let entry = &log.entries[*index as usize];
            let is_upstream = self.service.upstreams().contains(&entry.service);
            log.stamp_of_tick(*index).is_some() || (is_upstream && !entry.facts.is_empty())
        };
        (self.considered..end).find(concerns).unwrap_or(end)
    }

    fn is_ripe(&self, fault: Option<Fault>, log: &Log, place: u64, tick: u64) -> bool {
        match fault {
            Some(Fault::ConsumedOfOneUpstream) => {
                let first = self.service.upstreams()[0];
                first == Service::Ingest || log.fold_to(place).lane(first).consumed.index > tick
            }
            Some(Fault::RipeAsOfRead) => settled::may_act_on_tick(&log.fold, self.service, tick),
            _ => settled::may_act_on_tick(&log.fold_to(place), self.service, tick),
        }
    }

    /// Does what there is to do, one thing or all, and writes a frame about it.
    pub(crate) fn work(&mut self, fault: Option<Fault>, log: &mut Log, all: bool) {
        let mut facts = Vec::new();
        let mut owes = false;
        while let Some(next) = self.next(fault, log) {
            match next {
                Next::Pass { tick } => {
                    self.held.push(tick);
                    self.considered = tick + 1;
                    continue;
                }
                Next::Act { tick } => {
                    self.act(fault, log, tick, &mut facts);
                    self.held.remove(0);
                }
                Next::Consider { index } => {
                    for fact in log.entries[index as usize].facts.clone() {
                        self.consider(log, log.entries[index as usize].service, fact, &mut facts);
                    }
                    self.considered = index + 1;
                }
            }
            owes = true;
            if !all {
                break;
            }
        }
        self.considered = self.place(log);
        if owes {
            let settled = self.settled(fault, &log.fold_to(self.considered), &log.fold);
            log.append(self.service, 0, (self.considered, settled), facts);
        }
    }

    fn settled(&self, fault: Option<Fault>, considered: &PartitionFold, read: &PartitionFold) -> u64 {
        let below = self.held.first().map_or(self.considered, |tick| self.considered.min(*tick));
        let fold = if fault == Some(Fault::SettledAsOfRead) { read } else { considered };
        settled::settled_with(fold, self.service, below).max(read.lane(self.service).settled)
    }

    /// Fires its timer, if the tick says so.
    fn act(&mut self, fault: Option<Fault>, log: &Log, tick: u64, facts: &mut Vec<Fact>) {
        let Some(timer) = self.timer else { return };
        let is_due = log.stamp_of_tick(tick).is_some_and(|stamp| timer.due <= stamp);
        let is_older = timer.own_seq < log.fold_to(tick).lane(self.service).next_own_seq;
        if is_due && (is_older || fault == Some(Fault::OldTickFires)) {
            self.write(log, Fact::Fired { tick }, facts);
        }
    }

    /// Passes on what its upstream says. A question arms its timer, an answer cancels it; the last in
    /// line hears of answers by the longest way.
    fn consider(&mut self, log: &Log, from: Service, fact: Fact, facts: &mut Vec<Fact>) {
        let cancels = self.service != Service::SlaTimer || from == Service::Routing;
        match fact {
            Fact::Asked { due } if from == self.service.upstreams()[0] => {
                self.write(log, fact, facts);
                self.write(log, Fact::Armed { due }, facts);
            }
            Fact::Answered if cancels => {
                self.write(log, fact, facts);
                if self.timer.is_some() {
                    self.write(log, Fact::Cancelled, facts);
                }
            }
            Fact::Asked { .. }
            | Fact::Answered
            | Fact::Tick
            | Fact::Armed { .. }
            | Fact::Fired { .. }
            | Fact::Cancelled => {}
        }
    }

    fn write(&mut self, log: &Log, fact: Fact, facts: &mut Vec<Fact>) {
        let own_seq = log.fold.lane(self.service).next_own_seq + facts.len() as u64;
        self.apply(own_seq, fact);
        facts.push(fact);
    }
}
