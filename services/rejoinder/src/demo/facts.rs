//! What the event feed tells: figures of offers and clocks, and the stories of work items.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rejoinder_model::{Millis, WorkItemId};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::offer_revoked::Reason;
use rejoinder_wire::event::{ClockOpened, Metric, OfferMade};

use super::audit::Audit;

/// Decisions that an explanation has, the last ones.
const EXPLAINED: usize = 5;

/// What became of offers.
#[derive(Clone, Copy, Default)]
pub(super) struct Offers {
    pub(super) made: u64,
    pub(super) accepted: u64,
    pub(super) declined: u64,
    pub(super) timed_out: u64,
    /// Taken back since another agent was first, or the agent was lost; and for any other reason.
    pub(super) other_accepted: u64,
    pub(super) agent_lost: u64,
    pub(super) taken_back: u64,
}

/// A clock as its events left it.
#[derive(Clone, Copy)]
struct Clock {
    metric: Metric,
    breached: bool,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Met,
    Cancelled,
}

/// How many clocks came to what.
#[derive(Clone, Copy, Default)]
pub(super) struct Outcomes {
    pub(super) met: u64,
    pub(super) breached: u64,
    pub(super) cancelled: u64,
    pub(super) running: u64,
}

/// A work item's story.
#[derive(Default)]
struct Story {
    thread: u64,
    decisions: usize,
    offers: u64,
    declined: u64,
    timed_out: u64,
    /// Who was asked, and whether somebody else was after an offer was declined or not answered.
    agents: BTreeSet<String>,
    again: bool,
    accepted: u64,
}

/// A clock that goes by a calendar.
#[derive(Clone)]
pub(super) struct ByCalendar {
    pub(super) target_ms: Millis,
    pub(super) opened_at: Millis,
    pub(super) due_at: Millis,
}

/// All that was told so far.
pub(super) struct Facts {
    pub(super) offers: Offers,
    pub(super) audit: Audit,
    clocks: BTreeMap<u64, Clock>,
    items: BTreeMap<u64, Story>,
    /// Threads on which a clock breached.
    breached: BTreeSet<u64>,
    /// Alarms that were raised.
    pub(super) alarms: BTreeSet<u64>,
    /// Offers that were accepted.
    pub(super) accepted: BTreeSet<u64>,
    /// The first such clock.
    pub(super) by_calendar: Option<ByCalendar>,
}

impl Facts {
    pub(super) fn new(audit: Audit) -> Self {
        Self {
            offers: Offers::default(),
            audit,
            clocks: BTreeMap::new(),
            items: BTreeMap::new(),
            breached: BTreeSet::new(),
            alarms: BTreeSet::new(),
            accepted: BTreeSet::new(),
            by_calendar: None,
        }
    }

    /// Names of the events that it reads.
    pub(super) const TYPES: [&str; 19] = [
        "AlarmRaised",
        "BreachRetracted",
        "ClockBreached",
        "ClockCancelled",
        "ClockMet",
        "ClockOpened",
        "ClockReopened",
        "DecisionExplained",
        "OfferAccepted",
        "OfferDeclined",
        "OfferMade",
        "OfferRevoked",
        "OfferTimedOut",
        "Overcommitted",
        "WorkItemAssigned",
        "WorkItemCancelled",
        "WorkItemDone",
        "WorkItemParked",
        "WorkItemQueued",
    ];

    /// The next event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about nothing that is shown")]
    pub(super) fn event(&mut self, body: &Body) {
        self.audit.event(body);
        match body {
            Body::OfferMade(made) => self.made(made),
            Body::OfferAccepted(over) => {
                self.offers.accepted += 1;
                self.accepted.insert(over.offer);
                self.of_item(over.item).accepted += 1;
            }
            Body::OfferDeclined(over) => {
                self.offers.declined += 1;
                self.of_item(over.item).declined += 1;
            }
            Body::OfferTimedOut(over) => {
                self.offers.timed_out += 1;
                self.of_item(over.item).timed_out += 1;
            }
            Body::OfferRevoked(over) => match over.reason() {
                Reason::OtherAccepted => self.offers.other_accepted += 1,
                Reason::AgentLost => self.offers.agent_lost += 1,
                Reason::Unspecified | Reason::ItemCancelled | Reason::Policy | Reason::Moved => {
                    self.offers.taken_back += 1;
                }
            },
            Body::DecisionExplained(explained) => self.of_item(explained.item).decisions += 1,
            Body::ClockOpened(opened) => self.opened(opened),
            Body::ClockBreached(breached) => {
                let figures = breached.figures.clone().unwrap_or_default();
                self.breached.insert(figures.thread);
                self.clock(figures.clock, |clock| clock.breached = true);
            }
            Body::BreachRetracted(retracted) => {
                self.clock(retracted.figures.clone().unwrap_or_default().clock, |clock| clock.breached = false);
            }
            Body::ClockMet(met) => {
                self.clock(met.figures.clone().unwrap_or_default().clock, |clock| clock.end = Some(End::Met));
            }
            Body::ClockCancelled(cancelled) => {
                let clock = cancelled.figures.clone().unwrap_or_default().clock;
                self.clock(clock, |clock| clock.end = Some(End::Cancelled));
            }
            Body::ClockReopened(reopened) => {
                self.clock(reopened.figures.clone().unwrap_or_default().clock, |clock| clock.end = None);
            }
            Body::AlarmRaised(alarm) => {
                self.alarms.insert(alarm.alarm);
            }
            _ => {}
        }
    }

