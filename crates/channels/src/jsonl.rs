//! One interaction a line, in Rejoinder's own words.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use crate::format::{Item, Malformed, Record};
use crate::interaction::{self, Direction, Interaction, Structure, Visibility};
use crate::text::rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    channel: String,
    account: String,
    external_id: String,
    direction: Option<Way>,
    author: Option<Author>,
    #[serde(default)]
    text: String,
    event_time: String,
    reply_to: Option<String>,
    conversation: Option<String>,
    #[serde(default)]
    visibility: Seen,
    #[serde(default)]
    to: Vec<String>,
    edit_of: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    attachments: Vec<Attachment>,
    reach: Option<Reach>,
    #[serde(default)]
    quiet: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    In,
    Out,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Seen {
    #[default]
    Public,
    Private,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Author {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    handle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attachment {
    url: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reach {
    followers: u64,
    likes: u64,
    shares: u64,
    replies: u64,
    views: u64,
}

pub(crate) fn read(input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let mut input = BufReader::new(input);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let place = format!("line {line}");
        match input.read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(_) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(_) => {}
            Err(error) => {
                each(Err(Malformed::end(place, error.to_string())));
                return;
            }
        }
        let parsed = serde_json::from_slice(bytes.trim_ascii_end()).map_err(|error| {
            // The parser counts lines within this one.
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            Malformed::at(format!("line {line}, column {}", error.column()), what)
        });
        if !each(parsed.and_then(|parsed| interaction(parsed, line, &place))) {
            return;
        }
    }
}

fn interaction(line: Line, number: u64, place: &str) -> Item {
    let event_time = rfc3339(&line.event_time)
        .ok_or_else(|| Malformed::at(place, format!("event_time {:?} is not RFC 3339", line.event_time)))?;
    let private = matches!(line.visibility, Seen::Private);
    let linked = line.reply_to.is_some() || line.conversation.is_some();
    let structure = Structure::of(&line.channel, private, linked);
    let reach = |reach: Reach| interaction::Reach {
        followers: reach.followers,
        likes: reach.likes,
        shares: reach.shares,
        replies: reach.replies,
        views: reach.views,
    };
    let attachment =
        |from: Attachment| interaction::Attachment { url: from.url, media_type: from.media_type, name: from.name };
    let interaction = Interaction {
        channel: line.channel,
        account: line.account,
        external_id: line.external_id,
        direction: line.direction.map(|way| match way {
            Way::In => Direction::Inbound,
            Way::Out => Direction::Outbound,
        }),
        author: line.author.map(|author| interaction::Author {
            id: author.id,
            name: author.name,
            handle: author.handle,
        }),
        text: line.text,
        event_time,
        parents: line.reply_to.into_iter().collect(),
        conversation: line.conversation,
        visibility: if private { Visibility::Private } else { Visibility::Public },
        structure,
        recipients: line.to,
        attachments: line.attachments.into_iter().map(attachment).collect(),
        reach: line.reach.map(reach),
        edit_of: line.edit_of,
        deleted: line.deleted,
        quiet: line.quiet,
        ..Interaction::default()
    };
    Ok(Record { line: number, interaction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &'static str) -> Vec<Item> {
        let mut items = Vec::new();
        read(Box::new(text.as_bytes()), &mut |item| {
            items.push(item);
            true
        });
        items
    }

    #[test]
    fn a_private_message_without_links_is_direct_and_a_mail_never() {
        let items = all(concat!(
            r#"{"channel":"whatsapp","account":"acme","external_id":"1","direction":"in","author":{"id":"a"},"text":"hi","event_time":"2026-01-02T03:04:05Z","visibility":"private"}"#,
            "\n\n",
            r#"{"channel":"email","account":"acme","external_id":"2","author":{"id":"a"},"event_time":"2026-01-02T03:04:05.5+01:00","visibility":"private"}"#,
            "\n",
            r#"{"channel":"x","account":"acme","external_id":"3","event_time":"soon"}"#,
            "\n",
            r#"{"channel":"x","acount":"acme"}"#,
        ));
        assert_eq!(items[0].as_ref().unwrap().interaction.structure, Structure::Direct);
        let mail = &items[1].as_ref().unwrap().interaction;
        assert_eq!((mail.structure, mail.event_time % 1_000), (Structure::Linked, 500));
        assert_eq!(items[2].as_ref().unwrap_err().to_string(), "line 4: event_time \"soon\" is not RFC 3339");
        assert!(items[3].as_ref().unwrap_err().to_string().contains("unknown field `acount`"));
    }
}
