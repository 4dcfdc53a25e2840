//! agent_work: how long the thread awaits an agent, from its first question to its resolve.
//!
//! It stands still after a reply and on hold.

use super::requester_wait::{Stretch, instance, stretches};
use super::{Instance, Terms};
use crate::timeline::{Span, Timeline, union};

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    let awaiting = |stretch: &Stretch<'_>| {
        let of_ask = stretch.asks.iter().filter(|ask| ask.time >= stretch.opener.time).flat_map(|ask| {
            let answer = timeline.answer(ask.time).map(|reply| reply.time);
            let to = match (answer, stretch.to()) {
                (Some(answer), Some(to)) => Some(answer.min(to)),
                (answer, to) => answer.or(to),
            };
            timeline.unheld(&[*ask], ask.time, to)
        });
        union(of_ask.collect::<Vec<Span>>())
    };
    stretches(timeline).iter().map(|stretch| instance(stretch, awaiting(stretch))).collect()
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, story, target};

    #[test]
    fn it_runs_while_the_thread_awaits_an_agent() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 reply", &["paused from 0, at 10 after 10"]),
            ("20 customer", &["running from 0, due 70"]),
            ("30 hold", &["paused from 0, at 30 after 20"]),
            ("40 over", &["running from 0, due 80"]),
            ("50 reply", &["paused from 0, at 50 after 30"]),
            ("60 reopen", &["running from 0, due 90"]),
            // A question of minute 12 comes late, answered at 50: it had waited since.
            ("62 customer 12", &["running from 0, due 82"]),
            ("70 resolve", &["met from 0, at 70 after 48"]),
        ];
        story(World::with(vec![target(Metric::AgentWork, 60)]), Metric::AgentWork, lines);
    }

    #[test]
    fn a_due_time_reached_before_a_pause_was_known_is_breached() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            // Nobody ticked in time.
            ("70 reply", &["paused from 0, at 70 after 70"]),
            ("70 tick", &["breached, paused from 0, at 70 after 70"]),
            ("80 resolve", &["breached, met from 0, at 80 after 70"]),
        ];
        story(World::with(vec![target(Metric::AgentWork, 60)]), Metric::AgentWork, lines);
    }
}
