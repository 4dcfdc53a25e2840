//! The live view: a picture that is drawn again on a terminal, a line a second without one.

use std::io::{IsTerminal as _, stdout};

use console::Term;

use super::customers::Figures;
use super::facts::Offers;
use crate::table::{Output, Rows};

const COLUMNS: [&str; 15] = [
    "seconds",
    "messages/s",
    "p50 ms",
    "p99 ms",
    "open",
    "waiting",
    "offers/s",
    "accepted",
    "declined",
    "timed_out",
    "busy",
    "met",
    "breached",
    "ringing",
    "newest alarm rings",
];
const WIDTHS: [usize; 15] = [7, 10, 6, 6, 5, 7, 8, 8, 8, 9, 5, 5, 8, 7, 0];
/// Alarms that a terminal shows.
const NEWEST: usize = 6;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of the curve of the queue.
const CURVE: usize = 60;

/// What is shown of a second.
#[derive(Clone, Default)]
pub(super) struct Second {
    pub(super) number: u64,
    pub(super) figures: Figures,
    /// Threads that are not resolved.
    pub(super) open: u64,
    /// Items without an agent, by second up to now.
    pub(super) waiting: Vec<u64>,
    /// What became of offers in this second.
    pub(super) offers: Offers,
    /// Agents with work, of all.
    pub(super) busy: (usize, usize),
    /// Clocks that were met and that breached in this second.
    pub(super) met: u64,
    pub(super) breached: u64,
    /// Alarms that nobody has seen.
    pub(super) ringing: usize,
    pub(super) newest: Vec<String>,
    /// How often something happened to alarms in this second.
    pub(super) happened: u64,
}

/// Where the seconds are shown.
pub(super) enum View {
    Lines(Box<Rows>),
    Picture { term: Term, drawn: usize },
}

impl View {
    pub(super) fn new() -> anyhow::Result<Self> {
        if stdout().is_terminal() {
            return Ok(Self::Picture { term: Term::stdout(), drawn: 0 });
        }
        Ok(Self::Lines(Box::new(Rows::new(Output::Table, &COLUMNS, &WIDTHS)?)))
    }

    pub(super) fn show(&mut self, second: &Second) -> anyhow::Result<()> {
        match self {
            Self::Lines(rows) => {
                rows.row(&line(second))?;
                rows.show()?;
            }
            Self::Picture { term, drawn } => {
                let lines = picture(second);
                term.clear_last_lines(*drawn)?;
                for line in &lines {
                    let width = usize::from(term.size().1);
                    term.write_line(&console::truncate_str(line, width, "…"))?;
                }
                *drawn = lines.len();
            }
        }
        Ok(())
    }
}

fn line(second: &Second) -> [String; 15] {
    [
        second.number.to_string(),
        second.figures.messages.to_string(),
        format!("{:.1}", second.figures.p50_ms),
        format!("{:.1}", second.figures.p99_ms),
        second.open.to_string(),
        second.waiting.last().copied().unwrap_or_default().to_string(),
        second.offers.made.to_string(),
        second.offers.accepted.to_string(),
        second.offers.declined.to_string(),
        second.offers.timed_out.to_string(),
        format!("{}/{}", second.busy.0, second.busy.1),
        second.met.to_string(),
        second.breached.to_string(),
        second.ringing.to_string(),
        newest(second),
    ]
}

fn newest(second: &Second) -> String {
    match (second.newest.last(), second.happened) {
        (Some(newest), 1) => newest.clone(),
        (Some(newest), more @ 2..) => format!("{newest}; {} more", more - 1),
        (None, _) | (_, 0) => String::new(),
    }
}

fn picture(second: &Second) -> Vec<String> {
    let Figures { messages, p50_ms, p99_ms } = second.figures;
    let Offers { made, accepted, declined, timed_out, .. } = second.offers;
    let mut lines = vec![
        format!("second {}: {messages} messages/s, durable after {p50_ms:.1} ms (p99 {p99_ms:.1} ms)", second.number),
        format!(
            "{} open threads; {} items wait for an agent; {} of {} agents are busy",
            second.open,
            second.waiting.last().copied().unwrap_or_default(),
            second.busy.0,
            second.busy.1
        ),
        format!("offers: {made} made, {accepted} accepted, {declined} declined, {timed_out} timed out"),
        format!("clocks: {} met, {} breached; {} alarms ring", second.met, second.breached, second.ringing),
        format!("waiting items: {}", curve(&second.waiting)),
        "newest alarms:".to_owned(),
    ];
    lines.extend((0..NEWEST).map(|n| format!("  {}", second.newest.get(n).map_or("", String::as_str))));
    lines
}

/// How a figure went, as a row of bars.
pub(super) fn curve(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or_default();
    let wide = values.len().div_ceil(CURVE).max(1);
    let bar = |value: u64| {
        let height = (value * (BARS.len() as u64 - 1)).div_ceil(most.max(1));
        BARS[usize::try_from(height).unwrap_or_default()]
    };
    values.chunks(wide).map(|chunk| bar(chunk.iter().copied().max().unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_rises_and_falls() {
        assert_eq!(curve(&[0, 1, 50, 100, 50, 0]), "▁▂▅█▅▁");
        assert_eq!(curve(&[0; 200]).chars().count(), 50);
        assert_eq!(curve(&[]), "");
    }
}
