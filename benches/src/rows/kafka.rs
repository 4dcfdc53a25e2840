//! What one broker carries of bare frames, beside what its own tool and a bare round trip reach, and beside
//! the same commits as transactions.

use std::time::Duration;

use crate::Sizes;
use crate::kafka::frames::{self, PARTITIONS, Shape};
use crate::kafka::{Broker, Outcome, transactions};
use crate::table::{Row, say};

/// Frames as a busy server writes them: so many events, so many of a lane not read back yet.
const BULK: Shape = Shape { writers: PARTITIONS, under_way: 8, events_a_frame: 43 };
/// A frame of each partition so often: 1,600 a second over all, about what 5,000 messages a second make.
const PACE: Duration = Duration::from_millis(10);
/// How often an owner is replaced.
const TAKE_OVERS: usize = 20;

pub(crate) fn measure(sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let broker = Broker::start()?;
    let length = sizes.kafka;
    let alone = |writers| Shape { writers, under_way: 1, events_a_frame: 1 };
    let mut rows = Vec::new();

    let (bulk, bulk_bytes) = frames::writers(&broker, BULK, length)?;
    let tool = broker.tool(PARTITIONS, bulk_bytes, sizes.tool_records)?;
    rows.push(Row::new(
        format!("Kafka's own tool, records of {bulk_bytes} bytes, acks=all, idempotent"),
        format!("{:.0} records/s, {:.0} MB/s", tool.records_per_second, tool.megabytes_per_second),
    ));
    rows.push(
        Row::new(
            format!(
                "bare frames of {bulk_bytes} bytes, {} events, {} lanes with {} under way",
                BULK.events_a_frame, BULK.writers, BULK.under_way
            ),
            format!(
                "{:.0} frames/s, {:.0} MB/s, {:.0} events/s; {}",
                bulk.per_second(),
                megabytes(&bulk, bulk_bytes),
                bulk.per_second() * f64::from(BULK.events_a_frame),
                bulk.latencies.p50_p99()
            ),
        )
        .next_to(
            format!("the tool: {:.0} MB/s", tool.megabytes_per_second),
            format!("{:.0} %", 100.0 * megabytes(&bulk, bulk_bytes) / tool.megabytes_per_second),
        ),
    );

    let (one, bytes) = frames::writers(&broker, alone(1), length)?;
    let trip = broker.acknowledged(bytes, length)?;
    say("kafka: broker measured");
    rows.push(Row::new(
        format!("one record of {bytes} bytes after the other, acknowledged"),
        format!("{:.0}/s; {}", trip.per_second(), trip.latencies.p50_p99()),
    ));
    let payload = vec![7; bytes];
    let mut alike = vec![(1, one)];
    for writers in [4, 16] {
        alike.push((writers, frames::writers(&broker, alone(writers), length)?.0));
    }
    for (writers, frames) in &alike {
        rows.push(beside_trips(
            &format!("bare frames, {}, each reads its frame back first", counted(*writers, "lane")),
            frames,
            &trip,
            1,
        ));
    }
    let closed = [1, PARTITIONS].map(|partitions| (partitions, frames::hops(&broker, partitions, None, length)));
    let mut hops = Vec::new();
    for (partitions, outcome) in closed {
        let outcome = outcome?;
        let what = format!("bare frames, three hops, {}, one on its way in each", counted(partitions, "partition"));
        rows.push(beside_trips(&what, &outcome, &trip, 3));
        hops.push(outcome);
    }
    let paced = frames::hops(&broker, PARTITIONS, Some(PACE), length)?;
    let what = format!("bare frames, three hops, {PARTITIONS} partitions, {} ms apart in each", PACE.as_millis());
    rows.push(beside_trips(&what, &paced, &trip, 3));
    say("kafka: frames measured");

    for (writers, frames) in &alike {
        let outcome = transactions::writers(&broker, *writers, &payload, length)?;
        rows.push(beside_frames(
            &format!("transactions, {}, until committed", counted(*writers, "writer")),
            &outcome,
            frames,
        ));
    }
    for (partitions, writers, frames) in
        [(1, 1, &hops[0]), (PARTITIONS, 1, &hops[1]), (PARTITIONS, PARTITIONS, &hops[1])]
    {
        let outcome = transactions::hops(&broker, partitions, writers, &payload, length)?;
        let what = format!(
            "transactions, three hops, {}, {} a service",
            counted(partitions, "partition"),
            counted(writers, "producer")
        );
        rows.push(beside_frames(&what, &outcome, frames));
    }
    let (claims, fenced) =
        (frames::take_overs(&broker, TAKE_OVERS)?, transactions::take_overs(&broker, &payload, TAKE_OVERS)?);
    rows.push(Row::new("transactions, a new producer fences one with a transaction open", fenced.p50_p99()).next_to(
        format!("a claim, read back: {}", claims.p50_p99()),
        format!("{:.0} × p50", fenced.ms(0.5) / claims.ms(0.5)),
    ));
    say("kafka: transactions measured");
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(outcome: &Outcome, bytes: usize) -> f64 {
    outcome.per_second() * bytes as f64 / 1e6
}

fn figure(outcome: &Outcome) -> String {
    format!("{:.0}/s; {}", outcome.per_second(), outcome.latencies.p50_p99())
}

fn counted(number: u16, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

/// Beside as many round trips of a record.
fn beside_trips(what: &str, outcome: &Outcome, trip: &Outcome, trips: u8) -> Row {
    let limit = f64::from(trips) * trip.latencies.ms(0.5);
    let name = if trips == 1 { "one acknowledged" } else { "three acknowledged" };
    Row::new(what, figure(outcome))
        .next_to(format!("{name}: p50 {limit:.2} ms"), format!("{:.1} × p50", outcome.latencies.ms(0.5) / limit))
}

/// Beside the same as bare frames.
fn beside_frames(what: &str, outcome: &Outcome, frames: &Outcome) -> Row {
    Row::new(what, figure(outcome)).next_to(
        format!("as frames: {}", figure(frames)),
        format!(
            "{:.1} % of the rate, {:.0} × p50",
            100.0 * outcome.per_second() / frames.per_second(),
            outcome.latencies.ms(0.5) / frames.latencies.ms(0.5)
        ),
    )
}
