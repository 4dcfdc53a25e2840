//! All that the demo has counted, as lines of its summary; and what must not be.

use std::collections::BTreeSet;

use hdrhistogram::Histogram;
use rejoinder_model::OfferId;
use rejoinder_sla_core::metric_name;
use rejoinder_wire::event::Metric;

use super::alarms::Alarms;
use super::character::Cast;
use super::customers::Answered;
use super::facts::Facts;
use super::summary::line;
use super::tally::Counted;
use super::view::curve;
use crate::table::time;

/// All that was counted.
pub(super) struct Counts<'a> {
    pub(super) seed: u64,
    pub(super) customers: u64,
    pub(super) threads: u64,
    pub(super) resolved: u64,
    pub(super) placed: u64,
    pub(super) cast: Cast,
    /// Items without an agent, by second.
    pub(super) waiting: &'a [u64],
    pub(super) answered: &'a Answered,
    pub(super) counted: &'a Counted,
    pub(super) facts: &'a Facts,
    pub(super) alarms: &'a Alarms,
}

impl Counts<'_> {
    /// The lines of the summary.
    pub(super) fn lines(&self) -> Vec<String> {
        let (answered, counted, facts) = (self.answered, self.counted, self.facts);
        let Cast { picky, absent_minded, badly_connected } = self.cast;
        let mut lines = vec![
            line(
                "messages",
                &format!(
                    "{} accepted and durable of {} customers and of agents; {} placed; {} refused, {} slices shed; seed {}",
                    answered.accepted, self.customers, self.placed, answered.refused, answered.shed, self.seed
                ),
            ),
            line("threads", &format!("{}, of which {} are resolved", self.threads, self.resolved)),
            line(
                "agents",
                &format!(
                    "{picky} are picky, {absent_minded} absent-minded, {badly_connected} badly connected; {} replies, {} threads resolved, {} items parked by hand, {} released, {} finishes, {} connections dropped",
                    counted.times("answered"),
                    counted.times("resolved"),
                    counted.times("parked"),
                    counted.times("released"),
                    counted.times("finished"),
                    counted.times("dropped"),
                ),
            ),
        ];
        lines.push(line("offers", &self.offers()));
        lines.push(line("waiting items", &self.queue()));
        lines.push(line("to the offer", &format!("{} after the customer's message", seconds(&counted.to_offer))));
        lines.push(line("to the answer", &format!("{} after the customer's message", seconds(&counted.to_answer))));
        lines.push(line("context", &format!("{} after the offer", seconds(&counted.to_context))));
        lines.extend(self.clocks());
        lines.push(line("alarms", &self.alarms()));
        lines.push(line(
            "invariants",
            &format!(
                "{} accepted offers, one owner each at a time; capacity used up to {} %, exceeded {} times as a rule allows; {} alarms, each rang once",
                facts.accepted.len(),
                facts.audit.most_used,
                facts.audit.overcommitted,
                facts.alarms.len()
            ),
        ));
        lines
    }

    fn offers(&self) -> String {
        let offers = self.facts.offers;
        let refused: Vec<String> = self.counted.refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let refused = if refused.is_empty() { String::new() } else { format!("; too late: {}", refused.join(", ")) };
        format!(
            "{} made: {} accepted, {} declined, {} timed out, {} taken by another first, {} ended as the agent was lost, {} taken back{refused}",
            offers.made,
            offers.accepted,
            offers.declined,
            offers.timed_out,
            offers.other_accepted,
            offers.agent_lost,
            offers.taken_back
        )
    }

    fn queue(&self) -> String {
        let most = self.waiting.iter().copied().max().unwrap_or_default();
        if most == 0 {
            return "none at any look".to_owned();
        }
        let peak = self.waiting.iter().position(|waiting| *waiting == most).unwrap_or_default();
        let worked_off = self.waiting.iter().skip(peak).position(|waiting| *waiting <= most / 20);
        let worked_off = worked_off
            .map_or_else(|| "not worked off".to_owned(), |after| format!("worked off at second {}", peak + after + 1));
        format!("{} at most {most}, at second {}; {worked_off}", curve(self.waiting), peak + 1)
    }

    fn clocks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (metric, outcomes) in self.facts.outcomes() {
            let name = if lines.is_empty() { "clocks" } else { "" };
            let metric = metric_name(Metric::try_from(metric).unwrap_or_default());
            lines.push(line(
                name,
                &format!(
                    "{metric:<16} {:>6} met {:>6} breached {:>6} cancelled {:>6} running",
                    outcomes.met, outcomes.breached, outcomes.cancelled, outcomes.running
                ),
            ));
        }
        if let Some(clock) = &self.facts.by_calendar {
            let hours = clock.target_ms / 3_600_000;
            let (opened, due) = (time(clock.opened_at), time(clock.due_at));
            lines.push(line(
                "",
                &format!(
                    "a mail of {opened}, to be answered within {hours} h by the office's calendar, was due at {due}"
                ),
            ));
        }
        lines
    }

    fn alarms(&self) -> String {
        let alarms = self.alarms;
        format!(
            "{} breaches and {} warnings rang; {} acknowledged, {} cleared before; {} ring on",
            alarms.breaches,
            alarms.warnings,
            alarms.acknowledged,
            alarms.too_late,
            alarms.ringing()
        )
    }

    /// What must not be.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = self.facts.audit.findings.clone();
        findings.extend(self.alarms.findings.iter().cloned());
        if self.placed != self.answered.accepted {
            let accepted = self.answered.accepted;
            findings.push(format!("{accepted} messages were acknowledged and {} are placed", self.placed));
        }
        let known: BTreeSet<String> = self.facts.accepted.iter().map(|offer| OfferId(*offer).to_string()).collect();
        let lost = self.counted.accepted.iter().filter(|offer| !known.contains(*offer));
        findings.extend(lost.map(|offer| format!("offer {offer} was taken, and no event says so")));
        let raised = self.facts.alarms.len();
        if self.alarms.rung.len() < raised {
            findings.push(format!("{raised} alarms were raised and {} rang", self.alarms.rung.len()));
        }
        findings
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(histogram: &Histogram<u64>) -> String {
    let at = |q| histogram.value_at_quantile(q) as f64 / 1_000.0;
    format!("p50 {:.2} s, p90 {:.2} s, p99 {:.2} s", at(0.5), at(0.9), at(0.99))
}
