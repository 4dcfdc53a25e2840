//! `threads list` and `threads show` on a stopped directory.

use std::path::Path;

use anyhow::anyhow;
use prost::Message as _;
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_model::{InteractionId, ThreadId};
use rejoinder_threading_core::record::{Place, Thread};
use rejoinder_wire::event::{Event, content, event::Body};

use crate::Ended;
use crate::data_dir::Stopped;
use crate::table::{Output, Rows, time};

pub(crate) const THREAD_COLUMNS: [&str; 5] = ["thread_id", "person_id", "state", "messages", "newest"];
pub(crate) const THREAD_WIDTHS: [usize; 5] = [14, 14, 17, 8, 24];
pub(crate) const MESSAGE_COLUMNS: [&str; 4] = ["message_id", "time", "direction", "text"];
pub(crate) const MESSAGE_WIDTHS: [usize; 4] = [14, 24, 9, 0];

fn state_name(thread: &Thread) -> String {
    let name = thread.state().as_str_name();
    name.strip_prefix("THREAD_STATE_").unwrap_or(name).to_lowercase()
}

/// Threads of a workspace, the newest first.
pub(crate) fn list(dir: &Path, workspace: &str, output: Output) -> anyhow::Result<Ended> {
    let stopped = Stopped::open(dir)?;
    let (_, partition) = stopped.workspace(workspace)?;
    let state = partition.threading.state();
    let mut threads = Vec::new();
    let mut from = ThreadId(0);
    loop {
        let page = state.threads.page(&from, 1_000);
        let Some((last, _)) = page.last() else { break };
        from = ThreadId(last.0 + 1);
        threads.extend(page.into_iter().filter(|(_, thread)| thread.is_alive() && thread.workspace == workspace));
    }
    let newest = |thread: &Thread| thread.messages.last().map_or(i64::MIN, |message| message.time);
    threads.sort_by_key(|(id, thread)| (std::cmp::Reverse(newest(thread)), *id));
    let mut rows = Rows::new(output, &THREAD_COLUMNS, &THREAD_WIDTHS)?;
    for (id, thread) in threads {
        let person = state.thread_person(&thread).map(|person| person.to_string()).unwrap_or_default();
        let messages = thread.messages.len().to_string();
        rows.row(&[id.to_string(), person, state_name(&thread), messages, time(newest(&thread))])?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// One thread with its messages.
pub(crate) fn thread(dir: &Path, id: &str, output: Output) -> anyhow::Result<Ended> {
    let stopped = Stopped::open(dir)?;
    let id: ThreadId = id.parse()?;
    if id.partition() >= stopped.log.partitions() {
        return Err(anyhow!("thread {id} does not exist"));
    }
    let partition = stopped.partition(id.partition())?;
    let state = partition.threading.state();
    let (_, thread) = state.find(id.0).ok_or_else(|| anyhow!("thread {id} does not exist"))?;
    let mut rows = Rows::new(output, &MESSAGE_COLUMNS, &MESSAGE_WIDTHS)?;
    for member in &thread.messages {
        let message = state.messages.get(&member.key);
        let revision = message.as_ref().and_then(|message| message.revision);
        let seen = message.and_then(|message| message.seen.clone());
        let place = revision.filter(|revision| !revision.deleted).map(|revision| revision.place);
        let text = match (place.or(seen.map(|seen| seen.place)), revision) {
            (_, Some(revision)) if revision.deleted => "(deleted)".to_owned(),
            (Some(place), _) => text(&stopped, id.partition(), place)?,
            (None, _) => String::new(),
        };
        let direction = if member.outbound { "out" } else { "in" };
        rows.row(&[InteractionId(member.interaction).to_string(), time(member.time), direction.to_owned(), text])?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// The text of a message, from the log.
fn text(stopped: &Stopped, partition: u16, place: Place) -> anyhow::Result<String> {
    let records = stopped.log.read(partition, place.index, 1)?;
    let record = records.first().ok_or_else(|| anyhow!("{partition}/{} is not in the log", place.index))?;
    let events = RecordView::verify(&record.bytes)?.events()?;
    let bytes = events.get(place.event as usize).cloned().unwrap_or_default();
    let content = match Event::decode(bytes)?.body {
        Some(Body::InteractionReceived(received)) => received.content,
        Some(Body::InteractionEdited(edited)) => edited.content,
        _ => None,
    };
    Ok(match content.and_then(|content| content.body) {
        Some(content::Body::Plain(plain)) => plain.text,
        Some(content::Body::Sealed(_)) => "(sealed)".to_owned(),
        None => String::new(),
    })
}
