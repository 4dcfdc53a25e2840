//! requester_wait: how long the thread is open, from its first question to its resolve. A reopened
//! thread begins another.

use std::collections::BTreeMap;

use super::{End, Instance, Terms};
use crate::record::Resolve;
use crate::timeline::{Ask, Span, Timeline};

/// A stretch of a thread's life from a question to a resolve.
pub(super) struct Stretch<'t> {
    /// In order of time.
    pub(super) asks: Vec<Ask>,
    pub(super) opener: Ask,
    /// `None` while it is open.
    pub(super) resolve: Option<&'t Resolve>,
}

impl Stretch<'_> {
    /// When it ended.
    pub(super) fn to(&self) -> Option<i64> {
        self.resolve.map(|resolve| resolve.at.max(self.opener.time))
    }
}

/// The stretches of a thread's life, in order.
pub(super) fn stretches<'t>(timeline: &'t Timeline<'_>) -> Vec<Stretch<'t>> {
    let mut by_resolve: BTreeMap<u64, Vec<Ask>> = BTreeMap::new();
    for ask in &timeline.asks {
        let resolve = timeline.resolve(ask.resolved).map_or(u64::MAX, |resolve| resolve.seq);
        by_resolve.entry(resolve).or_default().push(*ask);
    }
    let stretch = |(resolve, asks): (u64, Vec<Ask>)| {
        let opener = *asks.iter().find(|ask| ask.opens)?;
        Some(Stretch { opener, resolve: timeline.resolve(resolve), asks })
    };
    by_resolve.into_iter().filter_map(stretch).collect()
}

/// The instance of one stretch that ran in some spans.
pub(super) fn instance(stretch: &Stretch<'_>, spans: Vec<Span>) -> Instance {
    let Stretch { asks, opener, resolve } = stretch;
    let end = stretch.to().map_or_else(|| End::live(&spans), End::Met);
    Instance {
        opener: opener.key,
        base: opener.base,
        covers: asks.iter().map(|ask| ask.key).collect(),
        start: opener.time,
        spans,
        end,
        seq: asks.iter().map(|ask| ask.seq).chain(resolve.map(|resolve| resolve.seq)).max().unwrap_or_default(),
    }
}

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    let stretches = stretches(timeline);
    let open = |stretch: &Stretch<'_>| vec![Span { from: stretch.opener.time, to: stretch.to() }];
    stretches.iter().map(|stretch| instance(stretch, open(stretch))).collect()
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, story, target};

    #[test]
    fn it_runs_from_the_first_question_to_the_resolve() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 reply", &["running from 0, due 60"]),
            ("20 hold", &["running from 0, due 60"]),
            ("30 customer", &["running from 0, due 60"]),
            ("40 resolve", &["met from 0, at 40 after 40"]),
            ("50 reply", &["met from 0, at 40 after 40"]),
            ("60 customer", &["met from 0, at 40 after 40", "running from 60, due 120"]),
            ("70 resolve", &["met from 0, at 40 after 40", "met from 60, at 70 after 10"]),
        ];
        story(World::with(vec![target(Metric::RequesterWait, 60)]), Metric::RequesterWait, lines);
    }
}
