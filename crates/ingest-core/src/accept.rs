//! Accepting one interaction: a message, an edit or a delete, seen once or again.

use rejoinder_machine::{Context, event};
use rejoinder_model::InteractionId;
use rejoinder_wire::event::{
    Direction, Event, InteractionDeleted, InteractionEdited, InteractionReceived, event::Body,
};

use crate::state::{Ingest, Workspace, key_of};

/// Something a connector pushed, checked against the limits.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The message; for an edit or a delete its `message` is the one revised.
    pub received: InteractionReceived,
    /// What it does to a message, when it is none itself.
    pub revision: Option<Revision>,
}

/// What an interaction does to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// New content. Higher versions win.
    Edit {
        /// The version.
        version: i64,
    },
    /// It is gone.
    Delete,
}

/// What became of an interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message, accepted under this id.
    Accepted(InteractionId),
    /// An edit or a delete, accepted.
    Revised,
    /// Accepted before; `None` for a revision.
    Duplicate(Option<InteractionId>),
    /// The workspace does not exist.
    UnknownWorkspace,
}

/// Decides on one interaction. `own_seq` is the number that its event will have.
pub fn accept(state: &Ingest, context: &Context, workspace: &str, arrival: Arrival, out: &mut Vec<Event>) -> Outcome {
    let Arrival { mut received, revision } = arrival;
    let Some(known) = state.workspace(workspace) else { return Outcome::UnknownWorkspace };
    let Some(message) = received.message.clone() else { return Outcome::UnknownWorkspace };
    let key = key_of(workspace, &message);
    let accepted = state.messages.get(&key).map(|accepted| *accepted).unwrap_or_default();
    let (event_time, received_at) = (received.event_time, received.received_at);
    match revision {
        Some(Revision::Edit { version }) => {
            if version <= accepted.version || accepted.deleted {
                return Outcome::Duplicate(None);
            }
            let content = received.content.take();
            let edited = InteractionEdited { target: Some(message), version, event_time, received_at, content };
            out.push(event(workspace, Body::InteractionEdited(edited)));
            Outcome::Revised
        }
        Some(Revision::Delete) => {
            if accepted.deleted {
                return Outcome::Duplicate(None);
            }
            let deleted = InteractionDeleted { target: Some(message), event_time, received_at };
            out.push(event(workspace, Body::InteractionDeleted(deleted)));
            Outcome::Revised
        }
        None => {
            if accepted.own_seq != 0 {
                return Outcome::Duplicate(Some(InteractionId::new(context.partition, accepted.own_seq)));
            }
            let bot = account(&known, &received);
            if received.direction == Direction::Unspecified as i32 {
                // The company speaks when the author is one of its accounts.
                received.direction = if bot.is_some() { Direction::Outbound } else { Direction::Inbound } as i32;
            }
            received.by_bot = bot == Some(true);
            if accepted.deleted {
                received.deleted = true;
                received.content = None;
            }
            let id = InteractionId::new(context.partition, context.next_own_seq);
            out.push(event(workspace, Body::InteractionReceived(Box::new(received))));
            Outcome::Accepted(id)
        }
    }
}

/// Is the author one of the company's accounts, and a bot?
fn account(workspace: &Workspace, received: &InteractionReceived) -> Option<bool> {
    let channel = received.message.as_ref().map_or("", |message| message.channel.as_str());
    let author = received.author_id.as_ref()?;
    workspace.accounts.get(&(channel.to_owned(), author.clone())).copied()
}
