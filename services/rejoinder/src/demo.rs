//! `demo`: the live engine on a temporary directory under a seeded workload.
//!
//! Customers write on three channels, agents answer, one comes back after days, a post goes viral.
//! Every message is durable before it is acknowledged; the view shows how long that takes.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use hdrhistogram::Histogram;
use rejoinder_channels::{Author, Direction, Interaction, Structure, Visibility};
use rejoinder_event_log::EventLog;
use rejoinder_event_log_embedded::{EmbeddedLog, Options as LogOptions};
use rejoinder_ingest::{Publish, Published, arrival};
use rejoinder_ingest_core::{Ingest, Outcome};
use rejoinder_model::{DAY_MS, HOUR_MS, MessageKey, Millis, partition_of};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Ask, Clock, JobQueue, Options as LaneOptions, SystemClock, Workers};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::ThreadState;

use crate::Ended;
use crate::data_dir::Partition;
use crate::table::{Output, Rows, say};

const WORKSPACE: &str = "default";
const ACCOUNT: &str = "acme";
/// The workload comes in slices of this length.
const SLICE: Duration = Duration::from_millis(10);
const VIRAL_COMMENTS: u64 = 500;
/// How long the end waits for what was accepted to be placed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long, how much, which seed.
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) per_second: u32,
    pub(crate) seed: u64,
}

/// Runs the demo and cleans up after itself.
pub(crate) fn run(options: &Options) -> anyhow::Result<Ended> {
    let dir = std::env::temp_dir().join(format!("rejoinder-demo-{}", std::process::id()));
    let result = live(&dir, options).and_then(|()| {
        say("the server is stopped; the state is now rebuilt from the log and compared:");
        crate::log_commands::rebuild(&dir)
    });
    std::fs::remove_dir_all(&dir)?;
    result
}

fn live(dir: &std::path::Path, options: &Options) -> anyhow::Result<()> {
    let log = EmbeddedLog::open(&dir.join("log"), LogOptions::default())?;
    let store = ProjectionStore::open(&dir.join("state"), 64 << 20)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let number = partition_of(WORKSPACE, log.partitions());
    let partition = Partition::open(number, &log, &clock, &store, LaneOptions::default())?;
    let (ingest, threading) = (partition.ingest_jobs.clone(), partition.threading_jobs.clone());
    let shared: Arc<dyn EventLog> = log.clone();
    let lanes = vec![vec![Box::new(partition.ingest) as _], vec![Box::new(partition.threading) as _]];
    let workers = Workers::start(lanes, &shared)?;
    let shown = show(&ingest, &threading, &clock, options);
    workers.stop();
    store.sync().map_err(|error| anyhow!(error))?;
    log.close();
    if let Some(what) = log.stopped() {
        bail!("the event log stopped: {what}");
    }
    shown
}

/// What acknowledgements brought.
struct Acknowledged {
    latency_us: Histogram<u64>,
    messages: u64,
    lost: u64,
}

