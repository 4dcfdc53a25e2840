//! What must hold in every world that can be reached, and the paths that must be reachable for that
//! to mean anything.

use rejoinder_event_log::Verdict;
use rejoinder_event_log::fold::Consumed;
use stateright::Property;

use crate::world::{Ownership, World};
use crate::writer::{LANE, Phase};

pub(crate) const KEPT: &str = "what is acknowledged stands in the log once";
pub(crate) const DENSE: &str = "events are numbered without a gap";
pub(crate) const ONCE: &str = "each input is considered once, in order";
pub(crate) const SAID: &str = "a frame says how far its writer considered";
pub(crate) const AGREED: &str = "all readers agree, from the start or from a snapshot";
pub(crate) const ONE_OWNER: &str = "one writer at most owns the lane as of its durable end";
pub(crate) const STATE: &str = "a state is the fold of the log";
pub(crate) const STORED: &str = "a stored state is the fold of the log";
pub(crate) const TAKEN_KNOWINGLY: &str = "nobody is deposed by a claim sent before he took over";

pub(crate) const ZOMBIE: &str = "a zombie's frame is void";
pub(crate) const REPEATED: &str = "a frame lands twice";
pub(crate) const LATE_CLAIM: &str = "a claim lands too late";
pub(crate) const DEPOSED: &str = "a writer is deposed with a frame in flight";
pub(crate) const GAP: &str = "a frame is void because the one before it is missing";
pub(crate) const HAND_OVER: &str = "two owners one after the other have commits acknowledged";
pub(crate) const HALF_A_FRAME: &str = "an owner goes on in the middle of a frame";
pub(crate) const ALL_CONSIDERED: &str = "all inputs are considered and all is acknowledged";

pub(crate) fn laws() -> Vec<Property<Ownership>> {
    vec![
        Property::always(KEPT, |_, world| kept(world)),
        Property::always(DENSE, |_, world| dense(world)),
        Property::always(ONCE, |_, world| considered_once(world)),
        Property::always(SAID, |_, world: &World| {
            world.log.own(Verdict::Counted).all(|(_, record)| {
                let says = Consumed { index: record.header.consumed_index, events: record.header.consumed_events };
                world.log.inputs_before(says) == record.considered.1
            })
        }),
        Property::always(AGREED, |model: &Ownership, world: &World| {
            let folds = world.writers.iter().flat_map(|writer| [&writer.fold, &writer.stored.fold]);
            folds.into_iter().all(|fold| *fold == world.log.fold_to(model.rules, fold.next_index))
        }),
        Property::always(ONE_OWNER, |model: &Ownership, world: &World| {
            let epoch = world.log.fold_to(model.rules, world.log.durable as u64).lane(LANE).epoch;
            let live = world.writers.iter().filter(|writer| writer.phase == Phase::Live);
            live.filter(|writer| writer.fold.lane(LANE).epoch == epoch).count() <= 1
        }),
        Property::always(STATE, |_, world: &World| {
            let mut writers = world.writers.iter();
            writers.all(|writer| world.log.commits_to(writer.fold.next_index).eq(writer.state.iter().copied()))
        }),
        Property::always(STORED, |_, world: &World| {
            let mut stored = world.writers.iter().map(|writer| &writer.stored);
            stored.all(|stored| world.log.commits_to(stored.fold.next_index).eq(stored.state.iter().copied()))
        }),
        Property::always(TAKEN_KNOWINGLY, |_, world: &World| {
            let claims = || world.log.own(Verdict::ClaimCounted);
            claims().all(|(index, claim)| claims().all(|(before, _)| before >= index || claim.sent_at > before))
        }),
    ]
}

pub(crate) fn paths() -> Vec<Property<Ownership>> {
    vec![
        Property::sometimes(ZOMBIE, |_, world: &World| {
            let epoch = world.log.own(Verdict::ClaimCounted).next_back().map(|(index, _)| index as u64);
            world.log.own(Verdict::Void).any(|(_, record)| Some(record.header.epoch) != epoch)
        }),
        Property::sometimes(REPEATED, |_, world: &World| world.log.own(Verdict::Repeat).next().is_some()),
        Property::sometimes(LATE_CLAIM, |_, world: &World| world.log.own(Verdict::ClaimVoid).next().is_some()),
        Property::sometimes(DEPOSED, |_, world: &World| {
            let is_deposed = world.writers.iter().any(|writer| !writer.assigned);
            is_deposed && world.air.iter().any(|record| record.header.claim.is_none())
        }),
        Property::sometimes(GAP, |_, world: &World| {
            let epoch = world.log.own(Verdict::ClaimCounted).next_back().map(|(index, _)| index as u64);
            world.log.own(Verdict::Void).any(|(_, record)| Some(record.header.epoch) == epoch)
        }),
        Property::sometimes(HAND_OVER, |_, world: &World| {
            let counted = || world.log.own(Verdict::Counted).map(|(_, record)| record);
            let done = || counted().filter(|record| world.acknowledged & (1 << record.commit) != 0);
            done().any(|one| done().any(|other| one.header.epoch != other.header.epoch))
        }),
        Property::sometimes(HALF_A_FRAME, |_, world: &World| {
            let counted = || world.log.own(Verdict::Counted).map(|(_, record)| &record.header);
            counted().zip(counted().skip(1)).any(|(one, next)| one.consumed_events > 0 && one.epoch != next.epoch)
        }),
        Property::sometimes(ALL_CONSIDERED, |_, world: &World| {
            let all = world.log.inputs_before(Consumed { index: world.log.records.len() as u64, events: 0 });
            let last = world.log.own(Verdict::Counted).next_back();
            last.is_some_and(|(_, record)| record.considered.1 == all)
                && world.log.own(Verdict::Counted).all(|(_, record)| world.acknowledged & (1 << record.commit) != 0)
        }),
    ]
}

fn kept(world: &World) -> bool {
    let count = |commit| world.log.own(Verdict::Counted).filter(|(_, record)| record.commit == commit).count();
    (1..32_u8).filter(|commit| world.acknowledged & (1 << commit) != 0).all(|commit| count(commit) == 1)
}

fn dense(world: &World) -> bool {
    let mut next = 1;
    world.log.own(Verdict::Counted).all(|(_, record)| {
        let is_next = record.header.first_own_seq == next;
        next += u64::from(record.header.event_count);
        is_next
    })
}

/// Each frame goes on where the one before it ended.
fn considered_once(world: &World) -> bool {
    let mut so_far = 0;
    world.log.own(Verdict::Counted).all(|(_, record)| {
        let goes_on = record.considered.0 == so_far;
        so_far = record.considered.1;
        goes_on
    })
}
