//! One decision: a fact, what it makes of its threads, and what their clocks do about it.

use std::sync::Arc;

use rejoinder_machine::{Context, event};
use rejoinder_model::ThreadId;
use rejoinder_wire::event::{Event, ThreadFollowed, event::Body, thread_followed as followed, thread_followed::What};

use crate::follow::{self, Threads};
use crate::record::{Rule, Thread, Workspace};
use crate::review;
use crate::state::SlaTimer;

/// Why clocks are looked at: what is to become of those that the facts no longer know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A message or a change of state.
    Facts,
    /// Threads became one.
    Merged,
    /// Threads fell apart, or messages moved.
    Regrouped,
    /// This message is gone.
    Revoked(u128),
    /// Another policy, or another rule of it.
    Policy,
}

/// A decision on the way.
pub(crate) struct Decision<'a> {
    pub(crate) state: &'a SlaTimer,
    pub(crate) context: &'a Context,
    pub(crate) workspace: &'a str,
    pub(crate) policy: Arc<Workspace>,
    out: &'a mut Vec<Event>,
    /// Events of this decision start here.
    start: usize,
}

impl<'a> Decision<'a> {
    pub(crate) fn new(state: &'a SlaTimer, context: &'a Context, workspace: &'a str, out: &'a mut Vec<Event>) -> Self {
        let start = out.len();
        Self { state, context, workspace, policy: state.workspace(workspace), out, start }
    }

    pub(crate) fn push(&mut self, body: Body) {
        self.out.push(event(self.workspace, body));
    }

    /// How many events it has so far.
    pub(crate) fn events(&self) -> usize {
        self.out.len() - self.start
    }

    /// The own_seq of the next event.
    pub(crate) fn next_seq(&self) -> u64 {
        self.context.next_own_seq + self.events() as u64
    }

    /// A fact about one thread. `base` is the message's base thread, or the thread itself.
    pub(crate) fn follow(&mut self, base: u64, what: What, why: Why, quiet: bool) {
        let (root, mut thread) = match self.state.find(base) {
            Some((root, thread)) => (root.0, (*thread).clone()),
            // Messages of what is dissolved have no clocks.
            None if self.state.threads.get(&ThreadId(base)).is_some() => return,
            None => (base, Thread { workspace: self.workspace.to_owned(), ..Thread::default() }),
        };
        let seq = self.next_seq();
        let number = if matches!(what, What::Said(_)) { base } else { root };
        follow::follow(&mut thread, root, base, seq, &what);
        start_rules(&mut thread, &self.policy);
        self.push(Body::ThreadFollowed(ThreadFollowed { thread: number, what: Some(what) }));
        review::review(self, root, &mut thread, why, quiet);
    }

    /// A fact that joins or parts threads.
    pub(crate) fn regroup(&mut self, base: u64, what: What) {
        let mut threads = Threads::new();
        let number = if matches!(what, What::Dissolved(_)) { base } else { self.root(base) };
        load(self.state, self.workspace, &mut threads, number, &what);
        let touched = regroup(&mut threads, number, &what);
        let why = if matches!(what, What::Merged(_)) { Why::Merged } else { Why::Regrouped };
        self.push(Body::ThreadFollowed(ThreadFollowed { thread: number, what: Some(what) }));
        for id in touched {
            if let Some(thread) = threads.get_mut(&id) {
                review::review(self, id, thread, why, false);
            }
        }
    }

    fn root(&self, base: u64) -> u64 {
        self.state.find(base).map_or(base, |(root, _)| root.0)
    }
}

/// The rules count for a thread from its first fact on.
pub(crate) fn start_rules(thread: &mut Thread, policy: &Workspace) {
    if thread.metrics.is_none() {
        thread.metrics = Some(Rule::metrics(policy.rule_for(thread)));
    }
}

/// Loads the threads that a regrouping is about.
pub(crate) fn load(state: &SlaTimer, workspace: &str, threads: &mut Threads, number: u64, what: &What) {
    let mut take = |id: u64| {
        let known = state.threads.get(&ThreadId(id)).map(|thread| (*thread).clone());
        let new = || Thread { workspace: workspace.to_owned(), ..Thread::default() };
        threads.insert(id, known.unwrap_or_else(new));
    };
    take(number);
    match what {
        What::Merged(merged) => take(merged.from),
        What::Dissolved(followed::Dissolved {}) => {
            if let Some((root, _)) = state.find(number) {
                take(root.0);
            }
        }
        What::Said(_)
        | What::Revoked(_)
        | What::Changed(_)
        | What::Unmerged(_)
        | What::Split(_)
        | What::Confirmed(_)
        | What::Awaited(_)
        | What::Ruled(_) => {}
    }
}

/// Joins or parts threads. Answers with those whose clocks are to be looked at.
pub(crate) fn regroup(threads: &mut Threads, number: u64, what: &What) -> Vec<u64> {
    match what {
        What::Merged(merged) => {
            follow::merge(threads, number, merged);
            vec![number]
        }
        What::Unmerged(unmerged) => {
            follow::unmerge(threads, number, unmerged);
            unmerged.parts.iter().map(|part| part.thread).collect()
        }
        What::Split(split) => {
            follow::split(threads, number, split);
            vec![number, split.into]
        }
        What::Dissolved(followed::Dissolved {}) => {
            // Loaded: the base thread, and the thread that it is part of.
            let root = threads.keys().copied().find(|id| *id != number).unwrap_or(number);
            let heir = follow::dissolve(threads, root, number);
            std::iter::once(number).chain(heir).collect()
        }
        What::Said(_)
        | What::Revoked(_)
        | What::Changed(_)
        | What::Confirmed(_)
        | What::Awaited(_)
        | What::Ruled(_) => Vec::new(),
    }
}
