//! What a desktop does beside its stream: it looks at the thread, writes a reply, resolves the thread.

use std::sync::Arc;

use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::threading::thread::Disposition;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListMessagesRequest, Message, ResolveThreadRequest};
use rejoinder_model::Millis;
use rejoinder_runtime::Clock;
use rejoinder_service_kit::{millis, refuse};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::customers::Answers;
use super::tally::Tally;
use super::world::{from_us, is_direct};
use crate::remote::Remote;

/// Messages of a thread that an agent reads before the reply.
const READS: i32 = 20;

/// A desktop's connection, for what its agent writes.
#[derive(Clone)]
pub(super) struct Pen {
    pub(super) remote: Arc<Remote>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) answers: Answers,
    pub(super) tally: Arc<Tally>,
}

/// A reply to be written.
pub(super) struct Draft {
    /// The id of the reply on its channel.
    pub(super) id: String,
    pub(super) thread: String,
    pub(super) text: &'static str,
    /// The thread as of this position of the log, at least.
    pub(super) as_of: String,
}

impl Pen {
    /// Answers what the customer wrote last; `false`: somebody has answered it.
    pub(super) async fn reply(&self, draft: Draft) -> Result<bool, Status> {
        let newest = self.newest(&draft).await?;
        let unanswered: Vec<&Message> = newest.iter().take_while(|message| !message.outbound).collect();
        let (Some(last), Some(first)) = (unanswered.first(), unanswered.last()) else { return Ok(false) };
        let waits_since: Option<Millis> = first.event_time.as_ref().map(millis);
        let mut reply = from_us(&last.channel, draft.id, draft.text, self.clock.wall_ms());
        if is_direct(&last.channel) {
            reply.to = vec![last.author_handle.clone()];
        } else {
            reply.reply_to = vec![last.external_id.clone()];
        }
        let due = Instant::now();
        let request = self.remote.request(PublishBatchRequest { interactions: vec![reply] });
        let answer = IngestServiceClient::new(self.remote.channel.clone()).publish_batch(request).await?.into_inner();
        self.answers.note(due, &answer.results, &answer.as_of);
        if let Some(since) = waits_since {
            let waited = u64::try_from(self.clock.wall_ms() - since).unwrap_or_default();
            self.tally.look().to_answer.saturating_record(waited);
        }
        self.tally.did("answered");
        Ok(true)
    }

    async fn newest(&self, draft: &Draft) -> Result<Vec<Message>, Status> {
        let request = ListMessagesRequest {
            thread_id: draft.thread.clone(),
            page_size: READS,
            wait_for: draft.as_of.clone(),
            newest_first: true,
            ..ListMessagesRequest::default()
        };
        let mut threads = ThreadServiceClient::new(self.remote.channel.clone());
        Ok(threads.list_messages(self.remote.request(request)).await?.into_inner().messages)
    }

    /// Settles the thread.
    pub(super) async fn resolve(&self, thread: String) -> Result<(), Status> {
        let disposition = Disposition::Answered as i32;
        let request = ResolveThreadRequest { thread_id: thread, disposition, ..ResolveThreadRequest::default() };
        let mut threads = ThreadServiceClient::new(self.remote.channel.clone());
        match threads.resolve_thread(self.remote.request(request)).await {
            Ok(_) => self.tally.did("resolved"),
            // The customer's next message or somebody else was first.
            Err(status) if status.code() == Code::FailedPrecondition => self.tally.refused(&refuse::reason(&status)),
            Err(status) => return Err(status),
        }
        Ok(())
    }
}
