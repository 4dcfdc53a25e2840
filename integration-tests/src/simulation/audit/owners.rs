//! Items: each lives its life in the order of the rules, has one owner at most, and is its thread's only one.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_routing_core::record::Phase;
use rejoinder_wire::event::{Event, WorkItemAssigned, event::Body, work_item_assigned::Cause};

use super::offers::Offers;
use crate::simulation::Wrong;

struct Life {
    thread: u64,
    phase: Phase,
    /// Empty: nobody.
    owner: String,
}

/// All items.
#[derive(Default)]
pub(super) struct Owners {
    items: BTreeMap<u64, Life>,
    /// Items that this frame has changed.
    touched: BTreeSet<u64>,
}

/// What an event makes of an item: from which phases, and to which.
#[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no item")]
fn step(body: &Body) -> Option<(u64, &'static [Phase], Phase)> {
    use Phase::{Assigned, Cancelled, Done, Offered, Parked, Queued, Wrapping};
    const WAITS: [Phase; 4] = [Queued, Offered, Assigned, Parked];
    const LIVES: [Phase; 5] = [Queued, Offered, Assigned, Parked, Wrapping];
    Some(match body {
        Body::WorkItemQueued(e) => (e.item, &WAITS, Queued),
        Body::OfferMade(e) => (e.item, &[Queued, Offered], Offered),
        Body::WorkItemAssigned(e) => (e.item, &[Queued, Offered, Parked], Assigned),
        Body::WorkItemAnswered(e) => (e.item, &[Assigned], Assigned),
        Body::WorkItemParked(e) => (e.item, &[Assigned], Parked),
        Body::WorkItemWrapping(e) => (e.item, &[Assigned], Wrapping),
        Body::WorkItemDone(e) => (e.item, &[Wrapping], Done),
        Body::WorkItemCancelled(e) => (e.item, &LIVES, Cancelled),
        _ => return None,
    })
}

impl Owners {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no item")]
    pub(super) fn event(&mut self, event: &Event, offers: &Offers) -> Result<(), Wrong> {
        let Some(body) = &event.body else { return Ok(()) };
        match body {
            Body::WorkItemQueued(queued) if queued.opened => {
                let life = Life { thread: queued.thread, phase: Phase::Queued, owner: String::new() };
                self.touched.insert(queued.item);
                return match self.items.insert(queued.item, life) {
                    None => Ok(()),
                    Some(_) => Err(format!("item {} is opened twice", queued.item)),
                };
            }
            Body::WorkItemMoved(moved) => {
                self.life(moved.item)?.thread = moved.thread;
                self.touched.insert(moved.item);
            }
            Body::WorkItemWoken(woken) => {
                let phase = self.life(woken.item)?.phase;
                if !matches!(phase, Phase::Parked | Phase::Assigned) {
                    return Err(format!("item {} is {} and wakes", woken.item, phase.name()));
                }
            }
            _ => {}
        }
        let Some((id, from, to)) = step(body) else { return Ok(()) };
        self.touched.insert(id);
        let life = self.life(id)?;
        if !from.contains(&life.phase) {
            return Err(format!("item {id} is {} with {:?}, and then: {body:?}", life.phase.name(), life.owner));
        }
        let before = std::mem::replace(&mut life.phase, to);
        match body {
            Body::WorkItemAssigned(assigned) => {
                assignment(assigned, before, &life.owner, offers)?;
                life.owner.clone_from(&assigned.agent);
            }
            Body::WorkItemParked(parked) => life.owner.clone_from(&parked.agent),
            Body::WorkItemQueued(_) | Body::WorkItemDone(_) | Body::WorkItemCancelled(_) => life.owner.clear(),
            _ => {}
        }
        Ok(())
    }

    fn life(&mut self, id: u64) -> Result<&mut Life, Wrong> {
        self.items.get_mut(&id).ok_or_else(|| format!("item {id} was never opened"))
    }

    /// What must hold between two decisions.
    pub(super) fn end_of_frame(&mut self, offers: &Offers) -> Result<(), Wrong> {
        for id in std::mem::take(&mut self.touched) {
            let Some(life) = self.items.get(&id) else { continue };
            let (standing, offered) = (offers.standing(id), life.phase == Phase::Offered);
            if offered != (standing > 0) {
                return Err(format!("item {id} is {}, and {standing} offers of it stand", life.phase.name()));
            }
            let owned = matches!(life.phase, Phase::Assigned | Phase::Wrapping);
            if owned == life.owner.is_empty() && life.phase != Phase::Parked {
                return Err(format!("item {id} is {} with {:?}", life.phase.name(), life.owner));
            }
            let other = |(other, rival): &(&u64, &Life)| {
                **other != id && rival.thread == life.thread && !rival.phase.is_final()
            };
            if !life.phase.is_final()
                && let Some((other, _)) = self.items.iter().find(other)
            {
                return Err(format!("thread {} has the items {id} and {other}", life.thread));
            }
        }
        Ok(())
    }
}

/// Who was asked and accepted, who parked it, or who takes what waits.
fn assignment(assigned: &WorkItemAssigned, before: Phase, owner: &str, offers: &Offers) -> Result<(), Wrong> {
    let right = match assigned.cause() {
        Cause::Accepted => before == Phase::Offered && offers.accepted_by(assigned.item) == Some(&assigned.agent),
        Cause::Woken => before == Phase::Parked && owner == assigned.agent,
        Cause::Taken => matches!(before, Phase::Queued | Phase::Offered),
        Cause::Transferred | Cause::Unspecified => false,
    };
    if right {
        Ok(())
    } else {
        Err(format!("an item that is {} with {owner:?} is assigned: {assigned:?}", before.name()))
    }
}
