//! periodic_update: from each reply to the next one, until the thread is resolved.

use rejoinder_wire::event::clock_cancelled::Reason;

use super::{End, Instance, Terms};
use crate::timeline::{Span, Timeline};

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    let Some(asked) = timeline.asks.iter().find(|ask| ask.opens).map(|ask| ask.time) else { return Vec::new() };
    let replies: Vec<_> = timeline.replies.iter().filter(|reply| reply.time >= asked).collect();
    let instance = |(n, reply): (usize, &&_)| {
        let reply: &crate::timeline::Reply = reply;
        let next = replies.get(n + 1);
        let resolve = timeline.resolve(reply.resolved);
        let (end, closer) = match (next, resolve) {
            (Some(next), resolve) if resolve.is_none_or(|resolve| next.time <= resolve.at) => {
                (End::Met(next.time), next.seq)
            }
            (_, Some(resolve)) => (End::Cancelled(resolve.at.max(reply.time), Reason::NotNeeded), resolve.seq),
            (_, None) => (End::Running, 0),
        };
        Instance {
            opener: reply.key,
            base: reply.base,
            covers: vec![reply.key],
            start: reply.time,
            spans: vec![Span { from: reply.time, to: end.time() }],
            end,
            seq: reply.seq.max(closer),
        }
    };
    replies.iter().enumerate().map(instance).collect()
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, story, target};

    #[test]
    fn each_reply_fulfils_the_last_and_opens_another() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("10 reply", &["running from 10, due 70"]),
            ("20 hold", &["running from 10, due 70"]),
            ("30 customer", &["running from 10, due 70"]),
            ("40 reply", &["met from 10, at 40 after 30", "running from 40, due 100"]),
            ("100 tick", &["met from 10, at 40 after 30", "breached, running from 40, due 100"]),
            ("110 resolve", &["met from 10, at 40 after 30", "breached, not_needed from 40, at 110 after 70"]),
            ("120 reply", &["met from 10, at 40 after 30", "breached, not_needed from 40, at 110 after 70"]),
        ];
        story(World::with(vec![target(Metric::PeriodicUpdate, 60)]), Metric::PeriodicUpdate, lines);
    }
}
