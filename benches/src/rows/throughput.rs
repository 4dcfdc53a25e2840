//! How many messages of workload W a server takes in a second: accepted, threaded, queued, offered, taken,
//! answered, finished and resolved, until every clock has ended.

use std::path::Path;
use std::time::Duration;

use rejoinder_model::Service;

use crate::load::{Load, Pace, Run};
use crate::server::Server;
use crate::table::{Row, say};
use crate::workload::Kind;
use crate::{Sizes, clock, create, machine, staff, workspaces};

/// Messages that a connector sends together.
const BATCH: usize = 50;
/// An open loop is kept up with when everything is readable so soon after the last message was sent.
const BEHIND: Duration = Duration::from_secs(1);
/// Bytes of the log that are appended again without a server.
const COMPARED_BYTES: u64 = 512 << 20;

pub(crate) async fn measure(dir: &Path, sizes: &Sizes, count: usize) -> anyhow::Result<Vec<Row>> {
    let names = workspaces(count);
    let data = dir.join("data");
    let server = Server::start(&data)?;
    let staff = staff(count, false);
    create(&server, &names, staff.agents).await?;
    let mut load = Load::new(&server, &names, Kind::Conversations, Some(staff)).await?;
    let pace = Pace { batch: BATCH, rate: None, messages: sizes.limit_messages / 5 };
    load.run(&server, pace).await?;
    let limit = load.run(&server, Pace { messages: sizes.limit_messages, ..pace }).await?;
    say(&format!("{count} workspaces, as fast as answered: {:.0} messages/s", limit.messages_per_second()));
    let (rate, steady) = steady(&server, &mut load, limit.messages_per_second(), sizes).await?;
    let (messages, opened) = (load.accepted(), load.opened());
    drop(load);
    server.stop()?;
    let written = machine::contents(&data, COMPARED_BYTES)?;
    let appended = machine::append(&dir.join("raw"), &written.records)?;
    let kept: u64 = written.records.iter().map(|record| record.len() as u64).sum();
    let sums = Sums { messages, opened, written, raw_bytes_per_second: clock::per_second(kept, appended) };
    Ok(rows(count, &limit, (rate, &steady), &sums))
}

/// The highest of a few rates, in an open loop, that the server keeps up with.
async fn steady(server: &Server, load: &mut Load, limit: f64, sizes: &Sizes) -> anyhow::Result<(f64, Run)> {
    let mut share = 0.9;
    loop {
        let rate = limit * share;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of messages")]
        let messages = (rate * sizes.steady.as_secs_f64()) as u64;
        let run = load.run(server, Pace { batch: BATCH, rate: Some(rate), messages }).await?;
        let behind = run.considered_in.saturating_sub(sizes.steady);
        let kept_up = behind <= BEHIND && run.all.shed == 0;
        say(&format!("open loop of {rate:.0} messages/s: {:.1} s behind at its end", behind.as_secs_f64()));
        if kept_up || share < 0.35 {
            return Ok((rate, run));
        }
        share -= 0.15;
    }
}

/// What stands in the log in the end, and what the machine makes of it.
struct Sums {
    messages: u64,
    /// Messages that opened a work item or woke one.
    opened: u64,
    written: machine::Contents,
    raw_bytes_per_second: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rows(count: usize, limit: &Run, (rate, steady): (f64, &Run), sums: &Sums) -> Vec<Row> {
    let name = if count == 1 { "W, 1 workspace".to_owned() } else { format!("W, {count} workspaces") };
    let written = &sums.written;
    let each = |of: u64| of as f64 / sums.messages as f64;
    let raw = sums.raw_bytes_per_second / each(written.bytes);
    let reached = limit.messages_per_second();
    let (server, client) = limit.processor_us();
    let of_service = |service: Service| format!("{} {:.2}", service.name(), each(written.of(service)));
    let by_service: Vec<String> = Service::ALL.into_iter().map(of_service).collect();
    vec![
        Row::new(
            format!("{name}: until answered, all items done, all clocks ended"),
            format!("{reached:.0} messages/s"),
        )
        .next_to(format!("the same bytes into RocksDB: {raw:.0}/s"), format!("{:.0} %", 100.0 * reached / raw))
        .target("≥ 50,000/s, ≥ 50 %"),
        Row::new(
            format!("{name}: processor time"),
            format!("{server:.1} µs a message, the client with its agents {client:.1} µs"),
        ),
        Row::new(
            format!("{name}: in the log, of a message"),
            format!(
                "{:.2} events: {}; {:.0} bytes; {:.0} events a frame",
                each(written.events()),
                by_service.join(", "),
                each(written.bytes),
                written.events() as f64 / written.frames as f64
            ),
        ),
        Row::new(
            format!("{name}: messages that open a work item or wake one"),
            format!("1 in {:.1}", sums.messages as f64 / sums.opened as f64),
        ),
        Row::new(format!("{name}: open loop at {rate:.0}/s, accepted → durable"), steady.all.latency.p50_p99()),
        Row::new(format!("{name}: open loop at {rate:.0}/s, accepted → offer seen"), steady.offered.p50_p99()),
    ]
}
