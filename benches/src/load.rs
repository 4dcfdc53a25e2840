//! Load over the public gRPC API: one `Publish` stream for each workspace, and agents who answer.
//!
//! An open loop sends by the clock and waits for nobody; every latency counts from the time when the
//! message was to be sent, so a server that stalls pays for all that had to wait. A closed loop sends
//! whatever can be sent as soon as it is answered: for filling, and to find out where the limit is.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rejoinder_api::ingest::PublishRequest;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{ListAgentsRequest, ListQueuesRequest};
use rejoinder_api::sla::ListClocksRequest;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::threading::ListThreadsRequest;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

use crate::clock;
use crate::latency::Latencies;
use crate::server::{Server, of, processor_time};
use crate::staff::{Floor, Staff, take_seats};
use crate::workload::{Desk, Issues, Kind};

/// Connections that the streams of messages share.
const CONNECTIONS: usize = 4;
/// Batches of a stream that wait for their answers in a closed loop.
const OUTSTANDING: usize = 4;
/// Threads of all workspaces together that go on at the same time, as long as the server keeps up.
const AT_ONCE: usize = 64 * 40;

/// How much is sent, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages in a batch, at the most.
    pub(crate) batch: usize,
    /// Messages a second, over all workspaces; `None`: as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// Messages in all. In a closed loop no thread begins after these; those that go on are brought to
    /// their end.
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
    /// From the first message until all services have considered all of them.
    pub(crate) considered_in: Duration,
    /// Processor time of the server, until then.
    pub(crate) server_time: Duration,
    /// Processor time of this client.
    pub(crate) client_time: Duration,
    /// From when a message was to be sent until its offer was seen.
    pub(crate) offered: Latencies,
    /// From when a message was to be sent until its parked item was seen to be its agent's again.
    pub(crate) woken: Latencies,
    /// From an offer to what is to be known about it.
    pub(crate) context: Latencies,
}

impl Run {
    pub(crate) fn messages_per_second(&self) -> f64 {
        clock::per_second(self.all.accepted, self.considered_in)
    }

    /// Microseconds of processor time that the server and the client used for a message.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn processor_us(&self) -> (f64, f64) {
        let each = |time: Duration| time.as_micros() as f64 / self.all.accepted.max(1) as f64;
        (each(self.server_time), each(self.client_time))
    }
}

/// What was answered on a stream, and what is still to be.
#[derive(Default)]
struct Ledger {
    answers: Mutex<Answers>,
    in_flight: AtomicUsize,
}

impl Ledger {
    fn answers(&self) -> Answers {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A workspace's stream of messages.
struct Line {
    floor: Arc<Floor>,
    to: mpsc::UnboundedSender<PublishRequest>,
    due: mpsc::UnboundedSender<(Instant, Issues)>,
    ledger: Arc<Ledger>,
    reading: JoinHandle<()>,
}

impl Line {
    fn open(floor: Arc<Floor>, channel: Channel) -> anyhow::Result<Self> {
        let (to, batches) = mpsc::unbounded_channel();
        let (due, dues) = mpsc::unbounded_channel();
        let ledger = Arc::new(Ledger::default());
        let workspace = floor.look(|desk| desk.workspace.clone());
        let request = of(&workspace, UnboundedReceiverStream::new(batches))?;
        let (noted, answered) = (ledger.clone(), floor.clone());
        let reading = tokio::spawn(async move {
            let mut client = IngestServiceClient::new(channel);
            let read = async { read(client.publish(request).await?.into_inner(), dues, &answered, &noted).await };
            let _ = read.await.inspect_err(|error| answered.fail(error));
        });
        Ok(Self { floor, to, due, ledger, reading })
    }

    /// Sends up to `count` messages that were to be sent at `due`. Answers with how many there were.
    fn send(&self, count: usize, due: Instant, opens: bool, fills: bool) -> usize {
        let batch = self.floor.with(|desk| desk.batch(count, due, opens, fills));
        let sent = batch.messages.len();
        if sent > 0 {
            self.ledger.in_flight.fetch_add(1, Ordering::Relaxed);
            // Whoever reads the answers says why a stream has ended.
            let _ = self.due.send((due, batch.of));
            let _ = self.to.send(PublishRequest { interactions: batch.messages });
        }
        sent
    }

    /// Sends what can be sent, as long as threads may begin, and until all have ended.
    async fn as_answered(&self, batch: usize, left: &AtomicI64) -> anyhow::Result<()> {
        loop {
            self.floor.check()?;
            let opens = left.load(Ordering::Relaxed) > 0;
            let (sendable, live) = self.floor.look(|desk| (desk.sendable(opens), desk.live()));
            let waiting = self.ledger.in_flight.load(Ordering::Relaxed);
            if live == 0 && sendable == 0 && waiting == 0 {
                return Ok(());
            }
            // Like a connector that collects what comes while it waits for an answer.
            let worth = sendable >= batch || (sendable > 0 && waiting == 0);
            if worth && waiting < OUTSTANDING {
                let sent = self.send(batch, clock::now(), opens, false);
                left.fetch_sub(i64::try_from(sent)?, Ordering::Relaxed);
            } else {
                self.floor.changed.notified().await;
            }
        }
    }

    /// Until all that was sent is answered.
    async fn answered(&self) -> anyhow::Result<()> {
        while self.ledger.in_flight.load(Ordering::Relaxed) > 0 {
            self.floor.check()?;
            self.floor.changed.notified().await;
        }
        self.floor.check()
    }
}

/// Desks with open streams.
pub(crate) struct Load {
    channels: Vec<Channel>,
    floors: Vec<Arc<Floor>>,
    staffed: bool,
    /// Messages of each workspace that were accepted in earlier runs.
    before: Vec<u64>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.floors.iter().for_each(|floor| floor.close());
    }
}

impl Load {
    /// Desks for workspaces, which must exist, with agents where there are any.
    pub(crate) async fn new(
        server: &Server,
        workspaces: &[String],
        kind: Kind,
        staff: Option<Staff>,
    ) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS.min(workspaces.len()) {
            channels.push(server.channel().await?);
        }
        let at_once = if kind == Kind::OneCustomer { 40 } else { AT_ONCE / workspaces.len() };
        let desk = |(name, seed): (&String, u64)| Floor::new(Desk::new(name.clone(), kind, at_once, seed));
        let floors: Vec<Arc<Floor>> = workspaces.iter().zip(1..).map(desk).collect();
        if let Some(staff) = staff {
            take_seats(server, &floors, staff).await?;
        }
        Ok(Self { channels, floors, staffed: staff.is_some(), before: vec![0; workspaces.len()] })
    }

