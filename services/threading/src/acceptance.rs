//! All messages of a workspace in the order of their acceptance: the log has the order, the state says
//! where each belongs today.

use std::collections::BTreeMap;

use prost::Message as _;
use rejoinder_api::threading::{ListMessagesResponse, Message};
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_model::{ConversationId, InteractionId, MessageKey, Position, Service, ThreadId};
use rejoinder_service_kit::{Lanes, MAX_PAGE_BYTES, refuse};
use rejoinder_threading_core::Threading;
use rejoinder_threading_core::record::{Member, Place, is_outbound};
use rejoinder_wire::event::{Event, InteractionReceived, event::Body};
use tonic::Status;

use crate::view::Located;
use crate::{content, view};

/// Bytes of the log that are looked through for one page.
const MAX_LOOKED_AT: usize = 8 << 20;

/// An accepted message, as the log has it.
struct Found {
    key: MessageKey,
    place: Place,
    own_seq: u64,
    outbound: bool,
}

/// What was found, and where to go on; `None`: at the log's end.
struct Looked {
    found: Vec<Found>,
    next: Option<Place>,
    /// The first record that was not looked at.
    end: u64,
}

/// One page.
pub(crate) async fn page(
    lanes: &Lanes<Threading>,
    workspace: &str,
    size: usize,
    token: &str,
    wait_for: &str,
) -> Result<ListMessagesResponse, Status> {
    let from = place(token)?;
    let partition = lanes.partition(workspace);
    let looked = tokio::task::block_in_place(|| look(&**lanes.log(), partition, workspace, from, size))?;
    // Threading must have considered all that is told of here.
    let seen = Position { partition, index: looked.end.saturating_sub(1) };
    let wait_for = if looked.end == 0 || !wait_for.is_empty() { wait_for.to_owned() } else { seen.to_string() };
    let (of, found) = (workspace.to_owned(), looked.found);
    let question = move |state: &Threading| {
        if !state.has_workspace(&of) {
            return None;
        }
        Some(belonging(state, partition, &found))
    };
    let (located, as_of) = lanes.ask(workspace, &wait_for, question).await?;
    let located = located.ok_or_else(|| refuse::not_found("workspace", workspace))?;
    let messages = tokio::task::block_in_place(|| content::messages(&**lanes.log(), partition, located))?;
    let next_page_token = looked.next.map(|next| format!("{}.{}", next.index, next.event)).unwrap_or_default();
    Ok(ListMessagesResponse { messages, next_page_token, as_of: as_of.to_string() })
}

fn place(token: &str) -> Result<Place, Status> {
    if token.is_empty() {
        return Ok(Place::default());
    }
    let parsed = token.split_once('.').and_then(|(index, event)| Some((index.parse().ok()?, event.parse().ok()?)));
    let wrong = || refuse::invalid("PAGE_TOKEN_INVALID", "page_token", "no answer gave this token");
    parsed.map(|(index, event)| Place { index, event }).ok_or_else(wrong)
}

/// Looks through the log until there is a page.
fn look(log: &dyn EventLog, partition: u16, workspace: &str, from: Place, size: usize) -> Result<Looked, Status> {
    let mut looked = Looked { found: Vec::new(), next: None, end: from.index };
    let (mut bytes, mut told) = (0, 0);
    while bytes < MAX_LOOKED_AT {
        let lost = |what: String| Status::data_loss(format!("the event log: {what}"));
        let records = log.read(partition, looked.end, 1 << 20).map_err(|error| lost(error.to_string()))?;
        if records.is_empty() {
            return Ok(looked);
        }
        for record in records {
            bytes += record.bytes.len();
            looked.end = record.index + 1;
            let view = RecordView::peek(&record.bytes).map_err(|damage| lost(damage.to_string()))?;
            if view.service != Service::Ingest || view.is_claim() {
                continue;
            }
            RecordView::verify(&record.bytes).map_err(|damage| lost(damage.to_string()))?;
            let first = if record.index == from.index { from.event } else { 0 };
            let events = view.events().map_err(|damage| lost(damage.to_string()))?;
            for (number, bytes) in (0_u32..).zip(events).skip(first as usize) {
                told += bytes.len();
                if looked.found.len() >= size || (told > MAX_PAGE_BYTES && !looked.found.is_empty()) {
                    looked.next = Some(Place { index: record.index, event: number });
                    return Ok(looked);
                }
                let event = Event::decode(bytes).map_err(|error| lost(error.to_string()))?;
                if let (true, Some(Body::InteractionReceived(received))) = (event.workspace == workspace, event.body) {
                    let place = Place { index: record.index, event: number };
                    let own_seq = view.header.first_own_seq + u64::from(number);
                    looked.found.extend(found(workspace, place, own_seq, &received));
                }
            }
        }
    }
    looked.next = Some(Place { index: looked.end, event: 0 });
    Ok(looked)
}

fn found(workspace: &str, place: Place, own_seq: u64, received: &InteractionReceived) -> Option<Found> {
    let message = received.message.as_ref()?;
    let account = (!message.global_ids).then_some(message.account.as_str());
    let key = MessageKey::new(workspace, &message.channel, account, &message.external_id);
    Some(Found { key, place, own_seq, outbound: is_outbound(received.direction) })
}

/// Where each message belongs today, in the order given.
fn belonging(state: &Threading, partition: u16, found: &[Found]) -> Vec<Located> {
    let mut members: BTreeMap<ThreadId, Vec<usize>> = BTreeMap::new();
    for found in found {
        let Some(seen) = state.messages.get(&found.key).and_then(|message| message.seen.clone()) else { continue };
        let thread = state.messages.get(&found.key).and_then(|message| state.find(message.thread));
        if let Some((id, thread)) = thread {
            let before = |member: &Member| (member.time, member.interaction) < (seen.event_time, seen.interaction);
            members.entry(id).or_default().push(thread.messages.partition_point(before));
        }
    }
    // The bursts of a thread are told once for all its messages.
    let mut in_threads = BTreeMap::new();
    for (id, members) in members {
        let Some(thread) = state.threads.get(&id) else { continue };
        let located = view::messages(state, id, &thread, members.into_iter());
        in_threads.extend(located.into_iter().map(|located| ((located.place.index, located.place.event), located)));
    }
    let told = |found: &Found| {
        let known = state.messages.get(&found.key);
        let seen = known.as_ref().and_then(|known| known.seen.as_ref());
        // One that does not count stands in the log too, where two writers met.
        if seen.is_some_and(|seen| seen.place != found.place) {
            return None;
        }
        let in_thread = in_threads.remove(&(found.place.index, found.place.event));
        Some(in_thread.unwrap_or_else(|| {
            let conversation = known.as_ref().map_or(0, |known| state.find_conversation(known.conversation));
            let revision = known.and_then(|known| known.revision);
            let edit = revision.filter(|revision| !revision.deleted).map(|revision| revision.place);
            let message = Message {
                interaction_id: InteractionId::new(partition, found.own_seq).to_string(),
                conversation_id: ConversationId::from_wire(conversation).map(|id| id.to_string()).unwrap_or_default(),
                outbound: found.outbound,
                edited: edit.is_some(),
                deleted: revision.is_some_and(|revision| revision.deleted),
                ..Message::default()
            };
            Located { message, place: found.place, edit }
        }))
    };
    found.iter().filter_map(told).collect()
}
