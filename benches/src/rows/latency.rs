//! Latencies at 5,000 messages a second: until a message is durable, until an agent sees its offer, and
//! from a slot that is free again to the next offer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::latency::Latencies;
use crate::load::{Load, Pace};
use crate::rows::slots;
use crate::server::Server;
use crate::table::Row;
use crate::workload::Kind;
use crate::{Sizes, create, machine, staff, workspaces};

/// Messages a second.
pub(crate) const RATE: u64 = 5_000;
/// Messages that arrive together.
pub(crate) const BATCH: usize = 5;
const WORKSPACES: usize = 64;

pub(crate) async fn measure(dir: &Path, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let alone = machine::fdatasync(dir, 500, Duration::ZERO)?;
    let names = workspaces(WORKSPACES);
    let server = Server::start(&dir.join("data"))?;
    let staff = staff(WORKSPACES, false);
    create(&server, &names, staff.agents).await?;
    let mut load = Load::new(&server, &names, Kind::Conversations, Some(staff)).await?;
    let full = slots::prepare(&server, sizes.steady).await?;
    // What was never used before is slow once.
    load.run(&server, paced(Duration::from_secs(2))).await?;
    let probe = probe(dir.to_owned(), sizes.steady);
    let freed = tokio::spawn(full.work(sizes.steady));
    let run = load.run(&server, paced(sizes.steady)).await?;
    let (busy, freed) = (probe.await??, freed.await??);
    drop(load);
    server.stop()?;
    let p99 = |latencies: &Latencies| latencies.ms(0.99);
    let durable = p99(&run.all.latency);
    let next_to = |row: Row, latencies: &Latencies| {
        let limit = durable + 10.0;
        row.next_to(format!("that + 10 ms: {limit:.2} ms"), format!("{:.1} × p99", p99(latencies) / limit))
    };
    Ok(vec![
        Row::new("one fdatasync of 4 KiB, nothing else going on", alone.p50_p99()),
        Row::new("at 5,000/s: accepted → durable", run.all.latency.p50_p99())
            .next_to(
                format!("one fdatasync beside it: {}", busy.p50_p99()),
                format!("{:.1} × p99", durable / p99(&busy)),
            )
            .target("p99 ≤ 3 × fdatasync's"),
        next_to(Row::new("at 5,000/s: accepted → offer seen by an agent", run.offered.p50_p99()), &run.offered)
            .target("p99 ≤ that + 10 ms"),
        next_to(
            Row::new("at 5,000/s: accepted → parked item back on its agent's desk", run.woken.p50_p99()),
            &run.woken,
        )
        .target("p99 ≤ that + 10 ms"),
        Row::new("at 5,000/s: slot freed → next offer, from when the agent says so", freed.p50_p99())
            .target("p99 ≤ 10 ms"),
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