fn show(
    ingest: &JobQueue<Ingest>,
    threading: &JobQueue<Threading>,
    clock: &Arc<dyn Clock>,
    options: &Options,
) -> anyhow::Result<()> {
    let acknowledged = Acknowledged { latency_us: Histogram::new_with_max(60_000_000, 3)?, messages: 0, lost: 0 };
    let acknowledged = Arc::new(Mutex::new(acknowledged));
    let mut world = World::new(options.seed, clock.wall_ms());
    let widths = [8, 11, 9, 9, 8, 15, 18, 9, 0];
    let columns = [
        "seconds",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "threads",
        "awaiting_agent",
        "awaiting_customer",
        "resolved",
        "newest message finds its thread",
    ];
    let mut rows = Rows::new(Output::Table, &columns, &widths)?;
    let start = now();
    let mut next = start;
    let mut total = 0_u64;
    let mut second = 0;
    let mut shed = 0_u64;
    let per_slice = (options.per_second / 100).max(1);
    while now() - start < options.length {
        next += SLICE;
        std::thread::sleep(next.saturating_duration_since(now()));
        let due = next;
        let said = world.slice(per_slice, clock.wall_ms());
        let arrivals: Vec<_> = said.into_iter().map(|said| arrival(said, clock.wall_ms())).collect();
        let bytes = arrivals.len() * 512;
        let counting = acknowledged.clone();
        // Measured from when the slice was due, so that a stall counts for all that waited.
        let reply = move |published: Published| {
            let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
            match published {
                Some((outcomes, _)) => {
                    let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(_))).count();
                    let waited = u64::try_from((now() - due).as_micros()).unwrap_or(u64::MAX);
                    counting.latency_us.saturating_record_n(waited, accepted as u64);
                    counting.messages += accepted as u64;
                }
                None => counting.lost += 1,
            }
        };
        if ingest.push(Box::new(Publish::new(WORKSPACE.to_owned(), arrivals, bytes, reply))).is_err() {
            shed += 1;
        }
        if (now() - start).as_secs() > second {
            second = (now() - start).as_secs();
            let (rate, p50, p99) = take(&acknowledged, &mut total);
            let view = look(threading, world.newest())?;
            rows.row(&line(second, rate, p50, p99, &view))?;
            rows.show()?;
        }
    }
    // The last acknowledgements, and what threading makes of them: it may lag behind a flood.
    let deadline = now() + LONGEST_WAIT;
    let (mut p50, mut p99) = (0.0, 0.0);
    let view = loop {
        std::thread::sleep(10 * SLICE);
        let busy = ingest.is_busy();
        let (more, last_p50, last_p99) = take(&acknowledged, &mut total);
        if more > 0 {
            (p50, p99) = (last_p50, last_p99);
        }
        let view = look(threading, world.newest())?;
        if (!busy && view.messages == total) || now() > deadline {
            break view;
        }
    };
    rows.end()?;
    let lost = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).lost;
    say(&format!(
        "{total} messages accepted and durable, {} placed in {} threads of {} customers; last p50 {p50:.1} ms, p99 {p99:.1} ms; {shed} slices shed, {lost} of unknown outcome",
        view.messages,
        view.threads.iter().sum::<u64>(),
        world.customers,
    ));
    if view.messages != total {
        bail!("{total} messages were acknowledged and {} are placed", view.messages);
    }
    Ok(())
}

