//! Why an agent has not got an item: asked of the state as it is now.
//!
//! Decisions that were made are kept as they were explained then; the state as of an earlier position
//! comes back by folding the log up to it, which is not done here.

use rejoinder_model::Millis;
use rejoinder_wire::event::decision_explained::Reason;

use crate::record::{Agent, Decision, Phase};
use crate::state::Routing;

/// The answer about an item and an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyNot {
    /// Everything that stands between them now; empty: nothing.
    pub reasons: Vec<Reason>,
    /// The item waits for an agent; if not, reasons are those that would count if it did.
    pub waits: bool,
    /// The agent's place among the ten best of the last decision, from 1; 0: not among them.
    pub place_in_last_decision: u32,
}

/// Why an agent of a workspace has not got an item; `None` when there is no such item.
#[must_use]
pub fn why_not(state: &Routing, workspace: &str, id: u64, agent: &str, now: Millis) -> Option<WhyNot> {
    let item = state.item(id).filter(|item| item.workspace == workspace)?;
    let policy = state.policy(workspace);
    let known = state.agent(workspace, agent);
    let known = known.map_or_else(|| Agent::unseen(workspace, agent), |agent| (*agent).clone());
    // An item that has ended may be of a queue that the policy has no more: nobody serves it.
    let nobody_serves = || vec![Reason::NotInQueue];
    let reasons = state.searching(&policy, id, &item, now, |search| search.reasons(&known));
    let reasons = reasons.unwrap_or_else(nobody_serves);
    let best = state.decisions(id).last().map(|decision: &Decision| decision.best.clone()).unwrap_or_default();
    let place = best.iter().position(|candidate| candidate.agent == agent).map_or(0, |place| place + 1);
    Some(WhyNot {
        reasons,
        waits: matches!(item.phase, Phase::Queued | Phase::Offered),
        place_in_last_decision: u32::try_from(place).unwrap_or_default(),
    })
}
