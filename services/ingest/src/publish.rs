//! Publishing a batch of interactions.

use rejoinder_ingest_core::{Arrival, Ingest, Outcome, accept};
use rejoinder_machine::{Context, Job};
use rejoinder_model::Position;
use rejoinder_wire::event::Event;

/// What became of a batch: an outcome for each interaction, or `None` when that is not known and the
/// batch must be sent again.
pub type Published = Option<(Vec<Outcome>, Position)>;

/// A batch of one workspace on its way through ingest's lane.
pub struct Publish<F> {
    workspace: String,
    arrivals: Vec<Option<Arrival>>,
    outcomes: Vec<Outcome>,
    bytes: usize,
    reply: F,
}

impl<F: FnOnce(Published) + Send> Publish<F> {
    /// A batch of `bytes` bytes. `reply` is called once, when all of it is durable or lost.
    pub fn new(workspace: String, arrivals: Vec<Arrival>, bytes: usize, reply: F) -> Self {
        let arrivals: Vec<Option<Arrival>> = arrivals.into_iter().map(Some).collect();
        Self { workspace, outcomes: Vec::with_capacity(arrivals.len()), arrivals, bytes, reply }
    }
}

impl<F: FnOnce(Published) + Send> Job<Ingest> for Publish<F> {
    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn parts(&self) -> usize {
        self.arrivals.len()
    }

    fn decide(&mut self, part: usize, state: &Ingest, context: &Context, out: &mut Vec<Event>) {
        if let Some(arrival) = self.arrivals.get_mut(part).and_then(Option::take) {
            self.outcomes.push(accept(state, context, &self.workspace, arrival, out));
        }
    }

    fn done(self: Box<Self>, as_of: Position) {
        (self.reply)(Some((self.outcomes, as_of)));
    }

    fn lost(self: Box<Self>) {
        (self.reply)(None);
    }
}
