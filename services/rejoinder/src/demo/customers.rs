//! The customers' connector: publishes at a rate, and notes how long each batch took to be durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{PublishRequest, PublishResponse, PublishResult};
use rejoinder_model::Position;
use rejoinder_runtime::Clock;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::world::World;
use crate::remote::Remote;

/// The workload comes in slices of this length.
const SLICE: Duration = Duration::from_millis(10);
/// Slices that may wait for their answers.
const MAX_WAITING: usize = 1_000;

/// What the answers of ingest brought so far.
pub(super) struct Answered {
    latency_us: Histogram<u64>,
    new: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) shed: u64,
    newest: Option<Position>,
}

/// What the answers since the last look brought.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) messages: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Figures shared between all who publish and the view.
#[derive(Clone)]
pub(super) struct Answers(Arc<Mutex<Answered>>);

impl Answers {
    pub(super) fn new() -> anyhow::Result<Self> {
        let latency_us = Histogram::new_with_max(60_000_000, 3)?;
        let answered = Answered { latency_us, new: 0, accepted: 0, refused: 0, shed: 0, newest: None };
        Ok(Self(Arc::new(Mutex::new(answered))))
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&mut Answered) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The position of the newest batch that was acknowledged.
    pub(super) fn as_of(&self) -> String {
        self.look(|answered| answered.newest.map(|newest| newest.to_string()).unwrap_or_default())
    }

    /// The figures since the last call.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    pub(super) fn take(&self) -> Figures {
        self.look(|answered| {
            let quantile = |q| answered.latency_us.value_at_quantile(q) as f64 / 1_000.0;
            let figures = Figures { messages: answered.new, p50_ms: quantile(0.5), p99_ms: quantile(0.99) };
            answered.latency_us.reset();
            answered.new = 0;
            figures
        })
    }

    /// An answer to what was due at a time.
    pub(super) fn note(&self, due: Instant, results: &[PublishResult], as_of: &str) {
        let accepted = results.iter().filter(|result| result.outcome() == Outcome::Accepted).count() as u64;
        let waited = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        let position: Option<Position> = as_of.parse().ok();
        self.look(|answered| {
            answered.latency_us.saturating_record_n(waited, accepted);
            answered.new += accepted;
            answered.accepted += accepted;
            answered.refused += results.len() as u64 - accepted;
            // One workspace lies in one partition: positions go by their index.
            answered.newest = answered.newest.max(position);
        });
    }
}

/// Publishes all that the world writes, and returns the number of customers once all is answered.
pub(super) async fn run(
    remote: Arc<Remote>,
    clock: Arc<dyn Clock>,
    mut world: World,
    length: Duration,
    answers: Answers,
) -> anyhow::Result<u64> {
    let (out, requests) = mpsc::channel(MAX_WAITING);
    let call =
        IngestServiceClient::new(remote.channel.clone()).publish(remote.request(ReceiverStream::new(requests))).await;
    let (due_to, due) = mpsc::unbounded_channel();
    let reading = tokio::spawn(read(call?.into_inner(), due, answers));
    let start = Instant::now();
    let mut next = start;
    while next - start < length {
        next += SLICE;
        tokio::time::sleep_until(next).await;
        let elapsed = u64::try_from((next - start).as_millis()).unwrap_or(u64::MAX);
        let interactions = world.until(elapsed, clock.wall_ms());
        if interactions.is_empty() {
            continue;
        }
        // Measured from when the slice was due, so that a stall counts for all that waited.
        due_to.send(next).context("the answers have ended")?;
        out.send(PublishRequest { interactions }).await.context("the stream has ended")?;
    }
    drop((out, due_to));
    reading.await??;
    Ok(world.customers())
}

async fn read(
    mut stream: Streaming<PublishResponse>,
    mut due: mpsc::UnboundedReceiver<Instant>,
    answers: Answers,
) -> anyhow::Result<()> {
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    while let Some(answer) = stream.message().await? {
        while let Ok(next) = due.try_recv() {
            waiting.push_back(next);
        }
        let slice = waiting.pop_front().context("an answer that nothing asked for")?;
        if answer.shed.is_some() {
            answers.look(|answered| answered.shed += 1);
        } else {
            answers.note(slice, &answer.results, &answer.as_of);
        }
    }
    Ok(())
}
