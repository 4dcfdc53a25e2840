//! ThreadService: threads as they are, and what people do to them.

use std::pin::Pin;
use std::sync::Arc;

use rejoinder_api::threading::thread_service_server::ThreadService;
use rejoinder_api::threading::{self as api, ThreadResponse};
use rejoinder_model::{ConversationId, InteractionId, Position, ThreadId};
use rejoinder_service_kit::{Lanes, LogNews, fitting, millis, page, refuse, workspace};
use rejoinder_threading_core::{Asked, Command, Done, Refusal, Threading, decide_command};
use rejoinder_wire::event::Disposition;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::{acceptance, content, refusal, view, watch};

/// The longest reason or name in a command.
const MAX_SHORT_BYTES: usize = 512;
/// The most attributes that one command takes away.
const MAX_REMOVED: usize = 64;
/// The longest note.
const MAX_NOTE_BYTES: usize = 64 << 10;
/// Entries looked at for one page of threads: others' threads may lie between.
const MAX_LOOKED_AT: usize = 20_000;
/// Threads of a conversation that are told.
const MAX_IN_CONVERSATION: usize = 1_000;

/// The service over its lanes.
#[derive(Clone)]
pub struct Threads {
    pub(crate) lanes: Arc<Lanes<Threading>>,
    pub(crate) news: LogNews,
}

/// A command's own fields.
pub(crate) struct Call {
    pub(crate) workspace: String,
    pub(crate) request_id: String,
    pub(crate) etag: u64,
}

impl Call {
    pub(crate) fn new(metadata: &MetadataMap, request_id: String, etag: &str) -> Result<Self, Status> {
        let (workspace, etag) = (workspace(metadata)?, refusal::etag(etag)?);
        Ok(Self { workspace, request_id: refusal::request_id(request_id)?, etag })
    }
}

/// Lets threading decide a command.
pub(crate) async fn command(
    lanes: &Lanes<Threading>,
    call: Call,
    command: Command,
) -> Result<(Done, Position), Status> {
    let name = call.workspace.clone();
    let decision = move |state: &Threading, context: &_, out: &mut Vec<_>| {
        if !state.has_workspace(&call.workspace) {
            return Err(Refusal::NotFound { kind: "workspace", id: call.workspace });
        }
        // Who asks is known once there are credentials.
        let asked = Asked { actor: "", request_id: &call.request_id, etag: call.etag };
        decide_command(state, context, &call.workspace, asked, &command, out)
    };
    let (decided, as_of) = lanes.decide(&name, decision).await?;
    Ok((decided.map_err(|refused| refusal::status(&refused))?, as_of))
}

impl Threads {
    /// A service that watches the log by `news`.
    pub fn new(lanes: Arc<Lanes<Threading>>, news: LogNews) -> Self {
        Self { lanes, news }
    }

    /// Asks about a thread that must exist in the workspace.
    async fn about<R: Send + 'static>(
        &self,
        workspace: &str,
        thread_id: &str,
        wait_for: &str,
        question: impl FnOnce(&Threading, ThreadId, &rejoinder_threading_core::record::Thread) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let id: ThreadId = refusal::id("thread_id", thread_id)?;
        let name = workspace.to_owned();
        let find = move |state: &Threading| {
            let found = state.find(id.0).filter(|(_, thread)| thread.workspace == name);
            found.map(|(id, thread)| question(state, id, &thread))
        };
        let (found, as_of) = self.lanes.ask(workspace, wait_for, find).await?;
        Ok((found.ok_or_else(|| refuse::not_found("thread", thread_id))?, as_of))
    }

    async fn decide(&self, call: Call, decided: Command) -> Result<Response<ThreadResponse>, Status> {
        let workspace = call.workspace.clone();
        let (done, as_of) = command(&self.lanes, call, decided).await?;
        let Done::Thread(id) = done else { return Err(Status::internal("a command of threads named a person")) };
        let (thread, _) = self.about(&workspace, &id.to_string(), "", view::thread).await?;
        Ok(Response::new(ThreadResponse { thread: Some(thread), as_of: as_of.to_string() }))
    }
}

