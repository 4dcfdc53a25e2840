//! IngestService: batches in, answers out once they are durable.

use std::pin::Pin;
use std::sync::Arc;

use prost::Message as _;
use rejoinder_api::ingest::ingest_service_server::IngestService;
use rejoinder_api::ingest::publish_result::Outcome as ApiOutcome;
use rejoinder_api::ingest::{
    Interaction, PublishBatchRequest, PublishBatchResponse, PublishRequest, PublishResponse, PublishResult, Refusal,
    ReportCursorRequest, ReportCursorResponse,
};
use rejoinder_ingest_core::{Ingest, Outcome, report_cursor};
use rejoinder_runtime::Clock;
use rejoinder_service_kit::{Lanes, refuse, workspace};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::admission::Admission;
use crate::limits::{self, MAX_BATCH};
use crate::metric_definitions as metric;
use crate::{Publish, Published, arrival};

/// Batches of one stream that may wait for their answers.
const MAX_IN_FLIGHT: usize = 64;

/// The service over its lanes.
#[derive(Clone)]
pub struct Ingestion {
    lanes: Arc<Lanes<Ingest>>,
    admission: Arc<Admission>,
    clock: Arc<dyn Clock>,
}

/// A batch on its way: what was refused before it left, and the answer to come.
struct Waiting {
    refused: Vec<Option<Refusal>>,
    answer: oneshot::Receiver<Published>,
}

impl Ingestion {
    /// A service that lets in what `admission` does.
    pub fn new(lanes: Arc<Lanes<Ingest>>, admission: Arc<Admission>, clock: Arc<dyn Clock>) -> Self {
        Self { lanes, admission, clock }
    }

    /// Checks a batch and sends what can be taken on its way.
    fn send(&self, workspace: &str, interactions: Vec<Interaction>) -> Result<Waiting, Status> {
        if interactions.len() > MAX_BATCH {
            let what = format!("there are {}, {MAX_BATCH} are allowed in one batch", interactions.len());
            return Err(refuse::invalid("BATCH_TOO_LARGE", "interactions", what));
        }
        self.admission.admit(workspace, interactions.len()).inspect_err(|_| metric::shed(interactions.len()))?;
        let received_at = self.clock.wall_ms();
        let mut bytes = 0;
        let mut arrivals = Vec::with_capacity(interactions.len());
        let mut refused = Vec::with_capacity(interactions.len());
        for interaction in interactions {
            bytes += interaction.encoded_len() + 256;
            match limits::interaction(interaction) {
                Ok(interaction) => {
                    arrivals.push(arrival(interaction, received_at));
                    refused.push(None);
                }
                Err(refusal) => refused.push(Some(refusal)),
            }
        }
        let (reply, answer) = oneshot::channel();
        let reply = move |published| {
            // The caller may be gone; what was accepted stays.
            let _ = reply.send(published);
        };
        let count = arrivals.len();
        let batch = Publish::new(workspace.to_owned(), arrivals, bytes, reply);
        self.lanes.push(Box::new(batch)).inspect_err(|_| metric::shed(count))?;
        Ok(Waiting { refused, answer })
    }
}

/// Waits for a batch and puts the answers in the order of the questions.
async fn results(workspace: &str, waiting: Waiting) -> Result<(Vec<PublishResult>, String), Status> {
    let Ok(Some((outcomes, as_of))) = waiting.answer.await else {
        return Err(refuse::unavailable("the outcome is not known: send the batch again, nothing is doubled", 500));
    };
    if outcomes.contains(&Outcome::UnknownWorkspace) {
        return Err(refuse::not_found("workspace", workspace));
    }
    let mut outcomes = outcomes.into_iter();
    let result = |refused: Option<Refusal>| match refused {
        Some(refusal) => {
            PublishResult { outcome: ApiOutcome::Refused as i32, refusal: Some(refusal), ..PublishResult::default() }
        }
        None => {
            let (outcome, id) = match outcomes.next() {
                Some(Outcome::Accepted(id)) => (ApiOutcome::Accepted, id.to_string()),
                Some(Outcome::Revised) => (ApiOutcome::Accepted, String::new()),
                Some(Outcome::Duplicate(id)) => {
                    (ApiOutcome::Duplicate, id.map(|id| id.to_string()).unwrap_or_default())
                }
                Some(Outcome::UnknownWorkspace) | None => (ApiOutcome::Unspecified, String::new()),
            };
            PublishResult { outcome: outcome as i32, interaction_id: id, refusal: None }
        }
    };
    let results: Vec<PublishResult> = waiting.refused.into_iter().map(result).collect();
    metric::published(&results);
    Ok((results, as_of.to_string()))
}

/// A batch that was shed goes back on its stream; anything else ends the stream.
fn shed(status: &Status) -> Option<Refusal> {
    (status.code() == Code::ResourceExhausted).then(|| Refusal {
        code: status.code() as i32,
        reason: "TOO_MUCH".into(),
        field: String::new(),
        message: status.message().to_owned(),
        retry_after_ms: refuse::retry_after_ms(status),
    })
}

#[tonic::async_trait]
impl IngestService for Ingestion {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let name = workspace(request.metadata())?;
        let mut batches = request.into_inner();
        let service = self.clone();
        let (to, from) = mpsc::channel(MAX_IN_FLIGHT);
        let of = name.clone();
        tokio::spawn(async move {
            loop {
                let sent = match batches.message().await {
                    Ok(Some(batch)) => service.send(&of, batch.interactions),
                    Ok(None) => break,
                    Err(status) => Err(status),
                };
                let ends = sent.as_ref().is_err_and(|status| shed(status).is_none());
                if to.send(sent).await.is_err() || ends {
                    break;
                }
            }
        });
        let answers = ReceiverStream::new(from).then(move |sent| {
            let name = name.clone();
            async move {
                match sent {
                    Ok(waiting) => {
                        let (results, as_of) = results(&name, waiting).await?;
                        Ok(PublishResponse { results, as_of, shed: None })
                    }
                    Err(status) => match shed(&status) {
                        Some(refusal) => Ok(PublishResponse { shed: Some(refusal), ..PublishResponse::default() }),
                        None => Err(status),
                    },
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        let name = workspace(request.metadata())?;
        let waiting = self.send(&name, request.into_inner().interactions)?;
        let (results, as_of) = results(&name, waiting).await?;
        Ok(Response::new(PublishBatchResponse { results, as_of }))
    }

    async fn report_cursor(
        &self,
        request: Request<ReportCursorRequest>,
    ) -> Result<Response<ReportCursorResponse>, Status> {
        let name = workspace(request.metadata())?;
        let ReportCursorRequest { connector, cursor, caught_up } = request.into_inner();
        if connector.is_empty() || connector.len() > limits::MAX_ID_BYTES || connector.chars().any(char::is_control) {
            return Err(refuse::invalid("ID_INVALID", "connector", "a connector's name has 1 to 512 bytes of text"));
        }
        if cursor.len() > limits::MAX_ID_BYTES * 8 {
            return Err(refuse::invalid("ID_TOO_LONG", "cursor", "it has more than 4096 bytes"));
        }
        let of = name.clone();
        let report = move |state: &Ingest, _: &_, out: &mut Vec<_>| {
            report_cursor(state, &of, &connector, &cursor, caught_up, out)
        };
        let (cursor, as_of) = self.lanes.decide(&name, report).await?;
        let cursor = cursor.ok_or_else(|| refuse::not_found("workspace", &name))?;
        Ok(Response::new(ReportCursorResponse { cursor, as_of: as_of.to_string() }))
    }
}
