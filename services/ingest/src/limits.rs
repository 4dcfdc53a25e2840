//! From what a connector sent to an interaction within the limits, or what is wrong with it.

use prost::Message as _;
use rejoinder_api::ingest::{self as api, Refusal};
use rejoinder_channels::{Attachment, Author, Direction, Interaction, Reach, Structure, Visibility};
use rejoinder_service_kit::millis;
use tonic::Code;

/// The longest id.
pub(crate) const MAX_ID_BYTES: usize = 512;
/// The longest text.
pub(crate) const MAX_TEXT_BYTES: usize = 64 << 10;
/// The largest interaction.
pub(crate) const MAX_INTERACTION_BYTES: usize = 256 << 10;
/// The most messages that an interaction may name as answered.
pub(crate) const MAX_REPLY_TO: usize = 1_000;
/// The most attachments of an interaction.
pub(crate) const MAX_ATTACHMENTS: usize = 100;
/// The most interactions of a batch.
pub(crate) const MAX_BATCH: usize = 10_000;

/// A refusal of one interaction.
pub(crate) fn refusal(reason: &str, field: &str, message: String) -> Refusal {
    let code = Code::InvalidArgument as i32;
    Refusal {
        code,
        reason: reason.into(),
        field: field.into(),
        message: format!("{field}: {message}"),
        retry_after_ms: 0,
    }
}

fn check_id(field: &str, id: &str) -> Result<(), Refusal> {
    if id.len() > MAX_ID_BYTES {
        let what = format!("it has {} bytes, {MAX_ID_BYTES} are allowed", id.len());
        return Err(refusal("ID_TOO_LONG", field, what));
    }
    if id.chars().any(char::is_control) {
        return Err(refusal("ID_INVALID", field, "an id has no control characters".into()));
    }
    Ok(())
}

fn check_present(field: &str, id: &str) -> Result<(), Refusal> {
    if id.is_empty() {
        return Err(refusal("FIELD_MISSING", field, "it is required".into()));
    }
    check_id(field, id)
}

/// An interaction as the channels crate has them, checked against the limits of the contract.
///
/// # Errors
/// What is wrong, and in which field.
pub fn interaction(from: api::Interaction) -> Result<Interaction, Refusal> {
    let size = from.encoded_len();
    check_present("channel", &from.channel)?;
    check_present("account", &from.account)?;
    check_present("external_id", &from.external_id)?;
    check_id("conversation", &from.conversation)?;
    check_id("edit_of", &from.edit_of)?;
    from.reply_to.iter().try_for_each(|id| check_id("reply_to", id))?;
    from.to.iter().try_for_each(|id| check_id("to", id))?;
    if let Some(author) = &from.author {
        check_present("author.id", &author.id)?;
    }
    if from.text.len() > MAX_TEXT_BYTES {
        let what = format!("it has {} bytes, {MAX_TEXT_BYTES} are allowed", from.text.len());
        return Err(refusal("TEXT_TOO_LONG", "text", what));
    }
    if from.reply_to.len() > MAX_REPLY_TO {
        let what = format!("there are {}, {MAX_REPLY_TO} are allowed", from.reply_to.len());
        return Err(refusal("TOO_MANY_REFERENCES", "reply_to", what));
    }
    if from.attachments.len() > MAX_ATTACHMENTS {
        let what = format!("there are {}, {MAX_ATTACHMENTS} are allowed", from.attachments.len());
        return Err(refusal("TOO_MANY_ATTACHMENTS", "attachments", what));
    }
    if size > MAX_INTERACTION_BYTES {
        let what = format!("it has {size} bytes, {MAX_INTERACTION_BYTES} are allowed");
        return Err(refusal("INTERACTION_TOO_LARGE", "interaction", what));
    }
    let Some(event_time) = &from.event_time else {
        return Err(refusal("FIELD_MISSING", "event_time", "it is required".into()));
    };
    if !(0..1_000_000_000).contains(&event_time.nanos) {
        let what = format!("{} nanoseconds are not within a second", event_time.nanos);
        return Err(refusal("TIME_INVALID", "event_time", what));
    }
    let direction = match from.direction() {
        api::Direction::Unspecified => None,
        api::Direction::Inbound => Some(Direction::Inbound),
        api::Direction::Outbound => Some(Direction::Outbound),
    };
    let private = from.visibility() == api::Visibility::Private;
    let parents: Vec<String> = from.reply_to.iter().filter(|id| !id.is_empty()).cloned().collect();
    let linked = !parents.is_empty() || !from.conversation.is_empty();
    let structure = match from.structure() {
        api::Structure::Unspecified => Structure::of(&from.channel, private, linked),
        api::Structure::Linked => Structure::Linked,
        api::Structure::Direct => Structure::Direct,
    };
    let attachment = |a: api::Attachment| Attachment { url: a.url, media_type: a.media_type, name: a.name };
    Ok(Interaction {
        event_time: millis(event_time),
        direction,
        structure,
        visibility: if private { Visibility::Private } else { Visibility::Public },
        channel: from.channel,
        account: from.account,
        external_id: from.external_id,
        global_ids: from.global_ids,
        author: from.author.map(|author| Author { id: author.id, name: author.name, handle: author.handle }),
        text: from.text,
        subject: from.subject,
        parents,
        conversation: Some(from.conversation).filter(|id| !id.is_empty()),
        recipients: from.to,
        attachments: from.attachments.into_iter().map(attachment).collect(),
        reach: from.reach.map(|reach| Reach {
            followers: reach.followers,
            likes: reach.likes,
            shares: reach.shares,
            replies: reach.replies,
            views: reach.views,
        }),
        edit_of: Some(from.edit_of).filter(|id| !id.is_empty()),
        deleted: from.deleted,
        quiet: from.quiet,
        automatic: Some(from.automatic).filter(|why| !why.is_empty()),
    })
}

