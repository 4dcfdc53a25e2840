//! Offers: each ends once, in one way; of those of one wait at most one is accepted.

use std::collections::BTreeMap;

use rejoinder_wire::event::{Event, OfferMade, event::Body};

use crate::simulation::Wrong;
use crate::simulation::promises::Outcome;

struct Offer {
    item: u64,
    agent: String,
    expires_at: i64,
    ended: Option<(Outcome, u64)>,
}

/// All offers.
#[derive(Default)]
pub(super) struct Offers {
    all: BTreeMap<u64, Offer>,
    /// Items with the offers of theirs that stand.
    standing: BTreeMap<u64, Vec<u64>>,
    /// Items that were accepted since they were queued.
    accepted: BTreeMap<u64, u64>,
}

/// How an event ends an offer: the offer, its item and agent.
pub(super) fn ending(event: &Event) -> Option<(u64, u64, &str, Outcome)> {
    Some(match &event.body {
        Some(Body::OfferAccepted(e)) => (e.offer, e.item, &e.agent, Outcome::Accepted),
        Some(Body::OfferDeclined(e)) => (e.offer, e.item, &e.agent, Outcome::Declined),
        Some(Body::OfferTimedOut(e)) => (e.offer, e.item, &e.agent, Outcome::TimedOut),
        Some(Body::OfferRevoked(e)) => (e.offer, e.item, &e.agent, Outcome::Revoked),
        _ => return None,
    })
}

impl Offers {
    pub(super) fn event(&mut self, index: u64, event: &Event) -> Result<(), Wrong> {
        if let Some(Body::OfferMade(made)) = &event.body {
            return self.make(made);
        }
        if let Some(Body::WorkItemQueued(queued)) = &event.body {
            self.accepted.remove(&queued.item);
        }
        let Some((id, item, agent, outcome)) = ending(event) else { return Ok(()) };
        let offer = self.all.get_mut(&id).ok_or_else(|| format!("offer {id} ends and was not made"))?;
        if let Some((before, _)) = offer.ended {
            return Err(format!("offer {id} is {outcome:?}, and was {before:?}"));
        }
        if (offer.item, offer.agent.as_str()) != (item, agent) {
            return Err(format!("offer {id} of {} to {} ends for {item}, {agent}", offer.item, offer.agent));
        }
        offer.ended = Some((outcome, index));
        if let Some(standing) = self.standing.get_mut(&item) {
            standing.retain(|other| *other != id);
        }
        if outcome == Outcome::Accepted
            && let Some(first) = self.accepted.insert(item, id)
        {
            return Err(format!("item {item} is accepted by offer {id} after {first}"));
        }
        Ok(())
    }

    fn make(&mut self, made: &OfferMade) -> Result<(), Wrong> {
        let OfferMade { offer: id, item, agent, at, expires_at, .. } = made;
        let standing = self.standing.entry(*item).or_default();
        let asked = standing.iter().any(|other| self.all.get(other).is_some_and(|other| other.agent == *agent));
        if asked || expires_at <= at || self.accepted.contains_key(item) {
            return Err(format!("offer {id} of {item} to {agent} until {expires_at} is made at {at}, in vain"));
        }
        standing.push(*id);
        let offer = Offer { item: *item, agent: agent.clone(), expires_at: *expires_at, ended: None };
        if self.all.insert(*id, offer).is_some() {
            return Err(format!("offer {id} is made twice"));
        }
        Ok(())
    }

    /// How many offers of an item stand.
    pub(super) fn standing(&self, item: u64) -> usize {
        self.standing.get(&item).map_or(0, Vec::len)
    }

    /// The agent whose offer of an item was accepted.
    pub(super) fn accepted_by(&self, item: u64) -> Option<&str> {
        let offer = self.accepted.get(&item).and_then(|id| self.all.get(id))?;
        Some(&offer.agent)
    }

    pub(super) fn expires_at(&self, offer: u64) -> i64 {
        self.all.get(&offer).map_or(0, |offer| offer.expires_at)
    }

    /// How an offer ended, and where.
    pub(super) fn outcome(&self, offer: u64) -> Option<(Outcome, u64)> {
        self.all.get(&offer).and_then(|offer| offer.ended)
    }

    /// When all is over no offer stands.
    pub(super) fn conclude(&self) -> Result<(), Wrong> {
        match self.all.iter().find(|(_, offer)| offer.ended.is_none()) {
            Some((id, offer)) => Err(format!("offer {id} to {} still stands in the end", offer.agent)),
            None => Ok(()),
        }
    }
}
