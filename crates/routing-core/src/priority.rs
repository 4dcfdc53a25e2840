//! The score of an item: a sum of terms, each kept (domain rules, section 2). Integers only.
//!
//! Routing knows today how long a customer waits, how many follow them and when the channel stops to
//! take a reply. Intent, sentiment, tier, velocity and the age of an account come as events of others
//! later; until then their facts are absent and their terms are not there.

use rejoinder_model::{HOUR_MS, MINUTE_MS, Millis};
use rejoinder_wire::event::Priority;
use rejoinder_wire::event::priority::{Kind, Term};

/// Thousandths of a point.
pub const POINT: i64 = 1_000;
/// The most that a score may be.
const MOST: i64 = 100 * POINT;
/// A new score takes force when it differs by so much.
pub const TAKES_FORCE: i64 = 5 * POINT;
/// What waiting adds each minute, and at most.
const WAITING: (i64, i64) = (100, 10_000);

/// What the customer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Somebody may be harmed; lawyers; a threat.
    Safety,
    /// Something went wrong.
    Complaint,
    /// A question.
    Question,
    /// Praise.
    Praise,
}

/// How much of a customer they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Silver.
    Silver,
    /// Gold.
    Gold,
    /// Platinum.
    Platinum,
}

/// What a score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `None`: not known.
    pub intent: Option<Intent>,
    /// -1,000 to 1,000.
    pub sentiment: i64,
    /// `None`: a standard customer.
    pub tier: Option<Tier>,
    /// Of the author.
    pub followers: u64,
    /// Age of the author's account in days.
    pub account_days: Option<u32>,
    /// Reactions per thousand views.
    pub engagement_permille: Option<u32>,
    /// Replies to the post in ten minutes.
    pub replies_in_10_min: u32,
    /// When the channel takes no reply any more.
    pub window_ends: Option<Millis>,
    /// Time of the oldest unanswered message.
    pub since: Millis,
}

fn by_steps(value: u64, steps: &[(u64, i64)]) -> i64 {
    steps.iter().rev().find(|(least, _)| value >= *least).map_or(0, |(_, points)| *points)
}

impl Facts {
    fn influence(&self) -> i64 {
        let steps = [(100, 3_000), (1_000, 6_000), (10_000, 9_000), (100_000, 12_000), (1_000_000, 15_000)];
        let mut points = by_steps(self.followers, &steps);
        if self.account_days.is_some_and(|days| days < 30) {
            points = points.min(3_000);
        }
        if self.engagement_permille == Some(0) {
            // Below 0.1 %.
            points /= 2;
        }
        points
    }

    fn reply_window(&self, now: Millis) -> i64 {
        match self.window_ends.map(|ends| ends - now) {
            Some(left) if left < HOUR_MS => 5_000,
            Some(left) if left < 4 * HOUR_MS => 2_500,
            Some(_) | None => 0,
        }
    }

    fn waiting(&self, now: Millis) -> i64 {
        let minutes = now.saturating_sub(self.since).max(0) / MINUTE_MS;
        minutes.saturating_mul(WAITING.0).min(WAITING.1)
    }

    /// The score at `now`, with its terms.
    #[must_use]
    pub fn score(&self, now: Millis) -> Priority {
        let intent = match self.intent {
            Some(Intent::Safety) => 30_000,
            Some(Intent::Complaint) => 18_000,
            Some(Intent::Question) => 10_000,
            Some(Intent::Praise) => 2_000,
            None => 0,
        };
        let tier = match self.tier {
            Some(Tier::Platinum) => 15_000,
            Some(Tier::Gold) => 10_000,
            Some(Tier::Silver) => 5_000,
            None => 0,
        };
        let velocity = by_steps(u64::from(self.replies_in_10_min), &[(5, 5_000), (20, 10_000), (100, 15_000)]);
        let terms = [
            (Kind::Intent, intent),
            (Kind::Sentiment, 10 * (-self.sentiment).clamp(0, 1_000)),
            (Kind::Tier, tier),
            (Kind::Influence, self.influence()),
            (Kind::Velocity, velocity),
            (Kind::ReplyWindow, self.reply_window(now)),
            (Kind::Waiting, self.waiting(now)),
        ];
        let sum: i64 = terms.iter().map(|(_, points)| points).sum();
        let clamped = sum.clamp(0, MOST);
        let clamp = (Kind::Clamp, clamped - sum);
        let terms = terms.into_iter().chain([clamp]).filter(|(_, points)| *points != 0);
        let term = |(kind, milli_points)| Term { kind: kind as i32, milli_points };
        Priority { milli_points: clamped, terms: terms.map(term).collect() }
    }