/// An interaction as a client sends it.
#[must_use]
pub fn to_api(from: Interaction) -> api::Interaction {
    let direction = match from.direction {
        None => api::Direction::Unspecified,
        Some(Direction::Inbound) => api::Direction::Inbound,
        Some(Direction::Outbound) => api::Direction::Outbound,
    };
    let visibility = match from.visibility {
        Visibility::Public => api::Visibility::Public,
        Visibility::Private => api::Visibility::Private,
    };
    let structure = match from.structure {
        Structure::Linked => api::Structure::Linked,
        Structure::Direct => api::Structure::Direct,
    };
    let attachment = |a: Attachment| api::Attachment { url: a.url, media_type: a.media_type, name: a.name };
    api::Interaction {
        event_time: Some(rejoinder_service_kit::timestamp(from.event_time)),
        direction: direction as i32,
        visibility: visibility as i32,
        structure: structure as i32,
        channel: from.channel,
        account: from.account,
        external_id: from.external_id,
        global_ids: from.global_ids,
        author: from.author.map(|author| api::Author { id: author.id, name: author.name, handle: author.handle }),
        text: from.text,
        subject: from.subject,
        reply_to: from.parents,
        conversation: from.conversation.unwrap_or_default(),
        to: from.recipients,
        attachments: from.attachments.into_iter().map(attachment).collect(),
        reach: from.reach.map(|reach| api::Reach {
            followers: reach.followers,
            likes: reach.likes,
            shares: reach.shares,
            replies: reach.replies,
            views: reach.views,
        }),
        edit_of: from.edit_of.unwrap_or_default(),
        deleted: from.deleted,
        quiet: from.quiet,
        automatic: from.automatic.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> api::Interaction {
        api::Interaction {
            channel: "x".into(),
            account: "acme".into(),
            external_id: "1".into(),
            author: Some(api::Author { id: "a".into(), ..api::Author::default() }),
            event_time: Some(rejoinder_service_kit::timestamp(-62_135_596_800_001)),
            ..api::Interaction::default()
        }
    }

    #[test]
    fn what_is_within_the_limits_comes_through_whole() {
        let absurd = interaction(given()).unwrap();
        assert_eq!(absurd.event_time, -62_135_596_800_001, "an absurd time is kept as given");
        let text = "\u{202e}bidi \u{0007}bell";
        let full = api::Interaction {
            text: text.into(),
            reply_to: vec!["0".into()],
            attachments: vec![api::Attachment { url: "u".into(), ..api::Attachment::default() }],
            ..to_api(absurd)
        };
        let taken = interaction(full.clone()).unwrap();
        assert_eq!(taken.text, text, "control characters are kept in text");
        assert_eq!(to_api(taken), full);
    }

    #[test]
    fn each_limit_names_its_field() {
        let change = |change: fn(&mut api::Interaction)| {
            let mut changed = given();
            change(&mut changed);
            let refused = interaction(changed).unwrap_err();
            (refused.reason, refused.field)
        };
        type Change = fn(&mut api::Interaction);
        let table: [(Change, &str, &str); 11] = [
            (|i| i.reply_to = vec!["1".into(); 1_001], "TOO_MANY_REFERENCES", "reply_to"),
            (|i| i.channel.clear(), "FIELD_MISSING", "channel"),
            (|i| i.external_id.clear(), "FIELD_MISSING", "external_id"),
            (|i| i.external_id = "x".repeat(513), "ID_TOO_LONG", "external_id"),
            (|i| i.external_id = "a\nb".into(), "ID_INVALID", "external_id"),
            (|i| i.reply_to = vec!["x".repeat(10_000)], "ID_TOO_LONG", "reply_to"),
            (|i| i.text = "x".repeat(65_537), "TEXT_TOO_LONG", "text"),
            (|i| i.attachments = vec![api::Attachment::default(); 101], "TOO_MANY_ATTACHMENTS", "attachments"),
            (|i| i.subject = "x".repeat(300_000), "INTERACTION_TOO_LARGE", "interaction"),
            (|i| i.event_time = None, "FIELD_MISSING", "event_time"),
            (|i| i.author = Some(api::Author::default()), "FIELD_MISSING", "author.id"),
        ];
        for (apply, reason, field) in table {
            assert_eq!(change(apply), (reason.to_owned(), field.to_owned()));
        }
    }
}
