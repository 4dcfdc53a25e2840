//! The state of routing in one partition: its tables and lists, and how they are read.

use std::sync::Arc;

use rejoinder_machine::quarantine::{Quarantine, SetsAside};
use rejoinder_machine::request::Requests;
use rejoinder_machine::{Backing, Context, DueTimer, Failure, Own, Source, State, Table, TableVisitor, Timers};
use rejoinder_model::{AgentKey, Millis, OfferId, PersonId, QueueKey, Service, ThreadId, WorkItemId};
use rejoinder_wire::event::Event;

use crate::decision::Decision;
use crate::index::Index;
use crate::key::{AgeKey, StaffKey, TodoKey, WaitKey, Work};
use crate::policy::Policy;
use crate::record::{
    Agent, Decision as Explained, Item, Offer, Outcomes, Phase, Queue, Request, Thread, Todo, Workspace,
};
use crate::{agent, apply, consider, drive, offer};

/// A waiting item is looked at again.
pub(crate) const LOOK: u8 = 1;
/// An offer's time is over.
pub(crate) const OFFER: u8 = 2;
/// An answered item is parked.
pub(crate) const PARK: u8 = 3;
/// An item's wrap-up is over.
pub(crate) const WRAP: u8 = 4;
/// An agent without a session gives its live items back.
pub(crate) const LIVE_GIVE_BACK: u8 = 5;
/// And then the others.
pub(crate) const GIVE_BACK: u8 = 6;

/// Items, offers, agents and what finds them.
pub struct Routing {
    /// By name.
    pub workspaces: Table<String, Workspace>,
    /// The policy in force, by workspace.
    pub policies: Table<String, Policy>,
    /// Counts of queues.
    pub queues: Table<QueueKey, Queue>,
    /// By name of the workspace.
    pub outcomes: Table<String, Outcomes>,
    /// By number of the thread as it is.
    pub threads: Table<ThreadId, Thread>,
    /// Who served a person last.
    pub persons: Table<PersonId, String>,
    /// By number.
    pub items: Table<WorkItemId, Item>,
    /// By number.
    pub offers: Table<OfferId, Offer>,
    /// By workspace and id.
    pub agents: Table<AgentKey, Agent>,
    /// Agents by the number of their timers.
    pub agent_numbers: Table<u64, AgentKey>,
    /// The last decisions on an item.
    pub explained: Table<WorkItemId, Vec<Explained>>,
    /// By day and key.
    pub requests: Requests<Request>,
    /// Inputs that were set aside.
    pub quarantine: Quarantine,
    pub(crate) waiting: Index<WaitKey, ()>,
    pub(crate) ages: Index<AgeKey, ()>,
    /// Waiting items that somebody is passed over for.
    pub(crate) withheld: Index<AgeKey, ()>,
    pub(crate) staff: Index<StaffKey, ()>,
    pub(crate) todo: Index<TodoKey, Todo>,
    pub(crate) timers: Timers,
}

/// Before all lines of a queue's staff.
pub(crate) fn first_of_staff(queue: QueueKey) -> StaffKey {
    StaffKey { queue, full: false, priority: 0, idle_since: Millis::MIN, agent: AgentKey(0) }
}

/// A queue as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// Items that wait.
    pub waiting: u64,
    /// Agents that are available.
    pub available: u32,
    /// Time of the oldest unanswered message among the waiting items; 0: none waits.
    pub oldest_since: Millis,
}

impl Routing {
    /// The policy in force in a workspace; the built-in one where none is.
    #[must_use]
    pub fn policy(&self, workspace: &str) -> Arc<Policy> {
        self.policies.get(&workspace.to_owned()).unwrap_or_default()
    }

    /// Does the workspace exist? `default` does, others once they have a policy.
    #[must_use]
    pub fn has_workspace(&self, name: &str) -> bool {
        name == "default" || self.policies.get(&name.to_owned()).is_some()
    }

    /// An item by number.
    #[must_use]
    pub fn item(&self, id: u64) -> Option<Arc<Item>> {
        self.items.get(&WorkItemId(id))
    }

    /// The last decisions on an item, the oldest first.
    #[must_use]
    pub fn decisions(&self, id: u64) -> Vec<Explained> {
        self.explained.get(&WorkItemId(id)).map(|all| (*all).clone()).unwrap_or_default()
    }