    /// When a score that is `in_force` can next be another by enough; `None`: never by time alone.
    #[must_use]
    pub fn next_change(&self, in_force: i64, now: Millis) -> Option<Millis> {
        let differs = |at: Millis| (self.score(at).milli_points - in_force).abs() >= TAKES_FORCE;
        let ends = |before: Millis| self.window_ends.map(|ends| ends - before + 1);
        let mut candidates: Vec<Millis> = [ends(4 * HOUR_MS), ends(HOUR_MS)].into_iter().flatten().collect();
        // Between two steps of the window only waiting grows, a minute at a time.
        let mut from = now;
        candidates.retain(|at| *at > now);
        candidates.push(self.since + (WAITING.1 / WAITING.0) * MINUTE_MS);
        candidates.sort_unstable();
        for until in candidates {
            let lacks = TAKES_FORCE - (self.score(from).milli_points - in_force);
            let minutes = lacks.max(0).div_euclid(WAITING.0) + i64::from(lacks.rem_euclid(WAITING.0) > 0);
            let whole = self.since + (from.saturating_sub(self.since).max(0) / MINUTE_MS) * MINUTE_MS;
            let grown = whole + minutes * MINUTE_MS;
            if grown > now && grown <= until && differs(grown) {
                return Some(grown);
            }
            if until > now && differs(until) {
                return Some(until);
            }
            from = until.max(from);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Millis = 1_700_000_000_000;

    #[test]
    fn the_vectors_of_the_rules() {
        let gold = Facts {
            intent: Some(Intent::Complaint),
            sentiment: -600,
            tier: Some(Tier::Gold),
            followers: 25_000,
            since: T,
            ..Facts::default()
        };
        let score = gold.score(T + 30 * MINUTE_MS);
        assert_eq!(score.milli_points, 46_000);
        let terms: Vec<i64> = score.terms.iter().map(|term| term.milli_points).collect();
        assert_eq!(terms, [18_000, 6_000, 10_000, 9_000, 3_000]);

        let influence = |followers, days| {
            let facts = Facts { followers, account_days: Some(days), since: T, ..Facts::default() };
            facts.score(T).milli_points
        };
        assert_eq!((influence(1_000_000, 2), influence(1_000, 900)), (3_000, 6_000));

        let question = Facts { intent: Some(Intent::Question), since: T, ..Facts::default() };
        let at = |minutes| question.score(T + minutes * MINUTE_MS).milli_points;
        assert_eq!((at(0), at(11), at(50)), (10_000, 11_100, 15_000));
        assert_eq!(question.next_change(10_000, T), Some(T + 50 * MINUTE_MS));
        assert_eq!(question.next_change(10_000, T + 11 * MINUTE_MS), Some(T + 50 * MINUTE_MS));
        assert_eq!(question.next_change(15_000, T + 50 * MINUTE_MS), Some(T + 100 * MINUTE_MS));
        assert_eq!(question.next_change(20_000, T + 100 * MINUTE_MS), None);
    }

    #[test]
    fn the_steps_of_each_term() {
        let score = |facts: Facts| facts.score(0).milli_points;
        for (followers, points) in [(99, 0), (100, 3_000), (999, 3_000), (10_000, 9_000), (5_000_000, 15_000)] {
            assert_eq!(score(Facts { followers, ..Facts::default() }), points, "{followers}");
        }
        let dull = Facts { followers: 10_000, engagement_permille: Some(0), ..Facts::default() };
        assert_eq!(score(dull), 4_500);
        for (replies_in_10_min, points) in [(4, 0), (5, 5_000), (20, 10_000), (100, 15_000)] {
            assert_eq!(score(Facts { replies_in_10_min, ..Facts::default() }), points);
        }
        for (left, points) in [(4 * HOUR_MS, 0), (4 * HOUR_MS - 1, 2_500), (HOUR_MS - 1, 5_000), (-5, 5_000)] {
            assert_eq!(score(Facts { window_ends: Some(left), ..Facts::default() }), points, "{left}");
        }
        assert_eq!(score(Facts { sentiment: 700, ..Facts::default() }), 0, "a kind word costs nothing");
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let (intent, tier) = (0..5_usize, 0..4_usize);
        let window = proptest::option::of(0..6 * HOUR_MS);
        (intent, -1_000..1_000_i64, tier, 0..2_000_000_u64, 0..200_u32, window, 0..2 * HOUR_MS).prop_map(
            |(intent, sentiment, tier, followers, replies_in_10_min, window, before)| Facts {
                intent: [Intent::Safety, Intent::Complaint, Intent::Question, Intent::Praise].get(intent).copied(),
                sentiment,
                tier: [Tier::Silver, Tier::Gold, Tier::Platinum].get(tier).copied(),
                followers,
                replies_in_10_min,
                window_ends: window.map(|left| T + left),
                since: T - before,
                ..Facts::default()
            },
        )
    }

    proptest! {
        #[test]
        fn the_terms_sum_to_the_score(facts in facts(), later in 0..4 * HOUR_MS) {
            let score = facts.score(T + later);
            prop_assert_eq!(score.terms.iter().map(|term| term.milli_points).sum::<i64>(), score.milli_points);
            prop_assert!((0..=MOST).contains(&score.milli_points));
        }

        #[test]
        fn the_next_change_is_the_first_that_counts(facts in facts()) {
            let in_force = facts.score(T).milli_points;
            let differs = |at| (facts.score(at).milli_points - in_force).abs() >= TAKES_FORCE;
            let seconds = (1..8 * 3_600).map(|s| T + s * 1_000).find(|at| differs(*at));
            let next = facts.next_change(in_force, T);
            match (seconds, next) {
                (Some(first), Some(next)) => prop_assert!(next <= first && next > first - 1_000 && differs(next)),
                (found, next) => prop_assert_eq!(found, next),
            }
        }
    }
}
