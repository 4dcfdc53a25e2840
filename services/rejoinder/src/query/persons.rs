//! `persons show` and `persons timeline`.

use rejoinder_api::threading::person_service_client::PersonServiceClient;
use rejoinder_api::threading::{GetPersonRequest, ListTimelineRequest, TimelineEntry, timeline_entry::Entry};

use crate::Ended;
use crate::cli::{Cli, Persons};
use crate::query::threads::{said, state_name};
use crate::query::{PAGE, pages};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 6] = ["person_id", "threads", "channel", "author_id", "name", "handle"];
const WIDTHS: [usize; 6] = [14, 7, 10, 24, 24, 0];
const TIMELINE_COLUMNS: [&str; 5] = ["time", "thread_id", "channel", "what", "text"];
const TIMELINE_WIDTHS: [usize; 5] = [24, 14, 10, 20, 0];

pub(crate) async fn command(persons: &Persons, cli: &Cli) -> anyhow::Result<Ended> {
    match persons {
        Persons::Show { person, source } => {
            show(&source.open(&cli.workspace).await?, person.to_string(), cli.output).await
        }
        Persons::Timeline { person, source } => {
            timeline(&source.open(&cli.workspace).await?, person.to_string(), cli.output).await
        }
    }
}

/// The handles of a person.
pub(crate) async fn show(remote: &Remote, person_id: String, output: Output) -> anyhow::Result<Ended> {
    let mut client = PersonServiceClient::new(remote.channel.clone());
    let request = GetPersonRequest { person_id, wait_for: String::new() };
    let answer = client.get_person(remote.request(request)).await.map_err(|status| refused(&status))?;
    let person = answer.into_inner().person.unwrap_or_default();
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    for handle in person.handles {
        rows.row(&[
            Value::name(&person.person_id),
            person.thread_count.into(),
            Value::name(handle.channel),
            Value::name(handle.id),
            Value::Text(handle.name),
            Value::Text(handle.handle),
        ])?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// All that happened, the newest first.
pub(crate) async fn timeline(remote: &Remote, person_id: String, output: Output) -> anyhow::Result<Ended> {
    let mut client = PersonServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &TIMELINE_COLUMNS, &TIMELINE_WIDTHS)?;
    pages(async |page_token| {
        let person_id = person_id.clone();
        let request = ListTimelineRequest { person_id, page_size: PAGE, page_token, wait_for: String::new() };
        let answer = client.list_timeline(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.entries.into_iter().filter_map(line).try_for_each(|line| rows.row(&line))?;
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}

fn line(entry: TimelineEntry) -> Option<[Value; 5]> {
    let text = Value::Text;
    let (channel, what, text) = match entry.entry? {
        Entry::Message(message) => {
            let way = if message.outbound { "reply" } else { "message" };
            (message.channel.clone(), way.to_owned(), said(&message))
        }
        Entry::Note(note) => (String::new(), format!("note by {}", note.author), text(note.text)),
        Entry::StateChange(change) => {
            let states = format!("{} to {}", state_name(change.from), state_name(change.to));
            (String::new(), change.cause, text(states))
        }
        Entry::Outcome(outcome) => {
            let said = if outcome.confirmed { "confirmed" } else { "denied" };
            (String::new(), "outcome".to_owned(), text(said.to_owned()))
        }
    };
    let time = Value::time(entry.time.as_ref());
    Some([time, Value::name(entry.thread_id), Value::name(channel), Value::Text(what), text])
}
