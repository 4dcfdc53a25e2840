//! The life of a work item: which events each step of it is made of.
//!
//! queued → offered → assigned → wrapping → done; assigned → parked → assigned or queued; back to
//! queued when offers end or the agent is lost; anything but the end → cancelled.

use rejoinder_model::Millis;
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    Band, OfferRevoked, Overcommitted, WorkItemAnswered, WorkItemAssigned, WorkItemCancelled, WorkItemDone,
    WorkItemParked, WorkItemPrioritised, WorkItemQueued, WorkItemTransferred, WorkItemWoken, WorkItemWrapping,
    offer_revoked, overcommitted, work_item_assigned, work_item_cancelled, work_item_parked, work_item_queued,
    work_item_transferred,
};

use crate::capacity::{self, Wakes};
use crate::decision::Decision;
use crate::policy::{Kind, MANUAL, Queue};
use crate::record::{Held, Item, Phase, Waiting};
use crate::waiting;

impl Decision<'_> {
    pub(crate) fn kind(&self, item: &Item) -> Kind {
        self.policy.kind(&item.kind).cloned().unwrap_or_else(|| Kind::unknown(&item.kind))
    }

    fn queue_rule(&self, name: &str) -> Queue {
        let first = || self.policy.queues.first();
        self.policy.queue(name).or_else(first).cloned().unwrap_or_else(|| unreachable!("a policy has a queue"))
    }

    /// Opens an item for a thread.
    pub(crate) fn open(&mut self, mut item: Item, cause: work_item_queued::Cause) {
        let id = self.next_number();
        item.kind = self.policy.kind_of(&item.channel, item.private).to_owned();
        let (queue, band) = self.policy.route(&item.channel, &item.kind, item.private);
        (item.queue, item.band) = (queue.to_owned(), band as i32);
        self.prefer(&mut item);
        self.enter(id, item, cause, true);
    }

    /// Whoever knows the customer is waited for, if they are there.
    fn prefer(&self, item: &mut Item) {
        let thread = self.state.threads.get(&rejoinder_model::ThreadId(item.thread));
        let of_thread = thread.map(|thread| thread.last_agent.clone()).filter(|agent| !agent.is_empty());
        let of_person = || self.state.persons.get(&rejoinder_model::PersonId(item.person)).map(|a| (*a).clone());
        let Some(agent) = of_thread.or_else(of_person) else { return };
        self.prefer_agent(item, &agent);
    }

    fn prefer_agent(&self, item: &mut Item, agent: &str) {
        let serves = self.policy.agents.get(agent).is_some_and(|rule| rule.membership(&item.queue).is_some());
        let wait = self.policy.queue(&item.queue).map_or(0, |queue| queue.preferred_wait_ms);
        if serves && wait > 0 && self.agent(agent).is_available() {
            agent.clone_into(&mut item.preferred);
            item.preferred_until = self.now().saturating_add(wait);
        }
    }

    /// An item that had an agent, or was asked for, waits again: its age and exclusions stay.
    pub(crate) fn requeue(&mut self, id: u64, item: Item, cause: work_item_queued::Cause) {
        self.enter(id, item, cause, false);
    }

    fn enter(&mut self, id: u64, mut item: Item, cause: work_item_queued::Cause, opened: bool) {
        let now = self.now();
        let queue = self.queue_rule(&item.queue);
        if queue.name != item.queue {
            item.queue.clone_from(&queue.name);
            item.waiting.in_queue_since = 0;
        }
        if item.waiting.in_queue_since == 0 {
            item.waiting = Waiting { in_queue_since: now, ..Waiting::default() };
        }
        let kind = self.kind(&item);
        let anew = opened || cause == work_item_queued::Cause::Woken;
        waiting::update(&mut item, &queue, &kind, now, anew);
        let holder = std::mem::take(&mut item.agent);
        self.push(Body::WorkItemQueued(Box::new(WorkItemQueued {
            item: id,
            thread: item.thread,
            queue: item.queue.clone(),
            band: item.band,
            priority: Some(waiting::priority(&item)),
            eligible_since: item.eligible_since,
            at: now,
            cause: cause as i32,
            opened,
            policy_version: self.policy.version,
            channel: item.channel,
            private: item.private,
            person: item.person,
            kind: item.kind,
            preferred_agent: item.preferred,
            preferred_until: item.preferred_until,
            waiting: Some(item.waiting.into()),
            followers: item.followers,
            customer_at: item.customer_at,
            from_agent: holder.clone(),
        })));
        self.release(&holder, id);
    }

    /// A waiting item as it stands now; said always when time or a change brought it here.
    pub(crate) fn prioritise(&mut self, id: u64, item: &Item, mut changed: Item) {
        let queue = self.queue_rule(&changed.queue);
        let kind = self.kind(&changed);
        waiting::update(&mut changed, &queue, &kind, self.now(), false);
        let at = self.now();
        self.push(Body::WorkItemPrioritised(Box::new(WorkItemPrioritised {
            item: id,
            thread: changed.thread,
            queue: changed.queue.clone(),
            band: changed.band,
            priority: Some(waiting::priority(&changed)),
            before_milli_points: item.milli_points,
            eligible_since: changed.eligible_since,
            waiting: Some(changed.waiting.into()),
            policy_version: self.policy.version,
            kind: changed.kind,
            at,
            preferred_agent: changed.preferred,
            preferred_until: changed.preferred_until,
            customer_at: changed.customer_at,
        })));
    }

    /// The look that a waiting item's timer asked for.
    pub(crate) fn look_again(&mut self, id: u64, item: Item) {
        let queue = self.policy.queue(&item.queue).cloned();
        let waited = self.now().saturating_sub(item.waiting.in_queue_since);
        let overflows = queue.filter(|queue| queue.overflows_after().is_some_and(|after| waited >= after));
        match overflows {
            Some(queue) => {
                self.transfer(id, item, &queue.overflow, "", work_item_transferred::Cause::Overflow, "");
            }
            None => self.prioritise(id, &item, item.clone()),
        }
    }

    /// Offers that stand end, but one.
    pub(crate) fn revoke_offers(&mut self, id: u64, item: &mut Item, except: u64, reason: offer_revoked::Reason) {
        for number in std::mem::take(&mut item.offers) {
            if number == except {
                continue;
            }
            let Some(offer) = self.state.offers.get(&rejoinder_model::OfferId(number)) else { continue };
            let at = self.now();
            self.push(Body::OfferRevoked(OfferRevoked {
                offer: number,
                item: id,
                thread: item.thread,
                agent: offer.agent.clone(),
                reason: reason as i32,
                at,
            }));
            self.release(&offer.agent, id);
        }
    }

    /// An agent has the item from now on.
    pub(crate) fn assign(&mut self, id: u64, item: &Item, agent: &str, cause: work_item_assigned::Cause) {
        let kind = self.kind(item);
        let (at, cost) = (self.now(), kind.cost);
        self.push(Body::WorkItemAssigned(WorkItemAssigned {
            item: id,
            thread: item.thread,
            agent: agent.to_owned(),
            queue: item.queue.clone(),
            band: item.band,
            cause: cause as i32,
            at,
            cost,
            eligible_since: item.eligible_since,
        }));
        if item.agent != agent {
            self.release(&item.agent, id);
        }
        let held = Held { item: id, offer: 0, phase: Phase::Assigned, kind: kind.name, cost, until: 0 };
        self.hold(agent, held);
    }

    pub(crate) fn overcommitted(&mut self, id: u64, agent: &str, cause: overcommitted::Cause) {
        let load = capacity::load(self.policy.agents.get(agent), &self.agent(agent));
        let (used, total, at) = (load.used, load.total, self.now());
        let agent = agent.to_owned();
        self.push(Body::Overcommitted(Overcommitted { agent, item: id, used, total, cause: cause as i32, at }));
    }

    /// A reply went out: an item without an agent is not needed, one with an agent is parked, at once
    /// or when its wrap-up or the live customer's silence is over.
    pub(crate) fn answered(&mut self, id: u64, item: Item) {
        match item.phase {
            Phase::Queued | Phase::Offered => self.cancel(id, item, work_item_cancelled::Reason::Answered),
            Phase::Assigned if !item.answered => {
                let kind = self.kind(&item);
                let silence = self.policy.live_silence_ms;
                let after = if kind.live { silence } else { kind.wrap_up_ms };
                if after == 0 {
                    return self.park(id, &item, work_item_parked::Cause::Answered);
                }
                let at = self.now();
                let park_at = if after == MANUAL { 0 } else { at.saturating_add(after) };
                let (thread, agent) = (item.thread, item.agent);
                self.push(Body::WorkItemAnswered(WorkItemAnswered { item: id, thread, agent, park_at, at }));
            }
            Phase::Assigned | Phase::Wrapping | Phase::Parked | Phase::Done | Phase::Cancelled => {}
        }
    }

    /// An assigned item waits for the customer. Without room for parked ones nobody keeps it.
    pub(crate) fn park(&mut self, id: u64, item: &Item, cause: work_item_parked::Cause) {
        let agent = self.agent(&item.agent);
        let keeps = agent.session != 0 && capacity::may_park(&self.policy, &agent, id, self.now());
        self.park_with(id, item, cause, keeps);
    }

    fn park_with(&mut self, id: u64, item: &Item, cause: work_item_parked::Cause, keeps: bool) {
        let at = self.now();
        let wake_until = at.saturating_add(self.policy.wake_ms);
        self.push(Body::WorkItemParked(WorkItemParked {
            item: id,
            thread: item.thread,
            agent: if keeps { item.agent.clone() } else { String::new() },
            cause: cause as i32,
            wake_until,
            at,
            from_agent: item.agent.clone(),
        }));
        if keeps {
            let Kind { name, parked_cost, .. } = self.kind(item);
            let held =
                Held { item: id, offer: 0, phase: Phase::Parked, kind: name, cost: parked_cost, until: wake_until };
            self.hold(&item.agent, held);
        } else {
            self.release(&item.agent, id);
        }
    }

    /// The customer wrote to a parked item, or to one that was answered and is not parked yet.
    pub(crate) fn wake(&mut self, id: u64, mut item: Item, since: Millis) {
        let now = self.now();
        item.eligible_since = since;
        item.customer_at = item.customer_at.max(since);
        self.push(Body::WorkItemWoken(WorkItemWoken {
            item: id,
            thread: item.thread,
            agent: item.agent.clone(),
            eligible_since: item.eligible_since,
            at: now,
            customer_at: item.customer_at,
        }));
        if item.phase != Phase::Parked {
            return;
        }
        let agent = self.agent(&item.agent);
        let rule = self.policy.agents.get(&item.agent).cloned();
        let kind = self.kind(&item);
        let wakes = match &rule {
            Some(rule) if now <= item.wake_until && agent.is_available() => {
                capacity::wakes(&self.policy, rule, &agent, &kind, id)
            }
            _ => Wakes::Elsewhere,
        };
        match wakes {
            Wakes::Fits => self.assign(id, &item, &agent.id, work_item_assigned::Cause::Woken),
            Wakes::Exceeds => {
                self.assign(id, &item, &agent.id, work_item_assigned::Cause::Woken);
                self.overcommitted(id, &agent.id, overcommitted::Cause::Woken);
            }
            Wakes::Elsewhere => {
                item.waiting = Waiting::default();
                // Who is here and has no room is not waited for.
                if now > item.wake_until || !agent.is_available() {
                    self.prefer(&mut item);
                }
                self.requeue(id, item, work_item_queued::Cause::Woken);
            }
        }
    }

    /// The agent is through with an item: it winds up, then it is done.
    pub(crate) fn finish(&mut self, id: u64, item: &Item) {
        if item.phase == Phase::Wrapping {
            return self.done(id, item);
        }
        let kind = self.kind(item);
        let at = self.now();
        let until = if kind.wrap_up_ms == MANUAL { 0 } else { at.saturating_add(kind.wrap_up_ms) };
        let (thread, agent) = (item.thread, item.agent.clone());
        self.push(Body::WorkItemWrapping(WorkItemWrapping { item: id, thread, agent, until, at }));
        if kind.wrap_up_ms == 0 {
            self.done(id, item);
        }
    }

    pub(crate) fn done(&mut self, id: u64, item: &Item) {
        let (thread, agent, at) = (item.thread, item.agent.clone(), self.now());
        self.push(Body::WorkItemDone(WorkItemDone { item: id, thread, agent, at }));
        self.release(&item.agent, id);
    }

    /// The item is not needed any more.
    pub(crate) fn cancel(&mut self, id: u64, mut item: Item, reason: work_item_cancelled::Reason) {
        self.revoke_offers(id, &mut item, 0, offer_revoked::Reason::ItemCancelled);
        let (thread, agent, at) = (item.thread, item.agent.clone(), self.now());
        let reason = reason as i32;
        self.push(Body::WorkItemCancelled(WorkItemCancelled { item: id, thread, reason, at, agent }));
        self.release(&item.agent, id);
    }

    /// The item goes to another queue, or back into its own, perhaps for a certain agent.
    pub(crate) fn transfer(
        &mut self,
        id: u64,
        mut item: Item,
        queue: &str,
        agent: &str,
        cause: work_item_transferred::Cause,
        actor: &str,
    ) {
        self.revoke_offers(id, &mut item, 0, offer_revoked::Reason::Moved);
        let at = self.now();
        self.push(Body::WorkItemTransferred(WorkItemTransferred {
            item: id,
            thread: item.thread,
            from_agent: item.agent.clone(),
            from_queue: item.queue.clone(),
            to_agent: agent.to_owned(),
            to_queue: queue.to_owned(),
            cause: cause as i32,
            actor: actor.to_owned(),
            at,
        }));
        if item.queue != queue {
            queue.clone_into(&mut item.queue);
            item.waiting = Waiting::default();
        }
        (item.preferred, item.preferred_until) = (String::new(), 0);
        if !agent.is_empty() {
            self.prefer_agent(&mut item, agent);
        }
        self.requeue(id, item, work_item_queued::Cause::Transferred);
    }

    /// The agent cannot go on with an item: what waits for an agent is queued, what waits for the
    /// customer is parked with nobody, what is winding up is done.
    pub(crate) fn give_back(&mut self, id: u64, item: Item, cause: work_item_queued::Cause) {
        match item.phase {
            Phase::Assigned if item.answered => self.park_with(id, &item, work_item_parked::Cause::Answered, false),
            Phase::Assigned => self.requeue(id, item, cause),
            Phase::Wrapping => self.done(id, &item),
            Phase::Queued | Phase::Offered | Phase::Parked | Phase::Done | Phase::Cancelled => {}
        }
    }
}

/// An item that is about to be opened.
pub(crate) fn fresh(workspace: &str, thread: u64, now: Millis) -> Item {
    Item {
        workspace: workspace.to_owned(),
        thread,
        phase: Phase::Queued,
        queue: String::new(),
        kind: String::new(),
        channel: String::new(),
        private: false,
        person: 0,
        band: Band::Normal as i32,
        milli_points: 0,
        terms: Vec::new(),
        eligible_since: now,
        customer_at: now,
        followers: 0,
        waiting: Waiting::default(),
        preferred: String::new(),
        preferred_until: 0,
        agent: String::new(),
        cost: 0,
        offers: Vec::new(),
        offers_made: 0,
        shunned: Vec::new(),
        answered: false,
        park_at: 0,
        wrap_until: 0,
        wake_until: 0,
        policy_version: 0,
        opened_at: now,
        changed_at: now,
        version: 0,
    }
}