    fn of_item(&mut self, item: u64) -> &mut Story {
        self.items.entry(item).or_default()
    }

    fn made(&mut self, made: &OfferMade) {
        self.offers.made += 1;
        let story = self.of_item(made.item);
        (story.thread, story.offers) = (made.thread, story.offers + 1);
        story.again |= story.agents.insert(made.agent.clone()) && story.declined + story.timed_out > 0;
    }

    fn clock(&mut self, clock: u64, change: impl FnOnce(&mut Clock)) {
        if let Some(clock) = self.clocks.get_mut(&clock) {
            change(clock);
        }
    }

    fn opened(&mut self, opened: &ClockOpened) {
        let Some(figures) = &opened.figures else { return };
        self.clocks.insert(figures.clock, Clock { metric: figures.metric(), breached: false, end: None });
        if let Some(terms) = opened.terms.as_ref().filter(|terms| !terms.calendar.is_empty()) {
            let (opened_at, due_at) = (figures.opened_at, figures.due_at);
            self.by_calendar.get_or_insert(ByCalendar { target_ms: terms.target_ms, opened_at, due_at });
        }
    }

    /// What became of clocks, by metric.
    pub(super) fn outcomes(&self) -> BTreeMap<i32, Outcomes> {
        let mut by_metric: BTreeMap<i32, Outcomes> = BTreeMap::new();
        for clock in self.clocks.values() {
            let outcomes = by_metric.entry(clock.metric as i32).or_default();
            // A breach that stands outlasts a later fulfilment.
            let counted = match clock.end {
                _ if clock.breached => &mut outcomes.breached,
                Some(End::Met) => &mut outcomes.met,
                Some(End::Cancelled) => &mut outcomes.cancelled,
                None => &mut outcomes.running,
            };
            *counted += 1;
        }
        by_metric
    }

    /// The work item whose decisions are most worth reading, and why: somebody declined it or did not answer,
    /// somebody else took it, and a clock breached on its thread.
    pub(super) fn story(&self) -> Option<(String, String)> {
        let worth = |story: &Story| {
            let breached = self.breached.contains(&story.thread);
            let whole = story.accepted == 1 && story.decisions <= EXPLAINED;
            // The fewer were asked, the shorter it is told.
            (whole, story.again, breached, Reverse(story.agents.len()))
        };
        // Of equals the first one.
        let best = self.items.iter().max_by_key(|(item, story)| (worth(story), Reverse(**item)));
        let (item, story) = best?;
        let mut what = vec![format!("{} offers", story.offers)];
        what.extend((story.declined > 0).then(|| format!("{} declined", story.declined)));
        what.extend((story.timed_out > 0).then(|| format!("{} timed out", story.timed_out)));
        what.extend((story.accepted > 0).then(|| format!("{} accepted", story.accepted)));
        what.extend(self.breached.contains(&story.thread).then(|| "a clock of its thread breached".to_owned()));
        Some((WorkItemId(*item).to_string(), what.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::{BreachRetracted, ClockBreached, ClockFigures, ClockMet, OfferAccepted, OfferDeclined};

    use super::*;

    fn figures(clock: u64) -> Option<ClockFigures> {
        Some(ClockFigures { clock, thread: 5, metric: Metric::FirstResponse as i32, ..ClockFigures::default() })
    }

    fn told(events: &[Body]) -> Facts {
        let mut facts = Facts::new(Audit::default());
        events.iter().for_each(|event| facts.event(event));
        facts
    }

    #[test]
    fn a_breach_outlasts_the_answer_unless_it_is_retracted() {
        let opened = |clock| Body::ClockOpened(ClockOpened { figures: figures(clock), ..ClockOpened::default() });
        let breached =
            |clock| Body::ClockBreached(ClockBreached { figures: figures(clock), ..ClockBreached::default() });
        let met = |clock| Body::ClockMet(ClockMet { figures: figures(clock), ..ClockMet::default() });
        let retracted = Body::BreachRetracted(BreachRetracted { figures: figures(2) });
        let facts = told(&[opened(1), opened(2), opened(3), breached(1), met(1), breached(2), retracted, met(2)]);
        let outcomes = facts.outcomes()[&(Metric::FirstResponse as i32)];
        assert_eq!((outcomes.met, outcomes.breached, outcomes.running), (1, 1, 1));
    }

    #[test]
    fn the_story_is_of_an_item_that_went_on_to_somebody_else() {
        let made = |item, agent: &str| {
            Body::OfferMade(OfferMade { item, thread: item, agent: agent.into(), ..OfferMade::default() })
        };
        let declined = |item| Body::OfferDeclined(OfferDeclined { item, ..OfferDeclined::default() });
        let accepted = |item| Body::OfferAccepted(OfferAccepted { item, ..OfferAccepted::default() });
        let plain = [made(1, "ann"), accepted(1)];
        let again_to_the_same = [made(2, "ann"), declined(2), made(2, "ann"), accepted(2)];
        let to_another = [made(3, "ann"), declined(3), made(3, "bob"), accepted(3)];
        let (item, what) = told(&[&plain[..], &again_to_the_same, &to_another].concat()).story().unwrap();
        assert_eq!(item, WorkItemId(3).to_string());
        assert_eq!(what, "2 offers, 1 declined, 1 accepted");
        assert!(told(&[]).story().is_none());
    }
}
