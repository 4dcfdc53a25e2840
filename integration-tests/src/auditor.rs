//! The auditor: a stopped data directory against what a client outside knows, the log against itself,
//! the state against the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rejoinder_event_log::EventLog as _;

use crate::client::History;
use crate::floor::memory::Memory;
use crate::{rows, run};

mod books;
mod clocks;
mod items;
mod kept;
pub mod log;
#[cfg(test)]
mod tests;
mod ticks;

use books::Books;

/// What a command says that must succeed, or what it said instead.
fn succeeds(args: &[&str]) -> Result<String, String> {
    let output = run(args);
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{args:?}: {}: {said}", output.status)) }
}

/// What does not hold in a data directory that the client of `history` wrote to; nothing else did.
#[must_use]
pub fn findings(dir: &Path, history: &History) -> Vec<String> {
    let dir = dir.to_str().expect("a path in UTF-8");
    let mut findings = history.broken.clone();
    match succeeds(&["threads", "export", "--data-dir", dir]) {
        Ok(export) => findings.extend(in_export(&export, history)),
        Err(said) => findings.push(said),
    }
    findings.extend(by_itself(Path::new(dir)));
    findings.extend(of_commands(dir));
    findings
}

/// What `log verify` and `log rebuild --compare` find.
fn of_commands(dir: &str) -> Vec<String> {
    let commands = [&["log", "verify", "--data-dir", dir][..], &["log", "rebuild", "--compare", "--data-dir", dir]];
    commands.into_iter().filter_map(|args| succeeds(args).err()).collect()
}

fn books(dir: &Path) -> Result<Vec<Books>, String> {
    let log = log::open(dir)?;
    (0..log.partitions()).map(|partition| Books::read(&log, partition)).collect()
}

/// What does not hold in the log taken by itself: owners, offers, capacity, clocks, alarms, requests.
#[must_use]
pub fn by_itself(dir: &Path) -> Vec<String> {
    match books(dir) {
        Ok(books) => books.into_iter().flat_map(|mut books| books.conclude(None)).collect(),
        Err(said) => vec![said],
    }
}

/// How late the latest breach in a log was seen, in milliseconds.
///
/// # Panics
/// When the log cannot be read.
#[must_use]
pub fn latest_breach_ms(dir: &Path) -> i64 {
    let books = books(dir).expect("the log can be read");
    books.iter().map(|books| books.clocks.latest_ms).max().unwrap_or_default()
}

/// What does not hold after a kill, against what the people of a floor know.
#[must_use]
pub fn after_kill(dir: &Path, workspace: &str, memory: &Memory) -> Vec<String> {
    of_floor(dir, workspace, memory, false)
}

/// What does not hold after closing time: nothing was left to do, and the watcher was told all.
#[must_use]
pub fn after_closing(dir: &Path, workspace: &str, memory: &Memory) -> Vec<String> {
    let mut findings = of_floor(dir, workspace, memory, true);
    findings.extend(of_commands(dir.to_str().expect("a path in UTF-8")));
    findings
}

fn of_floor(dir: &Path, workspace: &str, memory: &Memory, closed: bool) -> Vec<String> {
    let mut findings = memory.broken.clone();
    let all = match books(dir) {
        Ok(all) => all,
        Err(said) => return vec![said],
    };
    let home = rejoinder_model::partition_of(workspace, u16::try_from(all.len()).unwrap_or(u16::MAX));
    for (partition, mut books) in (0..).zip(all) {
        if partition == home {
            findings.extend(kept::findings(&books, workspace, memory));
            let unheard = kept::unheard(&books, workspace, memory);
            if closed && unheard > 0 {
                findings.push(format!("the watcher was not told of {unheard} changes of alarms"));
            }
        }
        findings.extend(books.conclude(closed.then_some(workspace)));
    }
    findings
}

fn in_export(export: &str, history: &History) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = rows(export);
    let stored: BTreeSet<&str> = lines.iter().map(|line| line["external_id"]).collect();
    if stored.len() != lines.len() {
        findings.push(format!("{} messages are doubled", lines.len() - stored.len()));
    }
    for (id, acknowledged) in &history.messages {
        if acknowledged.is_some() && !stored.contains(id.as_str()) {
            findings.push(format!("{id} was acknowledged and is lost"));
        }
    }
    let made_up = stored.iter().filter(|id| !history.messages.contains_key(**id));
    findings.extend(made_up.map(|id| format!("{id} was never sent")));
    // All direct messages of a customer lie within the window: one thread each, and each in a thread.
    let mut threads: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for line in &lines {
        let number: u64 = line["external_id"][1..].parse().unwrap_or_default();
        threads.entry(number % 200).or_default().insert(line["thread_id"]);
    }
    for (customer, threads) in threads.iter().filter(|(_, threads)| threads.len() != 1 || threads.contains("")) {
        findings.push(format!("customer {customer} has the threads {threads:?}"));
    }
    let distinct: BTreeSet<&str> = threads.values().flatten().copied().collect();
    if distinct.len() != threads.len() {
        findings.push(format!("{} customers have {} threads", threads.len(), distinct.len()));
    }
    findings
}

/// Nothing acknowledged is lost, nothing is doubled or made up, and a rebuild gives the same state.
///
/// # Panics
/// With what does not hold.
pub fn check(dir: &Path, history: &History) {
    let findings = findings(dir, history);
    assert!(findings.is_empty(), "{} findings, like {:#?}", findings.len(), &findings[..findings.len().min(5)]);
}
