//! Metrics of sla-timer: each declared once, with its help. Read from the state, so that they are
//! right after a restart too.

use std::collections::BTreeMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rejoinder_model::{AlarmId, Millis};
use rejoinder_service_kit::Lanes;
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::record::{Counts, LATE_MS};

const ARMED: &str = "rejoinder_sla_clocks_armed";
const OPEN: &str = "rejoinder_sla_breaches_open";
const BREACHED: &str = "rejoinder_sla_clocks_breached";
const MET: &str = "rejoinder_sla_clocks_met";
const CANCELLED: &str = "rejoinder_sla_clocks_cancelled";
const ALARMS: &str = "rejoinder_sla_alarms_open";
const LATE: &str = "rejoinder_sla_fired_total";

/// Gauges: names and helps, for the reference.
pub const GAUGES: [(&str, &str); 6] = [
    (ARMED, "Clocks that run or stand still and are not breached, by policy."),
    (OPEN, "Breaches whose clock is not fulfilled yet, by policy."),
    (BREACHED, "Clocks that were breached, less breaches retracted, by policy."),
    (MET, "Clocks fulfilled, in time or too late, by policy."),
    (CANCELLED, "Clocks cancelled, by policy."),
    (ALARMS, "Alarms that nobody has acknowledged."),
];
/// Counters: names and helps, for the reference.
pub const COUNTERS: [(&str, &str); 1] =
    [(LATE, "Breaches by how late after the due time they fired: within 100, 1000, 10000, 60000 ms, or later.")];

/// Declares the metrics.
pub fn describe() {
    GAUGES.into_iter().for_each(|(name, help)| describe_gauge!(name, help));
    COUNTERS.into_iter().for_each(|(name, help)| describe_counter!(name, help));
}

/// Figures of one partition.
#[derive(Clone, Debug, Default)]
struct Figures {
    by_policy: BTreeMap<String, Counts>,
    late: [u64; LATE_MS.len() + 1],
    alarms: u64,
}

impl Figures {
    fn of(state: &SlaTimer) -> Self {
        let mut figures = Self::default();
        let mut from = String::new();
        loop {
            let page = state.workspaces.page(&from, 1_000);
            let Some((last, _)) = page.last() else { break };
            from = format!("{last}\0");
            for (_, workspace) in page {
                for (policy, counts) in &workspace.counts {
                    figures.by_policy.entry(policy.clone()).or_default().add(counts);
                }
                figures.late.iter_mut().zip(workspace.late).for_each(|(sum, more)| *sum += more);
            }
        }
        let mut from = AlarmId(0);
        loop {
            let page = state.alarms.page(&from, 1_000);
            let Some((last, _)) = page.last() else { break };
            from = AlarmId(last.0 + 1);
            figures.alarms += page.iter().filter(|(_, alarm)| alarm.acknowledged.is_none()).count() as u64;
        }
        figures
    }
}

/// Brings the metrics up to date.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
pub async fn observe(lanes: &Lanes<SlaTimer>) {
    let mut all = Figures::default();
    for figures in lanes.ask_all(Figures::of).await {
        for (policy, counts) in &figures.by_policy {
            all.by_policy.entry(policy.clone()).or_default().add(counts);
        }
        all.late.iter_mut().zip(figures.late).for_each(|(sum, more)| *sum += more);
        all.alarms += figures.alarms;
    }
    for (policy, counts) in all.by_policy {
        let set = |name: &'static str, count: u64| gauge!(name, "policy" => policy.clone()).set(count as f64);
        set(ARMED, counts.live.saturating_sub(counts.open_breaches));
        set(OPEN, counts.open_breaches);
        set(BREACHED, counts.breached);
        set(MET, counts.met);
        set(CANCELLED, counts.cancelled);
    }
    gauge!(ALARMS).set(all.alarms as f64);
    let bounds = LATE_MS.iter().map(Millis::to_string).chain(["later".to_owned()]);
    for (within_ms, fired) in bounds.zip(all.late) {
        counter!(LATE, "within_ms" => within_ms).absolute(fired);
    }
}
