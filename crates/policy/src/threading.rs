//! `threading.toml`: the windows of threading.

use rejoinder_model::{DAY_MS, MINUTE_MS, Millis};
use rejoinder_wire::event::ThreadingPolicy;

use crate::problem::Problems;
use crate::reader::File;
use crate::{Policy, duration};

const KEYS: [&str; 3] = ["burst_gap", "reopen_window", "silence"];

/// The built-in windows.
pub(crate) fn defaults() -> ThreadingPolicy {
    ThreadingPolicy {
        reopen_window_ms: 7 * DAY_MS,
        silence_ms: 7 * DAY_MS,
        burst_gap_ms: 30 * MINUTE_MS,
        ..ThreadingPolicy::default()
    }
}

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    let root = file.root();
    file.known_keys(root, &KEYS, problems);
    let mut window = |key: &str, to: &mut Millis, least: &str, most: &str| {
        let Some(text) = file.string(root, key, problems) else { return };
        // Silence may be switched off.
        let parsed = if key == "silence" && text == "never" { Ok(0) } else { duration::within(text, least, most) };
        match parsed {
            Ok(duration) => *to = duration,
            Err(what) => problems.at(file.name, file.text, root.get(key).and_then(toml_edit::Item::span), what),
        }
    };
    let threading = &mut policy.threading;
    window("reopen_window", &mut threading.reopen_window_ms, "1m", "3650d");
    window("silence", &mut threading.silence_ms, "1m", "3650d");
    window("burst_gap", &mut threading.burst_gap_ms, "1m", "7d");
}
