//! A core with a fault in it: what it decides is tampered with, what it folds is not.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rejoinder_machine::{Backing, Context, DueTimer, Failure, Own, Source, State, TableVisitor, Timers, event};
use rejoinder_model::{Service, ThreadId};
use rejoinder_sla_core::SlaTimer;
use rejoinder_wire::event::{ClockBreached, ClockFigures, ClockRetargeted, Event, event::Body};

use super::{PLANTED, Plant};

/// One in so many inputs is poison, where there is any.
const POISON: u64 = 23;

/// A core, and the fault that is planted in it.
pub(in crate::simulation) struct Planted<S> {
    core: S,
    plant: Plant,
    /// Nothing was decided since it was opened.
    fresh: Cell<bool>,
}

impl<S> Deref for Planted<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.core
    }
}

impl<S> DerefMut for Planted<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.core
    }
}

impl<S: Faulty> State for Planted<S> {
    const SERVICE: Service = S::SERVICE;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { core: S::open(backing), plant: PLANTED.get(), fresh: Cell::new(true) }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        self.core.apply(own, event);
    }

    fn consider(&self, context: &Context, source: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
        if self.plant == Plant::Poison && source.own_seq % POISON == S::SERVICE as u64 {
            return Err(Failure("it is poison".into()));
        }
        let start = out.len();
        self.core.consider(context, source, input, out)?;
        out[start..].iter_mut().for_each(|event| tamper(self.plant, event));
        Ok(())
    }

    fn fire(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let start = out.len();
        self.core.fire(context, timer, out);
        out[start..].iter_mut().for_each(|event| tamper(self.plant, event));
    }

    fn follow_up(&self, context: &Context, out: &mut Vec<Event>) {
        if self.fresh.replace(false) && self.plant == Plant::FiredAgain {
            self.core.fire_again(out);
            if !out.is_empty() {
                return;
            }
        }
        let start = out.len();
        self.core.follow_up(context, out);
        out[start..].iter_mut().for_each(|event| tamper(self.plant, event));
    }

    fn timers(&mut self) -> &mut Timers {
        self.core.timers()
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        self.core.visit_tables(visitor);
    }
}

/// A core that may be made to do what it has done before.
pub(in crate::simulation) trait Faulty: State {
    /// Says again what fired.
    fn fire_again(&self, _: &mut Vec<Event>) {}
}

impl Faulty for rejoinder_threading_core::Threading {}
impl Faulty for rejoinder_routing_core::Routing {}

impl Faulty for SlaTimer {
    fn fire_again(&self, out: &mut Vec<Event>) {
        for (id, thread) in self.threads.page(&ThreadId(0), 1_000) {
            let fired = thread.clocks.iter().find(|clock| clock.breached && clock.status.is_live());
            if let Some(clock) = fired {
                let figures = ClockFigures {
                    clock: clock.id,
                    thread: id.0,
                    metric: clock.metric,
                    policy_version: clock.policy_version,
                    opened_at: clock.opened_at,
                    at: clock.due_at,
                    elapsed_ms: clock.terms.target_ms,
                    due_at: clock.due_at,
                    opener: clock.opener.to_le_bytes().to_vec(),
                    rule: clock.rule.clone(),
                    ..ClockFigures::default()
                };
                let breached = ClockBreached { figures: Some(figures), late_by_ms: 0 };
                return out.push(event(&thread.workspace, Body::ClockBreached(breached)));
            }
        }
    }
}

/// Changes what was decided. No event goes away: the numbers of those behind it stay.
fn tamper(plant: Plant, event: &mut Event) {
    let Some(body) = &mut event.body else { return };
    match (plant, body) {
        (Plant::CapacityUncounted, Body::OfferMade(made)) => made.cost = 0,
        (Plant::CapacityUncounted, Body::AgentLoadChanged(_))
        | (Plant::RetractionOmitted, Body::BreachRetracted(_))
        | (Plant::TimerLost, Body::AlarmRaised(_)) => event.body = None,
        (Plant::TimerLost, Body::ClockBreached(breached)) => {
            let figures = breached.figures.take().map(|figures| ClockFigures { due_at: 0, ..figures });
            event.body = Some(Body::ClockRetargeted(ClockRetargeted { figures, ..ClockRetargeted::default() }));
        }
        _ => {}
    }
}
