//! From a channel's interaction to what ingest decides on.

use rejoinder_channels::{Direction, Interaction, Structure, Visibility};
use rejoinder_ingest_core::{Arrival, Revision};
use rejoinder_model::{DAY_MS, MINUTE_MS, Millis, for_rules};
use rejoinder_wire::event;

/// How long before its receipt a live message counts as written, for clocks.
const LATEST_MS: Millis = 7 * DAY_MS;
/// How long after its receipt a live message counts as written, for clocks that differ.
const EARLY_MS: Millis = 5 * MINUTE_MS;

/// An interaction that was received live at a time.
#[must_use]
pub fn arrival(from: Interaction, received_at: Millis) -> Arrival {
    let live = !from.quiet;
    let mut arrival = as_given(from, received_at);
    if live {
        let (from, to) = (received_at.saturating_sub(LATEST_MS), received_at.saturating_add(EARLY_MS));
        arrival.received.clock_time = arrival.received.event_time.clamp(from, to);
    }
    arrival
}

/// An interaction whose times are believed: of a replay, or an import.
#[must_use]
pub fn as_given(from: Interaction, received_at: Millis) -> Arrival {
    let revision = match (&from.edit_of, from.deleted) {
        (_, true) => Some(Revision::Delete),
        // The platform counts no versions: an edit's version is its time.
        (Some(_), false) => Some(Revision::Edit { version: from.event_time }),
        (None, false) => None,
    };
    let message = event::MessageRef {
        channel: from.channel,
        account: from.account,
        external_id: from.edit_of.unwrap_or(from.external_id),
        global_ids: from.global_ids,
    };
    let author = from.author.unwrap_or_default();
    let attachment =
        |a: rejoinder_channels::Attachment| event::Attachment { url: a.url, media_type: a.media_type, name: a.name };
    let plain = event::content::Plain {
        text: from.text,
        author_name: author.name,
        author_handle: author.handle,
        attachments: from.attachments.into_iter().map(attachment).collect(),
        subject: from.subject,
    };
    let reach = from.reach.map(|reach| event::Reach {
        followers: reach.followers,
        likes: reach.likes,
        shares: reach.shares,
        replies: reach.replies,
        views: reach.views,
    });
    let direction = match from.direction {
        None => event::Direction::Unspecified,
        Some(Direction::Inbound) => event::Direction::Inbound,
        Some(Direction::Outbound) => event::Direction::Outbound,
    };
    let visibility = match from.visibility {
        Visibility::Public => event::Visibility::Public,
        Visibility::Private => event::Visibility::Private,
    };
    let structure = match from.structure {
        Structure::Linked => event::Structure::Linked,
        Structure::Direct => event::Structure::Direct,
    };
    let received = event::InteractionReceived {
        message: Some(message),
        direction: direction as i32,
        visibility: visibility as i32,
        structure: structure as i32,
        author_id: (!author.id.is_empty()).then_some(author.id),
        parents: from.parents,
        conversation: from.conversation,
        recipients: from.recipients,
        event_time: from.event_time,
        received_at,
        quiet: from.quiet,
        automatic: from.automatic.unwrap_or_default(),
        reach,
        content: Some(event::Content { body: Some(event::content::Body::Plain(plain)) }),
        deleted: false,
        clock_time: for_rules(from.event_time, received_at),
        by_bot: false,
    };
    Arrival { received, revision }
}
