//! The summary at the demo's end: what came in, who was offered what, which promises were kept.

use std::io::{self, Write as _};
use std::path::Path;

use hdrhistogram::Histogram;
use rejoinder_sla_core::metric_name;
use rejoinder_wire::event::Metric;

use super::alarms::Alarms;
use super::character::Cast;
use super::customers::Answered;
use super::facts::Facts;
use super::tally::Counted;
use super::view::curve;
use crate::table::time;

/// What is told at the end.
pub(super) struct Summary {
    pub(super) lines: Vec<String>,
    /// What must not be.
    pub(super) findings: Vec<String>,
    pub(super) story: Option<Story>,
}

/// A work item, what happened to it, and why it went where it went.
pub(super) struct Story {
    pub(super) item: String,
    pub(super) what: String,
    pub(super) decisions: Vec<String>,
}

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

fn line(name: &str, text: &str) -> String {
    format!("{name:<16}{text}")
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(histogram: &Histogram<u64>) -> String {
    let at = |q| histogram.value_at_quantile(q) as f64 / 1_000.0;
    format!("p50 {:.2} s, p90 {:.2} s, p99 {:.2} s", at(0.5), at(0.9), at(0.99))
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
}

impl Summary {
    /// Writes it, with what the rebuild found, and how to read on.
    pub(super) fn write(&self, rebuilt_equal: bool, kept: Option<&Path>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out)?;
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        let rebuilt = if rebuilt_equal {
            "equals the stored one, of ingest, threading, routing and sla-timer"
        } else {
            "DIFFERS from the stored one"
        };
        writeln!(out, "{}", line("rebuilt state", rebuilt))?;
        for finding in &self.findings {
            writeln!(out, "{}", line("WRONG", finding))?;
        }
        if let Some(Story { item, what, decisions }) = &self.story {
            writeln!(out, "\nOne decision in full ({what}):")?;
            decisions.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            match kept {
                Some(dir) => {
                    writeln!(out, "\nTo see it again:\n  rejoinder explain {item} --data-dir {}", dir.display())?;
                }
                None => writeln!(
                    out,
                    "\nThe data are gone. To keep them: `rejoinder demo --keep DIR`; then `rejoinder explain ITEM --data-dir DIR`."
                )?,
            }
        }
        out.flush()
    }
}
