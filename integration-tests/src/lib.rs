//! What black-box tests need: the binary, the corpora, groupings to compare; and a simulated world.

pub mod auditor;
pub mod client;
pub mod desktop;
pub mod floor;
pub mod golden;
pub mod server;
pub mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary under test, built beside the tests.
#[must_use]
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its own path");
    let profile = tests.parent().and_then(Path::parent).expect("tests lie in deps/ of the profile's folder");
    let binary = profile.join("rejoinder");
    assert!(binary.exists(), "{} is missing: run `make test`, which builds it first", binary.display());
    binary
}

/// The folder of the corpora, or `None` with a line that says so.
#[must_use]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn corpora() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("REJOINDER_CORPORA").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no corpora at {} (set REJOINDER_CORPORA)", folder.display());
    None
}

/// A command of the binary that does not see what the tests themselves are told by the environment.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(binary());
    let ours =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("REJOINDER_"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// Runs the binary.
#[must_use]
pub fn run(args: &[&str]) -> Output {
    command().args(args).output().expect("the binary starts")
}

/// A number that the environment gives, or a default.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Runs the binary, which must succeed, and returns what it wrote to stdout.
#[must_use]
pub fn data(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("data is UTF-8")
}

/// A decompressed file.
#[must_use]
pub fn decompressed(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    zstd::decode_all(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of a TSV file with a header, by column names.
#[must_use]
pub fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    lines.map(|line| names.iter().copied().zip(line.split('\t')).collect()).collect()
}

/// The sets into which a label puts things; things without a label are in none.
#[must_use]
pub fn partition<'a>(labelled: impl Iterator<Item = (&'a str, String)>) -> BTreeSet<BTreeSet<&'a str>> {
    let mut sets: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (thing, label) in labelled.filter(|(_, label)| !label.is_empty()) {
        sets.entry(label).or_default().insert(thing);
    }
    sets.into_values().collect()
}

/// The messages of an export as sets, by a column.
#[must_use]
pub fn grouping<'a>(export: &'a str, column: &str) -> BTreeSet<BTreeSet<&'a str>> {
    partition(rows(export).into_iter().map(|row| (row["external_id"], row[column].to_owned())))
}

/// Panics where two exports group their messages differently.
///
/// # Panics
/// With a message whose set differs.
pub fn assert_same_grouping(one: &str, other: &str) {
    assert_same_grouping_by(&["conversation_id", "thread_id", "person_id", "burst_id"], one, other);
}

/// The same by some columns only.
///
/// # Panics
/// With a message whose set differs.
pub fn assert_same_grouping_by(columns: &[&str], one: &str, other: &str) {
    for column in columns {
        let (one, other) = (grouping(one, column), grouping(other, column));
        assert_eq!(one.len(), other.len(), "as many by {column}");
        let differs = one.difference(&other).next();
        assert!(differs.is_none(), "the other one has not this set by {column}: {differs:?}");
    }
}

/// The messages of an mbox, each with its `From ` line.
#[must_use]
pub fn mbox_messages(mbox: &[u8]) -> Vec<&[u8]> {
    let begins = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().any(|day| words.contains(day));
        words.first() == Some(&"From") && day && words.iter().any(|word| word.matches(':').count() == 2)
    };
    let (mut starts, mut at, mut blank) = (Vec::new(), 0, true);
    for line in mbox.split_inclusive(|byte| *byte == b'\n') {
        if blank && begins(line) {
            starts.push(at);
        }
        blank = line.iter().all(u8::is_ascii_whitespace);
        at += line.len();
    }
    let ends = starts.iter().copied().skip(1).chain([mbox.len()]);
    starts.iter().zip(ends).map(|(start, end)| &mbox[*start..end]).collect()
}

/// The files of a tar that is compressed, by name.
#[must_use]
pub fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = decompressed(path);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut members = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("readable");
        members.push((name, bytes));
    }
    members
}

/// A replay of files in a directory of its own.
pub struct Replay {
    dir: tempfile::TempDir,
    /// The export, one line for each message.
    pub export: String,
}

impl Replay {
    /// Replays a file with further arguments.
    #[must_use]
    pub fn of(file: &Path, format: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = dir.path().join("data");
        let file = file.to_str().expect("a path in UTF-8");
        let data_dir = data_dir.to_str().expect("a path in UTF-8");
        let args = [&["replay", file, "--format", format, "--data-dir", data_dir], more].concat();
        let _ = data(&args);
        let export = data(&["threads", "export", "--data-dir", data_dir]);
        Self { dir, export }
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// The messages as sets, by a column of the export.
    #[must_use]
    pub fn grouping(&self, column: &str) -> BTreeSet<BTreeSet<&str>> {
        grouping(&self.export, column)
    }

    /// The digest of its log.
    #[must_use]
    pub fn log_digest(&self) -> String {
        let verified = data(&["log", "verify", "--data-dir", &self.data_dir()]);
        let last = verified.lines().last().unwrap_or_default();
        last.split_whitespace().next().unwrap_or_default().to_owned()
    }
}

/// A shuffle that is the same for the same seed.
pub fn shuffle<T>(things: &mut [T], seed: u64) {
    let mut state = seed;
    for n in (1..things.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = usize::try_from((state >> 33) % (n as u64 + 1)).unwrap_or_default();
        things.swap(n, to);
    }
}
