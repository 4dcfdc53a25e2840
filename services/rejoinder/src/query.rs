//! Threads, persons and the quarantine.

use rejoinder_api::admin::admin_service_client::AdminServiceClient;
use rejoinder_api::admin::{ListQuarantineRequest, RetryQuarantinedRequest, SkipQuarantinedRequest};
use rejoinder_api::threading::person_service_client::PersonServiceClient;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{
    GetPersonRequest, ListMessagesRequest, ListThreadsRequest, ListTimelineRequest, Message, Thread, thread::State,
    timeline_entry::Entry,
};
use rejoinder_service_kit::millis;

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, say, time};

const THREAD_COLUMNS: [&str; 5] = ["thread_id", "person_id", "state", "messages", "newest"];
const THREAD_WIDTHS: [usize; 5] = [14, 14, 17, 8, 24];
const MESSAGE_COLUMNS: [&str; 4] = ["message_id", "time", "direction", "text"];
const MESSAGE_WIDTHS: [usize; 4] = [14, 24, 9, 0];

/// The largest page that a server gives.
const PAGE: i32 = 1_000;

fn at(time_of: Option<&prost_types::Timestamp>) -> String {
    time_of.map(|at| time(millis(at))).unwrap_or_default()
}

fn state_name(state: i32) -> String {
    let name = State::try_from(state).unwrap_or_default().as_str_name();
    name.strip_prefix("STATE_").unwrap_or(name).to_lowercase()
}

fn thread_row(thread: &Thread) -> [String; 5] {
    let newest = thread.last_customer_message_at.iter().chain(&thread.last_reply_at).map(millis).max();
    [
        thread.thread_id.clone(),
        thread.person_id.clone(),
        state_name(thread.state),
        thread.message_count.to_string(),
        newest.map(time).unwrap_or_default(),
    ]
}

/// All threads, in the order in which they were opened.
pub(crate) async fn threads(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = ThreadServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &THREAD_COLUMNS, &THREAD_WIDTHS)?;
    let mut page_token = String::new();
    loop {
        let request = ListThreadsRequest { page_size: PAGE, page_token, ..ListThreadsRequest::default() };
        let answer = client.list_threads(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.threads.iter().try_for_each(|thread| rows.row(&thread_row(thread)))?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            rows.end()?;
            return Ok(Ended::Well);
        }
    }
}

fn said(message: &Message) -> String {
    if message.deleted { "(deleted)".to_owned() } else { message.text.clone() }
}

/// The messages of a thread.
pub(crate) async fn thread(remote: &Remote, id: &str, output: Output) -> anyhow::Result<Ended> {
    let mut client = ThreadServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &MESSAGE_COLUMNS, &MESSAGE_WIDTHS)?;
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest {
            thread_id: id.to_owned(),
            page_size: PAGE,
            page_token,
            ..ListMessagesRequest::default()
        };
        let answer = client.list_messages(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        for message in &page.messages {
            let direction = if message.outbound { "out" } else { "in" };
            let time = at(message.event_time.as_ref());
            rows.row(&[message.interaction_id.clone(), time, direction.to_owned(), said(message)])?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            rows.end()?;
            return Ok(Ended::Well);
        }
    }
}

/// The handles of a person.
pub(crate) async fn person(remote: &Remote, id: &str, output: Output) -> anyhow::Result<Ended> {
    let mut client = PersonServiceClient::new(remote.channel.clone());
    let request = GetPersonRequest { person_id: id.to_owned(), wait_for: String::new() };
    let answer = client.get_person(remote.request(request)).await.map_err(|status| refused(&status))?;
    let person = answer.into_inner().person.unwrap_or_default();
    let columns = ["person_id", "threads", "channel", "author_id", "name", "handle"];
    let mut rows = Rows::new(output, &columns, &[14, 7, 10, 24, 24, 0])?;
    for handle in person.handles {
        let threads = person.thread_count.to_string();
        rows.row(&[person.person_id.clone(), threads, handle.channel, handle.id, handle.name, handle.handle])?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// All that happened, the newest first.
pub(crate) async fn timeline(remote: &Remote, id: &str, output: Output) -> anyhow::Result<Ended> {
    let mut client = PersonServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &["time", "thread_id", "channel", "what", "text"], &[24, 14, 10, 20, 0])?;
    let mut page_token = String::new();
    loop {
        let request =
            ListTimelineRequest { person_id: id.to_owned(), page_size: PAGE, page_token, wait_for: String::new() };
        let answer = client.list_timeline(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        for entry in page.entries {
            let (channel, what, text) = match entry.entry {
                Some(Entry::Message(message)) => {
                    let way = if message.outbound { "reply" } else { "message" };
                    (message.channel.clone(), way.to_owned(), said(&message))
                }
                Some(Entry::Note(note)) => (String::new(), format!("note by {}", note.author), note.text),
                Some(Entry::StateChange(change)) => {
                    let text = format!("{} to {}", state_name(change.from), state_name(change.to));
                    (String::new(), change.cause, text)
                }
                Some(Entry::Outcome(outcome)) => {
                    let text = if outcome.confirmed { "confirmed" } else { "denied" };
                    (String::new(), "outcome".to_owned(), text.to_owned())
                }
                None => continue,
            };
            rows.row(&[at(entry.time.as_ref()), entry.thread_id, channel, what, text])?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            rows.end()?;
            return Ok(Ended::Well);
        }
    }
}

/// What is set aside.
pub(crate) async fn quarantine(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = AdminServiceClient::new(remote.channel.clone());
    let columns = ["quarantine_id", "service", "source", "event", "at", "reason"];
    let mut rows = Rows::new(output, &columns, &[14, 10, 12, 5, 24, 0])?;
    let mut page_token = String::new();
    loop {
        let request = ListQuarantineRequest { page_size: PAGE, page_token };
        let answer = client.list_quarantine(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        for found in page.quarantined {
            let (event, at) = (found.source_event.to_string(), at(found.at.as_ref()));
            rows.row(&[found.quarantine_id, found.service, found.source, event, at, found.reason])?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            rows.end()?;
            return Ok(Ended::Well);
        }
    }
}

/// Decides again on an input.
pub(crate) async fn retry(remote: &Remote, id: &str) -> anyhow::Result<Ended> {
    let request = RetryQuarantinedRequest { quarantine_id: id.to_owned() };
    let answer = AdminServiceClient::new(remote.channel.clone()).retry_quarantined(remote.request(request)).await;
    say(&format!("released at {}", answer.map_err(|status| refused(&status))?.into_inner().as_of));
    Ok(Ended::Well)
}

/// Gives an input up.
pub(crate) async fn skip(remote: &Remote, id: &str) -> anyhow::Result<Ended> {
    let request = SkipQuarantinedRequest { quarantine_id: id.to_owned() };
    let answer = AdminServiceClient::new(remote.channel.clone()).skip_quarantined(remote.request(request)).await;
    say(&format!("given up at {}", answer.map_err(|status| refused(&status))?.into_inner().as_of));
    Ok(Ended::Well)
}
