//! What people do to the threads that they see.

use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use rejoinder_threading_core::Command;
use rejoinder_wire::event::Disposition;

use super::promises::Seen;
use crate::client::Random;

/// A command on threads that the client has seen; those that change the grouping only where wanted.
pub(super) fn command_on(random: &mut Random, threads: &[Seen], regroups: bool, now: Millis) -> Option<Command> {
    let mut any = || threads.get(usize::try_from(random.below(threads.len().max(1) as u64)).ok()?);
    let (one, other) = (any()?, any()?);
    let thread = one.id;
    let later = |random: &mut Random| {
        let longest = [MINUTE_MS, HOUR_MS, 2 * DAY_MS][usize::try_from(random.below(3)).unwrap_or_default()];
        now + 1_000 + i64::try_from(random.below(longest.unsigned_abs())).unwrap_or_default()
    };
    Some(match random.below(if regroups { 13 } else { 6 }) {
        0 | 1 => Command::Hold { thread, reason: "parts".into(), until: Some(later(random)) },
        2 => Command::Resolve {
            thread,
            disposition: Disposition::Answered,
            unconfirmed: random.below(2) == 0,
            reason: String::new(),
        },
        3 => Command::Reopen { thread, reason: String::new() },
        4 => Command::AddNote { thread, author: "eve".into(), text: "called".into() },
        5 => Command::RecordOutcome { thread, confirmed: random.below(2) == 0 },
        6 | 7 => Command::MergeThreads { into: thread, from: other.id },
        8 => Command::UnmergeThreads { thread, from: other.id },
        9 => Command::MergePersons { into: one.person?, from: other.person? },
        10 => Command::UnmergePersons { person: one.person?, from: other.person? },
        11 => {
            Command::SetAttributes { thread, set: [("priority".to_owned(), "high".to_owned())].into(), removed: vec![] }
        }
        _ => Command::SplitThread { thread, messages: one.messages.first().copied().into_iter().collect() },
    })
}
