//! The grouping of the same messages in a world without faults, told in another order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rejoinder_machine::{Context, NoBacking, Own, Source, State};
use rejoinder_model::MessageKey;
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::Event;

use super::Wrong;

type Sets = BTreeSet<BTreeSet<MessageKey>>;

/// Messages by thread and by public conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    pub(super) threads: Sets,
    pub(super) conversations: Sets,
}

/// How a state groups messages.
pub(super) fn grouping(state: &Threading, keys: &BTreeSet<MessageKey>) -> Grouping {
    let (mut threads, mut conversations) = (BTreeMap::new(), BTreeMap::new());
    let join = |sets: &mut BTreeMap<u64, BTreeSet<MessageKey>>, set, key| {
        sets.entry(set).or_default().insert(key);
    };
    for key in keys {
        let Some(message) = state.messages.get(key) else { continue };
        if let Some((id, _)) = state.find(message.thread) {
            join(&mut threads, id.0, *key);
        }
        if message.conversation != 0 {
            join(&mut conversations, state.find_conversation(message.conversation), *key);
        }
    }
    Grouping { threads: threads.into_values().collect(), conversations: conversations.into_values().collect() }
}

/// A state that considered these events of ingest, one after the other.
pub(super) fn told<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Threading, Wrong> {
    let mut state = Threading::open(Arc::new(NoBacking));
    let mut own_seq = 1;
    for (number, event) in (1..).zip(events) {
        let context = Context { partition: 0, now: 1, next_own_seq: own_seq };
        let source = Source { index: number, event: 0, own_seq: number };
        let mut out = Vec::new();
        let considered = state.consider(&context, source, event, &mut out);
        considered.map_err(|failure| format!("a message is not placed without faults: {failure}"))?;
        for event in &out {
            state.apply(Own { partition: 0, own_seq }, event);
            own_seq += 1;
        }
    }
    Ok(state)
}
