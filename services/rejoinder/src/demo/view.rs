//! The live view: a picture that is drawn again on a terminal, a line a second without one.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, stdout};

use console::Term;

use super::load::Figures;
use crate::table::{Output, Rows};

const COLUMNS: [&str; 9] = [
    "seconds",
    "messages/s",
    "p50 ms",
    "p99 ms",
    "threads",
    "awaiting_agent",
    "awaiting_customer",
    "resolved",
    "newest message finds its thread",
];
const WIDTHS: [usize; 9] = [8, 11, 9, 9, 8, 15, 18, 9, 0];
/// Newest messages that a terminal shows.
const NEWEST: usize = 8;

/// What is shown of a second.
#[derive(Clone, Default)]
pub(super) struct Second {
    pub(super) number: u64,
    pub(super) figures: Figures,
    pub(super) threads: u64,
    pub(super) awaiting_agent: u64,
    pub(super) awaiting_customer: u64,
    pub(super) resolved: u64,
    /// The newest messages, each with its thread.
    pub(super) newest: VecDeque<String>,
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

fn line(second: &Second) -> [String; 9] {
    [
        second.number.to_string(),
        second.figures.messages.to_string(),
        format!("{:.1}", second.figures.p50_ms),
        format!("{:.1}", second.figures.p99_ms),
        second.threads.to_string(),
        second.awaiting_agent.to_string(),
        second.awaiting_customer.to_string(),
        second.resolved.to_string(),
        second.newest.back().cloned().unwrap_or_default(),
    ]
}

fn picture(second: &Second) -> Vec<String> {
    let Figures { messages, p50_ms, p99_ms } = second.figures;
    let mut lines = vec![
        format!("second {}: {messages} messages/s, durable after {p50_ms:.1} ms (p99 {p99_ms:.1} ms)", second.number),
        format!(
            "{} threads: {} wait for an agent, {} for the customer, {} are resolved",
            second.threads, second.awaiting_agent, second.awaiting_customer, second.resolved
        ),
        "newest messages find their threads:".to_owned(),
    ];
    lines.extend((0..NEWEST).map(|n| format!("  {}", second.newest.get(n).map_or("", String::as_str))));
    lines
}

/// Keeps the newest messages only.
pub(super) fn remember(newest: &mut VecDeque<String>, text: String) {
    if newest.len() == NEWEST {
        newest.pop_front();
    }
    newest.push_back(text);
}
