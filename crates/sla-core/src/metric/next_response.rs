//! next_response: from the first customer message after a reply, or a reopen, to the next reply.
//!
//! It runs while the thread awaits an agent: a hold pauses it. Further messages do not reset it, a
//! resolve cancels it as not needed.

use rejoinder_wire::event::clock_cancelled::Reason;

use super::{End, Instance, Terms, first_response};
use crate::timeline::{Answer, Timeline};

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    let first = first_response::question(timeline).cloned();
    let later = timeline.questions.iter().filter(|question| Some(*question) != first.as_ref());
    let instance = later.filter_map(|question| {
        let opener = question.opener()?;
        let ended = match question.end {
            Answer::None => None,
            Answer::Reply(at) => Some(End::Met(at)),
            Answer::Resolved(at) => Some(End::Cancelled(at.max(opener.time), Reason::NotNeeded)),
        };
        let spans = timeline.unheld(&question.asks, opener.time, ended.and_then(End::time));
        let closer = timeline.answer(opener.time).map_or(0, |reply| reply.seq);
        Some(Instance {
            opener: opener.key,
            base: opener.base,
            covers: question.asks.iter().map(|ask| ask.key).collect(),
            start: opener.time,
            end: ended.unwrap_or_else(|| End::live(&spans)),
            spans,
            seq: question.asks.iter().map(|ask| ask.seq).chain([closer]).max().unwrap_or_default(),
        })
    });
    instance.collect()
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, story, target};

    fn world() -> World {
        World::with(vec![target(Metric::NextResponse, 60)])
    }

    #[test]
    fn the_first_message_after_a_reply_opens_it_and_the_next_reply_fulfils_it() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("10 reply", &[]),
            ("20 customer", &["running from 20, due 80"]),
            ("30 customer", &["running from 20, due 80"]),
            ("40 reply", &["met from 20, at 40 after 20"]),
            ("45 reply", &["met from 20, at 40 after 20"]),
            ("50 customer", &["met from 20, at 40 after 20", "running from 50, due 110"]),
            ("60 resolve", &["met from 20, at 40 after 20", "not_needed from 50, at 60 after 10"]),
        ];
        story(world(), Metric::NextResponse, lines);
    }

    #[test]
    fn a_hold_pauses_it_until_it_is_over_or_the_customer_writes() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("0 reply", &[]),
            ("10 customer", &["running from 10, due 70"]),
            ("20 hold", &["paused from 10, at 20 after 10"]),
            ("50 tick", &["paused from 10, at 20 after 10"]),
            ("50 over", &["running from 10, due 100"]),
            ("60 hold", &["paused from 10, at 60 after 20"]),
            // Written at 65, seen at 70.
            ("70 customer 65", &["running from 10, due 105"]),
            ("80 hold", &["paused from 10, at 80 after 35"]),
            ("90 reply", &["met from 10, at 90 after 35"]),
            ("95 customer", &["met from 10, at 90 after 35", "running from 95, due 155"]),
        ];
        story(world(), Metric::NextResponse, lines);
    }

    #[test]
    fn a_reopen_opens_it() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("10 resolve", &[]),
            ("20 customer", &["running from 20, due 80"]),
            ("30 reply", &["met from 20, at 30 after 10"]),
            ("40 resolve", &["met from 20, at 30 after 10"]),
            ("50 reopen", &["met from 20, at 30 after 10", "running from 50, due 110"]),
            ("60 reply", &["met from 20, at 30 after 10", "met from 50, at 60 after 10"]),
        ];
        story(world(), Metric::NextResponse, lines);
    }

    #[test]
    fn a_late_reply_parts_a_wait() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("0 reply", &[]),
            ("10 customer", &["running from 10, due 70"]),
            ("20 customer", &["running from 10, due 70"]),
            ("75 tick", &["breached, running from 10, due 70"]),
            ("76 reply 15", &["met from 10, at 15 after 5", "running from 20, due 80"]),
            ("77 customer 5", &["met from 5, at 15 after 10", "running from 20, due 80"]),
            // Answered all along: an instance of its own, opened and fulfilled.
            ("78 reply 4", &["met from 5, at 15 after 10", "running from 20, due 80"]),
            ("79 customer 3", &["met from 3, at 4 after 1", "met from 5, at 15 after 10", "running from 20, due 80"]),
        ];
        story(world(), Metric::NextResponse, lines);
    }
}
