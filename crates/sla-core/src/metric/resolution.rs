//! resolution: from the first question to the resolve, confirmed by the customer if the policy asks.
//!
//! A reopen within the reopen window continues it; the time in between does not count. A later one begins
//! another, and whoever has not confirmed the first by then is not waited for any more.

use rejoinder_model::Millis;
use rejoinder_wire::event::clock_cancelled::Reason;

use super::requester_wait::{Stretch, stretches};
use super::{End, Instance, Terms};
use crate::timeline::{Span, Timeline, union};

pub(super) fn plan(timeline: &Timeline<'_>, terms: Terms<'_>) -> Vec<Instance> {
    let mut issues: Vec<Vec<Stretch<'_>>> = Vec::new();
    for stretch in stretches(timeline) {
        match issues.last_mut().filter(|_| continues(timeline, &stretch, terms.workspace.reopen_window_ms)) {
            Some(issue) => issue.push(stretch),
            None => issues.push(vec![stretch]),
        }
    }
    let followed_at = |next: Option<&Vec<Stretch<'_>>>| next.and_then(|next| next.first()).map(|next| next.opener.time);
    let next = (1..).map(|next| followed_at(issues.get(next)));
    issues.iter().zip(next).filter_map(|(issue, next)| instance(issue, next, terms)).collect()
}

/// Is a message near enough before what reopened the thread?
fn continues(timeline: &Timeline<'_>, stretch: &Stretch<'_>, window: Millis) -> bool {
    let opener = &stretch.opener;
    let others = timeline.thread.said.iter().filter(|said| said.key != opener.key);
    let nearest = others.map(|said| said.time).filter(|time| *time <= opener.time).max();
    nearest.is_none_or(|nearest| opener.time.saturating_sub(nearest) <= window)
}

fn instance(issue: &[Stretch<'_>], followed_at: Option<Millis>, terms: Terms<'_>) -> Option<Instance> {
    let last = issue.last()?;
    let opener = issue.iter().map(|stretch| stretch.opener).min_by_key(|opener| (opener.time, opener.key))?;
    let end = match last.resolve {
        None => End::Running,
        Some(resolve) if terms.rule.confirmed && resolve.unconfirmed => match (resolve.confirmed_at, followed_at) {
            (Some(at), _) => End::Met(at.max(opener.time)),
            (None, Some(at)) => End::Cancelled(at.max(resolve.at), Reason::NotNeeded),
            (None, None) => End::Paused,
        },
        Some(resolve) => End::Met(resolve.at.max(opener.time)),
    };
    let asks = || issue.iter().flat_map(|stretch| &stretch.asks);
    let resolves = issue.iter().filter_map(|stretch| stretch.resolve);
    let spans = issue.iter().map(|stretch| Span { from: stretch.opener.time, to: stretch.to() });
    Some(Instance {
        opener: opener.key,
        base: opener.base,
        covers: asks().map(|ask| ask.key).collect(),
        start: opener.time,
        spans: union(spans.collect()),
        end,
        seq: asks().map(|ask| ask.seq).chain(resolves.map(|resolve| resolve.seq)).max()?,
    })
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, policy, story, target};

    #[test]
    fn a_reopen_in_the_window_continues_it() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 reply", &["running from 0, due 60"]),
            ("20 hold", &["running from 0, due 60"]),
            ("30 resolve", &["met from 0, at 30 after 30"]),
            ("40 customer", &["running from 0, due 70"]),
            ("50 resolve", &["met from 0, at 50 after 40"]),
            ("60 reopen", &["running from 0, due 80"]),
            ("90 tick", &["breached, running from 0, due 80"]),
            ("100 resolve", &["breached, met from 0, at 100 after 80"]),
            // Eight days after the nearest message.
            ("12000 customer", &["breached, met from 0, at 100 after 80", "running from 12000, due 12060"]),
        ];
        story(World::with(vec![target(Metric::Resolution, 60)]), Metric::Resolution, lines);
    }

    #[test]
    fn it_waits_for_the_customers_word_where_the_policy_asks() {
        let mut world = World::new();
        let mut confirmed = policy(vec![target(Metric::Resolution, 60)]);
        confirmed.rules[0].confirmed = true;
        world.adopt(1, confirmed);
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 ask", &["paused from 0, at 10 after 10"]),
            ("20 reopen", &["running from 0, due 70"]),
            ("30 ask", &["paused from 0, at 30 after 20"]),
            ("99 confirm", &["met from 0, at 99 after 20"]),
        ];
        story(world, Metric::Resolution, lines);
    }

    #[test]
    fn another_issue_waits_for_nobodys_word_about_the_one_before() {
        let mut world = World::new();
        let mut confirmed = policy(vec![target(Metric::Resolution, 60)]);
        confirmed.rules[0].confirmed = true;
        world.adopt(1, confirmed);
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 ask", &["paused from 0, at 10 after 10"]),
            // Eight days after the nearest message.
            ("12000 customer", &["not_needed from 0, at 12000 after 10", "running from 12000, due 12060"]),
            ("12010 ask", &["not_needed from 0, at 12000 after 10", "paused from 12000, at 12010 after 10"]),
            ("12020 confirm", &["not_needed from 0, at 12000 after 10", "met from 12000, at 12020 after 10"]),
        ];
        story(world, Metric::Resolution, lines);
    }
}
