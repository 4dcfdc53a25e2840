//! Things of the Reddit API: submissions (`t3`) and comments (`t1`), one a line or in a listing.

use std::io::{BufReader, Read};

use serde_json::Value;

use crate::format::{Item, Malformed, NO_TIME, Options, Record};
use crate::interaction::{Author, Interaction, Reach};
use crate::text::unescape;

pub(crate) fn read(options: &Options, input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let mut line = 0;
    for value in serde_json::Deserializer::from_reader(BufReader::new(input)).into_iter::<Value>() {
        match value {
            Err(error) => {
                each(Err(Malformed::end(format!("line {}", error.line()), error.to_string())));
                return;
            }
            Ok(value) => {
                if !thing(options, &value, &mut line, each) {
                    return;
                }
            }
        }
    }
}

fn thing(options: &Options, value: &Value, line: &mut u64, each: &mut dyn FnMut(Item) -> bool) -> bool {
    if let Some(values) = value.as_array() {
        return values.iter().all(|value| thing(options, value, line, each));
    }
    let data = &value["data"];
    match value["kind"].as_str() {
        Some("Listing") => {
            let children = data["children"].as_array().map(Vec::as_slice).unwrap_or_default();
            children.iter().all(|value| thing(options, value, line, each))
        }
        Some(kind @ ("t1" | "t3")) => {
            *line += 1;
            let replies = &data["replies"];
            each(interaction(options, kind, data, *line))
                && (!replies.is_object() || thing(options, replies, line, each))
        }
        // Stubs that stand for things not sent, and kinds that are no posts.
        Some(_) => true,
        None => {
            *line += 1;
            each(Err(Malformed::at(format!("record {line}"), "no thing of the API: kind is missing")))
        }
    }
}

fn interaction(options: &Options, kind: &str, data: &Value, line: u64) -> Item {
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let name = text("name");
    if name.is_empty() {
        return Err(Malformed::at(format!("record {line}"), "name is missing"));
    }
    let deleted = text("author") == "[deleted]" || text("author").is_empty();
    let author_id = data["author_fullname"].as_str().unwrap_or(text("author"));
    let author = Author { id: author_id.to_owned(), name: String::new(), handle: text("author").to_owned() };
    let body = if kind == "t1" {
        text("body").to_owned()
    } else {
        format!("{}\n{}", text("title"), text("selftext")).trim_end().to_owned()
    };
    // `created` is wrong by an offset; whole seconds are exact in a double.
    #[expect(clippy::cast_possible_truncation, reason = "a time in seconds is far below 2^53")]
    let event_time = data["created_utc"].as_f64().map_or(NO_TIME, |seconds| (seconds * 1_000.0) as i64);
    let count = |name: &str| data[name].as_u64().unwrap_or_default();
    let interaction = Interaction {
        channel: "reddit".into(),
        account: options.account(),
        external_id: name.to_owned(),
        global_ids: true,
        author: (!deleted).then_some(author),
        text: unescape(&body),
        event_time,
        parents: data["parent_id"].as_str().map(ToOwned::to_owned).into_iter().collect(),
        conversation: Some(data["link_id"].as_str().unwrap_or(name).to_owned()),
        reach: Some(Reach { likes: count("ups"), replies: count("num_comments"), ..Reach::default() }),
        ..Interaction::default()
    };
    Ok(Record { line, interaction })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_and_a_comment_of_nobody() {
        let text = r#"{"kind":"Listing","data":{"children":[{"kind":"t3","data":{"name":"t3_a","author":"eve","author_fullname":"t2_e","title":"Help","selftext":"a &lt; b","created_utc":1500000000.0}},{"kind":"more","data":{}}]}}
            {"kind":"t1","data":{"name":"t1_b","author":"[deleted]","body":"no","created_utc":1500000001.0,"parent_id":"t3_a","link_id":"t3_a","replies":""}}
            {"data":{}}"#;
        let mut items = Vec::new();
        read(&Options::default(), Box::new(text.as_bytes()), &mut |item| {
            items.push(item);
            true
        });
        let post = &items[0].as_ref().unwrap().interaction;
        assert_eq!((post.text.as_str(), post.conversation.as_deref()), ("Help\na < b", Some("t3_a")));
        let comment = &items[1].as_ref().unwrap().interaction;
        assert_eq!((comment.author.as_ref(), &comment.parents[..]), (None, &["t3_a".to_owned()][..]));
        assert!(items[2].is_err());
    }
}