    /// A queue as it is now.
    #[must_use]
    pub fn queue_view(&self, workspace: &str, name: &str) -> QueueView {
        let counts = self.queue_counts(workspace, name);
        let queue = QueueKey::new(workspace, name);
        let from = AgeKey { queue, since: Millis::MIN, item: 0 };
        let oldest = self.ages.from(&from).next().filter(|age| age.queue == queue);
        QueueView {
            waiting: counts.waiting,
            available: counts.available,
            oldest_since: oldest.map_or(0, |age| age.since),
        }
    }

    /// Is there nothing left to do but to wait?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.todo.first().is_none()
    }

    pub(crate) fn queue_counts(&self, workspace: &str, name: &str) -> Queue {
        self.queues.get(&QueueKey::new(workspace, name)).map(|queue| (*queue).clone()).unwrap_or_default()
    }

    pub(crate) fn workspace(&self, name: &str) -> Arc<Workspace> {
        self.workspaces.get(&name.to_owned()).unwrap_or_default()
    }

    fn fire_of_item(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        let Some(item) = self.item(timer.entity) else { return };
        let mut decision = Decision::new(self, context, &item.workspace, out);
        let id = timer.entity;
        match (timer.kind, item.phase) {
            (LOOK, Phase::Queued) => decision.look_again(id, (*item).clone()),
            (PARK, Phase::Assigned) => {
                use rejoinder_wire::event::work_item_parked::Cause;
                let live = decision.kind(&item).live;
                decision.park(id, &item, if live { Cause::CustomerSilent } else { Cause::Answered });
            }
            (WRAP, Phase::Wrapping) => decision.done(id, &item),
            _ => {}
        }
    }
}

impl State for Routing {
    const SERVICE: Service = Service::Routing;

    fn open(backing: Arc<dyn Backing>) -> Self {
        let least = QueueKey(0);
        let age = AgeKey { queue: least, since: Millis::MIN, item: 0 };
        let wait = WaitKey { queue: least, class: 0, band: 0, order: Millis::MIN, item: 0 };
        Self {
            workspaces: Table::new(1, backing.clone()),
            policies: Table::new(2, backing.clone()),
            queues: Table::new(3, backing.clone()),
            outcomes: Table::new(19, backing.clone()),
            threads: Table::new(4, backing.clone()),
            persons: Table::new(5, backing.clone()),
            items: Table::new(6, backing.clone()),
            offers: Table::new(7, backing.clone()),
            agents: Table::new(8, backing.clone()),
            agent_numbers: Table::new(9, backing.clone()),
            explained: Table::new(10, backing.clone()),
            requests: Table::new(11, backing.clone()),
            quarantine: Table::new(12, backing.clone()),
            waiting: Index::open(13, backing.clone(), wait),
            ages: Index::open(14, backing.clone(), age),
            withheld: Index::open(15, backing.clone(), age),
            staff: Index::open(16, backing.clone(), first_of_staff(least)),
            todo: Index::open(17, backing.clone(), TodoKey { work: Work::Agent, about: 0 }),
            timers: Timers::new(18, backing),
        }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        apply::apply(self, own, event);
    }

    fn consider(&self, context: &Context, _: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
        consider::consider(self, context, input, out)
    }

    fn fire(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>) {
        match timer.kind {
            OFFER => offer::fire(self, context, timer, out),
            LIVE_GIVE_BACK | GIVE_BACK => agent::fire(self, context, timer, out),
            _ => self.fire_of_item(context, timer, out),
        }
    }

    fn follow_up(&self, context: &Context, out: &mut Vec<Event>) {
        drive::follow_up(self, context, out);
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.workspaces);
        visitor.visit(&mut self.policies);
        visitor.visit(&mut self.queues);
        visitor.visit(&mut self.outcomes);
        visitor.visit(&mut self.threads);
        visitor.visit(&mut self.persons);
        visitor.visit(&mut self.items);
        visitor.visit(&mut self.offers);
        visitor.visit(&mut self.agents);
        visitor.visit(&mut self.agent_numbers);
        visitor.visit(&mut self.explained);
        visitor.visit(&mut self.requests);
        visitor.visit(&mut self.quarantine);
        visitor.visit(self.waiting.table());
        visitor.visit(self.ages.table());
        visitor.visit(self.withheld.table());
        visitor.visit(self.staff.table());
        visitor.visit(self.todo.table());
        visitor.visit(self.timers.table());
    }
}

impl SetsAside for Routing {
    fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