    /// Messages that were accepted in all runs so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.before.iter().sum()
    }

    /// Messages that opened a work item or woke one.
    pub(crate) fn opened(&self) -> u64 {
        self.floors.iter().map(|floor| floor.look(|desk| desk.opened)).sum()
    }

    fn channel(&self, number: usize) -> Channel {
        self.channels[number % self.channels.len()].clone()
    }

    /// Sends, and waits until all services have considered all of it.
    ///
    /// As fast as it is answered: until every thread has come to its end, too. By the clock, what goes on
    /// when time is over is brought to its end after the measurement.
    pub(crate) async fn run(&mut self, server: &Server, pace: Pace) -> anyhow::Result<Run> {
        self.measure(server, pace, true).await
    }

    /// The same; what goes on when time is over is left as it is.
    pub(crate) async fn run_and_leave(&mut self, server: &Server, pace: Pace) -> anyhow::Result<Run> {
        self.measure(server, pace, false).await
    }

    async fn measure(&mut self, server: &Server, pace: Pace, to_the_end: bool) -> anyhow::Result<Run> {
        let mut lines = Vec::new();
        for (number, floor) in self.floors.iter().enumerate() {
            lines.push(Arc::new(Line::open(floor.clone(), self.channel(number))?));
        }
        self.floors.iter().for_each(|floor| drop(floor.take_latencies()));
        let (used, own) = (server.processor_time(), processor_time("self"));
        let start = clock::now();
        match pace.rate {
            Some(rate) => by_the_clock(&lines, pace, rate, start).await,
            None => all_as_answered(&lines, pace.batch, i64::try_from(pace.messages)?).await?,
        }
        for line in &lines {
            line.answered().await?;
        }
        let acknowledged_in = start.elapsed();
        let mut all = Answers::default();
        lines.iter().for_each(|line| all.add(&line.ledger.answers()));
        self.until_considered(&lines).await?;
        let considered_in = start.elapsed();
        let server_time = server.processor_time().saturating_sub(used);
        let client_time = processor_time("self").saturating_sub(own);
        let (mut offered, mut woken, mut context) = Default::default();
        for floor in &self.floors {
            let each = floor.take_latencies();
            for (sum, each) in [(&mut offered, &each.0), (&mut woken, &each.1), (&mut context, &each.2)] {
                Latencies::merge(sum, each);
            }
        }
        if self.staffed && to_the_end {
            ensure!(
                all.shed == 0 && all.refused == 0,
                "{} batches were shed, {} messages refused",
                all.shed,
                all.refused
            );
            all_as_answered(&lines, pace.batch, 0).await?;
            self.until_considered(&lines).await?;
            self.all_has_ended().await?;
        }
        for (number, line) in lines.into_iter().enumerate() {
            self.before[number] += line.ledger.answers().accepted;
            line.reading.abort();
        }
        Ok(Run { all, acknowledged_in, considered_in, server_time, client_time, offered, woken, context })
    }

    /// All services have considered everything that was acknowledged, and all of it is placed, no more
    /// and no less.
    async fn until_considered(&self, lines: &[Arc<Line>]) -> anyhow::Result<()> {
        for (number, line) in lines.iter().enumerate() {
            line.floor.check()?;
            let workspace = line.floor.look(|desk| desk.workspace.clone());
            let wait_for = line.floor.as_of();
            // sla-timer answers when those before it have considered this and it has what they made of it.
            let request = ListClocksRequest { page_size: 1, wait_for, ..ListClocksRequest::default() };
            ClockServiceClient::new(self.channel(number)).list_clocks(of(&workspace, request)?).await?;
            let request = ListThreadsRequest { page_size: 1, ..ListThreadsRequest::default() };
            let answer = ThreadServiceClient::new(self.channel(number)).list_threads(of(&workspace, request)?).await?;
            let accepted = self.before[number] + line.ledger.answers().accepted;
            let placed = answer.into_inner().message_count;
            ensure!(placed == accepted, "{workspace}: {accepted} messages were accepted, {placed} are placed");
        }
        Ok(())
    }

    /// Nothing waits for an agent, no agent has anything, no clock runs, none was breached.
    async fn all_has_ended(&self) -> anyhow::Result<()> {
        for (number, floor) in self.floors.iter().enumerate() {
            let (workspace, resolved) = floor.look(|desk| (desk.workspace.clone(), desk.resolved));
            let queues = RoutingServiceClient::new(self.channel(number))
                .list_queues(of(&workspace, ListQueuesRequest::default())?)
                .await?
                .into_inner();
            let waiting: u64 = queues.queues.iter().map(|queue| queue.waiting).sum();
            let request = ListAgentsRequest { page_size: 1_000, ..ListAgentsRequest::default() };
            let agents = AgentServiceClient::new(self.channel(number)).list_agents(of(&workspace, request)?).await?;
            let held: usize = agents.into_inner().agents.iter().map(|agent| agent.held.len()).sum();
            let request = ListClocksRequest { page_size: 1, ..ListClocksRequest::default() };
            let clocks = ClockServiceClient::new(self.channel(number)).list_clocks(of(&workspace, request)?).await?;
            let counts = clocks.into_inner().counts;
            let (running, breached) = (counts.iter().map(|c| c.running).sum(), counts.iter().map(|c| c.breached).sum());
            let met: u64 = counts.iter().map(|count| count.met).sum();
            ensure!(
                (waiting, held, running, breached) == (0, 0, 0_u64, 0_u64) && met >= 2 * resolved,
                "{workspace}, {resolved} threads resolved: {waiting} items wait, agents have {held}, {running} clocks \
                 run, {breached} were breached, {met} met"
            );
        }
        Ok(())
    }
}

