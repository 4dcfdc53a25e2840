//! Policy files of a workspace: one file one subject, every problem found at once, with file, line and
//! column.

mod accounts;
mod agents;
mod calendars;
mod duration;
mod problem;
mod queues;
mod reader;
mod routing;
mod sla;
mod threading;

pub use problem::Problem;
pub use reader::nearest;
use rejoinder_wire::event::{RoutingPolicy, SlaPolicy, ThreadingPolicy, sla_policy};

use crate::problem::Problems;
use crate::reader::File;

/// The most bytes that all files have together: they travel in one event.
pub const MAX_BYTES: usize = 256 << 10;

/// What the files say, as far as services use it today.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Accounts and windows.
    pub threading: ThreadingPolicy,
    /// Queues, agents and kinds of channels.
    pub routing: RoutingPolicy,
    /// Targets and calendars; `None`: the built-in ones.
    pub sla: Option<SlaPolicy>,
    /// Calendars, for the targets that name them.
    calendars: Vec<sla_policy::Calendar>,
}

impl Default for Policy {
    /// The built-in policy.
    fn default() -> Self {
        Self { threading: threading::defaults(), routing: routing::defaults(), sla: None, calendars: Vec::new() }
    }
}

type Read = fn(&File<'_>, &mut Policy, &mut Problems);

type References = fn(&File<'_>, &Policy, &mut Problems);

/// The files that are known, and who reads them: calendars before the targets that name them.
const FILES: [(&str, Read); 7] = [
    ("accounts.toml", accounts::read),
    ("agents.toml", agents::read),
    ("calendars.toml", calendars::read),
    ("queues.toml", queues::read),
    ("routing.toml", routing::read),
    ("sla.toml", sla::read),
    ("threading.toml", threading::read),
];

/// Who looks at what files say of each other, once all are read.
const REFERENCES: [(&str, References); 4] = [
    ("agents.toml", agents::references),
    ("queues.toml", queues::references),
    ("routing.toml", routing::references),
    ("sla.toml", sla::references),
];

/// Reads the files of a policy.
///
/// # Errors
/// All that is wrong with them, in order.
pub fn check(files: &[(String, String)]) -> Result<Policy, Vec<Problem>> {
    let mut policy = Policy::default();
    let mut problems = Problems::default();
    let size: usize = files.iter().map(|(_, text)| text.len()).sum();
    if size > MAX_BYTES {
        problems.of_all(format!("the files have {size} bytes together, {MAX_BYTES} are allowed"));
        return Err(problems.into_vec());
    }
    for (n, (name, _)) in files.iter().enumerate() {
        let names = FILES.map(|(name, _)| name);
        if files[..n].iter().any(|(other, _)| other == name) {
            problems.of_file(name, "it is given twice".into());
        } else if !names.contains(&name.as_str()) {
            problems.of_file(name, format!("it is no policy file{}", reader::nearest(name, &names)));
        }
    }
    let mut parsed = Vec::new();
    for (known, read) in FILES {
        let Some((name, text)) = files.iter().find(|(name, _)| name == known) else { continue };
        if let Some(file) = File::parse(name, text, &mut problems) {
            read(&file, &mut policy, &mut problems);
            parsed.push(file);
        }
    }
    for file in &parsed {
        if let Some((_, references)) = REFERENCES.iter().find(|(known, _)| *known == file.name) {
            references(file, &policy, &mut problems);
        }
    }
    if problems.is_empty() { Ok(policy) } else { Err(problems.into_vec()) }
}

#[cfg(test)]
mod tests;
