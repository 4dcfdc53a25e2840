//! Who has had nothing to do for the longest; those with work come after, the least recently served first.

use super::Contender;

/// Puts everybody with work behind everybody without.
const WITH_WORK: i64 = 1 << 61;

pub(super) fn score(contender: &Contender) -> i64 {
    if contender.idle { contender.idle_since } else { WITH_WORK + contender.last_assigned }
}
