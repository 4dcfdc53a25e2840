//! What threading makes of ingest's events.

use rejoinder_machine::{Context, Failure, Source, event};
use rejoinder_model::MessageKey;
use rejoinder_wire::event::{Event, MessageRef, MessageRevised, PolicyAdopted, event::Body};

use crate::place;
use crate::state::Threading;

/// The key of a message that an event refers to.
pub(crate) fn key_of(workspace: &str, message: &MessageRef) -> MessageKey {
    let account = (!message.global_ids).then_some(message.account.as_str());
    MessageKey::new(workspace, &message.channel, account, &message.external_id)
}

pub(crate) fn consider(
    state: &Threading,
    context: &Context,
    source: Source,
    input: &Event,
    out: &mut Vec<Event>,
) -> Result<(), Failure> {
    let workspace = input.workspace.as_str();
    match &input.body {
        Some(Body::InteractionReceived(received)) => {
            let message = received.message.as_ref().ok_or_else(|| Failure("a message without an id".into()))?;
            place::place(state, context, workspace, source, message, received, out);
        }
        Some(Body::InteractionEdited(edited)) => {
            let target = edited.target.as_ref().ok_or_else(|| Failure("an edit without a target".into()))?;
            revise(state, workspace, source, target, edited.version, false, out);
        }
        Some(Body::InteractionDeleted(deleted)) => {
            let target = deleted.target.as_ref().ok_or_else(|| Failure("a delete without a target".into()))?;
            revise(state, workspace, source, target, i64::MAX, true, out);
        }
        Some(Body::PolicyPublished(policy)) => {
            let adopted = PolicyAdopted {
                version: policy.version,
                threading: policy.threading.clone(),
                routing: policy.routing.clone(),
                sla: policy.sla.clone(),
            };
            out.push(event(workspace, Body::PolicyAdopted(adopted)));
        }
        // Reactions, receipts and reach hang on their messages: nothing to decide here.
        _ => {}
    }
    Ok(())
}

fn revise(
    state: &Threading,
    workspace: &str,
    source: Source,
    target: &MessageRef,
    version: i64,
    deleted: bool,
    out: &mut Vec<Event>,
) {
    let key = key_of(workspace, target);
    let message = state.messages.get(&key);
    let newest = message.as_ref().and_then(|message| message.revision);
    if newest.is_some_and(|newest| newest.version >= version) {
        return;
    }
    let thread = message.filter(|message| message.seen.is_some()).map_or(0, |message| message.thread);
    let revised = MessageRevised { message: key.to_wire(), version, source: Some(source), deleted, thread };
    out.push(event(workspace, Body::MessageRevised(revised)));
}
