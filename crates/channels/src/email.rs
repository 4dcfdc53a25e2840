//! E-mail: a message, an mbox, a tar of them. Ids as the wild writes them.

use std::io::{BufRead, BufReader, Read};

use mail_parser::{DateTime, HeaderName, HeaderValue, Message, MessageParser};
use rejoinder_model::Millis;
use xxhash_rust::xxh3::xxh3_128;

use crate::format::{Item, Malformed, NO_TIME, Options, Record};
use crate::framing;
use crate::interaction::{Author, Interaction, Visibility};

/// The largest message that is taken, attachments and all.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

pub(crate) fn read(options: &Options, input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let mut number = 0;
    let done = framing::members(input, &mut |name, member| {
        messages(BufReader::new(member), &mut |bytes| {
            number += 1;
            let place = if name.is_empty() { format!("message {number}") } else { format!("{name}, message {number}") };
            each(match bytes {
                Ok(bytes) => interaction(options, bytes, number)
                    .ok_or_else(|| Malformed::at(place, "no message: it has no headers")),
                Err(error) => Err(Malformed::end(place, error)),
            })
        })
    });
    if let Err(error) = done {
        each(Err(Malformed::end(format!("after message {number}"), error.to_string())));
    }
}

/// Takes a message's bytes, or why none can be read; `false` ends the reading.
type EachMessage<'a> = &'a mut dyn FnMut(Result<&[u8], String>) -> bool;

/// Splits an mbox at its `From ` lines; a file without one is a message.
fn messages(mut input: impl BufRead, each: EachMessage<'_>) -> bool {
    let mut message = Vec::new();
    let mut line = Vec::new();
    let mut blank_before = true;
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return message.is_empty() || each(Ok(&message)),
            Err(error) => return each(Err(error.to_string())),
            Ok(_) => {}
        }
        if blank_before && is_separator(&line) {
            if !message.is_empty() && !each(Ok(&message)) {
                return false;
            }
            message.clear();
        } else if message.len() < MAX_MESSAGE_BYTES {
            message.extend_from_slice(&line);
        }
        blank_before = line.iter().all(u8::is_ascii_whitespace);
    }
}

/// `From sender Thu Jan  3 10:00:00 2019`: a line of text that starts with "From " has no time.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let rest = String::from_utf8_lossy(rest);
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    words.len() >= 5
        && words.iter().any(|word| days.contains(word))
        && words.iter().any(|word| word.matches(':').count() == 2)
}

/// Ids in a header: what stands between `<` and `>`, or bare words with an `@`.
fn ids(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    if header.contains('<') {
        let mut rest = header;
        while let Some((_, after)) = rest.split_once('<') {
            // An id that does not end is none.
            let Some((id, next)) = after.split_once('>') else { break };
            let id = id.split_ascii_whitespace().collect::<String>();
            if !id.is_empty() && !id.contains('<') {
                found.push(id);
            }
            rest = next;
        }
    } else {
        let words = header.split(|c: char| c.is_ascii_whitespace() || c == ',');
        found.extend(words.filter(|word| word.contains('@')).map(ToOwned::to_owned));
    }
    found
}

/// All values of a header, unfolded, as they stand.
fn raw(message: &Message<'_>, name: &str) -> String {
    let bytes = message.raw_message();
    let headers = message.headers().iter().filter(|header| header.name.as_str().eq_ignore_ascii_case(name));
    let value = |header: &mail_parser::Header<'_>| {
        let value = bytes.get(header.offset_start() as usize..header.offset_end() as usize).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    headers.map(value).collect::<Vec<_>>().join(" ")
}

fn first_mailbox(message: &Message<'_>) -> Option<Author> {
    let text = raw(message, "From");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parsed = message.from().and_then(|from| from.first());
    let address = parsed.and_then(|first| first.address()).filter(|address| address.contains('@'));
    // Archives hide addresses as `user at host (Name)`.
    let (hidden, shown) = text.split_once(" (").unwrap_or((&text, ""));
    let (id, name) = match address {
        Some(address) => (address, parsed.and_then(|first| first.name()).unwrap_or_default()),
        None => (hidden.trim(), shown.trim_end_matches(')')),
    };
    let (id, name) = (id.to_lowercase(), name.to_owned());
    let handle = id.clone();
    (!id.is_empty()).then_some(Author { id, name, handle })
}

fn automatic(message: &Message<'_>) -> Option<String> {
    let header = |name: &str| raw(message, name).trim().to_ascii_lowercase();
    let submitted = header("Auto-Submitted");
    let precedence = header("Precedence");
    let kind = header("Content-Type");
    if kind.starts_with("multipart/report") {
        Some("bounce".into())
    } else if !submitted.is_empty() && !submitted.starts_with("no") {
        Some("auto_reply".into())
    } else if ["bulk", "junk", "list"].contains(&precedence.as_str()) {
        Some("bulk".into())
    } else if !header("X-Autoreply").is_empty() || !header("X-Auto-Response-Suppress").is_empty() {
        Some("auto_reply".into())
    } else {
        None
    }
}

