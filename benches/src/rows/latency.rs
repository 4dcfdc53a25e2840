//! Latencies at 5,000 messages a second: until a message is durable, and until it is readable.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use crate::latency::Latencies;
use crate::load::{Load, Pace};
use crate::server::Server;
use crate::table::Row;
use crate::watch::Watching;
use crate::workload::Kind;
use crate::{Sizes, create, machine, workspaces};

/// Messages a second.
pub(crate) const RATE: u64 = 5_000;
/// Messages that arrive together.
pub(crate) const BATCH: usize = 5;
const WORKSPACES: usize = 64;

pub(crate) async fn measure(dir: &Path, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let alone = machine::fdatasync(dir, 500, Duration::ZERO)?;
    let names = workspaces(WORKSPACES);
    let server = Server::start(&dir.join("data"))?;
    create(&server, &names).await?;
    let mut load = Load::new(&server, &names, Kind::Conversations).await?;
    // What was never used before is slow once.
    let pace = paced(Duration::from_secs(2));
    load.run(&server, pace).await?;
    let sent = load.note();
    let pace = paced(sizes.steady);
    let each = usize::try_from(pace.messages)? / WORKSPACES;
    let watching = Watching::start(&server.channel().await?, &names, each).await?;
    let probe = probe(dir.to_owned(), sizes.steady);
    let run = load.run(&server, pace).await?;
    let seen = watching.seen().await?;
    let busy = probe.await??;
    server.stop()?;
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    let mut readable = Latencies::default();
    for (id, at) in &seen {
        if let Some(due) = sent.get(id) {
            readable.add(at.saturating_duration_since(*due));
        }
    }
    anyhow::ensure!(readable.count() == run.all.accepted, "a message was accepted and not seen placed");
    let p99 = |latencies: &Latencies| latencies.ms(0.99);
    let ratio = format!("{:.1} × p99", p99(&run.all.latency) / p99(&busy));
    Ok(vec![
        Row::new("one fdatasync of 4 KiB, nothing else going on", alone.p50_p99()),
        Row::new("at 5,000/s: accepted → durable", run.all.latency.p50_p99())
            .next_to(format!("one fdatasync beside it: {}", busy.p50_p99()), ratio)
            .target("p99 ≤ 3 × fdatasync's"),
        Row::new("at 5,000/s: accepted → placed, seen by a watcher", readable.p50_p99())
            .next_to(
                format!("that + 10 ms: {:.2} ms", p99(&run.all.latency) + 10.0),
                format!("{:.1} × p99", p99(&readable) / (p99(&run.all.latency) + 10.0)),
            )
            .target("p99 ≤ that + 10 ms"),
    ])
}

/// A whole number of batches for each workspace.
pub(crate) fn paced(length: Duration) -> Pace {
    let round = (BATCH * WORKSPACES) as u64;
    Pace { batch: BATCH, rate: Some(5_000.0), messages: (RATE * length.as_secs()).div_ceil(round) * round }
}

/// What an fdatasync takes while the server is at work.
fn probe(dir: PathBuf, length: Duration) -> tokio::task::JoinHandle<std::io::Result<Latencies>> {
    let pause = Duration::from_millis(25);
    let count = usize::try_from(length.as_millis() / (pause.as_millis() + 5)).unwrap_or(usize::MAX);
    tokio::task::spawn_blocking(move || machine::fdatasync(&dir, count, pause))
}
