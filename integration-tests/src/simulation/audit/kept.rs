//! What clients were told stands in the log, and stays true.

use rejoinder_model::InteractionId;

use super::Auditor;
use crate::simulation::Wrong;
use crate::simulation::promises::{Outcome, Promise, View, alarms_of, held_by, threads_of};

impl Auditor {
    /// Sees which answers show the state as it is now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only answers that show a state are compared")]
    pub(super) fn compare_shown(&mut self, index: u64) {
        let (threading, routing, sla) = (&self.placement.state, &self.work.state, &self.clocks.state);
        let is_so = |promise: &Promise| match promise {
            Promise::Shown { workspace, view, .. } => match view {
                View::Threads(threads) => threads_of(threading, workspace) == *threads,
                View::Work { agent, held } => held_by(routing, workspace, agent) == *held,
                View::Alarms(alarms) => alarms_of(sla, workspace) == *alarms,
            },
            _ => true,
        };
        if let Some(shown) = self.shown.get_mut(&index) {
            shown.retain(|promise| !is_so(promise));
        }
    }

    pub(super) fn keeps(&self, promise: &Promise) -> Result<(), Wrong> {
        let (kept, why) = match promise {
            Promise::Stands { key, id } => {
                let stands = self.received.get(key).map(|own_seq| InteractionId::new(self.partition, *own_seq));
                (stands == Some(*id), "acknowledged and not in the log under this id")
            }
            Promise::Edited { key, version } => {
                let newest = self.revised.get(key);
                (newest.is_some_and(|newest| newest >= version), "acknowledged and not in the log")
            }
            Promise::Deleted { key } => (self.revised.get(key) == Some(&i64::MAX), "acknowledged and not in the log"),
            Promise::Refused { key } => (!self.received.contains_key(key), "refused and in the log"),
            Promise::Commanded { service, request, index } => {
                let decided = self.requests.get(&(*service, *request));
                let stands = decided.is_some_and(|decided| decided.iter().any(|(_, at)| at <= index));
                (stands, "done and not in the log")
            }
            Promise::CommandRefused { service, request } => {
                (!self.requests.contains_key(&(*service, *request)), "refused and in the log")
            }
            Promise::Ended { offer, outcome, index } => {
                let ended = self.work.offers.outcome(offer.0);
                (ended.is_some_and(|(how, at)| how == *outcome && at <= *index), "done and not in the log")
            }
            Promise::TooLate { offer } => {
                let ended = self.work.offers.outcome(offer.0);
                (ended.is_none_or(|(how, _)| how != Outcome::Accepted), "refused and in the log")
            }
            Promise::Speaks { session, index } => {
                let opened = self.work.sessions.get(session);
                (opened.is_some_and(|at| at <= index), "done and not in the log")
            }
            Promise::Shown { index, .. } => (*index < self.fold.next_index, "shown as of beyond the end"),
        };
        if kept { Ok(()) } else { Err(promise.broken(why)) }
    }
}