fn line(second: u64, rate: u64, p50: f64, p99: f64, view: &View) -> [String; 9] {
    let of = |state: ThreadState| view.threads[state as usize].to_string();
    [
        second.to_string(),
        rate.to_string(),
        format!("{p50:.1}"),
        format!("{p99:.1}"),
        view.threads.iter().sum::<u64>().to_string(),
        of(ThreadState::AwaitingAgent),
        of(ThreadState::AwaitingCustomer),
        of(ThreadState::Resolved),
        view.newest.clone(),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a client measures how long it waits")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn take(acknowledged: &Mutex<Acknowledged>, total: &mut u64) -> (u64, f64, f64) {
    let mut acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    let messages = std::mem::take(&mut acknowledged.messages);
    *total += messages;
    let quantile = |q| acknowledged.latency_us.value_at_quantile(q) as f64 / 1_000.0;
    let figures = (messages, quantile(0.5), quantile(0.99));
    acknowledged.latency_us.reset();
    figures
}

struct View {
    threads: [u64; 7],
    messages: u64,
    newest: String,
}

/// Asks threading, over the same queue as everybody.
fn look(threading: &JobQueue<Threading>, newest: MessageKey) -> anyhow::Result<View> {
    let (to, from): (Sender<Option<View>>, Receiver<Option<View>>) = channel();
    let question = move |state: &Threading| {
        let workspace = state.workspace(WORKSPACE);
        let message = state.messages.get(&newest);
        let thread = message.and_then(|message| state.find(message.thread));
        let newest = thread.map_or_else(
            || "on its way".to_owned(),
            |(id, thread)| format!("{id}, with {} messages of {}", thread.messages.len(), thread.channels.join(", ")),
        );
        View { threads: workspace.threads, messages: workspace.messages, newest }
    };
    let ask = Ask::new(WORKSPACE.to_owned(), question, move |answer: Option<(View, _)>| {
        let _ = to.send(answer.map(|(view, _)| view));
    });
    threading.push(Box::new(ask)).map_err(|_| anyhow!("threading takes no questions now"))?;
    from.recv_timeout(Duration::from_secs(10))?.ok_or_else(|| anyhow!("threading is not live"))
}

/// Customers and agents, as a seed has them.
struct World {
    random: u64,
    customers: u64,
    messages: u64,
    /// Questions that wait for an answer, and answers that a customer may react to.
    open: VecDeque<Said>,
    viral: Option<String>,
    newest: MessageKey,
    start: Millis,
}

#[derive(Clone)]
struct Said {
    channel: &'static str,
    customer: u64,
    message: String,
    ours: bool,
}

impl World {
    fn new(seed: u64, start: Millis) -> Self {
        let newest = MessageKey(0);
        Self { random: seed, customers: 0, messages: 0, open: VecDeque::new(), viral: None, newest, start }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn newest(&self) -> MessageKey {
        self.newest
    }

    fn slice(&mut self, count: u32, now: Millis) -> Vec<Interaction> {
        (0..count).map(|_| self.next(now)).collect()
    }

    fn next(&mut self, now: Millis) -> Interaction {
        self.messages += 1;
        if self.messages == 2_000 {
            // A post of the company that goes viral.
            let post = format!("post-{}", self.messages);
            self.viral = Some(post.clone());
            return self.message("x", None, post, None, now, "We have news about our prices.");
        }
        if let Some(post) = self.viral.clone().filter(|_| self.messages < 2_000 + VIRAL_COMMENTS) {
            self.customers += 1;
            let (customer, id) = (self.customers, format!("comment-{}", self.messages));
            return self.message("x", Some(customer), id, Some(post), now, "Again more expensive?");
        }
        // One in eight opens a new issue; the others go on with what is open.
        if self.open.len() < 50 || self.below(8) == 0 {
            self.customers += 1;
            let channel = ["x", "whatsapp", "email"][usize::try_from(self.below(3)).unwrap_or(0)];
            let said = Said { channel, customer: self.customers, message: format!("q-{}", self.messages), ours: false };
            // Some wrote days ago, and come back now.
            let earlier = if self.below(20) == 0 { 2 * DAY_MS } else { 0 };
            let id = said.message.clone();
            self.open.push_back(said.clone());
            return self.message(channel, Some(said.customer), id, None, now - earlier, "My parcel has not arrived.");
        }
        let at = usize::try_from(self.below(self.open.len() as u64)).unwrap_or(0);
        let Some(before) = self.open.get(at).cloned() else { return self.next(now) };
        let id = format!("m-{}", self.messages);
        let said = Said { message: id.clone(), ours: !before.ours, ..before.clone() };
        if self.open.len() > 20_000 {
            self.open.swap_remove_back(at);
        } else {
            self.open[at] = said;
        }
        let text = if before.ours { "Thank you, and when?" } else { "We are looking into it." };
        let customer = Some(before.customer);
        let mut next = self.message(before.channel, customer, id, Some(before.message), now, text);
        if !before.ours {
            next.direction = Some(Direction::Outbound);
            next.author = Some(Author { id: ACCOUNT.to_owned(), ..Author::default() });
            next.recipients = vec![format!("customer-{}", before.customer)];
        }
        next
    }

    fn message(
        &mut self,
        channel: &str,
        customer: Option<u64>,
        id: String,
        parent: Option<String>,
        event_time: Millis,
        text: &str,
    ) -> Interaction {
        let direct = channel == "whatsapp";
        let author = customer.map_or_else(|| ACCOUNT.to_owned(), |customer| format!("customer-{customer}"));
        self.newest = MessageKey::new(WORKSPACE, channel, Some(ACCOUNT), &id);
        Interaction {
            channel: channel.to_owned(),
            account: ACCOUNT.to_owned(),
            external_id: id,
            direction: Some(if customer.is_some() { Direction::Inbound } else { Direction::Outbound }),
            author: Some(Author { id: author, ..Author::default() }),
            text: text.to_owned(),
            event_time: event_time.max(self.start - 30 * DAY_MS + HOUR_MS),
            parents: parent.filter(|_| !direct).into_iter().collect(),
            visibility: if channel == "x" { Visibility::Public } else { Visibility::Private },
            structure: if direct { Structure::Direct } else { Structure::Linked },
            ..Interaction::default()
        }
    }
}
