//! How an item waits: its place in the queue, what has relaxed by now, and when it is looked at again.

use rejoinder_model::Millis;
use rejoinder_wire::event::{Priority, Waiting as WireWaiting};
use xxhash_rust::xxh3::xxh3_64;

use crate::policy::{Kind, Queue};
use crate::priority::{self, Facts};
use crate::record::{Item, Waiting};

/// Milliseconds by which a thousandth of a point goes before: 60 s a point.
const MS_PER_MILLI_POINT: Millis = 60;

/// What a waiting item asks of an agent, as a hash: those of one class may have the same agents.
pub(crate) fn class(item: &Item) -> u64 {
    let mut bytes = Vec::with_capacity(48);
    bytes.extend_from_slice(&item.waiting.widened_ms.to_le_bytes());
    bytes.extend_from_slice(item.kind.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(item.preferred.as_bytes());
    xxh3_64(&bytes)
}

/// The order within a band. Due times are not read here: a queue by due time is ordered alike until
/// they come as events.
pub(crate) fn order(eligible_since: Millis, milli_points: i64) -> Millis {
    eligible_since.saturating_sub(MS_PER_MILLI_POINT.saturating_mul(milli_points))
}

/// The waited times at which a queue widens who may have an item, in order.
pub(crate) fn thresholds(queue: &Queue) -> Vec<Millis> {
    let relaxations = queue.skills.iter().flat_map(|skill| skill.relaxations.iter().map(|(after, _)| *after));
    let last = std::iter::once(queue.last_step_after_ms);
    let mut all: Vec<Millis> = relaxations.chain(queue.delays.iter().copied()).chain(last).collect();
    all.retain(|after| *after > 0);
    all.sort_unstable();
    all.dedup();
    all
}

/// What the score of an item is made of, as far as routing knows.
pub(crate) fn facts(item: &Item, kind: &Kind) -> Facts {
    Facts {
        followers: item.followers,
        window_ends: (kind.reply_window_ms > 0).then(|| item.customer_at.saturating_add(kind.reply_window_ms)),
        since: item.eligible_since,
        ..Facts::default()
    }
}

/// Lets an item wait as of `now`: the score takes force where it differs by enough, what is over is
/// over, and the next look is set. `anew`: it was not waiting before, so its score is that of now.
pub(crate) fn update(item: &mut Item, queue: &Queue, kind: &Kind, now: Millis, anew: bool) {
    if item.preferred_until <= now {
        item.preferred.clear();
        item.preferred_until = 0;
    }
    item.shunned.retain(|(_, until)| *until > now);
    let facts = facts(item, kind);
    let score = facts.score(now);
    if anew || (score.milli_points - item.milli_points).abs() >= priority::TAKES_FORCE {
        item.milli_points = score.milli_points;
        item.terms = score.terms.iter().map(|term| (term.kind, term.milli_points)).collect();
    }
    let waited = now.saturating_sub(item.waiting.in_queue_since).max(0);
    let thresholds = thresholds(queue);
    let since = |after: Millis| item.waiting.in_queue_since.saturating_add(after);
    let next = thresholds.iter().copied().find(|after| *after > waited).map(since);
    let overflow = queue.overflows_after().map(|after| since(after).max(now.saturating_add(1)));
    let looks = [next, overflow, facts.next_change(item.milli_points, now)];
    let shunned = item.shunned.iter().map(|(_, until)| *until);
    let preferred = (item.preferred_until > 0).then_some(item.preferred_until);
    let next_at = looks.into_iter().flatten().chain(shunned).chain(preferred).min().unwrap_or_default();
    item.waiting = Waiting {
        in_queue_since: item.waiting.in_queue_since,
        order: order(item.eligible_since, item.milli_points),
        widened_ms: thresholds.into_iter().rev().find(|after| *after <= waited).unwrap_or_default(),
        next_at,
    };
}

/// The score in force, as events carry it.
pub(crate) fn priority(item: &Item) -> Priority {
    let term = |(kind, milli_points): &(i32, i64)| rejoinder_wire::event::priority::Term {
        kind: *kind,
        milli_points: *milli_points,
    };
    Priority { milli_points: item.milli_points, terms: item.terms.iter().map(term).collect() }
}

impl From<Waiting> for WireWaiting {
    fn from(waiting: Waiting) -> Self {
        let Waiting { in_queue_since, order, widened_ms, next_at } = waiting;
        Self { in_queue_since, order, widened_ms, next_at }
    }
}

impl From<WireWaiting> for Waiting {
    fn from(wire: WireWaiting) -> Self {
        let WireWaiting { in_queue_since, order, widened_ms, next_at } = wire;
        Self { in_queue_since, order, widened_ms, next_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_model::MINUTE_MS;

    #[test]
    fn the_more_urgent_goes_before_the_older() {
        let ten = 10 * 60 * MINUTE_MS;
        let (a, b) = (order(ten, 10_000), order(ten + 20 * MINUTE_MS, 46_000));
        assert_eq!(a, ten - 10 * MINUTE_MS);
        assert_eq!(b, ten - 26 * MINUTE_MS);
        assert!(b < a);
    }
}