/// A short text of a command.
pub(crate) fn short(field: &str, text: String) -> Result<String, Status> {
    if text.len() > MAX_SHORT_BYTES {
        let what = format!("it has {} bytes, {MAX_SHORT_BYTES} are allowed", text.len());
        return Err(refuse::invalid("TEXT_TOO_LONG", field, what));
    }
    Ok(text)
}

/// A time that a hold may end at.
fn believable(until: &prost_types::Timestamp) -> Result<i64, Status> {
    let year_10_000 = 253_402_300_800;
    if !(0..1_000_000_000).contains(&until.nanos) || !(0..year_10_000).contains(&until.seconds) {
        return Err(refuse::invalid("TIME_INVALID", "until", "it is no time between 1970 and 9999"));
    }
    Ok(millis(until))
}

fn disposition(value: i32) -> Result<Disposition, Status> {
    let wrong = |what: &str| refuse::invalid("DISPOSITION_INVALID", "disposition", what);
    match Disposition::try_from(value) {
        Ok(Disposition::Unspecified) => Err(wrong("say how it is settled, like ANSWERED")),
        Ok(Disposition::Silent) => Err(wrong("SILENT is what silence resolves by itself")),
        Ok(disposition) => Ok(disposition),
        Err(_) => Err(wrong("it is not known")),
    }
}

#[tonic::async_trait]
impl ThreadService for Threads {
    type WatchThreadsStream = Pin<Box<dyn Stream<Item = Result<api::WatchThreadsResponse, Status>> + Send>>;

