//! Offers: one accept wins by log order; declined, timed out and revoked ones let the item wait again.

use rejoinder_machine::{Context, DueTimer};
use rejoinder_model::OfferId;
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    AgentPresenceChanged, Event, OfferAccepted, OfferDeclined, OfferMade, OfferTimedOut, Presence,
    agent_presence_changed, offer_revoked, work_item_assigned, work_item_queued,
};

use crate::decision::Decision;
use crate::record::{Held, Item, Offer, OfferState, Phase};
use crate::state::Routing;

impl Decision<'_> {
    /// Asks an agent.
    pub(crate) fn offer(&mut self, id: u64, item: &Item, agent: &str) {
        let kind = self.kind(item);
        let (at, offer) = (self.now(), self.next_number());
        self.push(Body::OfferMade(OfferMade {
            offer,
            item: id,
            thread: item.thread,
            agent: agent.to_owned(),
            queue: item.queue.clone(),
            band: item.band,
            at,
            expires_at: at.saturating_add(kind.offer_timeout_ms),
            cost: kind.cost,
            policy_version: self.policy.version,
            eligible_since: item.eligible_since,
            channel: item.channel.clone(),
            kind: item.kind.clone(),
        }));
        let held = Held { item: id, offer, phase: Phase::Offered, kind: kind.name, cost: kind.cost, until: 0 };
        self.hold(agent, held);
    }

    /// The agent takes the item; all others that were asked are told.
    pub(crate) fn accept(&mut self, number: u64, offer: &Offer, mut item: Item) {
        let (thread, agent, at) = (item.thread, offer.agent.clone(), self.now());
        self.push(Body::OfferAccepted(OfferAccepted { offer: number, item: offer.item, thread, agent, at }));
        self.revoke_offers(offer.item, &mut item, number, offer_revoked::Reason::OtherAccepted);
        self.assign(offer.item, &item, &offer.agent, work_item_assigned::Cause::Accepted);
    }

    /// The agent does not want the item.
    pub(crate) fn decline(&mut self, number: u64, offer: &Offer, mut item: Item, reason: &str) {
        let at = self.now();
        let excluded_until = at.saturating_add(self.policy.declined_ms);
        self.push(Body::OfferDeclined(OfferDeclined {
            offer: number,
            item: offer.item,
            thread: item.thread,
            agent: offer.agent.clone(),
            reason: reason.to_owned(),
            at,
            excluded_until,
        }));
        item.shunned.push((offer.agent.clone(), excluded_until));
        self.ended(number, offer, item);
    }

    /// The agent said nothing: after so many in a row it is not asked any more.
    fn time_out(&mut self, number: u64, offer: &Offer, item: Item) {
        let at = self.now();
        self.push(Body::OfferTimedOut(OfferTimedOut {
            offer: number,
            item: offer.item,
            thread: item.thread,
            agent: offer.agent.clone(),
            due: offer.expires_at,
            at,
        }));
        let agent = self.agent(&offer.agent);
        let timed_out = agent.timed_out.saturating_add(1);
        if timed_out >= self.policy.not_responding_after && agent.presence() == Presence::Available {
            self.push(Body::AgentPresenceChanged(AgentPresenceChanged {
                agent: agent.id.clone(),
                from: agent.presence,
                to: Presence::NotResponding as i32,
                cause: agent_presence_changed::Cause::OfferTimedOut as i32,
                session: agent.session,
                at,
                live_give_back_at: agent.live_give_back_at,
                give_back_at: agent.give_back_at,
                timed_out,
                ..AgentPresenceChanged::default()
            }));
        }
        self.ended(number, offer, item);
    }

    /// An offer has ended without an accept; the last one lets the item wait again.
    pub(crate) fn ended(&mut self, number: u64, offer: &Offer, mut item: Item) {
        self.release(&offer.agent, offer.item);
        item.offers.retain(|other| *other != number);
        if item.preferred == offer.agent {
            // Who knows the customer was asked.
            (item.preferred, item.preferred_until) = (String::new(), 0);
        }
        if item.offers.is_empty() {
            self.requeue(offer.item, item, work_item_queued::Cause::OffersEnded);
        }
    }
}

/// An offer's time is over.
pub(crate) fn fire(state: &Routing, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
    let Some(offer) = state.offers.get(&OfferId(timer.entity)) else { return };
    let mut decision = Decision::new(state, context, &offer.workspace, out);
    if let (OfferState::Pending, Some(item)) = (offer.state, decision.item(offer.item)) {
        decision.time_out(timer.entity, &offer, item);
    }
}
