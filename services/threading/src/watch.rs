//! WatchThreads: what happens to threads, as it becomes durable.

use prost::Message as _;
use rejoinder_api::threading::watch_threads_response::{Change, Merged, Opened, Placed, StateChanged};
use rejoinder_api::threading::{WatchThreadsResponse, thread::State};
use rejoinder_model::{InteractionId, PersonId, ThreadId};
use rejoinder_service_kit::{TailEvent, cursor, timestamp, watch};
use rejoinder_threading_core::record::is_outbound;
use rejoinder_wire::event::{Event, event::Body};
use tokio_stream::Stream;
use tonic::Status;

use crate::thread_service::Threads;
use crate::view;

/// The changes of a workspace after a position; of some threads only, unless `only` is empty.
pub(crate) async fn changes(
    threads: &Threads,
    workspace: &str,
    after: &str,
    only: Vec<u64>,
) -> Result<impl Stream<Item = Result<WatchThreadsResponse, Status>> + Send + use<>, Status> {
    let of = workspace.to_owned();
    let told = move |event: &TailEvent| {
        let (thread, change) = change(&of, event)?;
        let wanted = only.is_empty() || only.contains(&thread);
        wanted.then(|| WatchThreadsResponse {
            position: event.position.to_string(),
            cursor: cursor(event),
            thread_id: ThreadId(thread).to_string(),
            time: Some(timestamp(event.record_time)),
            change: Some(change),
        })
    };
    watch(&threads.lanes, &threads.news, workspace, after, told).await
}

fn person(number: u64) -> String {
    PersonId::from_wire(number).map(|id| id.to_string()).unwrap_or_default()
}

/// The thread that an event is about, and what it changes.
fn change(workspace: &str, event: &TailEvent) -> Option<(u64, Change)> {
    let event = Event::decode(event.bytes.clone()).ok().filter(|event| event.workspace == workspace)?;
    let other = |thread: u64, name: &str| (thread, Change::Other(name.to_owned()));
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events change no thread")]
    let (thread, change) = match event.body? {
        Body::ThreadOpened(opened) => {
            (opened.thread, Change::Opened(Opened { person_id: person(opened.person), channel: opened.channel }))
        }
        Body::MessagePlaced(placed) => {
            let interaction =
                placed.source.map(|source| InteractionId::new(ThreadId(placed.thread).partition(), source.own_seq));
            let change = Placed {
                interaction_id: interaction.map(|id| id.to_string()).unwrap_or_default(),
                person_id: person(placed.person),
                outbound: is_outbound(placed.direction),
                channel: placed.channel,
            };
            (placed.thread, Change::Placed(change))
        }
        Body::ThreadStateChanged(changed) => {
            let state = |state: i32| State::try_from(state).unwrap_or_default() as i32;
            let (from, to) = (state(changed.from), state(changed.to));
            let change = StateChanged { from, to, cause: view::cause(changed.cause) };
            (changed.thread, Change::StateChanged(change))
        }
        Body::ThreadsMerged(merged) => {
            (merged.from, Change::Merged(Merged { into: ThreadId(merged.into).to_string() }))
        }
        Body::ThreadsUnmerged(unmerged) => other(unmerged.thread, "ThreadsUnmerged"),
        Body::ThreadSplit(split) => other(split.thread, "ThreadSplit"),
        Body::ThreadRelinked(relinked) => other(relinked.from, "ThreadRelinked"),
        Body::NoteAdded(note) => other(note.thread, "NoteAdded"),
        Body::OutcomeRecorded(outcome) => other(outcome.thread, "OutcomeRecorded"),
        Body::AttributesSet(set) => other(set.thread, "AttributesSet"),
        _ => return None,
    };
    // The company's own posts are in no thread.
    (thread != 0).then_some((thread, change))
}
