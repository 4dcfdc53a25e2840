//! Who has the most of their capacity left, weighted.

use super::Contender;

pub(super) fn score(contender: &Contender) -> i64 {
    contender.load
}
