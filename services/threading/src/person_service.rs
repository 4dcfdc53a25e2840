//! PersonService: who it is, and all that happened between us.

use std::sync::Arc;

use rejoinder_api::threading::person_service_server::PersonService;
use rejoinder_api::threading::{self as api, PersonResponse, timeline_entry};
use rejoinder_model::{PersonId, ThreadId};
use rejoinder_service_kit::{Lanes, events_at, fitting, page, refuse, timestamp, workspace};
use rejoinder_threading_core::record::{Person, Place, Thread, What};
use rejoinder_threading_core::{Command, Done, Threading};
use tonic::{Request, Response, Status};

use crate::thread_service::{Call, command, short};
use crate::view::Located;
use crate::{content, refusal, view};

/// The service over its lanes.
#[derive(Clone)]
pub struct Persons {
    lanes: Arc<Lanes<Threading>>,
}

/// What the state knows of a person.
struct Known {
    id: PersonId,
    places: Vec<Place>,
    threads: usize,
    version: u64,
}

/// The threads of a person, each once.
fn threads(state: &Threading, person: &Person) -> Vec<(ThreadId, Arc<Thread>)> {
    let handles = person.handles.iter().filter_map(|handle| state.handles.get(handle));
    let mut threads: Vec<_> = handles
        .flat_map(|handle| handle.threads.iter().filter_map(|base| state.find(*base)).collect::<Vec<_>>())
        .collect();
    threads.sort_by_key(|(id, _)| *id);
    threads.dedup_by_key(|(id, _)| *id);
    threads
}

/// A place in a timeline: a message of a thread, or something that happened to it.
enum At {
    Message(usize),
    Happened(usize),
}

/// An entry before its message is read from the log.
enum Entry {
    Message(Box<Located>),
    Other(Box<api::TimelineEntry>),
}

fn happened(thread: ThreadId, record: &Thread, n: usize) -> Option<api::TimelineEntry> {
    let happened = record.history.get(n)?;
    let entry = match &happened.what {
        What::State { from, to, cause } => {
            let change = timeline_entry::StateChange { from: *from, to: *to, cause: view::cause(*cause) };
            timeline_entry::Entry::StateChange(change)
        }
        What::Note { author, text } => {
            timeline_entry::Entry::Note(timeline_entry::Note { author: author.clone(), text: text.clone() })
        }
        What::Outcome { confirmed } => {
            timeline_entry::Entry::Outcome(timeline_entry::Outcome { confirmed: *confirmed })
        }
    };
    let time = Some(timestamp(happened.at));
    Some(api::TimelineEntry { time, thread_id: thread.to_string(), entry: Some(entry) })
}

impl Persons {
    /// The service.
    pub fn new(lanes: Arc<Lanes<Threading>>) -> Self {
        Self { lanes }
    }

    async fn person(&self, workspace: &str, id: PersonId, wait_for: &str) -> Result<(api::Person, String), Status> {
        let of = workspace.to_owned();
        let question = move |state: &Threading| {
            let (id, person) = state.person_in(&of, id)?;
            let handles = person.handles.iter().filter_map(|handle| state.handles.get(handle));
            let places = handles.filter_map(|handle| handle.place).collect();
            Some(Known { id, places, threads: threads(state, &person).len(), version: person.version })
        };
        let (found, as_of) = self.lanes.ask(workspace, wait_for, question).await?;
        let known = found.ok_or_else(|| refuse::not_found("person", &id.to_string()))?;
        let partition = self.lanes.partition(workspace);
        let places = known.places.iter().map(|place| (place.index, place.event));
        let events = tokio::task::block_in_place(|| events_at(&**self.lanes.log(), partition, places))?;
        let handle = |place: &Place| content::handle(events.get(&(place.index, place.event)));
        let person = api::Person {
            person_id: known.id.to_string(),
            handles: known.places.iter().filter_map(handle).collect(),
            thread_count: u32::try_from(known.threads).unwrap_or(u32::MAX),
            etag: known.version.to_string(),
        };
        Ok((person, as_of.to_string()))
    }

    async fn decide(&self, call: Call, decided: Command) -> Result<Response<PersonResponse>, Status> {
        let workspace = call.workspace.clone();
        let (done, as_of) = command(&self.lanes, call, decided).await?;
        let Done::Person(id) = done else { return Err(Status::internal("a command of persons named a thread")) };
        let (person, _) = self.person(&workspace, id, "").await?;
        Ok(Response::new(PersonResponse { person: Some(person), as_of: as_of.to_string() }))
    }
}

/// A place in a timeline: a time, and a number that orders what has the same one.
type Key = (i64, u64);

