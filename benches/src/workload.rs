//! Workload W: desks that talk to their customers, message by message.
//!
//! A thread has eight messages, both ways. In six of ten the customer comes back once, so that one
//! message in five opens a work item or wakes one. Half of the threads are public and linked by replies,
//! the others direct messages. Nobody replies before an agent has the thread, and nobody comes back
//! before its work item is at rest: a server that is slow has less to do, or more threads at the same time.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use prost_types::Timestamp;
use rejoinder_api::ingest::{Author, Direction, Interaction, Structure, Visibility};

use crate::clock;
use crate::latency::Latencies;

/// Who writes, message by message; `true`: the customer.
type Script = &'static [bool];

const COMES_BACK: Script = &[true, true, true, false, false, true, true, false];
const ASKS_ONCE: Script = &[true, true, true, true, false, false, false, false];
/// Asked and answered: what stays open and arms a timer.
const ANSWERED: Script = &[true, false];
/// Asked, and nobody answers.
const ASKED_ONLY: Script = &[true];

const ASKED: [&str; 4] = [
    "My parcel was to arrive on Monday, it is Thursday now and the tracking page says nothing at all.",
    "Hello? Is anybody there?",
    "I was charged twice for the same order, please look into it and tell me when I get my money back.",
    "Thank you. And what about the second one, the blue one, order 4711?",
];
const REPLIED: [&str; 2] = [
    "We are sorry to hear that. We are looking into it and come back to you within the hour.",
    "Your refund is on its way: it takes three working days at the most. Is there anything else?",
];

/// What a desk's threads are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Workload W, with agents: they say when a thread goes on.
    Conversations,
    /// Threads of a question and an answer, each left waiting for its customer.
    Answered,
    /// Questions that nobody answers, all of them written at this time.
    Asked { at_ms: i64 },
    /// One customer with one public issue after the other.
    OneCustomer,
}

/// What an agent saw of a thread's work item.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// It was offered.
    Offered,
    /// The agent has it: the thread may be answered.
    Assigned(By),
    /// Its customer is answered: the agent may finish it.
    Answered,
    /// It is parked or done: the customer may come back.
    AtRest,
}

/// Who has a work item: the number of the agent, and the item.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) agent: usize,
    pub(crate) item: String,
}

/// What a desk wants done about threads.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// The agent is through with the item.
    Finish(By),
    /// The customer's issue is settled.
    Resolve(String),
}

/// Messages that are sent together.
pub(crate) struct Batch {
    pub(crate) messages: Vec<Interaction>,
    pub(crate) of: Issues,
}

/// What a batch is about.
#[derive(Default)]
pub(crate) struct Issues {
    /// They begin with it.
    begun: Vec<u64>,
    /// Their last answer for now is in it.
    answered: Vec<u64>,
}

struct Issue {
    customer: u64,
    script: Script,
    said: usize,
    direct: bool,
    last: u64,
    thread: String,
    by: Option<By>,
    is_ready: bool,
    /// The last answer for now is durable.
    acknowledged: bool,
    /// The agent knows that the customer was answered.
    answered: bool,
    /// The work item is parked or done.
    at_rest: bool,
    /// When the message was to be sent that an agent has not seen yet.
    unseen: Option<Instant>,
}

impl Issue {
    /// Whose turn it is; `None`: all is said.
    fn next(&self) -> Option<bool> {
        self.script.get(self.said).copied()
    }

    /// Does the next message open a work item, or wake one?
    fn opens(&self) -> bool {
        self.next() == Some(true) && (self.said == 0 || !self.script[self.said - 1])
    }
}

/// One workspace's customers, and what its agents are to do.
pub(crate) struct Desk {
    pub(crate) workspace: String,
    kind: Kind,
    at_once: usize,
    random: u64,
    begun_in_all: u64,
    messages: u64,
    issues: HashMap<u64, Issue>,
    /// Issues whose next message may be sent.
    ready: Vec<u64>,
    /// Issues that were accepted and whose threads are not known yet, in the order in which they begin.
    begun: VecDeque<u64>,
    /// Threads that are not known to be accepted issues yet, in the order in which they begin.
    opened_threads: VecDeque<String>,
    by_thread: HashMap<String, u64>,
    /// What was seen of threads before it was known whose they are.
    early: HashMap<String, Vec<(Seen, Instant)>>,
    /// What is to be done.
    pub(crate) wishes: Vec<Wish>,
    /// From when a message was to be sent until an agent saw an offer.
    pub(crate) offered: Latencies,
    /// From when a message was to be sent until its parked item was back with its agent.
    pub(crate) woken: Latencies,
    /// Messages that opened a work item or woke one.
    pub(crate) opened: u64,
    /// Threads that were resolved in the end.
    pub(crate) resolved: u64,
}

