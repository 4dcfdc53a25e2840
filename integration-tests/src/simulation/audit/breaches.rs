//! No false breach: who answered in time never broke a promise, however late that came to light.
//!
//! The log says when each message was received and where it was placed. That alone is asked here, not
//! what sla-timer made of it.

use std::collections::BTreeMap;

use rejoinder_model::{MessageKey, Millis};
use rejoinder_wire::event::{ClockFigures, Direction, Metric};

use super::placement::{Placement, Said};
use super::time::Roots;
use crate::simulation::Wrong;

/// What a clock is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) metric: i32,
    /// The thread that it is on.
    pub(super) thread: u64,
    pub(super) opened_at: Millis,
    pub(super) due_at: Millis,
    /// What opened it.
    pub(super) opener: Option<MessageKey>,
}

impl About {
    pub(super) fn new(figures: &ClockFigures) -> Self {
        let ClockFigures { metric, thread, opened_at, due_at, .. } = *figures;
        Self { metric, thread, opened_at, due_at, opener: MessageKey::from_wire(&figures.opener) }
    }

    /// A reply that fulfilled it in time, among the messages that `counts` lets pass.
    fn reply_in_time<'p>(&self, placement: &'p Placement, counts: impl Fn(&Said) -> bool) -> Option<&'p Said> {
        let human_only = self.metric == Metric::FirstResponse as i32;
        let answered = [Metric::FirstResponse, Metric::NextResponse, Metric::PeriodicUpdate];
        if self.due_at == 0 || !answered.iter().any(|metric| *metric as i32 == self.metric) {
            return None;
        }
        let theirs = placement.said.iter().filter(|said| !said.moved && counts(said)).collect::<Vec<&Said>>();
        let asked: BTreeMap<MessageKey, Millis> =
            theirs.iter().filter(|said| !said.is_ours()).map(|said| (said.key, said.placed.clock_time)).collect();
        let replies = theirs.into_iter().filter(|said| said.is_ours() && !said.placed.deleted);
        let human = replies.filter(|said| !(human_only && said.placed.by_bot) && Some(said.key) != self.opener);
        human.into_iter().find(|said| {
            // Never before the question that it answers, whatever the clocks said.
            let question = MessageKey::from_wire(&said.placed.parent).and_then(|parent| asked.get(&parent));
            let time = question.map_or(said.placed.clock_time, |asked| said.placed.clock_time.max(*asked));
            // Of two replies at once the later by key counts: which one that is, is not asked here.
            let opened_it = self.metric == Metric::PeriodicUpdate as i32 && time == self.opened_at;
            (self.opened_at..=self.due_at).contains(&time) && !opened_it
        })
    }

    /// A reply that stood in the log before a tick makes a breach by this tick a false one. Threads are
    /// taken as they were by the tick; what was parted since then counts for nothing.
    pub(super) fn is_false(&self, tick: u64, roots: &Roots, placement: &Placement) -> Result<(), Wrong> {
        let (root, now) = (roots.get(&self.thread), placement.root(self.thread));
        let within = |said: &Said| {
            let base = said.placed.thread;
            root.is_some() && roots.get(&base) == root && placement.root(base) == now
        };
        let stood = self.reply_in_time(placement, |said| said.received < tick && within(said));
        stood.map_or(Ok(()), |reply| {
            let at = reply.received;
            Err(format!("a false breach of {self:?} by the tick at {tick}: {at} holds a reply in time"))
        })
    }

    /// A reply that came whenever, and takes a breach back.
    pub(super) fn came_in_the_end<'p>(&self, placement: &'p Placement) -> Option<&'p Said> {
        let now = placement.root(self.thread)?;
        self.reply_in_time(placement, |said| placement.root(said.placed.thread) == Some(now))
    }
}

impl Said {
    fn is_ours(&self) -> bool {
        self.placed.direction == Direction::Outbound as i32
    }
}
