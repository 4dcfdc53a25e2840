//! What a thread's facts say, in event time: what was asked, what answered it, when it was settled.
//!
//! Everything here is computed from the facts alone, so that it does not matter in which order
//! messages came.

use std::collections::BTreeMap;

use rejoinder_model::Millis;

use crate::record::{By, Resolve, Thread};

/// Something that wants an agent: a customer's message, or a colleague's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) key: u128,
    pub(crate) time: Millis,
    pub(crate) base: u64,
    pub(crate) seq: u64,
    /// A response is due.
    pub(crate) opens: bool,
    /// A customer's message.
    pub(crate) said: bool,
    /// The first resolve after it came, by number; 0: none.
    pub(crate) resolved: u64,
}

/// What the company wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) key: u128,
    /// Never before the question that it answers, whatever the clocks said.
    pub(crate) time: Millis,
    pub(crate) base: u64,
    pub(crate) seq: u64,
    pub(crate) by_bot: bool,
    pub(crate) resolved: u64,
}

/// What was asked between two replies, and came before the same resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// In order of time.
    pub(crate) asks: Vec<Ask>,
    pub(crate) end: Answer,
    /// Questions are of one stretch of the thread's life when this is equal; later ones are higher.
    pub(crate) stretch: u64,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It waits.
    None,
    /// A reply came, at this time.
    Reply(Millis),
    /// It was settled without one.
    Resolved(Millis),
}

impl Question {
    /// What opened it: the first that a response is due for.
    pub(crate) fn opener(&self) -> Option<&Ask> {
        self.asks.iter().find(|ask| ask.opens)
    }
}

/// The facts of a thread in event time.
pub(crate) struct Timeline<'a> {
    pub(crate) thread: &'a Thread,
    /// In order of time.
    pub(crate) asks: Vec<Ask>,
    /// In order of time.
    pub(crate) replies: Vec<Reply>,
    /// In order of stretches, then time.
    pub(crate) questions: Vec<Question>,
}

impl<'a> Timeline<'a> {
    pub(crate) fn of(thread: &'a Thread) -> Self {
        let asks = asks(thread);
        let replies = replies(thread);
        let mut timeline = Self { thread, asks, replies, questions: Vec::new() };
        timeline.questions = timeline.questions();
        timeline
    }

    /// The resolve of a number.
    pub(crate) fn resolve(&self, seq: u64) -> Option<&Resolve> {
        self.thread.resolves.iter().find(|resolve| resolve.seq == seq)
    }

    /// The resolve that settled a question: not one that it came after, by log and by time.
    pub(crate) fn settled(&self, ask: &Ask) -> Option<&Resolve> {
        self.resolve(ask.resolved).filter(|resolve| ask.seq < resolve.seq || ask.time <= resolve.at)
    }

    /// The first reply at or after a time.
    pub(crate) fn answer(&self, time: Millis) -> Option<&Reply> {
        self.replies.get(self.replies.partition_point(|reply| reply.time < time))
    }

    fn questions(&self) -> Vec<Question> {
        let mut grouped: BTreeMap<(Millis, u64), Question> = BTreeMap::new();
        for ask in &self.asks {
            let answer = self.answer(ask.time).map(|reply| reply.time);
            let resolve = self.resolve(ask.resolved);
            // Settled before the reply, or the reply was first.
            let settled = self.settled(ask).filter(|resolve| answer.is_none_or(|answer| resolve.at < answer));
            let end = match (settled, answer) {
                (Some(resolve), _) => Answer::Resolved(resolve.at.max(ask.time)),
                (None, Some(answer)) => Answer::Reply(answer),
                (None, None) => Answer::None,
            };
            let stretch = resolve.map_or(u64::MAX, |resolve| resolve.seq);
            let key = (answer.unwrap_or(Millis::MAX), settled.map_or(0, |resolve| resolve.seq));
            let question = grouped.entry(key).or_insert_with(|| Question { asks: Vec::new(), end, stretch: u64::MAX });
            question.stretch = question.stretch.min(stretch);
            if let (Answer::Resolved(before), Answer::Resolved(at)) = (question.end, end) {
                question.end = Answer::Resolved(before.max(at));
            }
            question.asks.push(*ask);
        }
        let mut questions: Vec<Question> = grouped.into_values().collect();
        questions.sort_by_key(|question| (question.stretch, question.asks[0].time));
        questions
    }