impl Desk {
    /// A desk with so many threads at the same time; the same seed writes the same.
    pub(crate) fn new(workspace: String, kind: Kind, at_once: usize, seed: u64) -> Self {
        Self {
            workspace,
            kind,
            at_once,
            random: seed,
            begun_in_all: 0,
            messages: 0,
            issues: HashMap::new(),
            ready: Vec::new(),
            begun: VecDeque::new(),
            opened_threads: VecDeque::new(),
            by_thread: HashMap::new(),
            early: HashMap::new(),
            wishes: Vec::new(),
            offered: Latencies::default(),
            woken: Latencies::default(),
            opened: 0,
            resolved: 0,
        }
    }

    fn is_staffed(&self) -> bool {
        self.kind == Kind::Conversations
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Threads that are not over.
    pub(crate) fn live(&self) -> usize {
        self.issues.len()
    }

    /// Messages that may be sent now, one a thread, and new threads.
    pub(crate) fn sendable(&self, opens: bool) -> usize {
        self.ready.len() + if opens { self.at_once.saturating_sub(self.issues.len()) } else { 0 }
    }

    fn begin(&mut self) {
        let comes_back = self.below(10) < 6;
        let script = match self.kind {
            Kind::Conversations if !comes_back => ASKS_ONCE,
            Kind::Conversations | Kind::OneCustomer => COMES_BACK,
            Kind::Answered => ANSWERED,
            Kind::Asked { .. } => ASKED_ONLY,
        };
        self.begun_in_all += 1;
        let id = self.begun_in_all;
        let customer = if self.kind == Kind::OneCustomer { 1 } else { id };
        let issue = Issue {
            customer,
            script,
            said: 0,
            direct: customer.is_multiple_of(2),
            last: 0,
            thread: String::new(),
            by: None,
            is_ready: true,
            acknowledged: false,
            answered: false,
            at_rest: false,
            unseen: None,
        };
        self.issues.insert(id, issue);
        self.ready.push(id);
    }

    /// Up to `count` messages, written now, that were to be sent at `due`; and the issues that they answer
    /// for now. `opens`: new threads may begin; `fills`: as many as it takes.
    pub(crate) fn batch(&mut self, count: usize, due: Instant, opens: bool, fills: bool) -> Batch {
        let now = clock::wall_ms();
        let mut batch = Batch { messages: Vec::with_capacity(count), of: Issues::default() };
        while batch.messages.len() < count {
            if opens && (self.issues.len() < self.at_once || (fills && self.ready.is_empty())) {
                self.begin();
            } else if self.ready.is_empty() {
                break;
            }
            let at = usize::try_from(self.below(self.ready.len() as u64)).unwrap_or_default();
            self.say(at, due, now, &mut batch);
        }
        batch
    }

    /// The next message of an issue that is ready.
    fn say(&mut self, at: usize, due: Instant, now: i64, batch: &mut Batch) {
        self.messages += 1;
        let (number, choice, staffed) = (self.messages, self.below(4), self.is_staffed());
        let id = self.ready[at];
        let Some(issue) = self.issues.get_mut(&id) else { return };
        if issue.said == 0 {
            batch.of.begun.push(id);
        }
        if issue.opens() {
            self.opened += 1;
            issue.unseen = staffed.then_some(due);
            (issue.at_rest, issue.acknowledged, issue.answered) = (false, false, false);
        }
        let at_ms = if let Kind::Asked { at_ms } = self.kind { at_ms } else { now };
        batch.messages.push(write(issue, number, choice, at_ms));
        issue.last = number;
        let wrote = issue.next();
        issue.said += 1;
        let next = issue.next();
        // The same goes on; the other one waits for the agent, or for the work item's rest.
        let goes_on = next.is_some() && (!staffed || next == wrote || (next == Some(false) && issue.by.is_some()));
        if staffed && wrote == Some(false) && next != Some(false) {
            batch.of.answered.push(id);
        }
        issue.is_ready = goes_on;
        if !goes_on {
            self.ready.swap_remove(at);
        }
        if !staffed && next.is_none() {
            self.issues.remove(&id);
        }
    }

    /// A batch is durable.
    pub(crate) fn acknowledged(&mut self, batch: &Issues) {
        if self.is_staffed() {
            self.begun.extend(&batch.begun);
            self.recognise();
        }
        for id in &batch.answered {
            let Some(issue) = self.issues.get_mut(id) else { continue };
            issue.acknowledged = true;
            self.go_on(*id);
        }
    }

    /// A batch was not taken: what began with it did not.
    pub(crate) fn shed(&mut self, batch: &Issues) {
        for id in &batch.begun {
            self.issues.remove(id);
            self.ready.retain(|other| other != id);
        }
    }

    /// The workspace's next thread began.
    pub(crate) fn thread_opened(&mut self, thread: String) {
        self.opened_threads.push_back(thread);
        self.recognise();
    }

    /// The thread that began first is that of the issue which did.
    fn recognise(&mut self) {
        while !self.begun.is_empty() && !self.opened_threads.is_empty() {
            let (Some(id), Some(thread)) = (self.begun.pop_front(), self.opened_threads.pop_front()) else { return };
            if let Some(issue) = self.issues.get_mut(&id) {
                issue.thread.clone_from(&thread);
            }
            let early = self.early.remove(&thread);
            self.by_thread.insert(thread, id);
            for (seen, at) in early.into_iter().flatten() {
                self.see(id, seen, at);
            }
        }
    }

    /// An agent saw something of a thread.
    pub(crate) fn seen(&mut self, thread: &str, seen: Seen, at: Instant) {
        match self.by_thread.get(thread) {
            Some(id) => self.see(*id, seen, at),
            None => self.early.entry(thread.to_owned()).or_default().push((seen, at)),
        }
    }

    fn see(&mut self, id: u64, seen: Seen, at: Instant) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        match seen {
            Seen::Offered => {
                if let Some(due) = issue.unseen.take() {
                    self.offered.add(at.saturating_duration_since(due));
                }
            }
            Seen::Assigned(by) => {
                issue.by = Some(by);
                if let Some(due) = issue.unseen.take() {
                    self.woken.add(at.saturating_duration_since(due));
                }
            }
            Seen::Answered => issue.answered = true,
            Seen::AtRest => {
                issue.by = None;
                issue.at_rest = true;
            }
        }
        self.go_on(id);
    }

