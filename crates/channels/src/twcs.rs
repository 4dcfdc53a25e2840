//! "Customer Support on Twitter": CSV, or JSON with the rows under `results`.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use crate::format::{Item, Malformed, Record, UNKNOWN_ACCOUNT};
use crate::framing;
use crate::interaction::{Author, Direction, Interaction};
use crate::text::{unescape, x_time};

#[derive(Deserialize)]
struct Results {
    results: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// A row by column names.
type Row = HashMap<String, String>;

pub(crate) fn read(input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let (is_json, input) = match framing::starts_with_brace(input) {
        Ok(found) => found,
        Err(error) => {
            each(Err(Malformed::end("start", error.to_string())));
            return;
        }
    };
    if is_json { read_json(input, each) } else { read_csv(input, each) }
}

fn read_json(input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    let rows: Results = match serde_json::from_reader(std::io::BufReader::new(input)) {
        Ok(rows) => rows,
        Err(error) => {
            each(Err(Malformed::end(format!("line {}", error.line()), error.to_string())));
            return;
        }
    };
    for (n, row) in rows.results.into_iter().enumerate() {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => String::new(),
            serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => value.to_string(),
        };
        let row: Row = row.into_iter().map(|(name, value)| (name, text(value))).collect();
        let line = n as u64 + 1;
        if !each(interaction(&row, line, &format!("record {line}"))) {
            return;
        }
    }
}

fn read_csv(input: Box<dyn Read>, each: &mut dyn FnMut(Item) -> bool) {
    // Records end at line feeds only: a lone carriage return may stand inside an unquoted field.
    let mut reader =
        csv::ReaderBuilder::new().terminator(csv::Terminator::Any(b'\n')).flexible(true).from_reader(input);
    let headers: Vec<String> = match reader.byte_headers() {
        Ok(headers) => headers.iter().map(|name| trim(&String::from_utf8_lossy(name))).collect(),
        Err(error) => {
            each(Err(Malformed::end("line 1", error.to_string())));
            return;
        }
    };
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return,
            Err(error) => {
                each(Err(Malformed::end(format!("after line {}", reader.position().line()), error.to_string())));
                return;
            }
            Ok(true) => {}
        }
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("line {line}");
        let fields = record.iter().map(|field| std::str::from_utf8(field).map(trim_end));
        let item = match fields.collect::<Result<Vec<String>, _>>() {
            Err(error) => Err(Malformed::at(place, error.to_string())),
            Ok(fields) => {
                let row: Row = headers.iter().cloned().zip(fields).collect();
                interaction(&row, line, &place)
            }
        };
        if !each(item) {
            return;
        }
    }
}

fn trim(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().trim_matches('"').to_owned()
}

fn trim_end(field: &str) -> String {
    field.strip_suffix('\r').unwrap_or(field).to_owned()
}

fn interaction(row: &Row, line: u64, place: &str) -> Item {
    let field = |name: &str| row.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let required = |name: &str| field(name).ok_or_else(|| Malformed::at(place, format!("{name} is missing")));
    let id = |text: &str| text.strip_suffix(".0").unwrap_or(text).to_owned();
    let author = required("author_id")?.to_owned();
    let inbound = match required("inbound")? {
        "True" | "true" => true,
        "False" | "false" => false,
        other => return Err(Malformed::at(place, format!("inbound is {other:?}, not True or False"))),
    };
    let created = required("created_at")?;
    let event_time =
        x_time(created).ok_or_else(|| Malformed::at(place, format!("created_at {created:?} is no time")))?;
    let text = unescape(field("text").unwrap_or_default());
    let account = if inbound { mentioned(&text) } else { Some(author.clone()) };
    let interaction = Interaction {
        channel: "x".into(),
        account: account.unwrap_or_else(|| UNKNOWN_ACCOUNT.into()),
        external_id: id(required("tweet_id")?),
        global_ids: true,
        direction: Some(if inbound { Direction::Inbound } else { Direction::Outbound }),
        author: Some(Author { id: author, ..Author::default() }),
        text,
        event_time,
        parents: field("in_response_to_tweet_id").map(id).into_iter().collect(),
        ..Interaction::default()
    };
    Ok(Record { line, interaction })
}

/// The first @name that starts with a letter or `_`: customers are numbers, brands are names.
fn mentioned(text: &str) -> Option<String> {
    text.split('@').skip(1).find_map(|rest| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(name)
    })
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

    const HEADER: &str =
        "\u{feff},tweet_id,author_id,inbound,created_at,text,response_tweet_id,in_response_to_tweet_id\n";

    #[test]
    fn a_question_and_its_answer() {
        let text = format!(
            "{HEADER}0,2,115712,True,Tue Oct 31 22:10:47 +0000 2017,@115713 @acme help\rplease &amp; soon,3.0,\n\
             1,3,acme,False,Tue Oct 31 22:11:47 +0000 2017,\"hello, \"\"you\"\"\",,2.0\r\n"
        );
        let items = all(Box::leak(text.into_boxed_str()));
        let question = &items[0].as_ref().unwrap().interaction;
        assert_eq!((question.account.as_str(), question.external_id.as_str()), ("acme", "2"));
        assert_eq!(question.text, "@115713 @acme help\rplease & soon");
        let answer = &items[1].as_ref().unwrap().interaction;
        assert_eq!((answer.direction, answer.parents.clone()), (Some(Direction::Outbound), vec!["2".to_owned()]));
        assert_eq!((answer.account.as_str(), answer.text.as_str()), ("acme", "hello, \"you\""));
    }

    #[test]
    fn a_malformed_record_is_named_and_ends_nothing() {
        let text = format!(
            "{HEADER}0,2,1,Maybe,x,hi,,\n1,3,1,True,never,hi,,\n2,4,1,True,Tue Oct 31 22:10:47 +0000 2017,hi,,\n"
        );
        let items = all(Box::leak(text.into_boxed_str()));
        assert_eq!(items[0].as_ref().unwrap_err().to_string(), "line 2: inbound is \"Maybe\", not True or False");
        assert_eq!(items[1].as_ref().unwrap_err().to_string(), "line 3: created_at \"never\" is no time");
        assert_eq!(items[2].as_ref().unwrap().interaction.account, "unknown");
    }

    #[test]
    fn rows_as_json() {
        let items = all(
            r#" {"results":[{"tweet_id":7,"author_id":"acme","inbound":"False","created_at":"Tue Oct 31 22:10:47 +0000 2017","text":"hi","in_response_to_tweet_id":null}]}"#,
        );
        assert_eq!(items[0].as_ref().unwrap().interaction.external_id, "7");
    }
}
