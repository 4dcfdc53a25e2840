//! What routing makes of threading's events: a thread needs an agent, or does not any more.

use rejoinder_machine::{Context, Failure, event};
use rejoinder_model::{Millis, ThreadId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    Direction, Event, MessagePlaced, RoutingPolicyAdopted, ThreadRelinked, ThreadState, ThreadStateChanged,
    ThreadsMerged, ThreadsUnmerged, WorkItemMoved, thread_state_changed, work_item_cancelled, work_item_parked,
    work_item_queued,
};

use crate::decision::Decision;
use crate::item::fresh;
use crate::record::{Item, Phase, Thread};
use crate::state::Routing;

/// An item that has not ended, with its number.
type Live = Option<(u64, Item)>;

pub(crate) fn consider(state: &Routing, context: &Context, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
    let mut decision = Decision::new(state, context, &input.workspace, out);
    match &input.body {
        Some(Body::ThreadStateChanged(changed)) => decision.changed(changed),
        Some(Body::MessagePlaced(placed)) => decision.placed(placed),
        Some(Body::ThreadsMerged(merged)) => decision.merged(merged),
        Some(Body::ThreadsUnmerged(unmerged)) => decision.unmerged(unmerged),
        Some(Body::ThreadRelinked(relinked)) => decision.relinked(relinked),
        Some(Body::PolicyAdopted(policy)) => {
            let policy =
                RoutingPolicyAdopted { version: policy.version, policy: policy.routing.clone(), at: context.now };
            out.push(event(&input.workspace, Body::RoutingPolicyAdopted(policy)));
        }
        // Persons, notes and outcomes change nothing about who should take a thread.
        _ => {}
    }
    Ok(())
}

