//! first_response: from the customer's first message to the first reply of a human, once per thread.
//!
//! It runs while the thread is open; a resolve without a reply ends it for good, and a late message
//! that is earlier moves its start back.

use rejoinder_wire::event::clock_cancelled::Reason;

use super::{End, Instance, Terms};
use crate::timeline::{Question, Span, Timeline};

/// The question that it is about: the first of the first stretch that a customer asked.
pub(super) fn question<'t>(timeline: &'t Timeline<'_>) -> Option<&'t Question> {
    timeline.questions.iter().find(|question| question.asks.iter().any(|ask| ask.said))
}

pub(super) fn plan(timeline: &Timeline<'_>, terms: Terms<'_>) -> Vec<Instance> {
    let Some(question) = question(timeline) else { return Vec::new() };
    let Some(opener) = question.asks.iter().find(|ask| ask.said) else { return Vec::new() };
    let counts = |by_bot: bool| !by_bot || terms.rule.bots_answer;
    let reply = timeline.replies.iter().find(|reply| reply.time >= opener.time && counts(reply.by_bot));
    let resolve = question.asks.iter().filter_map(|ask| timeline.settled(ask)).min_by_key(|r| r.seq);
    let (end, closer) = match (reply, resolve) {
        (Some(reply), resolve) if resolve.is_none_or(|resolve| reply.time <= resolve.at) => {
            (End::Met(reply.time), reply.seq)
        }
        (_, Some(resolve)) => (End::Cancelled(resolve.at.max(opener.time), Reason::NotNeeded), resolve.seq),
        (_, None) => (End::Running, 0),
    };
    vec![Instance {
        opener: opener.key,
        base: opener.base,
        covers: question.asks.iter().map(|ask| ask.key).collect(),
        start: opener.time,
        spans: vec![Span { from: opener.time, to: end.time() }],
        end,
        seq: question.asks.iter().map(|ask| ask.seq).chain([closer]).max().unwrap_or_default(),
    }]
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, policy, story, target};

    fn world() -> World {
        World::with(vec![target(Metric::FirstResponse, 60)])
    }

    #[test]
    fn the_first_reply_of_a_human_fulfils_it() {
        let lines: &[(&str, &[&str])] = &[
            ("0 reply", &[]),
            ("10 customer", &["running from 10, due 70"]),
            ("15 customer", &["running from 10, due 70"]),
            ("20 bot", &["running from 10, due 70"]),
            ("25 hold", &["running from 10, due 70"]),
            ("30 over", &["running from 10, due 70"]),
            ("40 reply", &["met from 10, at 40 after 30"]),
            ("50 customer", &["met from 10, at 40 after 30"]),
            ("60 resolve", &["met from 10, at 40 after 30"]),
            ("70 customer", &["met from 10, at 40 after 30"]),
        ];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn it_is_breached_at_its_due_time_and_runs_on() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("59 tick", &["running from 0, due 60"]),
            ("60 tick", &["breached, running from 0, due 60"]),
            ("90 reply", &["breached, met from 0, at 90 after 90"]),
        ];
        story(world(), Metric::FirstResponse, lines);
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("60 reply", &["met from 0, at 60 after 60"]),
            ("60 tick", &["met from 0, at 60 after 60"]),
        ];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn a_resolve_without_a_reply_ends_it_for_good() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 resolve", &["not_needed from 0, at 10 after 10"]),
            ("20 customer", &["not_needed from 0, at 10 after 10"]),
            // Sent before the resolve, and late.
            ("30 reply 5", &["met from 0, at 5 after 5"]),
        ];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn late_messages_move_its_start_and_its_end() {
        let lines: &[(&str, &[&str])] = &[
            ("20 reply 15", &[]),
            ("20 customer 20", &["running from 20, due 80"]),
            // What the company wrote before is a reply to this one.
            ("30 customer 10", &["met from 10, at 15 after 5"]),
            ("31 customer 5", &["met from 5, at 15 after 10"]),
            ("32 reply 7", &["met from 5, at 7 after 2"]),
        ];
        story(world(), Metric::FirstResponse, lines);
        let lines: &[(&str, &[&str])] = &[
            ("90 customer 0", &["running from 0, due 60"]),
            ("90 tick", &["breached, running from 0, due 60"]),
            ("95 reply 60", &["met from 0, at 60 after 60"]),
        ];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn a_reply_stamped_before_its_question_fulfils_it_at_once() {
        let lines: &[(&str, &[&str])] =
            &[("10 customer", &["running from 10, due 70"]), ("11 reply 5 to m1", &["met from 10, at 10 after 0"])];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn a_deleted_question_cancels_it_and_the_next_opens_another() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &["running from 0, due 60"]),
            ("10 customer", &["running from 0, due 60"]),
            ("20 delete m1", &["deleted from 0, at 20 after 20", "running from 10, due 70"]),
            ("30 reply", &["deleted from 0, at 20 after 20", "met from 10, at 30 after 20"]),
            ("40 delete m2", &["deleted from 0, at 20 after 20", "met from 10, at 30 after 20"]),
        ];
        story(world(), Metric::FirstResponse, lines);
    }

    #[test]
    fn a_bots_reply_counts_where_the_policy_says_so() {
        let mut world = World::new();
        let mut bots = policy(vec![target(Metric::FirstResponse, 60)]);
        bots.rules[0].bots_answer = true;
        world.adopt(1, bots);
        let lines: &[(&str, &[&str])] =
            &[("0 customer", &["running from 0, due 60"]), ("5 bot", &["met from 0, at 5 after 5"])];
        story(world, Metric::FirstResponse, lines);
    }
}
