//! From the records of the state to what users are told. Runs on the lane's thread: reads no log.

use rejoinder_api::threading as api;
use rejoinder_model::{ConversationId, InteractionId, Millis, ThreadId};
use rejoinder_service_kit::timestamp;
use rejoinder_threading_core::Threading;
use rejoinder_threading_core::record::{Member, Place, Thread};

/// A message, and where in the log its contents stand.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) message: api::Message,
    pub(crate) place: Place,
    /// The newest edit.
    pub(crate) edit: Option<Place>,
}

fn text(id: Option<impl std::fmt::Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn time(at: Millis) -> Option<prost_types::Timestamp> {
    (at != 0).then(|| timestamp(at))
}

/// A thread.
pub(crate) fn thread(state: &Threading, id: ThreadId, thread: &Thread) -> api::Thread {
    let gap = state.workspace(&thread.workspace).burst_gap_ms;
    let conversation = state.find_conversation(thread.conversation);
    api::Thread {
        thread_id: id.to_string(),
        person_id: text(state.thread_person(thread)),
        conversation_id: text(ConversationId::from_wire(conversation)),
        state: thread.state,
        disposition: thread.disposition,
        unconfirmed: thread.unconfirmed,
        reopen_count: thread.reopen_count,
        hold_until: time(thread.hold_until),
        last_customer_message_at: thread.last_in.map(timestamp),
        last_reply_at: thread.last_out.map(timestamp),
        message_count: count(thread.messages.len()),
        burst_count: count(thread.burst_starts(gap).len()),
        channels: thread.channels.clone(),
        continues: text(ThreadId::from_wire(thread.continues)),
        split_from: text(ThreadId::from_wire(thread.split_from)),
        attributes: thread.attributes.clone(),
        etag: thread.version.to_string(),
        merged: thread.bases.iter().filter(|base| **base != id.0).map(|base| ThreadId(*base).to_string()).collect(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A state in words, as the table of the rules has it.
pub(crate) fn cause(cause: i32) -> String {
    use rejoinder_wire::event::thread_state_changed::Cause;
    let name = Cause::try_from(cause).unwrap_or_default().as_str_name();
    name.strip_prefix("CAUSE_").unwrap_or(name).to_lowercase()
}

/// Messages `range` of a thread, in order of time.
pub(crate) fn messages(
    state: &Threading,
    id: ThreadId,
    thread: &Thread,
    range: impl Iterator<Item = usize>,
) -> Vec<Located> {
    let starts = thread.burst_starts(state.workspace(&thread.workspace).burst_gap_ms);
    let person = text(state.thread_person(thread));
    let located = |n: usize| {
        let member: &Member = thread.messages.get(n)?;
        let message = state.messages.get(&member.key)?;
        let start = starts.get(starts.partition_point(|start| *start <= n).checked_sub(1)?)?;
        let deleted = message.revision.is_some_and(|revision| revision.deleted);
        let edit = message.revision.filter(|revision| !revision.deleted).map(|revision| revision.place);
        let conversation = ConversationId::from_wire(state.find_conversation(message.conversation));
        let told = api::Message {
            interaction_id: InteractionId(member.interaction).to_string(),
            thread_id: id.to_string(),
            person_id: person.clone(),
            // A direct message has no public conversation: its thread is one.
            conversation_id: conversation.map_or_else(|| id.to_string(), |conversation| conversation.to_string()),
            burst_id: burst_id(thread.messages[*start].interaction),
            channel: thread.channels.get(usize::from(member.channel)).cloned().unwrap_or_default(),
            outbound: member.outbound,
            event_time: Some(timestamp(member.time)),
            edited: edit.is_some(),
            deleted,
            ..api::Message::default()
        };
        Some(Located { message: told, place: message.seen.as_ref()?.place, edit })
    };
    range.filter_map(located).collect()
}

/// A burst is named after its first message.
fn burst_id(first: u64) -> String {
    InteractionId(first).to_string().replacen('m', "b", 1)
}
