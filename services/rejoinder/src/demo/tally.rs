//! What the agents count at their desktops: how long customers waited, and what they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use rejoinder_model::Millis;

/// Shared by all agents of the demo.
pub(super) struct Tally(Mutex<Counted>);

/// What was counted so far. Times are milliseconds.
pub(super) struct Counted {
    /// From a customer's message to the first offer that an agent was told of.
    pub(super) to_offer: Histogram<u64>,
    /// From the oldest unanswered message to the durable reply.
    pub(super) to_answer: Histogram<u64>,
    /// From an offer to its context.
    pub(super) to_context: Histogram<u64>,
    /// Items that somebody was told of.
    seen: BTreeSet<String>,
    /// Offers whose accept was answered with success.
    pub(super) accepted: BTreeSet<String>,
    /// Requests that were refused, by reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// What agents did.
    pub(super) did: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn new() -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_max(3_600_000, 3);
        Ok(Self(Mutex::new(Counted {
            to_offer: histogram()?,
            to_answer: histogram()?,
            to_context: histogram()?,
            seen: BTreeSet::new(),
            accepted: BTreeSet::new(),
            refused: BTreeMap::new(),
            did: BTreeMap::new(),
        })))
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent did something.
    pub(super) fn did(&self, what: &'static str) {
        *self.look().did.entry(what).or_default() += 1;
    }

    /// A request was refused: mostly somebody else was first.
    pub(super) fn refused(&self, reason: &str) {
        *self.look().refused.entry(reason.to_owned()).or_default() += 1;
    }

    /// An agent was told of an offer of an item whose customer waits since a time.
    pub(super) fn offered(&self, item: &str, waited: Millis) {
        let mut counted = self.look();
        if counted.seen.insert(item.to_owned()) {
            counted.to_offer.saturating_record(u64::try_from(waited).unwrap_or_default());
        }
    }
}

impl Counted {
    /// How often agents did something.
    pub(super) fn times(&self, what: &str) -> u64 {
        self.did.get(what).copied().unwrap_or_default()
    }
}
