//! Metrics of threading: each declared once, with its help. They are read from the state when somebody
//! looks, so that a restart changes none of them.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rejoinder_service_kit::Lanes;
use rejoinder_threading_core::Threading;
use tokio::task::JoinSet;

const THREADS: &str = "rejoinder_threading_threads";
const PLACED: &str = "rejoinder_threading_messages_placed_total";

/// The states of threads, by their numbers.
const STATES: [(usize, &str); 6] =
    [(1, "new"), (2, "watched"), (3, "awaiting_agent"), (4, "awaiting_customer"), (5, "on_hold"), (6, "resolved")];
/// How long a look waits for a lane; one that does not answer keeps its last values.
const PATIENCE: Duration = Duration::from_millis(500);
/// Entries read at a time.
const PAGE: usize = 1_000;

/// Declares the metrics.
pub fn describe() {
    describe_gauge!(THREADS, "Threads, by state and partition.");
    describe_counter!(PLACED, "Messages that found their place, by partition.");
}

/// What a lane's state says.
#[derive(Default)]
struct Counts {
    threads: [u64; 7],
    placed: u64,
}

fn count(state: &Threading) -> Counts {
    let mut counts = Counts::default();
    let mut from = String::new();
    loop {
        let page = state.workspaces.page(&from, PAGE);
        for (_, workspace) in &page {
            counts.placed += workspace.messages;
            counts.threads.iter_mut().zip(workspace.threads).for_each(|(sum, threads)| *sum += threads);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = format!("{last}\0"),
            _ => return counts,
        }
    }
}

/// Brings the metrics up to date.
pub async fn look(lanes: &Arc<Lanes<Threading>>) {
    let mut asked = JoinSet::new();
    for partition in 0..lanes.log().partitions() {
        let lanes = lanes.clone();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, lanes.ask_lane(partition, count)).await;
            answer.ok().and_then(Result::ok).map(|(counts, _)| (partition, counts))
        });
    }
    for (partition, counts) in asked.join_all().await.into_iter().flatten() {
        set(partition, &counts);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn set(partition: u16, counts: &Counts) {
    let of = partition.to_string();
    for (number, state) in STATES {
        gauge!(THREADS, "state" => state, "partition" => of.clone()).set(counts.threads[number] as f64);
    }
    counter!(PLACED, "partition" => of).absolute(counts.placed);
}
