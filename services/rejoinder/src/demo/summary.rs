//! The summary at the demo's end: what was counted, whether the state can be rebuilt, and one decision.

use std::io::{self, Write as _};
use std::path::Path;

use crate::table::harmless;

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
    pub(super) decisions: String,
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
            "differs from the stored one"
        };
        writeln!(out, "{}", line("rebuilt state", rebuilt))?;
        for finding in &self.findings {
            writeln!(out, "{}", line("broken", finding))?;
        }
        if let Some(Story { item, what, decisions }) = &self.story {
            writeln!(out, "\nOne decision in full ({what}):")?;
            decisions.lines().try_for_each(|line| writeln!(out, "{}", harmless(line)))?;
            match kept {
                Some(dir) => {
                    writeln!(out, "\nTo see it again:\n  rejoinder explain {item} --data-dir {}", dir.display())?;
                }
                None => writeln!(
                    out,
                    "\nThe data are gone. To keep them: `make demo ARGS=\"--keep DIR\"`, or `rejoinder demo --keep DIR`; then `rejoinder explain ITEM --data-dir DIR`."
                )?,
            }
        }
        out.flush()
    }
}

/// A line of the summary.
pub(super) fn line(name: &str, text: &str) -> String {
    format!("{name:<16}{text}")
}
