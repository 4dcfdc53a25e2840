//! Metrics of sla-timer: each declared once, with its help. They are read from the state when somebody
//! looks, so that a restart changes none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rejoinder_model::{AlarmId, Millis};
use rejoinder_service_kit::Lanes;
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::record::{Counts, LATE_MS};
use tokio::task::JoinSet;

const ARMED: &str = "rejoinder_sla_clocks_armed";
const OPEN: &str = "rejoinder_sla_breaches_open";
const BREACHED: &str = "rejoinder_sla_clocks_breached";
const MET: &str = "rejoinder_sla_clocks_met";
const CANCELLED: &str = "rejoinder_sla_clocks_cancelled";
const ALARMS: &str = "rejoinder_sla_alarms_open";
const FIRED: &str = "rejoinder_sla_breaches_fired_total";
const BREACHES: &str = "rejoinder_sla_breaches_total";

/// How long a look waits for a lane; one that does not answer keeps its last values.
const PATIENCE: Duration = Duration::from_millis(500);
/// Entries read at a time.
const PAGE: usize = 1_000;

/// Declares the metrics.
pub fn describe() {
    describe_gauge!(ARMED, "Clocks that run or stand still and are not breached, by policy and partition.");
    describe_counter!(BREACHES, "Breaches as they fell due, by policy, queue of the thread and partition.");
    describe_gauge!(OPEN, "Breaches whose clock is not fulfilled yet, by policy and partition.");
    describe_gauge!(BREACHED, "Clocks that were breached, less breaches retracted, by policy and partition.");
    describe_gauge!(MET, "Clocks fulfilled, in time or too late, by policy and partition.");
    describe_gauge!(CANCELLED, "Clocks cancelled, by policy and partition.");
    describe_gauge!(ALARMS, "Alarms that nobody has acknowledged, by partition.");
    describe_counter!(FIRED, "Breaches that fired, by how many milliseconds late at the most, and by partition.");
}

/// What a lane's state says.
#[derive(Default)]
struct Figures {
    by_policy: BTreeMap<String, Counts>,
    late: [u64; LATE_MS.len() + 1],
    fired: BTreeMap<(String, String), u64>,
    alarms: u64,
}

fn count(state: &SlaTimer) -> Figures {
    let mut figures = Figures::default();
    let mut from = String::new();
    loop {
        let page = state.workspaces.page(&from, PAGE);
        for (_, workspace) in &page {
            for (policy, counts) in &workspace.counts {
                figures.by_policy.entry(policy.clone()).or_default().add(counts);
            }
            for (of, count) in &workspace.fired {
                *figures.fired.entry(of.clone()).or_default() += count;
            }
            figures.late.iter_mut().zip(workspace.late).for_each(|(sum, more)| *sum += more);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = format!("{last}\0"),
            _ => break,
        }
    }
    let mut from = AlarmId(0);
    loop {
        let page = state.alarms.page(&from, PAGE);
        figures.alarms += page.iter().filter(|(_, alarm)| alarm.acknowledged.is_none()).count() as u64;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = AlarmId(last.0 + 1),
            _ => break,
        }
    }
    figures
}

/// Brings the metrics up to date.
pub async fn look(lanes: &Arc<Lanes<SlaTimer>>) {
    let mut asked = JoinSet::new();
    for partition in 0..lanes.log().partitions() {
        let lanes = lanes.clone();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, lanes.ask_lane(partition, count)).await;
            answer.ok().and_then(Result::ok).map(|(figures, _)| (partition, figures))
        });
    }
    for (partition, figures) in asked.join_all().await.into_iter().flatten() {
        set(partition, figures);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn set(partition: u16, figures: Figures) {
    let of = partition.to_string();
    for (policy, counts) in figures.by_policy {
        let set = |name: &'static str, count: u64| {
            gauge!(name, "policy" => policy.clone(), "partition" => of.clone()).set(count as f64);
        };
        set(ARMED, counts.live.saturating_sub(counts.open_breaches));
        set(OPEN, counts.open_breaches);
        set(BREACHED, counts.breached);
        set(MET, counts.met);
        set(CANCELLED, counts.cancelled);
    }
    for ((policy, queue), fired) in figures.fired {
        counter!(BREACHES, "policy" => policy, "queue" => queue, "partition" => of.clone()).absolute(fired);
    }
    gauge!(ALARMS, "partition" => of.clone()).set(figures.alarms as f64);
    let bounds = LATE_MS.iter().map(Millis::to_string).chain(["more".to_owned()]);
    for (late_ms, fired) in bounds.zip(figures.late) {
        counter!(FIRED, "late_ms" => late_ms, "partition" => of.clone()).absolute(fired);
    }
}
