//! The metrics: what opens a clock, while what it runs, and what fulfils it. One file each.
//!
//! A metric says which instances a thread should have by its facts. Whoever adds one adds a file, a
//! line in `ALL` and a table test with one line for each event.

use rejoinder_model::Millis;
use rejoinder_wire::event::{Metric, clock_cancelled::Reason};

use crate::record::{Rule, Workspace};
use crate::timeline::{Span, Timeline};

mod agent_work;
mod first_response;
mod next_response;
mod offer_accept;
mod periodic_update;
mod queue_wait;
mod requester_wait;
mod resolution;

/// One instance that a thread should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The key of what opened it.
    pub(crate) opener: u128,
    /// Its base thread.
    pub(crate) base: u64,
    /// The keys of all that it is about: a clock that one of them opened is this instance.
    pub(crate) covers: Vec<u128>,
    /// When it opened.
    pub(crate) start: Millis,
    /// When it ran, in order. The last is open while it runs.
    pub(crate) spans: Vec<Span>,
    pub(crate) end: End,
    /// own_seq of the newest fact that it is made of.
    pub(crate) seq: u64,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Running,
    Paused,
    Met(Millis),
    Cancelled(Millis, Reason),
}

impl End {
    /// When it was fulfilled or given up.
    pub(crate) fn time(self) -> Option<Millis> {
        match self {
            Self::Running | Self::Paused => None,
            Self::Met(at) | Self::Cancelled(at, _) => Some(at),
        }
    }

    /// Of a clock that stands still when no span of it is open.
    fn live(spans: &[Span]) -> Self {
        if spans.last().is_some_and(|span| span.to.is_none()) { Self::Running } else { Self::Paused }
    }
}

/// What a metric may know besides the thread.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) workspace: &'a Workspace,
}

/// The instances of one metric.
type Plan = fn(&Timeline<'_>, Terms<'_>) -> Vec<Instance>;

/// All metrics.
pub(crate) const ALL: [(Metric, Plan); 8] = [
    (Metric::FirstResponse, first_response::plan),
    (Metric::NextResponse, next_response::plan),
    (Metric::PeriodicUpdate, periodic_update::plan),
    (Metric::RequesterWait, requester_wait::plan),
    (Metric::AgentWork, agent_work::plan),
    (Metric::Resolution, resolution::plan),
    (Metric::QueueWait, queue_wait::plan),
    (Metric::OfferAccept, offer_accept::plan),
];

/// A metric's name in policies and on the command line.
#[must_use]
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Unspecified => "unspecified",
        Metric::FirstResponse => "first_response",
        Metric::NextResponse => "next_response",
        Metric::PeriodicUpdate => "periodic_update",
        Metric::RequesterWait => "requester_wait",
        Metric::AgentWork => "agent_work",
        Metric::Resolution => "resolution",
        Metric::QueueWait => "queue_wait",
        Metric::OfferAccept => "offer_accept",
        Metric::Ownership => "ownership",
        Metric::PlatformWindow => "platform_window",
    }
}
