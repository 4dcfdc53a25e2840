//! What routing did: the fold of its events, led past the rules of offers, owners and capacity.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_event_log::PartitionFold;
use rejoinder_machine::{NoBacking, Own, State, TimerKey};
use rejoinder_model::{Service, WorkItemId};
use rejoinder_routing_core::record::Phase;
use rejoinder_routing_core::{Routing, why_not};
use rejoinder_wire::event::{AgentPresenceChanged, Event, PolicyPublished, agent_presence_changed::Cause, event::Body};

use super::Frame;
use super::capacity::Capacity;
use super::offers::Offers;
use super::owners::Owners;
use super::placement::Placement;
use super::time::Time;
use crate::simulation::Wrong;
use crate::simulation::trace::Roughness;

/// Which timer an offer has, and which ones an agent.
const OFFER: u8 = 2;
const LIVE_GIVE_BACK: u8 = 5;
const GIVE_BACK: u8 = 6;

pub(super) struct Work {
    partition: u16,
    pub(super) state: Routing,
    pub(super) offers: Offers,
    owners: Owners,
    capacity: Capacity,
    /// Where each session was opened.
    pub(super) sessions: BTreeMap<u64, u64>,
    pub(super) rough: Roughness,
}

impl Work {
    pub(super) fn new(partition: u16) -> Self {
        Self {
            partition,
            state: Routing::open(Arc::new(NoBacking)),
            offers: Offers::default(),
            owners: Owners::default(),
            capacity: Capacity::default(),
            sessions: BTreeMap::new(),
            rough: Roughness::default(),
        }
    }

    pub(super) fn publish(&mut self, workspace: &str, policy: &PolicyPublished) {
        self.capacity.publish(workspace, policy);
    }

    pub(super) fn event(
        &mut self,
        frame: Frame,
        own_seq: u64,
        event: &Event,
        time: &Time,
        placement: &Placement,
    ) -> Result<(), Wrong> {
        self.count(event);
        match &event.body {
            Some(Body::OfferTimedOut(over)) => {
                let due = self.offers.expires_at(over.offer);
                if (over.due, over.at < due) != (due, false) {
                    return Err(format!("offer {} is due at {due}, and the log says {over:?}", over.offer));
                }
                self.fire(frame, own_seq, TimerKey { due, entity: over.offer, kind: OFFER }, time, placement)?;
            }
            Some(Body::AgentPresenceChanged(changed)) => {
                if changed.cause() == Cause::GivenBack {
                    self.give_back(frame, own_seq, event, changed, time, placement)?;
                }
                if changed.cause() == Cause::SessionOpened
                    && self.sessions.insert(changed.session, frame.index).is_some()
                {
                    return Err(format!("session {} is opened twice", changed.session));
                }
            }
            _ => {}
        }
        self.offers.event(frame.index, event)?;
        self.owners.event(event, &self.offers)?;
        self.capacity.event(event)?;
        self.state.apply(Own { partition: self.partition, own_seq }, event);
        Ok(())
    }

    fn fire(
        &mut self,
        frame: Frame,
        own_seq: u64,
        key: TimerKey,
        time: &Time,
        placed: &Placement,
    ) -> Result<(), Wrong> {
        let tick = time.fires(Service::Routing, self.state.timers(), key, frame, own_seq)?;
        placed.is_settled(tick, frame).map_err(|why| format!("{key:?} {why}"))
    }

    /// An agent without a session gives back what it holds, the live items first.
    fn give_back(
        &mut self,
        frame: Frame,
        own_seq: u64,
        event: &Event,
        changed: &AgentPresenceChanged,
        time: &Time,
        placement: &Placement,
    ) -> Result<(), Wrong> {
        let known = self.state.agent(&event.workspace, &changed.agent).ok_or("who was never here gives back")?;
        let live = known.live_give_back_at != changed.live_give_back_at;
        let (due, kind) =
            if live { (known.live_give_back_at, LIVE_GIVE_BACK) } else { (known.give_back_at, GIVE_BACK) };
        self.fire(frame, own_seq, TimerKey { due, entity: known.number, kind }, time, placement)
    }

    fn count(&mut self, event: &Event) {
        let rough = &mut self.rough;
        match &event.body {
            Some(Body::OfferMade(_)) => rough.offers += 1,
            Some(Body::OfferAccepted(_)) => rough.accepted += 1,
            Some(Body::OfferDeclined(_)) => rough.declined += 1,
            Some(Body::OfferTimedOut(_)) => rough.timed_out += 1,
            Some(Body::OfferRevoked(_)) => rough.revoked += 1,
            Some(Body::Overcommitted(_)) => rough.overcommitted += 1,
            Some(Body::WorkItemWoken(_)) => rough.woken += 1,
            _ => {}
        }
    }

    pub(super) fn end_of_frame(&mut self) -> Result<(), Wrong> {
        self.owners.end_of_frame(&self.offers)?;
        self.capacity.end_of_frame()
    }

    /// No offer stands, everybody's load is accounted for, all has fired, nobody waits beside a free agent.
    pub(super) fn conclude(&mut self, fold: &PartitionFold, time: &Time) -> Result<(), Wrong> {
        self.offers.conclude()?;
        self.capacity.conclude()?;
        time.all_fired(&mut self.state, fold.lane(Service::Routing).consumed.index)?;
        if !self.state.is_settled() {
            return Err("routing has work left in the end".into());
        }
        let waiting = self.state.items.page(&WorkItemId(0), 100_000).into_iter();
        for (id, item) in waiting.filter(|(_, item)| item.phase == Phase::Queued) {
            for agent in self.state.policy(&item.workspace).agents.keys() {
                let why = why_not(&self.state, &item.workspace, id.0, agent, fold.now);
                if why.is_none_or(|why| why.reasons.is_empty()) {
                    return Err(format!("item {id} waits, and {agent} is free"));
                }
            }
        }
        Ok(())
    }
}
