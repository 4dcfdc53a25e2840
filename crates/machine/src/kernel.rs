//! The traits between a pure core and its shell.

use std::sync::Arc;

use rejoinder_model::{Millis, Position, Service};
use rejoinder_wire::event::{Event, event::Body};

pub use rejoinder_wire::event::Source;

use crate::table::{Backing, TableOps};
use crate::timers::Timers;

/// What a decision may know besides the state.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The partition of the lane.
    pub partition: u16,
    /// The time of the frame in which the decision will stand: never before that of a counted frame.
    pub now: Millis,
    /// The own_seq that the first event of this decision will have.
    pub next_own_seq: u64,
}

/// What `apply` may know besides the state and the event.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The partition of the lane.
    pub partition: u16,
    /// The number of the event in its lane.
    pub own_seq: u64,
}

/// A timer that a counted tick made due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTimer {
    /// When it was due.
    pub due: Millis,
    /// What it is about.
    pub entity: u64,
    /// Which timer of the entity.
    pub kind: u8,
}

/// A decision that failed: the input is set aside, and the lane goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Something done with all tables of a state, one after the other.
pub trait TableVisitor {
    /// Visits one table.
    fn visit(&mut self, table: &mut dyn TableOps);
}

/// The state of one service in one partition, with the rules that decide on it.
pub trait State: Send + Sized + 'static {
    /// The service whose events it folds.
    const SERVICE: Service;

    /// An empty state in front of what was stored before.
    fn open(backing: Arc<dyn Backing>) -> Self;

    /// Folds one own event. Never refuses.
    fn apply(&mut self, own: Own, event: &Event);

    /// What an event of an upstream service leads to.
    ///
    /// # Errors
    /// When no decision can be made: the input is retried alone, then set aside.
    fn consider(&self, context: &Context, source: Source, event: &Event, out: &mut Vec<Event>) -> Result<(), Failure>;

    /// What a timer leads to. Its removal must follow from the events.
    fn fire(&self, context: &Context, timer: DueTimer, out: &mut Vec<Event>);

    /// The next decision that follows from earlier ones alone: what fans out goes on from its stored
    /// cursor. Asked after every other decision, a bounded number of times, until it adds nothing;
    /// each answer must bring that end nearer.
    fn follow_up(&self, _: &Context, _: &mut Vec<Event>) {}

    /// The timers, for the shell to see what is due.
    fn timers(&mut self) -> &mut Timers;

    /// Leads a visitor through all tables, always in the same order.
    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor);
}

/// A command or a query from outside, decided in parts so that a batch may span frames.
pub trait Job<S>: Send {
    /// Whose share of the partition it uses.
    fn workspace(&self) -> &str;

    /// Bytes it holds in the queue.
    fn bytes(&self) -> usize {
        256
    }

    /// Into how many decisions it falls; one at least.
    fn parts(&self) -> usize {
        1
    }

    /// It is decided once every record below this index has been considered, so that a caller sees
    /// what it wrote through another service. Never beyond the log's end.
    fn not_before(&self) -> u64 {
        0
    }

    /// Decides one part. Events go to `out`; the answer stays in the job until `done`.
    fn decide(&mut self, part: usize, state: &S, context: &Context, out: &mut Vec<Event>);

    /// All that it decided, and all that it was decided on, is durable.
    fn done(self: Box<Self>, as_of: Position);

    /// The outcome is not known: the lane lost its partition or stops.
    fn lost(self: Box<Self>);
}

/// An event of a workspace.
#[must_use]
pub fn event(workspace: &str, body: Body) -> Event {
    Event { workspace: workspace.to_owned(), body: Some(body), ..Event::default() }
}