/// One batch after the other, each of the next workspace, at its time.
#[expect(clippy::cast_precision_loss, reason = "a schedule in seconds")]
async fn by_the_clock(lines: &[Arc<Line>], pace: Pace, rate: f64, start: Instant) {
    let batches = pace.messages / pace.batch as u64;
    for (number, line) in (0..batches).zip(lines.iter().cycle()) {
        let due = start + Duration::from_secs_f64(number as f64 * pace.batch as f64 / rate);
        if due > clock::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        line.send(pace.batch, due, true, true);
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// All lines at the same time; threads begin until so many messages were sent.
async fn all_as_answered(lines: &[Arc<Line>], batch: usize, messages: i64) -> anyhow::Result<()> {
    let left = Arc::new(AtomicI64::new(messages));
    let mut sending = Vec::new();
    for line in lines {
        let (line, left) = (line.clone(), left.clone());
        sending.push(tokio::spawn(async move { line.as_answered(batch, &left).await }));
    }
    for line in sending {
        line.await??;
    }
    Ok(())
}

async fn read(
    mut answers: tonic::Streaming<rejoinder_api::ingest::PublishResponse>,
    mut dues: mpsc::UnboundedReceiver<(Instant, Issues)>,
    floor: &Floor,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    while let Some((due, issues)) = dues.recv().await {
        let answer = answers.message().await?.context("the server ended a stream early")?;
        let shed = answer.shed.is_some();
        let mut sum = ledger.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if shed {
            sum.shed += 1;
        } else {
            let accepted = answer.results.iter().filter(|result| result.outcome() == Outcome::Accepted).count() as u64;
            sum.accepted += accepted;
            sum.refused += answer.results.len() as u64 - accepted;
            sum.latency.add_many(due.elapsed(), accepted);
        }
        drop(sum);
        floor.note(&answer.as_of);
        ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
        floor.with(|desk| if shed { desk.shed(&issues) } else { desk.acknowledged(&issues) });
    }
    Ok(())
}
