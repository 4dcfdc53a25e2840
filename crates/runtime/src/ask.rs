//! Questions to a lane's state and decisions on it, as closures; answered when what they were judged on
//! is done.

use rejoinder_machine::{Context, Job};
use rejoinder_model::Position;
use rejoinder_wire::event::Event;

/// A question of a workspace.
pub struct Ask<Q, R, F> {
    workspace: String,
    question: Option<Q>,
    answer: Option<R>,
    reply: F,
    not_before: u64,
}

impl<Q, R, F> Ask<Q, R, F> {
    /// A question; `reply` gets the answer and the position it holds for, or `None` when the lane
    /// cannot answer now.
    pub fn new(workspace: String, question: Q, reply: F) -> Self {
        Self { workspace, question: Some(question), answer: None, reply, not_before: 0 }
    }

    /// Answers once all records below `index` were considered.
    #[must_use]
    pub fn not_before(mut self, index: u64) -> Self {
        self.not_before = index;
        self
    }
}

impl<S, Q, R, F> Job<S> for Ask<Q, R, F>
where
    Q: FnOnce(&S) -> R + Send,
    R: Send,
    F: FnOnce(Option<(R, Position)>) + Send,
{
    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn not_before(&self) -> u64 {
        self.not_before
    }

    fn decide(&mut self, _: usize, state: &S, _: &Context, _: &mut Vec<Event>) {
        self.answer = self.question.take().map(|question| question(state));
    }

    fn done(self: Box<Self>, as_of: Position) {
        (self.reply)(self.answer.map(|answer| (answer, as_of)));
    }

    fn lost(self: Box<Self>) {
        (self.reply)(None);
    }
}

/// A decision for a workspace.
pub struct Decide<D, R, F> {
    workspace: String,
    decision: Option<D>,
    answer: Option<R>,
    reply: F,
    not_before: u64,
}

impl<D, R, F> Decide<D, R, F> {
    /// A decision; `reply` gets its answer and where it stands, or `None` when the outcome is not known.
    pub fn new(workspace: String, decision: D, reply: F) -> Self {
        Self { workspace, decision: Some(decision), answer: None, reply, not_before: 0 }
    }

    /// Decides once all records below `index` were considered.
    #[must_use]
    pub fn not_before(mut self, index: u64) -> Self {
        self.not_before = index;
        self
    }
}

impl<S, D, R, F> Job<S> for Decide<D, R, F>
where
    D: FnOnce(&S, &Context, &mut Vec<Event>) -> R + Send,
    R: Send,
    F: FnOnce(Option<(R, Position)>) + Send,
{
    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn not_before(&self) -> u64 {
        self.not_before
    }

    fn decide(&mut self, _: usize, state: &S, context: &Context, out: &mut Vec<Event>) {
        self.answer = self.decision.take().map(|decision| decision(state, context, out));
    }

    fn done(self: Box<Self>, as_of: Position) {
        (self.reply)(self.answer.map(|answer| (answer, as_of)));
    }

    fn lost(self: Box<Self>) {
        (self.reply)(None);
    }
}
