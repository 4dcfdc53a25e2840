//! The one table: what was measured, what the machine itself does, and what both make together.

use std::io::Write as _;

/// A line of the table.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) figure: String,
    /// What the machine itself does, in the same run.
    pub(crate) machine: String,
    /// Figure to machine.
    pub(crate) ratio: String,
    /// What it is to reach.
    pub(crate) target: &'static str,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, figure: impl Into<String>) -> Self {
        let (machine, ratio) = (String::new(), String::new());
        Self { what: what.into(), figure: figure.into(), machine, ratio, target: "" }
    }

    pub(crate) fn next_to(mut self, machine: impl Into<String>, ratio: impl Into<String>) -> Self {
        self.machine = machine.into();
        self.ratio = ratio.into();
        self
    }

    pub(crate) fn target(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    fn cells(&self) -> [&str; 5] {
        [&self.what, &self.figure, &self.machine, &self.ratio, self.target]
    }
}

/// What goes on, for whoever waits.
#[expect(clippy::print_stderr, reason = "talk goes to stderr")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Prints the table, with what must be known to read it above.
pub(crate) fn print(head: &[String], rows: &[Row]) -> std::io::Result<()> {
    let titles = Row::new("what", "figure").next_to("the machine, in the same run", "ratio").target("target");
    let all: Vec<&Row> = std::iter::once(&titles).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row.cells()[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut out = std::io::stdout().lock();
    for line in head {
        writeln!(out, "{line}")?;
    }
    for (number, row) in all.iter().enumerate() {
        let cells = row.cells();
        let line: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell}{}", pad(cell, width))).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
        if number == 0 {
            writeln!(out, "{}", widths.map(|width| "-".repeat(width)).join("  "))?;
        }
    }
    Ok(())
}

fn pad(cell: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(cell.chars().count()))
}