/// The newest entries before `before`, with their places, and whether there are more.
fn timeline(state: &Threading, person: &Person, before: Option<Key>, size: usize) -> (Vec<(Key, Entry)>, bool) {
    let threads = threads(state, person);
    let mut places: Vec<(Key, usize, At)> = Vec::new();
    for (of, (_, thread)) in threads.iter().enumerate() {
        let messages = thread.messages.iter().enumerate();
        // Even numbers are messages, odd ones happenings: both count from their own lanes.
        places.extend(messages.map(|(n, member)| ((member.time, member.interaction << 1), of, At::Message(n))));
        let history = thread.history.iter().enumerate();
        places.extend(history.map(|(n, happened)| ((happened.at, happened.own_seq << 1 | 1), of, At::Happened(n))));
    }
    places.retain(|(key, _, _)| before.is_none_or(|before| *key < before));
    places.sort_by_key(|(key, _, _)| std::cmp::Reverse(*key));
    let more = places.len() > size;
    let entry = |(key, of, at): (Key, usize, At)| {
        let (id, thread) = &threads[of];
        let entry = match at {
            At::Message(n) => {
                view::messages(state, *id, thread, n..n + 1).pop().map(|located| Entry::Message(Box::new(located)))
            }
            At::Happened(n) => happened(*id, thread, n).map(|entry| Entry::Other(Box::new(entry))),
        };
        entry.map(|entry| (key, entry))
    };
    (places.into_iter().take(size).filter_map(entry).collect(), more)
}

#[tonic::async_trait]
impl PersonService for Persons {
    async fn get_person(
        &self,
        request: Request<api::GetPersonRequest>,
    ) -> Result<Response<api::GetPersonResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let id = refusal::id("person_id", &request.person_id)?;
        let (person, as_of) = self.person(&name, id, &request.wait_for).await?;
        Ok(Response::new(api::GetPersonResponse { person: Some(person), as_of }))
    }

    async fn list_timeline(
        &self,
        request: Request<api::ListTimelineRequest>,
    ) -> Result<Response<api::ListTimelineResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let id: PersonId = refusal::id("person_id", &request.person_id)?;
        let size = page(request.page_size, "")?.size;
        let before = refusal::cursor(&request.page_token)?;
        let of = name.clone();
        let question = move |state: &Threading| {
            let (_, person) = state.person_in(&of, id)?;
            Some(timeline(state, &person, before, size))
        };
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (entries, more) = found.ok_or_else(|| refuse::not_found("person", &request.person_id))?;
        let located = entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Message(located) => Some((**located).clone()),
            Entry::Other(_) => None,
        });
        let (located, partition) = (located.collect(), self.lanes.partition(&name));
        let messages = tokio::task::block_in_place(|| content::messages(&**self.lanes.log(), partition, located))?;
        let mut messages = messages.into_iter();
        let keys: Vec<Key> = entries.iter().map(|(key, _)| *key).collect();
        let entries = entries.into_iter().filter_map(|(_, entry)| match entry {
            Entry::Other(entry) => Some(*entry),
            Entry::Message(_) => messages.next().map(|message| api::TimelineEntry {
                time: message.event_time,
                thread_id: message.thread_id.clone(),
                entry: Some(timeline_entry::Entry::Message(message)),
            }),
        });
        let mut entries: Vec<_> = entries.collect();
        let fit = fitting(&entries);
        let more = more || fit < entries.len();
        entries.truncate(fit);
        let last = keys.get(entries.len().wrapping_sub(1)).filter(|_| more);
        Ok(Response::new(api::ListTimelineResponse {
            next_page_token: last.copied().map(refusal::token).unwrap_or_default(),
            entries,
            as_of: as_of.to_string(),
        }))
    }

    async fn merge_persons(
        &self,
        request: Request<api::MergePersonsRequest>,
    ) -> Result<Response<PersonResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let into = refusal::id("person_id", &request.person_id)?;
        let from = refusal::id("from_person_id", &request.from_person_id)?;
        self.decide(call, Command::MergePersons { into, from }).await
    }

    async fn unmerge_persons(
        &self,
        request: Request<api::UnmergePersonsRequest>,
    ) -> Result<Response<PersonResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let person = refusal::id("person_id", &request.person_id)?;
        let from = refusal::id("from_person_id", &request.from_person_id)?;
        self.decide(call, Command::UnmergePersons { person, from }).await
    }

    async fn link_handle(&self, request: Request<api::LinkHandleRequest>) -> Result<Response<PersonResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let person = refusal::id("person_id", &request.person_id)?;
        let (channel, id) = (short("channel", request.channel)?, short("author_id", request.author_id)?);
        self.decide(call, Command::LinkHandle { person, channel, id }).await
    }

    async fn unlink_handle(
        &self,
        request: Request<api::UnlinkHandleRequest>,
    ) -> Result<Response<PersonResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let person = refusal::id("person_id", &request.person_id)?;
        let (channel, id) = (short("channel", request.channel)?, short("author_id", request.author_id)?);
        self.decide(call, Command::UnlinkHandle { person, channel, id }).await
    }
}
