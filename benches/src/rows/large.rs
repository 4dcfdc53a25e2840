//! A server with many open threads, each with an armed timer: its memory, its timers, how soon it
//! writes again after a kill, how fast its state is folded from nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::sla::WatchAlarmsRequest;
use rejoinder_api::sla::alarm_service_client::AlarmServiceClient;
use rejoinder_api::sla::watch_alarms_response::Change as AlarmChange;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::watch_threads_response::Change;
use rejoinder_api::threading::{HoldThreadRequest, ListThreadsRequest, WatchThreadsRequest, thread::State};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::latency::Latencies;
use crate::load::{Load, Pace};
use crate::server::{Server, binary, of};
use crate::table::{Row, say};
use crate::workload::{Desk, Kind};
use crate::{Sizes, clock, create, machine, workspaces};

/// Holds that are sent at the same time.
const CALLERS: usize = 32;
/// Timers that come due one after the other.
const ONE_BY_ONE: usize = 5_000;
/// Between two of them.
const APART_MS: i64 = 2;
/// What ended a hold.
const HOLD_OVER: &str = "hold_over";

/// When a hold was over, by thread.
type Watcher = JoinHandle<anyhow::Result<HashMap<String, i64>>>;

pub(crate) async fn measure(dir: &Path, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let names = workspaces(64);
    let data = dir.join("data");
    let server = Server::start(&data)?;
    create(&server, &names, 0).await?;
    let mut load = Load::new(&server, &names, Kind::Answered, None).await?;
    let filled = load.run(&server, Pace { batch: 100, rate: None, messages: sizes.threads * 2 }).await?;
    drop(load);
    let channel = server.channel().await?;
    let armed = armed(&channel, &names).await?;
    let (resident, most) = server.resident();
    say(&format!("{armed} threads wait for their customers, made at {:.0} messages/s", filled.messages_per_second()));
    let mut rows = vec![
        Row::new(
            format!("{:.2} M open threads, as many timers: resident", millions(armed)),
            format!("{:.2} GiB, at most {:.2} GiB", gib(resident), gib(most)),
        )
        .target("≤ 1.5 GiB at 1 M"),
    ];
    rows.extend(timers(&channel, &names, sizes, armed).await?);
    rows.push(breaches(&server, &channel, &names, sizes).await?);
    let (resident, most) = server.resident();
    rows.push(Row::new(
        "the same, after timers and breaches: resident",
        format!("{:.2} GiB, at most {:.2} GiB", gib(resident), gib(most)),
    ));
    server.kill()?;
    rows.push(restart(&data, &names).await?);
    rows.push(rebuild(&data)?);
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// How many threads wait for their customers: each of them has armed a timer.
async fn armed(channel: &Channel, names: &[String]) -> anyhow::Result<u64> {
    let mut armed = 0;
    for name in names {
        let request = ListThreadsRequest { page_size: 1, ..ListThreadsRequest::default() };
        let answer = ThreadServiceClient::new(channel.clone()).list_threads(of(name, request)?).await?.into_inner();
        let waiting = answer.counts.iter().filter(|count| count.state() == State::AwaitingCustomer);
        armed += waiting.map(|count| count.threads).sum::<u64>();
    }
    Ok(armed)
}

/// Threads to hold, with their workspaces.
async fn threads(channel: &Channel, names: &[String], count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let (mut threads, mut tokens) = (Vec::new(), vec![String::new(); names.len()]);
    while threads.len() < count {
        let before = threads.len();
        for (name, token) in names.iter().zip(&mut tokens) {
            let request = ListThreadsRequest {
                page_size: 1_000,
                page_token: token.clone(),
                state: State::AwaitingCustomer as i32,
                ..ListThreadsRequest::default()
            };
            let page = ThreadServiceClient::new(channel.clone()).list_threads(of(name, request)?).await?.into_inner();
            *token = page.next_page_token;
            threads.extend(page.threads.into_iter().map(|thread| (name.clone(), thread.thread_id)));
        }
        ensure!(threads.len() > before, "there are {before} threads to hold, {count} are wanted");
    }
    threads.truncate(count);
    Ok(threads)
}

/// Holds threads, each until its time.
async fn hold(channel: &Channel, held: &[(String, String, i64)]) -> anyhow::Result<()> {
    let mut calling: Vec<JoinHandle<anyhow::Result<()>>> = Vec::new();
    for part in held.chunks(held.len().div_ceil(CALLERS)) {
        let (mut client, part) = (ThreadServiceClient::new(channel.clone()), part.to_vec());
        calling.push(tokio::spawn(async move {
            for (workspace, thread_id, until) in part {
                let nanos = i32::try_from(until % 1_000 * 1_000_000)?;
                let until = Some(prost_types::Timestamp { seconds: until / 1_000, nanos });
                let request =
                    HoldThreadRequest { thread_id, until, reason: "benchmark".into(), ..HoldThreadRequest::default() };
                client.hold_thread(of(&workspace, request)?).await?;
            }
            Ok(())
        }));
    }
    for call in calling {
        call.await??;
    }
    Ok(())
}

/// When the holds of threads were over, as those who watch the workspaces saw it.
async fn holds_over(channel: &Channel, held: &[(String, String, i64)]) -> anyhow::Result<Vec<Watcher>> {
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    held.iter().for_each(|(workspace, _, _)| *expected.entry(workspace).or_default() += 1);
    let mut watchers = Vec::new();
    for (workspace, count) in expected {
        let mut client = ThreadServiceClient::new(channel.clone());
        let mut changes = client.watch_threads(of(workspace, WatchThreadsRequest::default())?).await?.into_inner();
        watchers.push(tokio::spawn(async move {
            let mut over = HashMap::new();
            while over.len() < count {
                let told = changes.message().await?.context("the stream ended")?;
                if let Some(Change::StateChanged(changed)) = told.change
                    && changed.cause == HOLD_OVER
                {
                    let again = over.insert(told.thread_id, clock::wall_ms());
                    ensure!(again.is_none(), "a timer fired twice");
                }
            }
            Ok(over)
        }));
    }
    Ok(watchers)
}

async fn all_over(watchers: Vec<Watcher>) -> anyhow::Result<HashMap<String, i64>> {
    let mut all = HashMap::new();
    for watcher in watchers {
        all.extend(watcher.await??);
    }
    Ok(all)
}

async fn timers(channel: &Channel, names: &[String], sizes: &Sizes, armed: u64) -> anyhow::Result<Vec<Row>> {
    let threads = threads(channel, names, sizes.due_at_once + ONE_BY_ONE).await?;
    let (one_by_one, at_once) = threads.split_at(ONE_BY_ONE);
    // Holding takes a time that depends on the machine: as many were held before as a measure.
    let start = clock::now();
    let later = clock::wall_ms() + 3_600_000;
    let trial: Vec<_> = one_by_one.iter().map(|(name, id)| (name.clone(), id.clone(), later)).collect();
    hold(channel, &trial).await?;
    let of_many = |count: usize| i64::try_from(start.elapsed().as_millis() * (count as u128) / ONE_BY_ONE as u128);
    let (soon, late) = (of_many(ONE_BY_ONE)?, of_many(sizes.due_at_once)?);

    let first = clock::wall_ms() + 2 * soon + 1_000;
    let dues = (0..).map(|n: i64| first + n * APART_MS);
    let held: Vec<_> = one_by_one.iter().zip(dues).map(|((name, id), due)| (name.clone(), id.clone(), due)).collect();
    let over = holds_over(channel, &held).await?;
    hold(channel, &held).await?;
    ensure!(clock::wall_ms() < first, "holding the threads took too long for a figure");
    let lag = lags(&held, &all_over(over).await?)?;
    say(&format!("{ONE_BY_ONE} holds ended one after the other: {}", lag.p50_p99()));

    let due = clock::wall_ms() + 2 * late + 2_000;
    let held: Vec<_> = at_once.iter().map(|(name, id)| (name.clone(), id.clone(), due)).collect();
    let over = holds_over(channel, &held).await?;
    hold(channel, &held).await?;
    ensure!(clock::wall_ms() < due, "holding the threads took too long for a figure");
    let burst = lags(&held, &all_over(over).await?)?;
    say(&format!("{} holds ended at once, in {:.2} s", held.len(), burst.ms(1.0) / 1_000.0));
    Ok(vec![
        Row::new(
            format!("{:.2} M timers armed: due → fired, durable, seen by a subscriber", millions(armed)),
            lag.p50_p99(),
        )
        .target("p99 ≤ 100 ms"),
        Row::new(
            format!("{} timers due at once: all fired, once each, seen by a subscriber", sizes.due_at_once),
            format!("in {:.2} s", burst.ms(1.0) / 1_000.0),
        )
        .target("100,000 in ≤ 1 s"),
    ])
}

/// First responses that are due at the same time, and that nobody gives.
async fn breaches(server: &Server, channel: &Channel, names: &[String], sizes: &Sizes) -> anyhow::Result<Row> {
    // The built-in target. The questions are as old as makes it due soon after they are all there.
    const FIRST_RESPONSE_MS: i64 = 3_600_000;
    let names_of_breached: Vec<String> = names.iter().map(|name| format!("{name}-unanswered")).collect();
    create(server, &names_of_breached, 0).await?;
    let (to, mut raised) = mpsc::unbounded_channel();
    for name in &names_of_breached {
        let (mut client, to) = (AlarmServiceClient::new(channel.clone()), to.clone());
        let mut told = client.watch_alarms(of(name, WatchAlarmsRequest::default())?).await?.into_inner();
        tokio::spawn(async move {
            // Ends with the server.
            while let Ok(Some(told)) = told.message().await {
                if let Some(AlarmChange::Raised(alarm)) = told.change {
                    let _ = to.send((alarm.clock_id, clock::wall_ms()));
                }
            }
        });
    }
    let due = clock::wall_ms() + i64::try_from(5_000 + sizes.due_at_once / 5)?;
    let kind = Kind::Asked { at_ms: due - FIRST_RESPONSE_MS };
    let mut load = Load::new(server, &names_of_breached, kind, None).await?;
    let messages = sizes.due_at_once as u64;
    load.run(server, Pace { batch: 100, rate: None, messages }).await?;
    ensure!(clock::wall_ms() < due, "the questions took too long for a figure");
    say(&format!("{messages} first responses are due in {} ms", due - clock::wall_ms()));
    let (mut burst, mut clocks) = (Latencies::default(), HashSet::new());
    while burst.count() < load.accepted() {
        let (clock, at) = raised.recv().await.context("the streams ended")?;
        ensure!(at >= due, "a clock was breached {} ms too soon", due - at);
        ensure!(clocks.insert(clock), "a breach was told twice");
        burst.add(Duration::from_millis(u64::try_from(at - due)?));
    }
    let messages = load.accepted();
    Ok(Row::new(
        format!("{messages} clocks due at once: all breached, once each, alarms seen"),
        format!("in {:.2} s", burst.ms(1.0) / 1_000.0),
    )
    .target("100,000 in ≤ 1 s"))
}

fn lags(held: &[(String, String, i64)], over: &HashMap<String, i64>) -> anyhow::Result<Latencies> {
    let mut lags = Latencies::default();
    for (_, id, due) in held {
        let at = over.get(id).context("a timer did not fire")?;
        ensure!(at >= due, "a timer fired {} ms too soon", due - at);
        lags.add(Duration::from_millis(u64::try_from(at - due)?));
    }
    Ok(lags)
}

/// From the start of the process to the first message accepted in every workspace.
async fn restart(data: &Path, names: &[String]) -> anyhow::Result<Row> {
    let start = clock::now();
    let server = Server::start(data)?;
    let channel = server.channel().await?;
    let mut client = IngestServiceClient::new(channel);
    for name in names {
        let mut desk = Desk::new(name.clone(), Kind::OneCustomer, 1, 1);
        let interactions = desk.batch(1, start, true, false).messages.into_iter().map(|mut one| {
            one.external_id = format!("after-{}", one.external_id);
            one
        });
        let request = PublishBatchRequest { interactions: interactions.collect() };
        let answer = client.publish_batch(of(name, request)?).await?.into_inner();
        ensure!(answer.results.iter().all(|result| result.refusal.is_none()), "a message was refused");
    }
    let took = start.elapsed();
    server.stop()?;
    let contents = machine::contents(data, 0)?;
    Ok(Row::new(
        format!("kill -9 with {:.1} M events in the log → 64 workspaces accept", millions(contents.events())),
        format!("{:.2} s", took.as_secs_f64()),
    )
    .target("≤ 2 s"))
}

fn rebuild(data: &Path) -> anyhow::Result<Row> {
    let events = machine::contents(data, 0)?.events();
    let (bytes, scanned) = machine::scan(data)?;
    let output = Command::new(binary()?).args(["log", "rebuild", "--compare", "--data-dir"]).arg(data).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the rebuilt state is another one: {said}");
    let folded = said.lines().find_map(|line| line.strip_prefix("folded ")).context("it says how long it took")?;
    let rate: f64 =
        folded.split_whitespace().find_map(|word| word.strip_suffix("/s")?.parse().ok()).context("a rate")?;
    let machine = clock::per_second(events, scanned);
    Ok(Row::new("rebuild from 0, one core, equal to what is stored", format!("{rate:.0} events/s"))
        .next_to(
            format!(
                "the same log read from RocksDB: {machine:.0}/s, {:.0} MiB/s",
                gib(bytes) * 1024.0 / scanned.as_secs_f64()
            ),
            format!("{:.0} %", 100.0 * rate / machine),
        )
        .target("≥ 300,000/s"))
}
