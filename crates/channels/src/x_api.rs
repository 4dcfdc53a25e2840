//! Posts as the X API gives them: statuses of version 1.1, posts of version 2, one or many a file, a
//! tar of files.

use std::io::{BufReader, Read};

use serde_json::Value;

use crate::format::{Item, Malformed, NO_TIME, Options, Record};
use crate::framing;
use crate::interaction::{Author, Interaction, Reach};
use crate::text::{rfc3339, unescape, x_time};

pub(crate) fn read(options: &Options, input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let mut number = 0;
    let done = framing::members(input, &mut |name, member| {
        let place = |line: usize| if name.is_empty() { format!("line {line}") } else { format!("{name}, line {line}") };
        for value in serde_json::Deserializer::from_reader(BufReader::new(member)).into_iter::<Value>() {
            match value {
                Ok(value) => {
                    if !posts(options, &value, &Value::Null, &mut number, each) {
                        return false;
                    }
                }
                // A member that is no JSON is no post.
                Err(_) if !name.is_empty() && !name.ends_with(".json") => return true,
                Err(error) => return each(Err(Malformed::at(place(error.line()), error.to_string()))),
            }
        }
        true
    });
    if let Err(error) = done {
        each(Err(Malformed::end(format!("after record {number}"), error.to_string())));
    }
}

fn posts(
    options: &Options,
    value: &Value,
    includes: &Value,
    number: &mut u64,
    each: &mut dyn FnMut(Item) -> bool,
) -> bool {
    if let Some(values) = value.as_array() {
        return values.iter().all(|value| posts(options, value, includes, number, each));
    }
    if value.get("data").is_some() {
        return posts(options, &value["data"], &value["includes"], number, each);
    }
    let interaction = if value.get("id_str").is_some() && value.get("created_at").is_some() {
        version_1(options, value)
    } else if value["id"].is_string() && value.get("text").is_some() {
        version_2(options, value, includes)
    } else {
        // Some other object of the API.
        return true;
    };
    *number += 1;
    each(Ok(Record { line: *number, interaction }))
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// An id: numbers above 2^53 come as text, older fields as numbers.
fn id_of(value: &Value) -> Option<String> {
    text_of(value).or_else(|| value.as_u64().map(|number| number.to_string()))
}

fn version_1(options: &Options, post: &Value) -> Interaction {
    let full = &post["extended_tweet"]["full_text"];
    let text = text_of(full).or_else(|| text_of(&post["full_text"])).or_else(|| text_of(&post["text"]));
    let user = &post["user"];
    let author = id_of(&user["id_str"]).or_else(|| id_of(&user["id"])).map(|id| Author {
        id,
        name: text_of(&user["name"]).unwrap_or_default(),
        handle: text_of(&user["screen_name"]).unwrap_or_default(),
    });
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    Interaction {
        channel: "x".into(),
        account: options.account(),
        external_id: id_of(&post["id_str"]).unwrap_or_default(),
        global_ids: true,
        author,
        text: unescape(&text.unwrap_or_default()),
        event_time: post["created_at"].as_str().and_then(x_time).unwrap_or(NO_TIME),
        parents: id_of(&post["in_reply_to_status_id_str"]).into_iter().collect(),
        reach: Some(Reach {
            followers: count(&user["followers_count"]),
            likes: count(&post["favorite_count"]),
            shares: count(&post["retweet_count"]),
            replies: count(&post["reply_count"]),
            views: 0,
        }),
        ..Interaction::default()
    }
}

fn version_2(options: &Options, post: &Value, includes: &Value) -> Interaction {
    let users = includes["users"].as_array().map(Vec::as_slice).unwrap_or_default();
    let author = id_of(&post["author_id"]).map(|id| {
        let user = users.iter().find(|user| user["id"].as_str() == Some(&id));
        let field = |name: &str| user.and_then(|user| text_of(&user[name])).unwrap_or_default();
        Author { name: field("name"), handle: field("username"), id }
    });
    let note = text_of(&post["note_tweet"]["text"]);
    let referenced = post["referenced_tweets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parents =
        referenced.iter().filter(|other| other["type"] == "replied_to").filter_map(|other| id_of(&other["id"]));
    Interaction {
        channel: "x".into(),
        account: options.account(),
        external_id: id_of(&post["id"]).unwrap_or_default(),
        global_ids: true,
        author,
        text: unescape(&note.or_else(|| text_of(&post["text"])).unwrap_or_default()),
        event_time: post["created_at"].as_str().and_then(rfc3339).unwrap_or(NO_TIME),
        parents: parents.collect(),
        conversation: id_of(&post["conversation_id"]),
        ..Interaction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_of_both_versions_and_other_objects() {
        let text = r#"[{"id_str":"9007199254740993","created_at":"Tue Oct 31 22:10:47 +0000 2017","text":"cut…","extended_tweet":{"full_text":"whole &amp; long"},"user":{"id_str":"5","screen_name":"eve"},"in_reply_to_status_id_str":"4"},
            {"data":{"id":"7","text":"hi","author_id":"5","conversation_id":"6","created_at":"2026-01-01T00:00:00.000Z","referenced_tweets":[{"type":"replied_to","id":"6"}]},"includes":{"users":[{"id":"5","username":"eve"}]}},
            {"structure":{}}]"#;
        let mut items = Vec::new();
        read(&Options::default(), Box::new(text.as_bytes()), &mut |item| {
            items.push(item.unwrap().interaction);
            true
        });
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].external_id.as_str(), items[0].text.as_str()), ("9007199254740993", "whole & long"));
        assert_eq!((items[1].conversation.as_deref(), &items[1].parents[..]), (Some("6"), &["6".to_owned()][..]));
        assert_eq!(items[1].author.as_ref().unwrap().handle, "eve");
    }
}