    /// Lets an issue go on if nothing holds it up any more.
    fn go_on(&mut self, id: u64) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        // Who has answered all for now is through with the work item.
        if issue.answered
            && issue.acknowledged
            && let Some(by) = issue.by.take()
        {
            self.wishes.push(Wish::Finish(by));
        }
        let is_over = issue.acknowledged && issue.at_rest;
        let goes_on = match issue.next() {
            Some(false) => issue.by.is_some(),
            Some(true) => is_over,
            None => {
                if is_over {
                    issue.at_rest = false;
                    self.wishes.push(Wish::Resolve(issue.thread.clone()));
                }
                false
            }
        };
        if goes_on && !issue.is_ready {
            issue.is_ready = true;
            self.ready.push(id);
        }
    }

    /// A thread is resolved: its issue is over.
    pub(crate) fn thread_resolved(&mut self, thread: &str) {
        if let Some(id) = self.by_thread.remove(thread) {
            self.resolved += 1;
            self.issues.remove(&id);
        }
    }
}

fn write(issue: &Issue, number: u64, choice: u64, now: i64) -> Interaction {
    let asks = issue.next() == Some(true);
    let customer = format!("customer-{}", issue.customer);
    let choice = usize::try_from(choice).unwrap_or_default();
    let author = if asks { customer.clone() } else { "acme".to_owned() };
    let name = if asks { "Alex Example".to_owned() } else { "Acme Support".to_owned() };
    let to = if issue.direct && !asks { vec![customer] } else { Vec::new() };
    let reply_to = if issue.direct || issue.last == 0 { Vec::new() } else { vec![id(issue.last)] };
    let nanos = i32::try_from(now % 1_000 * 1_000_000).unwrap_or_default();
    Interaction {
        channel: if issue.direct { "whatsapp" } else { "x" }.to_owned(),
        account: "acme".to_owned(),
        external_id: id(number),
        direction: if asks { Direction::Inbound } else { Direction::Outbound } as i32,
        author: Some(Author { id: author, name, handle: String::new() }),
        text: if asks { ASKED[choice] } else { REPLIED[choice % 2] }.to_owned(),
        event_time: Some(Timestamp { seconds: now / 1_000, nanos }),
        reply_to,
        visibility: if issue.direct { Visibility::Private } else { Visibility::Unspecified } as i32,
        structure: if issue.direct { Structure::Direct } else { Structure::Linked } as i32,
        to,
        ..Interaction::default()
    }
}

fn id(number: u64) -> String {
    format!("1790000{number:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_in_five_opens_or_wakes() {
        let wakes = |script: Script| (0..script.len()).filter(|n| script[*n] && (*n == 0 || !script[n - 1])).count();
        let (back, once) = (wakes(COMES_BACK), wakes(ASKS_ONCE));
        assert_eq!((COMES_BACK.len(), ASKS_ONCE.len()), (8, 8));
        assert_eq!(6 * back + 4 * once, 16, "of 80 messages in ten threads");
    }
}
