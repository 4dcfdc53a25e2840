//! Agents come and go: sessions, presence, and what they give back when they are lost.
//!
//! A session is the stream that speaks for an agent. What an older stream says does not count. An agent
//! without a session gets no offers; after a minute it gives its live items back, the others later.

use rejoinder_machine::{Context, DueTimer};
use rejoinder_model::{Millis, OfferId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    AgentPresenceChanged, Event, OfferRevoked, Presence, agent_presence_changed::Cause, offer_revoked, work_item_queued,
};

use crate::capacity;
use crate::decision::Decision;
use crate::record::{Agent, Phase};
use crate::state::{LIVE_GIVE_BACK, Routing};

/// How an agent stands after a change.
#[derive(Clone, Copy)]
struct Stands {
    presence: Presence,
    session: u64,
    live_give_back_at: Millis,
    give_back_at: Millis,
    timed_out: u32,
}

impl Stands {
    fn of(agent: &Agent) -> Self {
        Self {
            presence: agent.presence(),
            session: agent.session,
            live_give_back_at: agent.live_give_back_at,
            give_back_at: agent.give_back_at,
            timed_out: agent.timed_out,
        }
    }
}

impl Decision<'_> {
    fn stands(&mut self, agent: &Agent, to: Stands, cause: Cause, actor: &str) {
        let at = self.now();
        self.push(Body::AgentPresenceChanged(AgentPresenceChanged {
            agent: agent.id.clone(),
            from: agent.presence,
            to: to.presence as i32,
            cause: cause as i32,
            session: to.session,
            at,
            live_give_back_at: to.live_give_back_at,
            give_back_at: to.give_back_at,
            timed_out: to.timed_out,
            actor: actor.to_owned(),
        }));
    }

    /// A stream speaks for the agent from now on; answers with its session.
    pub(crate) fn open_session(&mut self, id: &str) -> u64 {
        let agent = self.agent(id);
        let session = self.next_number();
        // Who went offline goes on giving back until they say that they are here.
        let give_back_at = if agent.presence() == Presence::Offline { agent.give_back_at } else { 0 };
        let to = Stands { session, live_give_back_at: 0, give_back_at, ..Stands::of(&agent) };
        self.stands(&agent, to, Cause::SessionOpened, "");
        session
    }

    /// The stream is gone.
    pub(crate) fn lose_session(&mut self, id: &str) {
        let agent = self.agent(id);
        let now = self.now();
        let give_back_at = match agent.give_back_at {
            0 if capacity::is_busy(&agent) => now.saturating_add(self.policy.give_back_ms),
            at => at,
        };
        let live_give_back_at = now.saturating_add(self.policy.live_give_back_ms);
        let to = Stands { session: 0, live_give_back_at, give_back_at, ..Stands::of(&agent) };
        self.stands(&agent, to, Cause::SessionLost, "");
        self.revoke_offers_of(id, offer_revoked::Reason::AgentLost);
    }

    /// The agent says, or is said, to be here or not.
    pub(crate) fn set_presence(&mut self, id: &str, presence: Presence, actor: &str) {
        let agent = self.agent(id);
        let mut to = Stands { presence, timed_out: 0, ..Stands::of(&agent) };
        let leaves = presence == Presence::Offline;
        if leaves {
            to.live_give_back_at = 0;
            if to.give_back_at == 0 && capacity::is_busy(&agent) {
                to.give_back_at = self.now().saturating_add(self.policy.give_back_ms);
            }
        } else if agent.session != 0 {
            (to.live_give_back_at, to.give_back_at) = (0, 0);
        }
        self.stands(&agent, to, Cause::Command, actor);
        if leaves {
            self.revoke_offers_of(id, offer_revoked::Reason::AgentLost);
            self.give_back_of(id, true);
        }
    }

    /// The policy does not know the agent any more.
    pub(crate) fn dismiss(&mut self, id: &str) {
        let agent = self.agent(id);
        if agent.session == 0 && agent.presence() == Presence::Offline && agent.held.is_empty() {
            return;
        }
        let to =
            Stands { presence: Presence::Offline, session: 0, live_give_back_at: 0, give_back_at: 0, timed_out: 0 };
        self.stands(&agent, to, Cause::Policy, "");
        self.revoke_offers_of(id, offer_revoked::Reason::Policy);
        self.give_back_of(id, false);
    }

    /// Offers to an agent end; items that nobody else was asked for wait again.
    pub(crate) fn revoke_offers_of(&mut self, id: &str, reason: offer_revoked::Reason) {
        for held in self.agent(id).held.iter().filter(|held| held.phase == Phase::Offered) {
            let (Some(offer), Some(item)) = (self.state.offers.get(&OfferId(held.offer)), self.item(held.item)) else {
                continue;
            };
            let (thread, agent, at) = (item.thread, id.to_owned(), self.now());
            let (offer_id, reason) = (held.offer, reason as i32);
            let revoked = OfferRevoked { offer: offer_id, item: held.item, thread, agent, reason, at };
            self.push(Body::OfferRevoked(revoked));
            self.ended(held.offer, &offer, item);
        }
    }

    /// The agent's items go to others: the live ones only, or all that take time.
    fn give_back_of(&mut self, id: &str, live_only: bool) {
        for held in &self.agent(id).held {
            let Some(item) = self.item(held.item) else { continue };
            if !live_only || self.kind(&item).live {
                self.give_back(held.item, item, work_item_queued::Cause::AgentLost);
            }
        }
    }

    fn give_back_in_time(&mut self, id: &str, live_only: bool) {
        let agent = self.agent(id);
        let mut to = Stands { presence: Presence::Offline, ..Stands::of(&agent) };
        if live_only {
            to.live_give_back_at = 0;
        } else {
            to.give_back_at = 0;
        }
        self.stands(&agent, to, Cause::GivenBack, "");
        self.revoke_offers_of(id, offer_revoked::Reason::AgentLost);
        self.give_back_of(id, live_only);
    }
}

/// An agent was away for too long.
pub(crate) fn fire(state: &Routing, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
    let agent = state.agent_numbers.get(&timer.entity).and_then(|key| state.agents.get(&key));
    let Some(agent) = agent else { return };
    let mut decision = Decision::new(state, context, &agent.workspace, out);
    decision.give_back_in_time(&agent.id, timer.kind == LIVE_GIVE_BACK);
}