impl Decision<'_> {
    fn live(&self, thread: u64) -> Live {
        let id = self.state.thread(thread).item;
        self.item(id).map(|item| (id, item))
    }

    fn changed(&mut self, changed: &ThreadStateChanged) {
        let to = ThreadState::try_from(changed.to).unwrap_or_default();
        let live = self.live(changed.thread);
        if to != ThreadState::AwaitingAgent {
            return self.settle(live, to);
        }
        if changed.quiet {
            return;
        }
        let known = self.state.thread(changed.thread);
        let by_customer = changed.cause == thread_state_changed::Cause::CustomerMessage as i32;
        let said = if by_customer && changed.clock_time != 0 { changed.clock_time } else { self.now() };
        let since = match known.unanswered_since {
            0 => said,
            unanswered => unanswered.min(said),
        };
        match live {
            Some((id, item)) => self.needed(id, item, since),
            None => {
                let mut item = fresh(self.workspace, changed.thread, self.now());
                // A command knows less of the thread than its last message told.
                if by_customer || known.channel.is_empty() {
                    item.channel.clone_from(&changed.channel);
                    item.private = changed.private;
                } else {
                    item.channel.clone_from(&known.channel);
                    item.private = known.private;
                }
                item.person = if changed.person == 0 { known.person } else { changed.person };
                item.followers = if by_customer { changed.followers } else { known.followers };
                (item.eligible_since, item.customer_at) = (since, said);
                use work_item_queued::Cause;
                self.open(item, if by_customer { Cause::CustomerMessage } else { Cause::Reopened });
            }
        }
    }

    /// The thread of an item waits for an agent again.
    fn needed(&mut self, id: u64, item: Item, since: Millis) {
        match item.phase {
            Phase::Parked => self.wake(id, item, since),
            Phase::Assigned if item.answered => self.wake(id, item, since),
            Phase::Wrapping => {
                // The agent has wound up enough: the customer goes first, and waits for this agent.
                self.done(id, &item);
                let mut next = fresh(self.workspace, item.thread, self.now());
                next.channel.clone_from(&item.channel);
                (next.private, next.person, next.followers) = (item.private, item.person, item.followers);
                (next.eligible_since, next.customer_at) = (since, since);
                self.open(next, work_item_queued::Cause::CustomerMessage);
            }
            Phase::Queued | Phase::Offered | Phase::Assigned | Phase::Done | Phase::Cancelled => {}
        }
    }

    /// The thread of an item waits for nobody of us.
    fn settle(&mut self, live: Live, to: ThreadState) {
        let Some((id, item)) = live else { return };
        match (to, item.phase) {
            (ThreadState::AwaitingCustomer, _) => self.answered(id, item),
            (ThreadState::Resolved, Phase::Assigned) => self.finish(id, &item),
            (ThreadState::Resolved, Phase::Queued | Phase::Offered | Phase::Parked) => {
                self.cancel(id, item, work_item_cancelled::Reason::Resolved);
            }
            (ThreadState::OnHold, Phase::Assigned) => self.park(id, &item, work_item_parked::Cause::OnHold),
            (ThreadState::OnHold, Phase::Queued | Phase::Offered) => {
                self.cancel(id, item, work_item_cancelled::Reason::OnHold);
            }
            _ => {}
        }
    }

    /// A customer's message that changes no state: it may be earlier than what we know, the first after
    /// imported ones, or come to an item that an agent parked unanswered.
    fn placed(&mut self, placed: &MessagePlaced) {
        let inbound = placed.direction == Direction::Inbound as i32;
        let awaited = placed.state_before == ThreadState::AwaitingAgent as i32;
        if placed.quiet || placed.root == 0 || !inbound || !awaited {
            return;
        }
        let said = if placed.clock_time == 0 { self.now() } else { placed.clock_time };
        match self.live(placed.root) {
            None => {
                let mut item = fresh(self.workspace, placed.root, self.now());
                item.channel.clone_from(&placed.channel);
                (item.private, item.person) = (placed.private, placed.person);
                item.followers = placed.reach.map_or(0, |reach| reach.followers);
                (item.eligible_since, item.customer_at) = (said, said);
                self.open(item, work_item_queued::Cause::CustomerMessage);
            }
            Some((id, item)) if item.phase == Phase::Parked => {
                // Parked unanswered: the older question still waits.
                let unanswered = self.state.thread(placed.root).unanswered_since;
                let since = if unanswered == 0 { said } else { unanswered.min(said) };
                self.wake(id, item, since);
            }
            Some((id, item)) => {
                let mut changed = item.clone();
                changed.eligible_since = item.eligible_since.min(said);
                if self.kind(&item).reply_window_ms > 0 {
                    changed.customer_at = item.customer_at.max(said);
                }
                if changed != item && !item.answered {
                    self.prioritise(id, &item, changed);
                }
            }
        }
    }

    /// Two threads are one: so are their items. Who is nearest to an agent stays.
    fn merged(&mut self, merged: &ThreadsMerged) {
        if merged.into == merged.from {
            return;
        }
        let nearness = |item: &Item| match item.phase {
            Phase::Assigned | Phase::Wrapping => 3,
            Phase::Offered => 2,
            Phase::Parked => 1,
            Phase::Queued | Phase::Done | Phase::Cancelled => 0,
        };
        let (a, b) = (self.live(merged.into), self.live(merged.from));
        let (stays, leaves) = match (a, b) {
            (Some(a), Some(b)) if nearness(&b.1) > nearness(&a.1) => (Some(b), Some(a)),
            (Some(a), b) => (Some(a), b),
            (None, b) => (b, None),
        };
        let Some((id, mut item)) = stays else { return };
        let mut since = item.eligible_since;
        if let Some((other, other_item)) = leaves {
            since = since.min(other_item.eligible_since);
            self.cancel(other, other_item, work_item_cancelled::Reason::Merged);
        }
        let state = ThreadState::try_from(merged.state).unwrap_or_default();
        self.moved(id, &mut item, merged.into, since);
        if state == ThreadState::AwaitingAgent {
            self.needed(id, item, since);
        } else {
            self.settle(Some((id, item)), state);
        }
    }

    fn moved(&mut self, id: u64, item: &mut Item, thread: u64, since: Millis) {
        if item.thread == thread && item.eligible_since == since {
            return;
        }
        let (from, at) = (item.thread, self.now());
        (item.thread, item.eligible_since) = (thread, since);
        self.push(Body::WorkItemMoved(WorkItemMoved { item: id, from, thread, eligible_since: since, at }));
    }

    /// A thread falls into parts: each that waits for an agent needs an item.
    fn unmerged(&mut self, unmerged: &ThreadsUnmerged) {
        let known = self.state.thread(unmerged.thread);
        for part in &unmerged.parts {
            let state = ThreadState::try_from(part.state).unwrap_or_default();
            match self.live(part.thread) {
                Some((id, item)) if state == ThreadState::AwaitingAgent => {
                    let since = item.eligible_since;
                    self.needed(id, item, since);
                }
                None if state == ThreadState::AwaitingAgent && known.item != 0 => self.parted(part.thread, &known),
                live => self.settle(live, state),
            }
        }
    }

    fn parted(&mut self, thread: u64, known: &Thread) {
        let now = self.now();
        let mut item = fresh(self.workspace, thread, now);
        item.channel.clone_from(&known.channel);
        (item.private, item.person, item.followers) = (known.private, known.person, known.followers);
        item.eligible_since = if known.unanswered_since == 0 { now } else { known.unanswered_since };
        self.open(item, work_item_queued::Cause::Regrouped);
    }

    /// Messages turn out to be in no thread.
    fn relinked(&mut self, relinked: &ThreadRelinked) {
        let Some((id, mut item)) = self.live(relinked.from) else { return };
        match ThreadId::from_wire(relinked.heir) {
            Some(heir) => {
                let since = item.eligible_since;
                self.moved(id, &mut item, heir.0, since);
            }
            None if relinked.to == 0 => self.cancel(id, item, work_item_cancelled::Reason::Dissolved),
            None => {}
        }
    }
}