    async fn get_thread(
        &self,
        request: Request<api::GetThreadRequest>,
    ) -> Result<Response<api::GetThreadResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let (thread, as_of) = self.about(&name, &request.thread_id, &request.wait_for, view::thread).await?;
        Ok(Response::new(api::GetThreadResponse { thread: Some(thread), as_of: as_of.to_string() }))
    }

    async fn list_threads(
        &self,
        request: Request<api::ListThreadsRequest>,
    ) -> Result<Response<api::ListThreadsResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let of = name.clone();
        let wanted = request.state;
        let question = move |state: &Threading| {
            if !state.has_workspace(&of) {
                return None;
            }
            let (mut threads, mut from, mut left) = (Vec::new(), ThreadId(page.from), MAX_LOOKED_AT);
            let more = loop {
                let chunk = state.threads.page(&from, 500.min(left));
                let Some((last, _)) = chunk.last() else { break false };
                from = ThreadId(last.0 + 1);
                left = left.saturating_sub(chunk.len());
                let theirs = chunk.into_iter().filter(|(_, thread)| {
                    thread.is_alive() && thread.workspace == of && (wanted == 0 || thread.state == wanted)
                });
                threads.extend(theirs);
                if threads.len() >= page.size || left == 0 {
                    break true;
                }
            };
            if threads.len() > page.size {
                threads.truncate(page.size);
                from = threads.last().map_or(from, |(last, _)| ThreadId(last.0 + 1));
            }
            let told = threads.iter().map(|(id, thread)| view::thread(state, *id, thread)).collect();
            let counts = state.workspace(&of);
            Some((told, more.then_some(from.0), counts.threads, counts.messages))
        };
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (threads, next, counts, message_count) = found.ok_or_else(|| refuse::not_found("workspace", &name))?;
        let (mut threads, mut next): (Vec<api::Thread>, Option<u64>) = (threads, next);
        let fit = fitting(&threads);
        if fit < threads.len() {
            next = threads.get(fit).and_then(|first| first.thread_id.parse::<ThreadId>().ok()).map(|id| id.0);
            threads.truncate(fit);
        }
        let count = |(state, threads): (i32, u64)| api::list_threads_response::StateCount { state, threads };
        Ok(Response::new(api::ListThreadsResponse {
            threads,
            next_page_token: next.map(|next: u64| next.to_string()).unwrap_or_default(),
            as_of: as_of.to_string(),
            counts: (0..).zip(counts).skip(1).map(count).collect(),
            message_count,
        }))
    }

    async fn list_messages(
        &self,
        request: Request<api::ListMessagesRequest>,
    ) -> Result<Response<api::ListMessagesResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let size = page(request.page_size, "")?.size;
        if request.thread_id.is_empty() {
            let page = acceptance::page(&self.lanes, &name, size, &request.page_token, &request.wait_for).await?;
            return Ok(Response::new(page));
        }
        let (newest_first, from_start) = (request.newest_first, request.page_token.is_empty());
        let last = refusal::cursor(&request.page_token)?;
        let question = move |state: &Threading, id, thread: &rejoinder_threading_core::record::Thread| {
            let key = |n: usize| thread.messages.get(n).map(|member| (member.time, member.interaction));
            if newest_first {
                let before =
                    |member: &rejoinder_threading_core::record::Member| Some((member.time, member.interaction)) < last;
                let to = if from_start { thread.messages.len() } else { thread.messages.partition_point(before) };
                let from = to.saturating_sub(size);
                let keys: Vec<_> = (from..to).rev().filter_map(key).collect();
                let mut messages = view::messages(state, id, thread, from..to);
                messages.reverse();
                return (messages, keys, from > 0);
            }
            let from = thread.messages.partition_point(|member| Some((member.time, member.interaction)) <= last);
            let to = (from + size).min(thread.messages.len());
            let keys: Vec<_> = (from..to).filter_map(key).collect();
            (view::messages(state, id, thread, from..to), keys, to < thread.messages.len())
        };
        let ((located, keys, more), as_of) = self.about(&name, &request.thread_id, &request.wait_for, question).await?;
        let partition = self.lanes.partition(&name);
        let mut messages = tokio::task::block_in_place(|| content::messages(&**self.lanes.log(), partition, located))?;
        let fit = fitting(&messages);
        let more = more || fit < messages.len();
        messages.truncate(fit);
        let last = keys.get(messages.len().wrapping_sub(1)).filter(|_| more);
        let next_page_token = last.copied().map(refusal::token).unwrap_or_default();
        Ok(Response::new(api::ListMessagesResponse { messages, next_page_token, as_of: as_of.to_string() }))
    }

    async fn watch_threads(
        &self,
        request: Request<api::WatchThreadsRequest>,
    ) -> Result<Response<Self::WatchThreadsStream>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let only = if request.thread_id.is_empty() {
            let of = name.clone();
            let (known, _) = self.lanes.ask(&name, "", move |state: &Threading| state.has_workspace(&of)).await?;
            if !known {
                return Err(refuse::not_found("workspace", &name));
            }
            Vec::new()
        } else {
            // Events name the thread as it was when they happened.
            let ids = |_: &Threading, id: ThreadId, thread: &rejoinder_threading_core::record::Thread| {
                thread.bases.iter().copied().chain([id.0]).collect::<Vec<u64>>()
            };
            self.about(&name, &request.thread_id, "", ids).await?.0
        };
        let changes = watch::changes(self, &name, &request.after, only).await?;
        Ok(Response::new(Box::pin(changes)))
    }

    async fn resolve_thread(
        &self,
        request: Request<api::ResolveThreadRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let disposition = disposition(request.disposition)?;
        let (unconfirmed, reason) = (request.unconfirmed, short("reason", request.reason)?);
        self.decide(call, Command::Resolve { thread, disposition, unconfirmed, reason }).await
    }

    async fn hold_thread(&self, request: Request<api::HoldThreadRequest>) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let until = request.until.as_ref().map(believable).transpose()?;
        let reason = short("reason", request.reason)?;
        self.decide(call, Command::Hold { thread, reason, until }).await
    }

    async fn reopen_thread(
        &self,
        request: Request<api::ReopenThreadRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let reason = short("reason", request.reason)?;
        self.decide(call, Command::Reopen { thread, reason }).await
    }

    async fn merge_threads(
        &self,
        request: Request<api::MergeThreadsRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let into = refusal::id("thread_id", &request.thread_id)?;
        let from = refusal::id("from_thread_id", &request.from_thread_id)?;
        self.decide(call, Command::MergeThreads { into, from }).await
    }

    async fn unmerge_threads(
        &self,
        request: Request<api::UnmergeThreadsRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let from = refusal::id("from_thread_id", &request.from_thread_id)?;
        self.decide(call, Command::UnmergeThreads { thread, from }).await
    }

    async fn split_thread(
        &self,
        request: Request<api::SplitThreadRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let ids = request.interaction_ids.iter();
        let messages = ids.map(|id| Ok(refusal::id::<InteractionId>("interaction_ids", id)?.0));
        let messages = messages.collect::<Result<Vec<u64>, Status>>()?;
        self.decide(call, Command::SplitThread { thread, messages }).await
    }

    async fn add_note(&self, request: Request<api::AddNoteRequest>) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        if request.text.len() > MAX_NOTE_BYTES {
            let what = format!("it has {} bytes, {MAX_NOTE_BYTES} are allowed", request.text.len());
            return Err(refuse::invalid("TEXT_TOO_LONG", "text", what));
        }
        let author = short("author", request.author)?;
        self.decide(call, Command::AddNote { thread, author, text: request.text }).await
    }

    async fn record_outcome(
        &self,
        request: Request<api::RecordOutcomeRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        self.decide(call, Command::RecordOutcome { thread, confirmed: request.confirmed }).await
    }

    async fn set_attributes(
        &self,
        request: Request<api::SetAttributesRequest>,
    ) -> Result<Response<ThreadResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let thread = refusal::id("thread_id", &request.thread_id)?;
        let long = |text: &String| text.is_empty() || text.len() > 512;
        if request.set.iter().any(|(name, value)| long(name) || value.len() > 4_096)
            || request.removed.len() > MAX_REMOVED
            || request.removed.iter().any(long)
        {
            return Err(refuse::invalid("ATTRIBUTE_INVALID", "set", "names have 1 to 512 bytes, values 4096 at most"));
        }
        self.decide(call, Command::SetAttributes { thread, set: request.set, removed: request.removed }).await
    }

    async fn get_conversation(
        &self,
        request: Request<api::GetConversationRequest>,
    ) -> Result<Response<api::GetConversationResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let id: ConversationId = refusal::id("conversation_id", &request.conversation_id)?;
        let of = name.clone();
        let question = move |state: &Threading| {
            let number = state.find_conversation(id.0);
            let messages = state.conversations.get(&number)?.messages;
            let mut threads = Vec::new();
            let mut seen = std::collections::BTreeSet::new();
            for (_, base) in state.places_in(number) {
                let Some((id, thread)) = state.find(base).filter(|(_, thread)| thread.workspace == of) else {
                    continue;
                };
                if seen.insert(id) && threads.len() < MAX_IN_CONVERSATION {
                    threads.push(view::thread(state, id, &thread));
                }
            }
            // The company's own post may stand alone: then nothing says whose it is but the id's owner.
            (!threads.is_empty()).then(|| (ConversationId(number).to_string(), messages, threads))
        };
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (conversation_id, message_count, threads) =
            found.ok_or_else(|| refuse::not_found("conversation", &request.conversation_id))?;
        let as_of = as_of.to_string();
        let mut threads = threads;
        threads.truncate(fitting(&threads));
        Ok(Response::new(api::GetConversationResponse { conversation_id, message_count, threads, as_of }))
    }
}
