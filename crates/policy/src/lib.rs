//! Policy files of a workspace: one file one subject, every problem found at once, with file, line and
//! column.

mod accounts;
mod calendars;
mod duration;
mod problem;
mod reader;
mod sla;
mod threading;

pub use problem::Problem;
pub use reader::nearest;
use rejoinder_wire::event::{SlaPolicy, ThreadingPolicy, sla_policy};

use crate::problem::Problems;
use crate::reader::File;

/// The most bytes that all files have together: they travel in one event.
pub const MAX_BYTES: usize = 256 << 10;

/// What the files say, as far as services use it today.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Accounts and windows.
    pub threading: ThreadingPolicy,
    /// Targets and calendars; `None`: the built-in ones.
    pub sla: Option<SlaPolicy>,
    /// Calendars, for the targets that name them.
    calendars: Vec<sla_policy::Calendar>,
}

impl Default for Policy {
    /// The built-in policy.
    fn default() -> Self {
        Self { threading: threading::defaults(), sla: None, calendars: Vec::new() }
    }
}

type Read = fn(&File<'_>, &mut Policy, &mut Problems);

/// The files that are known, and who reads them: what others name comes first.
const FILES: [(&str, Read); 4] = [
    ("accounts.toml", accounts::read),
    ("calendars.toml", calendars::read),
    ("sla.toml", sla::read),
    ("threading.toml", threading::read),
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
    for (known, read) in FILES {
        let Some((name, text)) = files.iter().find(|(name, _)| name == known) else { continue };
        if let Some(file) = File::parse(name, text, &mut problems) {
            read(&file, &mut policy, &mut problems);
        }
    }
    if problems.is_empty() { Ok(policy) } else { Err(problems.into_vec()) }
}

#[cfg(test)]
mod tests;
