//! Load over the public gRPC API: one `Publish` stream for each workspace.
//!
//! An open loop sends by the clock and waits for nobody; every latency counts from the time when the
//! message was to be sent, so a server that stalls pays for all that had to wait. A closed loop sends
//! as fast as it is answered: for filling, and to find out where the limit is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rejoinder_api::ingest::PublishRequest;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::threading::ListThreadsRequest;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

use crate::clock;
use crate::latency::Latencies;
use crate::server::{Server, of, processor_time};
use crate::workload::{Desk, Kind};

/// Connections that the streams share.
const CONNECTIONS: usize = 4;
/// Batches of a stream that wait for their answers in a closed loop.
const OUTSTANDING: usize = 4;

/// When messages of an open loop were to be sent, by the ids that they were given.
pub(crate) type Sent = Arc<Mutex<HashMap<String, Instant>>>;

/// How much is sent, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages in a batch.
    pub(crate) batch: usize,
    /// Messages a second, over all workspaces; `None`: as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// Messages in all.
    pub(crate) messages: u64,
}

/// What became of it.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) accepted: u64,
    pub(crate) shed: u64,
    pub(crate) refused: u64,
    /// From when it was to be sent to the durable acknowledgement.
    pub(crate) latency: Latencies,
    /// Where the last batch stands.
    pub(crate) as_of: String,
}

impl Answers {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.shed += other.shed;
        self.refused += other.refused;
        self.latency.merge(&other.latency);
    }
}

/// A finished run.
pub(crate) struct Run {
    /// Over all workspaces.
    pub(crate) all: Answers,
    /// From the first message to the last acknowledgement.
    pub(crate) acknowledged_in: Duration,
    /// From the first message until a query of each workspace shows all of them placed.
    pub(crate) readable_in: Duration,
    /// Processor time of the server, until then.
    pub(crate) server_time: Duration,
    /// Processor time of this client.
    pub(crate) client_time: Duration,
}

impl Run {
    pub(crate) fn messages_per_second(&self) -> f64 {
        clock::per_second(self.all.accepted, self.readable_in)
    }

    /// Microseconds of processor time that the server and the client used for a message.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn processor_us(&self) -> (f64, f64) {
        let each = |time: Duration| time.as_micros() as f64 / self.all.accepted.max(1) as f64;
        (each(self.server_time), each(self.client_time))
    }
}

struct Line {
    desk: Desk,
    to: mpsc::UnboundedSender<PublishRequest>,
    due: mpsc::UnboundedSender<Instant>,
    room: Arc<Semaphore>,
    reading: JoinHandle<anyhow::Result<Answers>>,
}

/// Desks with open streams.
pub(crate) struct Load {
    channels: Vec<Channel>,
    desks: Vec<Desk>,
    /// Messages of each workspace that were accepted in earlier runs.
    before: Vec<u64>,
    sent: Option<Sent>,
}

