//! The state of sla-timer in one partition: its tables, and how they are read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_machine::quarantine::{Quarantine, SetsAside};
use rejoinder_machine::request::Requests;
use rejoinder_machine::{Backing, Context, DueTimer, Failure, Own, Source, State, Table, TableVisitor, Timers};
use rejoinder_model::{AlarmId, ClockId, Service, ThreadId};
use rejoinder_wire::event::Event;

use crate::calendar::Calendar;
use crate::record::{Alarm, Clock, Hours, Request, Review, Thread, Workspace};
use crate::{apply, consider, fire, review};

/// Which timer of a clock: it is due.
pub(crate) const DUE: u8 = 1;
/// Which timer of a clock: a warning.
pub(crate) const WARN: u8 = 2;

/// Threads with their clocks, alarms, and what finds them.
pub struct SlaTimer {
    /// By name.
    pub workspaces: Table<String, Workspace>,
    /// By number.
    pub threads: Table<ThreadId, Thread>,
    /// The base thread of a clock.
    pub clocks: Table<ClockId, u64>,
    /// By number, until they are cleared.
    pub alarms: Table<AlarmId, Alarm>,
    /// By digest.
    pub hours: Table<u64, Hours>,
    /// Newly adopted policies on their way through the threads.
    pub reviews: Table<u64, Review>,
    /// By day and key.
    pub requests: Requests<Request>,
    /// Inputs that were set aside.
    pub quarantine: Quarantine,
    pub(crate) timers: Timers,
    /// The first of `reviews`, once looked up.
    pub(crate) next_review: Cell<Option<Option<u64>>>,
    /// Calendars ready for use: follow from `hours`.
    calendars: RefCell<BTreeMap<u64, Arc<Calendar>>>,
}

impl SlaTimer {
    /// The workspace's policy and counts; the built-in ones for one not seen yet.
    #[must_use]
    pub fn workspace(&self, name: &str) -> Arc<Workspace> {
        self.workspaces.get(&name.to_owned()).unwrap_or_default()
    }

    /// Does the workspace exist? `default` does, others once they have a policy.
    #[must_use]
    pub fn has_workspace(&self, name: &str) -> bool {
        name == "default" || self.workspaces.get(&name.to_owned()).is_some()
    }

    /// The thread that a base thread is part of today; `None` when it is dissolved or unknown.
    #[must_use]
    pub fn find(&self, base: u64) -> Option<(ThreadId, Arc<Thread>)> {
        let mut id = ThreadId::from_wire(base)?;
        loop {
            let thread = self.threads.get(&id)?;
            if thread.dissolved {
                return None;
            }
            match ThreadId::from_wire(thread.into) {
                None => return Some((id, thread)),
                Some(into) => id = into,
            }
        }
    }

    /// A clock, and the thread that it is on today.
    #[must_use]
    pub fn clock(&self, id: ClockId) -> Option<(ThreadId, Arc<Thread>, Clock)> {
        let base = *self.clocks.get(&id)?;
        // The clocks of what was dissolved stay with it.
        let dissolved = || self.threads.get(&ThreadId(base)).map(|thread| (ThreadId(base), thread));
        let (thread, record) = self.find(base).or_else(dissolved)?;
        let at = record.clocks.binary_search_by_key(&id.0, |clock| clock.id).ok()?;
        let clock = record.clocks.get(at)?.clone();
        Some((thread, record, clock))
    }

    /// The review that goes on next.
    pub(crate) fn next_review(&self) -> Option<u64> {
        let known = self.next_review.get();
        let next = known.unwrap_or_else(|| self.reviews.page(&0, 1).first().map(|(adopted, _)| *adopted));
        self.next_review.set(Some(next));
        next
    }

    /// The calendar of a digest; 0: round the clock.
    #[must_use]
    pub fn calendar(&self, digest: u64) -> Arc<Calendar> {
        if let Some(calendar) = self.calendars.borrow().get(&digest) {
            return calendar.clone();
        }
        // Policies are checked before they are published: what cannot be used never gets here.
        let hours = self.hours.get(&digest).and_then(|hours| Calendar::new(&hours).ok());
        let calendar = Arc::new(hours.unwrap_or(Calendar::Always));
        if digest == 0 || self.hours.get(&digest).is_some() {
            self.calendars.borrow_mut().insert(digest, calendar.clone());
        }
        calendar
    }
}

impl State for SlaTimer {
    const SERVICE: Service = Service::SlaTimer;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self {
            workspaces: Table::new(1, backing.clone()),
            threads: Table::new(2, backing.clone()),
            clocks: Table::new(3, backing.clone()),
            alarms: Table::new(4, backing.clone()),
            hours: Table::new(5, backing.clone()),
            reviews: Table::new(6, backing.clone()),
            requests: Table::new(7, backing.clone()),
            quarantine: Table::new(8, backing.clone()),
            timers: Timers::new(9, backing),
            next_review: Cell::new(None),
            calendars: RefCell::default(),
        }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        apply::apply(self, own, event);
    }

    fn consider(&self, context: &Context, _: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
        consider::consider(self, context, input, out);
        Ok(())
    }

    fn fire(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        fire::fire(self, context, timer, out);
    }

    fn follow_up(&self, context: &Context, out: &mut Vec<Event>) {
        review::follow_up(self, context, out);
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.workspaces);
        visitor.visit(&mut self.threads);
        visitor.visit(&mut self.clocks);
        visitor.visit(&mut self.alarms);
        visitor.visit(&mut self.hours);
        visitor.visit(&mut self.reviews);
        visitor.visit(&mut self.requests);
        visitor.visit(&mut self.quarantine);
        visitor.visit(self.timers.table());
    }
}

impl SetsAside for SlaTimer {
    fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
