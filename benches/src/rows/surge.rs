//! One workspace sends a hundred times what it did, and another one of its partition goes on.

use std::path::Path;
use std::time::Duration;

use crate::load::{Load, Pace, Run};
use crate::server::Server;
use crate::table::Row;
use crate::workload::Kind;
use crate::{Sizes, create, staff};

/// Messages a second of each workspace, as long as all is calm.
const CALM: f64 = 500.0;
/// A surge is so much more.
const TIMES: f64 = 100.0;
/// Partitions of a server that was told nothing else.
const PARTITIONS: u16 = 16;

pub(crate) async fn measure(dir: &Path, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let mut neighbours =
        (0..).map(|n| format!("neighbour-{n}")).filter(|name| rejoinder_model::partition_of(name, PARTITIONS) == 3);
    let names: Vec<String> = neighbours.by_ref().take(2).collect();
    let server = Server::start(&dir.join("data"))?;
    // Together as many agents as in the other rows.
    let staff = staff(2, false);
    create(&server, &names, staff.agents).await?;
    let mut surging = Load::new(&server, &names[..1], Kind::Conversations, Some(staff)).await?;
    let mut steady = Load::new(&server, &names[1..], Kind::Conversations, Some(staff)).await?;
    both(&server, &mut surging, &mut steady, CALM, Duration::from_secs(2)).await?;
    let (_, calm) = both(&server, &mut surging, &mut steady, CALM, sizes.surge).await?;
    let (surge, beside) = both(&server, &mut surging, &mut steady, CALM * TIMES, sizes.surge).await?;
    drop((surging, steady));
    server.stop()?;
    let ratio = format!("{:.1} × p99", beside.all.latency.ms(0.99) / calm.all.latency.ms(0.99));
    let name = format!("surge of {:.0}/s, {} s", CALM * TIMES, sizes.surge.as_secs());
    let backlog = surge.acknowledged_in.saturating_sub(sizes.surge);
    let behind = surge.considered_in.saturating_sub(surge.acknowledged_in);
    Ok(vec![
        Row::new(format!("{name}: a neighbour in the partition, accepted → durable"), beside.all.latency.p50_p99())
            .next_to(format!("before the surge: {}", calm.all.latency.p50_p99()), ratio)
            .target("p99 ≤ 3 ×"),
        Row::new(
            format!("{name}: who surges"),
            format!(
                "{} accepted, all placed; {} batches shed; {}",
                surge.all.accepted,
                surge.all.shed,
                surge.all.latency.p50_p99()
            ),
        ),
        Row::new(
            format!("{name}: backlog at its end"),
            format!(
                "{:.1} s to accept, {:.1} s until all services have considered it",
                backlog.as_secs_f64(),
                behind.as_secs_f64()
            ),
        ),
    ])
}

/// Both workspaces for a time, one of them at `rate`.
async fn both(
    server: &Server,
    surging: &mut Load,
    steady: &mut Load,
    rate: f64,
    length: Duration,
) -> anyhow::Result<(Run, Run)> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of messages")]
    let pace = |rate: f64, batch| Pace { batch, rate: Some(rate), messages: (rate * length.as_secs_f64()) as u64 };
    let batch = if rate > CALM { 50 } else { 5 };
    let (surged, went_on) =
        tokio::join!(surging.run_and_leave(server, pace(rate, batch)), steady.run_and_leave(server, pace(CALM, 5)));
    Ok((surged?, went_on?))
}
