//! `threads export`: one line for each accepted message, with where it belongs.

use std::collections::HashMap;
use std::path::Path;

use prost::Message as _;
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_model::{ConversationId, InteractionId, MessageKey, Service, ThreadId};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::{Direction, Event, InteractionReceived, event::Body};

use crate::Ended;
use crate::data_dir::Stopped;
use crate::table::{Output, Rows, time};

const COLUMNS: [&str; 9] = [
    "channel",
    "account",
    "external_id",
    "conversation_id",
    "thread_id",
    "person_id",
    "burst_id",
    "direction",
    "event_time",
];

/// Writes the messages of a workspace in the order of their acceptance.
pub(crate) fn run(dir: &Path, workspace: &str) -> anyhow::Result<Ended> {
    let stopped = Stopped::open(dir)?;
    let (number, partition) = stopped.workspace(workspace)?;
    let mut bursts = Bursts::default();
    let mut rows = Rows::new(Output::Tsv, &COLUMNS, &[])?;
    let mut fold = rejoinder_event_log::PartitionFold::default();
    while fold.next_index < stopped.log.end(number) {
        for record in stopped.log.read(number, fold.next_index, 4 << 20)? {
            let view = RecordView::verify(&record.bytes)?;
            let verdict = fold.fold(record.index, view.service, &view.header);
            if verdict != rejoinder_event_log::Verdict::Counted || view.service != Service::Ingest {
                continue;
            }
            for bytes in view.events()? {
                let event = Event::decode(bytes)?;
                if let (true, Some(Body::InteractionReceived(received))) = (event.workspace == workspace, event.body) {
                    rows.row(&line(partition.threading.state(), workspace, &received, &mut bursts))?;
                }
            }
        }
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// The burst of each message, thread by thread as they are asked for.
#[derive(Default)]
struct Bursts {
    of_message: HashMap<MessageKey, u64>,
    known: std::collections::HashSet<ThreadId>,
}

impl Bursts {
    fn find(&mut self, state: &Threading, workspace: &str, thread: ThreadId, message: MessageKey) -> Option<u64> {
        if self.known.insert(thread) {
            let record = state.threads.get(&thread)?;
            let starts = record.burst_starts(state.workspace(workspace).burst_gap_ms);
            for (n, member) in record.messages.iter().enumerate() {
                let start = starts.partition_point(|start| *start <= n) - 1;
                self.of_message.insert(member.key, record.messages[starts[start]].interaction);
            }
        }
        self.of_message.get(&message).copied()
    }
}

fn line(state: &Threading, workspace: &str, received: &InteractionReceived, bursts: &mut Bursts) -> Vec<String> {
    let reference = received.message.clone().unwrap_or_default();
    let account = (!reference.global_ids).then_some(reference.account.as_str());
    let key = MessageKey::new(workspace, &reference.channel, account, &reference.external_id);
    let message = state.messages.get(&key);
    let thread = message.as_ref().and_then(|message| state.find(message.thread));
    let person = thread.as_ref().and_then(|(_, thread)| state.thread_person(thread));
    let burst = thread.as_ref().and_then(|(id, _)| bursts.find(state, workspace, *id, key));
    let conversation = message.as_ref().map_or(0, |message| state.find_conversation(message.conversation));
    let thread_id = thread.map(|(id, _)| id.to_string()).unwrap_or_default();
    let direction = if received.direction == Direction::Outbound as i32 { "out" } else { "in" };
    vec![
        reference.channel,
        reference.account,
        reference.external_id,
        // A direct message has no public conversation: its thread is one.
        ConversationId::from_wire(conversation).map_or_else(|| thread_id.clone(), |id| id.to_string()),
        thread_id,
        person.map(|id| id.to_string()).unwrap_or_default(),
        burst.map(|first| InteractionId(first).to_string().replacen('m', "b", 1)).unwrap_or_default(),
        direction.to_owned(),
        time(received.event_time),
    ]
}
