//! The load: a connector that publishes at a rate, and notes how long each batch took to be durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{PublishRequest, PublishResponse};
use rejoinder_runtime::Clock;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::world::World;

/// The workload comes in slices of this length.
const SLICE: Duration = Duration::from_millis(10);
/// Slices that may wait for their answers.
const MAX_WAITING: usize = 1_000;

/// What the answers brought so far.
pub(super) struct Answered {
    latency_us: Histogram<u64>,
    new: u64,
    pub(super) accepted: u64,
    pub(super) shed: u64,
    /// The log's position of the newest batch.
    pub(super) as_of: String,
}

/// What the answers since the last look brought.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) messages: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Figures shared between the load and the view.
#[derive(Clone)]
pub(super) struct Answers(Arc<Mutex<Answered>>);

impl Answers {
    pub(super) fn new() -> anyhow::Result<Self> {
        let latency_us = Histogram::new_with_max(60_000_000, 3)?;
        let answered = Answered { latency_us, new: 0, accepted: 0, shed: 0, as_of: String::new() };
        Ok(Self(Arc::new(Mutex::new(answered))))
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&mut Answered) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn note(&self, due: Instant, answer: PublishResponse) {
        self.look(|answered| {
            if answer.shed.is_some() {
                answered.shed += 1;
                return;
            }
            let accepted = answer.results.iter().filter(|result| result.outcome() == Outcome::Accepted).count() as u64;
            let waited = u64::try_from((now() - due).as_micros()).unwrap_or(u64::MAX);
            answered.latency_us.saturating_record_n(waited, accepted);
            answered.new += accepted;
            answered.accepted += accepted;
            answered.as_of = answer.as_of;
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a client measures how long it waits")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Publishes for some time and returns the number of customers, once all is answered.
pub(super) async fn run(
    channel: Channel,
    clock: Arc<dyn Clock>,
    (length, per_second, seed): (Duration, u32, u64),
    answers: Answers,
) -> anyhow::Result<u64> {
    let mut world = World::new(seed);
    let (out, requests) = mpsc::channel(MAX_WAITING);
    let call = IngestServiceClient::new(channel).publish(ReceiverStream::new(requests)).await;
    let (due_to, due) = mpsc::unbounded_channel();
    let reading = tokio::spawn(read(call?.into_inner(), due, answers));
    let start = now();
    let mut sent = 0_u64;
    let mut next = start;
    while next - start < length {
        next += SLICE;
        tokio::time::sleep_until(next.into()).await;
        let due = (next - start).as_millis() as u64 * u64::from(per_second) / 1_000;
        let interactions: Vec<_> = (sent..due).map(|_| world.next(clock.wall_ms())).collect();
        sent = due;
        if interactions.is_empty() {
            continue;
        }
        // Measured from when the slice was due, so that a stall counts for all that waited.
        due_to.send(next).context("the answers have ended")?;
        out.send(PublishRequest { interactions }).await.context("the stream has ended")?;
    }
    drop((out, due_to));
    reading.await??;
    Ok(world.customers)
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
        answers.note(slice, answer);
    }
    Ok(())
}