impl Load {
    /// Desks for workspaces, which must exist.
    pub(crate) async fn new(server: &Server, workspaces: &[String], kind: Kind) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS.min(workspaces.len()) {
            channels.push(server.channel().await?);
        }
        let desks = workspaces.iter().zip(1..).map(|(name, seed)| Desk::new(name.clone(), kind, seed)).collect();
        Ok(Self { channels, desks, before: vec![0; workspaces.len()], sent: None })
    }

    /// Notes from now on when each message was to be sent.
    pub(crate) fn note(&mut self) -> Sent {
        self.sent.get_or_insert_default().clone()
    }

    /// Messages that were accepted in all runs so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.before.iter().sum()
    }

    fn channel(&self, number: usize) -> Channel {
        self.channels[number % self.channels.len()].clone()
    }

    async fn line(&self, number: usize, desk: Desk) -> anyhow::Result<Line> {
        let (to, batches) = mpsc::unbounded_channel();
        let (due, dues) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(OUTSTANDING));
        let request = of(&desk.workspace, UnboundedReceiverStream::new(batches))?;
        let mut client = IngestServiceClient::new(self.channel(number));
        let (sent, made) = (self.sent.clone(), room.clone());
        let reading = tokio::spawn(async move {
            let answers = client.publish(request).await?.into_inner();
            read(answers, dues, &made, sent).await
        });
        Ok(Line { desk, to, due, room, reading })
    }

    /// Sends, and waits until all of it is acknowledged and readable.
    pub(crate) async fn run(&mut self, server: &Server, pace: Pace) -> anyhow::Result<Run> {
        let mut lines = Vec::new();
        for (number, desk) in std::mem::take(&mut self.desks).into_iter().enumerate() {
            lines.push(self.line(number, desk).await?);
        }
        let (used, own) = (server.processor_time(), processor_time("self"));
        let start = clock::now();
        match pace.rate {
            Some(rate) => by_the_clock(&mut lines, pace, rate, start).await,
            None => lines = as_answered(lines, pace).await?,
        }
        let mut each = Vec::new();
        for line in lines {
            drop((line.to, line.due));
            each.push(line.reading.await?.context("a stream of messages")?);
            self.desks.push(line.desk);
        }
        let acknowledged_in = start.elapsed();
        for (number, answers) in each.iter().enumerate() {
            self.before[number] += answers.accepted;
            self.until_readable(number, &answers.as_of).await?;
        }
        let mut all = Answers::default();
        each.iter().for_each(|answers| all.add(answers));
        let readable_in = start.elapsed();
        let server_time = server.processor_time().saturating_sub(used);
        let client_time = processor_time("self").saturating_sub(own);
        Ok(Run { all, acknowledged_in, readable_in, server_time, client_time })
    }

    /// Everything that was acknowledged is placed, no more and no less.
    async fn until_readable(&self, number: usize, as_of: &str) -> anyhow::Result<()> {
        let workspace = &self.desks[number].workspace;
        let request = ListThreadsRequest { page_size: 1, wait_for: as_of.to_owned(), ..ListThreadsRequest::default() };
        let answer = ThreadServiceClient::new(self.channel(number)).list_threads(of(workspace, request)?).await?;
        let (placed, accepted) = (answer.into_inner().message_count, self.before[number]);
        anyhow::ensure!(placed == accepted, "{workspace}: {accepted} messages were accepted, {placed} are placed");
        Ok(())
    }
}

/// One batch after the other, each of the next workspace, at its time.
#[expect(clippy::cast_precision_loss, reason = "a schedule in seconds")]
async fn by_the_clock(lines: &mut [Line], pace: Pace, rate: f64, start: Instant) {
    let (batches, count) = (pace.messages / pace.batch as u64, lines.len());
    for number in 0..batches {
        let due = start + Duration::from_secs_f64(number as f64 * pace.batch as f64 / rate);
        if due > clock::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let line = &mut lines[usize::try_from(number).unwrap_or_default() % count];
        let interactions = line.desk.batch(pace.batch);
        // Whoever reads the answers says why a stream has ended.
        let _ = line.due.send(due);
        let _ = line.to.send(PublishRequest { interactions });
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn as_answered(lines: Vec<Line>, pace: Pace) -> anyhow::Result<Vec<Line>> {
    let batches = pace.messages.div_ceil(pace.batch as u64 * lines.len() as u64);
    let mut sending = Vec::new();
    for mut line in lines {
        sending.push(tokio::spawn(async move {
            for _ in 0..batches {
                let Ok(room) = line.room.acquire().await else { break };
                room.forget();
                let interactions = line.desk.batch(pace.batch);
                let _ = line.due.send(clock::now());
                let _ = line.to.send(PublishRequest { interactions });
            }
            line
        }));
    }
    let mut lines = Vec::new();
    for line in sending {
        lines.push(line.await?);
    }
    Ok(lines)
}

async fn read(
    mut answers: tonic::Streaming<rejoinder_api::ingest::PublishResponse>,
    mut dues: mpsc::UnboundedReceiver<Instant>,
    room: &Semaphore,
    sent: Option<Sent>,
) -> anyhow::Result<Answers> {
    let mut sum = Answers::default();
    while let Some(due) = dues.recv().await {
        let answer = match answers.message().await {
            Ok(answer) => answer.context("the server ended a stream early"),
            Err(status) => Err(status.into()),
        };
        let answer = answer.inspect_err(|_| room.close())?;
        room.add_permits(1);
        if answer.shed.is_some() {
            sum.shed += 1;
            continue;
        }
        let accepted = answer.results.iter().filter(|result| result.outcome() == Outcome::Accepted).count() as u64;
        sum.accepted += accepted;
        sum.refused += answer.results.len() as u64 - accepted;
        sum.latency.add_many(due.elapsed(), accepted);
        sum.as_of = answer.as_of;
        if let Some(sent) = &sent {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.extend(answer.results.into_iter().map(|result| (result.interaction_id, due)));
        }
    }
    Ok(sum)
}