fn event_time(message: &Message<'_>) -> Millis {
    let told = message.date().copied().filter(DateTime::is_valid);
    // Without a zone it is UTC.
    let zoneless = || DateTime::parse_rfc822(&format!("{} +0000", raw(message, "Date").trim()));
    let date = told.or_else(zoneless).filter(DateTime::is_valid);
    date.map_or(NO_TIME, |date| date.to_timestamp().saturating_mul(1_000))
}

fn interaction(options: &Options, bytes: &[u8], line: u64) -> Option<Record> {
    let message = MessageParser::default().parse(bytes)?;
    if message.headers().is_empty() {
        return None;
    }
    let own = ids(&raw(&message, "Message-ID")).into_iter().next();
    // How many empty lines follow depends on where in a file a mail stands.
    let derived = || format!("{:032x}@missing-message-id", xxh3_128(bytes.trim_ascii_end()));
    let external_id = own.unwrap_or_else(derived);
    let references = ids(&raw(&message, "References"));
    let mut parents = ids(&raw(&message, "In-Reply-To"));
    parents.truncate(1);
    // The message answered first, then every other one named: all belong to one conversation.
    for id in references.into_iter().rev() {
        if !parents.contains(&id) {
            parents.push(id);
        }
    }
    parents.retain(|id| *id != external_id && id.len() <= 512);
    let to = match message.header(HeaderName::To) {
        Some(HeaderValue::Address(to)) => to.iter().filter_map(|to| to.address()).map(str::to_lowercase).collect(),
        _ => Vec::new(),
    };
    let text = message.body_text(0).map(|text| text.into_owned()).unwrap_or_default();
    let mut cut = text.len().min(64 << 10);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let interaction = Interaction {
        channel: "email".into(),
        account: options.account(),
        external_id,
        // A mail to two of our addresses is one mail.
        global_ids: true,
        author: first_mailbox(&message),
        text: text[..cut].to_owned(),
        subject: message.subject().unwrap_or_default().to_owned(),
        event_time: event_time(&message),
        parents,
        visibility: Visibility::Private,
        recipients: to,
        automatic: automatic(&message),
        ..Interaction::default()
    };
    Some(Record { line, interaction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Interaction> {
        let mut items = Vec::new();
        let input = std::io::Cursor::new(text.to_owned());
        read(&Options::default(), Box::new(input), &mut |item| {
            items.push(item.unwrap().interaction);
            true
        });
        items
    }

    #[test]
    fn an_mbox_is_split_at_its_from_lines_only() {
        let mails = all(concat!(
            "From eve at example.org  Thu Jan  3 10:00:00 2019\n",
            "From: eve at example.org (Eve E.)\nDate: Thu, 3 Jan 2019 10:00:00 +0100\nSubject: Help\nMessage-ID: <a@x>\n\nText\n\nFrom here on it fails.\n\n",
            "From bob at example.org  Thu Jan  3 11:00:00 2019\n",
            "From: Bob <Bob@Example.org>\nDate: Thu, 3 Jan 2019 11:00:00 +0100\nIn-Reply-To: <a@x>\nReferences: <z@x>\n <a@x>\nMessage-ID: <b@x>\n\nTry this\n",
        ));
        assert_eq!(mails.len(), 2);
        assert_eq!(
            mails[0].author.as_ref().map(|a| (a.id.as_str(), a.name.as_str())),
            Some(("eve at example.org", "Eve E."))
        );
        assert!(mails[0].text.contains("From here on"));
        assert_eq!(mails[0].event_time, 1_546_506_000_000);
        assert_eq!(mails[1].parents, ["a@x", "z@x"]);
        assert_eq!(mails[1].author.as_ref().map(|a| a.id.as_str()), Some("bob@example.org"));
    }

    #[test]
    fn ids_as_the_wild_writes_them() {
        assert_eq!(ids("<a@b>,<c@d>"), ["a@b", "c@d"]);
        assert_eq!(ids(" <a@\n b> "), ["a@b"]);
        assert_eq!(ids("<a@b> <cut@off"), ["a@b"]);
        assert_eq!(ids("a@b"), ["a@b"]);
        assert!(ids("<>").is_empty());
    }

    #[test]
    fn a_date_without_a_zone_is_utc() {
        let mails = all("From: a@b\nMessage-ID: <1@b>\nDate: Sat, 23 Mar 2002 01:59:37\n\nHello\n");
        assert_eq!(mails[0].event_time, 1_016_848_777_000);
    }

    #[test]
    fn automatic_mail_is_marked_and_a_missing_id_derived() {
        let mails = all("From: a@b\nAuto-Submitted: auto-replied\nDate: Thu, 3 Jan 2019 11:00:00 +0100\n\nAway\n");
        assert_eq!(mails[0].automatic.as_deref(), Some("auto_reply"));
        assert!(mails[0].external_id.ends_with("@missing-message-id"));
        let again = all("From: a@b\nAuto-Submitted: auto-replied\nDate: Thu, 3 Jan 2019 11:00:00 +0100\n\nAway\n\n\n");
        assert_eq!(again[0].external_id, mails[0].external_id);
    }
}