    /// The parts of [from, to) that no hold of a question covers.
    pub(crate) fn unheld(&self, asks: &[Ask], from: Millis, to: Option<Millis>) -> Vec<Span> {
        let mut spans = vec![Span { from, to }];
        for hold in &self.thread.holds {
            let held = |ask: &Ask| hold.bases.contains(&ask.base);
            if asks.iter().any(held) {
                spans = spans.into_iter().flat_map(|span| span.without(hold.from, hold.to)).collect();
            }
        }
        spans
    }
}

/// A stretch of time; without an end it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) from: Millis,
    pub(crate) to: Option<Millis>,
}

impl Span {
    /// What is left of it outside of [from, to).
    fn without(self, from: Millis, to: Option<Millis>) -> impl Iterator<Item = Self> {
        let ends = |to: Option<Millis>| to.unwrap_or(Millis::MAX);
        let overlaps = from < ends(self.to) && self.from < ends(to) && from < ends(to);
        let before = Self { from: self.from, to: Some(from.min(ends(self.to))) };
        let after = to.map(|to| Self { from: to, to: self.to });
        let whole = (!overlaps).then_some(self);
        let before = (overlaps && self.from < from).then_some(before);
        let after = after.filter(|after| overlaps && after.from < ends(after.to));
        [whole, before, after].into_iter().flatten()
    }
}

/// Spans without overlaps, in order.
pub(crate) fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| span.from);
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut().filter(|last| last.to.is_none_or(|to| span.from <= to)) {
            Some(last) => last.to = last.to.and_then(|to| span.to.map(|other| to.max(other))),
            None => joined.push(span),
        }
    }
    joined
}

fn asks(thread: &Thread) -> Vec<Ask> {
    let said = thread.said.iter().filter(|said| said.by == By::Customer && !said.mute);
    let said = said.map(|said| Ask {
        key: said.key,
        time: said.time,
        base: said.base,
        seq: said.seq,
        opens: true,
        said: true,
        resolved: said.resolved,
    });
    let calls = thread.calls.iter().map(|call| Ask {
        // No message has so small a key.
        key: u128::from(call.seq),
        time: call.at,
        base: call.base,
        seq: call.seq,
        opens: call.reopened,
        said: false,
        resolved: call.resolved,
    });
    let mut asks: Vec<Ask> = said.chain(calls).collect();
    asks.sort_by_key(|ask| (ask.time, ask.key));
    asks
}

fn replies(thread: &Thread) -> Vec<Reply> {
    let mut asked: Vec<(u128, Millis)> =
        thread.said.iter().filter(|said| said.by == By::Customer).map(|said| (said.key, said.time)).collect();
    asked.sort_unstable();
    let asked_at = |key: u128| asked.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| asked[at].1);
    let said = thread.said.iter().filter(|said| said.by != By::Customer && !said.mute);
    let mut replies: Vec<Reply> = said
        .map(|said| Reply {
            key: said.key,
            time: asked_at(said.parent).map_or(said.time, |asked| asked.max(said.time)),
            base: said.base,
            seq: said.seq,
            by_bot: said.by == By::Bot,
            resolved: said.resolved,
        })
        .collect();
    replies.sort_by_key(|reply| (reply.time, reply.key));
    replies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_span() {
        let span = |from, to| Span { from, to: Some(to) };
        let open = Span { from: 10, to: None };
        // (span, without, left)
        let table = [
            (span(10, 20), (12, Some(15)), vec![span(10, 12), span(15, 20)]),
            (span(10, 20), (5, Some(15)), vec![span(15, 20)]),
            (span(10, 20), (15, None), vec![span(10, 15)]),
            (span(10, 20), (5, Some(25)), vec![]),
            (span(10, 20), (20, Some(25)), vec![span(10, 20)]),
            (span(10, 20), (12, Some(12)), vec![span(10, 20)]),
            (open, (15, Some(20)), vec![span(10, 15), Span { from: 20, to: None }]),
            (open, (10, None), vec![]),
        ];
        for (span, (from, to), left) in table {
            assert_eq!(span.without(from, to).collect::<Vec<_>>(), left, "{span:?} without {from}..{to:?}");
        }
        let joined = union(vec![span(5, 9), span(1, 3), span(3, 4), Span { from: 8, to: None }]);
        assert_eq!(joined, [span(1, 4), Span { from: 5, to: None }]);
    }
}
