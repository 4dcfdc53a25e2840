//! Who knows the most of what the queue asks for.

use super::Contender;

pub(super) fn score(contender: &Contender) -> i64 {
    -contender.skill
}
