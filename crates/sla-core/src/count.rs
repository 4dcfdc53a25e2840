//! How much business time an instance has run, and when it is due.

use rejoinder_model::Millis;

use crate::calendar::Calendar;
use crate::metric::{End, Instance};
use crate::record::{Carried, Terms};
use crate::timeline::Span;

/// Where an instance stands under some terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The event time up to which it is counted: its end, its pause, or the last time it began to run.
    pub(crate) at: Millis,
    pub(crate) elapsed_ms: Millis,
    /// `None` where it stands still, or stood still when it ended.
    pub(crate) due: Option<Millis>,
}

/// An instance under terms.
pub(crate) struct Counting<'a> {
    pub(crate) calendar: &'a Calendar,
    pub(crate) instance: &'a Instance,
    /// Counted before, under other terms.
    pub(crate) carried: Option<Carried>,
}

impl Counting<'_> {
    pub(crate) fn count(&self, terms: &Terms) -> Count {
        let at = match (self.instance.end, self.instance.spans.last()) {
            (End::Met(at) | End::Cancelled(at, _), _) => at,
            (_, Some(last)) => last.to.unwrap_or(last.from),
            (_, None) => self.instance.start,
        };
        Count { at, elapsed_ms: self.elapsed(at), due: self.due(terms.target_ms) }
    }

    /// Business time up to an instant.
    pub(crate) fn elapsed(&self, until: Millis) -> Millis {
        let carried = self.carried.filter(|carried| carried.at <= until);
        let within = |span: &Span| {
            let from = carried.map_or(span.from, |carried| span.from.max(carried.at));
            self.calendar.elapsed(from, span.to.map_or(until, |to| to.min(until)))
        };
        let counted: Millis = self.instance.spans.iter().map(within).sum();
        counted.saturating_add(carried.map_or(0, |carried| carried.ms))
    }

    /// The earliest instant at which so much business time has passed, if it comes to that.
    pub(crate) fn due(&self, target_ms: Millis) -> Option<Millis> {
        let ended = self.instance.end.time();
        let carried = self.carried.filter(|carried| ended.is_none_or(|ended| ended > carried.at));
        let mut left = target_ms - carried.map_or(0, |carried| carried.ms);
        if let Some(carried) = carried.filter(|_| left <= 0) {
            return Some(carried.at);
        }
        for span in &self.instance.spans {
            let from = carried.map_or(span.from, |carried| span.from.max(carried.at));
            // What ran when it ended would have run on.
            match span.to.filter(|to| Some(*to) != ended) {
                None => return Some(self.calendar.due(from, left)),
                Some(to) => {
                    let passed = self.calendar.elapsed(from, to);
                    if passed >= left {
                        return Some(self.calendar.due(from, left));
                    }
                    left -= passed;
                }
            }
        }
        None
    }

    /// The next warning after `warned` of them. Those that `now` finds past are passed over, or the
    /// last of them is given still.
    pub(crate) fn warning(&self, terms: &Terms, warned: u32, now: Millis, past_too: bool) -> Option<Millis> {
        let mut next = None;
        for after_ms in terms.warn_after_ms.iter().skip(warned as usize) {
            let at = self.due(*after_ms)?;
            if at > now {
                return next.or(Some(at));
            }
            next = past_too.then_some(at);
        }
        next
    }
}
