//! What must never be, counted by a client of the event feed: two owners of one item, more held than the
//! capacity allows, an offer that ends twice.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_model::{OfferId, WorkItemId};
use rejoinder_wire::event::event::Body;

/// Findings that are kept; the first ones tell most.
const MAX_FINDINGS: usize = 20;

/// Who holds what, as the events have it.
#[derive(Default)]
pub(super) struct Audit {
    /// Capacity by agent, as the policy has it.
    totals: BTreeMap<String, u32>,
    /// Offered and assigned items of agents, with their costs.
    held: BTreeMap<String, BTreeMap<u64, u32>>,
    owners: BTreeMap<u64, String>,
    /// Offers that stand.
    pending: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    /// Agents who hold more than their capacity, by a rule that allows it.
    allowed: BTreeSet<String>,
    /// Agents whom the events of the frame concern.
    touched: BTreeSet<String>,
    pub(super) overcommitted: u64,
    pub(super) most_used: u32,
    pub(super) findings: Vec<String>,
}

impl Audit {
    pub(super) fn new(totals: BTreeMap<String, u32>) -> Self {
        Self { totals, ..Self::default() }
    }

    pub(super) fn find(&mut self, what: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(what);
        }
    }

    fn holds(&mut self, agent: &str, item: u64, cost: u32) {
        self.held.entry(agent.to_owned()).or_default().insert(item, cost);
        self.touched.insert(agent.to_owned());
    }

    fn releases(&mut self, agent: &str, item: u64) {
        if let Some(held) = self.held.get_mut(agent) {
            held.remove(&item);
            self.touched.insert(agent.to_owned());
        }
    }

    fn ends(&mut self, offer: u64) {
        if !self.pending.remove(&offer) || !self.ended.insert(offer) {
            self.find(format!("offer {} ended and did not stand", OfferId(offer)));
        }
    }

    /// An agent has an item; it must be the only one.
    fn owns(&mut self, agent: &str, item: u64) {
        let before = self.owners.insert(item, agent.to_owned());
        if let Some(other) = before.filter(|other| other != agent) {
            self.find(format!("{agent} got {} while {other} had it", WorkItemId(item)));
        }
    }

    fn leaves(&mut self, agent: &str, item: u64) {
        if let Some(owner) = self.owners.get(&item).filter(|_| !agent.is_empty()).cloned() {
            if owner == agent {
                self.owners.remove(&item);
            } else {
                self.find(format!("{} left {agent} while {owner} had it", WorkItemId(item)));
            }
        }
        self.releases(agent, item);
    }

    /// An event of routing's.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about nothing that is checked here")]
    pub(super) fn event(&mut self, body: &Body) {
        match body {
            Body::OfferMade(made) => {
                if !self.pending.insert(made.offer) || self.ended.contains(&made.offer) {
                    self.find(format!("offer {} was made twice", OfferId(made.offer)));
                }
                self.holds(&made.agent, made.item, made.cost);
            }
            Body::OfferAccepted(over) => {
                self.ends(over.offer);
                self.owns(&over.agent, over.item);
            }
            Body::OfferDeclined(over) => {
                self.ends(over.offer);
                self.releases(&over.agent, over.item);
            }
            Body::OfferTimedOut(over) => {
                self.ends(over.offer);
                self.releases(&over.agent, over.item);
            }
            Body::OfferRevoked(over) => {
                self.ends(over.offer);
                self.releases(&over.agent, over.item);
            }
            Body::WorkItemAssigned(assigned) => {
                self.owns(&assigned.agent, assigned.item);
                self.holds(&assigned.agent, assigned.item, assigned.cost);
            }
            Body::WorkItemParked(parked) => self.leaves(&parked.from_agent, parked.item),
            Body::WorkItemDone(done) => self.leaves(&done.agent, done.item),
            Body::WorkItemCancelled(cancelled) => self.leaves(&cancelled.agent, cancelled.item),
            Body::WorkItemQueued(queued) => self.leaves(&queued.from_agent, queued.item),
            Body::Overcommitted(over) => {
                self.overcommitted += 1;
                self.allowed.insert(over.agent.clone());
            }
            _ => {}
        }
    }

    /// The events of a frame are over: what they left must be within the capacities.
    pub(super) fn frame_ends(&mut self) {
        for agent in std::mem::take(&mut self.touched) {
            let used = self.held.get(&agent).map_or(0, |held| held.values().sum::<u32>());
            let total = self.totals.get(&agent).copied().unwrap_or_default();
            if used <= total {
                self.most_used = self.most_used.max(used * 100 / total.max(1));
                self.allowed.remove(&agent);
            } else if !self.allowed.contains(&agent) {
                self.find(format!("{agent} held {used} of a capacity of {total}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::{OfferAccepted, OfferDeclined, OfferMade, Overcommitted, WorkItemAssigned};

    use super::*;

    fn made(offer: u64, item: u64, agent: &str) -> Body {
        Body::OfferMade(OfferMade { offer, item, agent: agent.into(), cost: 60, ..OfferMade::default() })
    }

    fn accepted(offer: u64, item: u64, agent: &str) -> Body {
        Body::OfferAccepted(OfferAccepted { offer, item, agent: agent.into(), ..OfferAccepted::default() })
    }

    fn findings(frames: &[&[&Body]]) -> usize {
        let mut audit = Audit::new([("ann".to_owned(), 100), ("bob".to_owned(), 100)].into());
        for frame in frames {
            frame.iter().for_each(|event| audit.event(event));
            audit.frame_ends();
        }
        audit.findings.len()
    }

    #[test]
    fn what_must_never_be_is_found() {
        let declined = Body::OfferDeclined(OfferDeclined { offer: 1, item: 7, ..OfferDeclined::default() });
        let woken = WorkItemAssigned { item: 8, agent: "ann".into(), cost: 60, ..WorkItemAssigned::default() };
        let woken = Body::WorkItemAssigned(woken);
        let over = Body::Overcommitted(Overcommitted { agent: "ann".into(), ..Overcommitted::default() });
        let (to_ann, to_bob) = (made(1, 7, "ann"), made(2, 7, "bob"));
        let (ann, bob, more) = (accepted(1, 7, "ann"), accepted(2, 7, "bob"), made(3, 8, "ann"));
        let one: [&[&Body]; 2] = [&[&to_ann], &[&ann]];
        assert_eq!(findings(&one), 0, "one offer, one accept");
        assert_eq!(findings(&[&[&to_ann, &to_bob], &[&ann], &[&bob]]), 1, "two owners");
        assert_eq!(findings(&[&[&to_ann], &[&ann], &[&declined]]), 1, "an end after the end");
        assert_eq!(findings(&[&[&to_ann, &more]]), 1, "more than the capacity");
        assert_eq!(findings(&[&[&to_ann], &[&ann], &[&woken]]), 1, "more by waking, and nothing says that it may be");
        assert_eq!(findings(&[&[&to_ann], &[&ann], &[&woken, &over]]), 0, "more by waking, as a rule allows");
    }
}
