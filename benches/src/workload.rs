//! Workload W: desks that talk to their customers, message by message.
//!
//! A thread has eight messages, both ways. In six of ten the customer comes back once, so that one
//! message in five opens a thread or wakes one. Half of the threads are public and linked by replies,
//! the others direct messages.

use prost_types::Timestamp;
use rejoinder_api::ingest::{Author, Direction, Interaction, Structure, Visibility};

use crate::clock;

/// Who writes, message by message; `true`: the customer.
type Script = &'static [bool];

const COMES_BACK: Script = &[true, true, true, false, false, true, true, false];
const ASKS_ONCE: Script = &[true, true, true, true, false, false, false, false];
/// Asked and answered: what stays open and arms a timer.
const ANSWERED: Script = &[true, false];

/// Threads of a desk that go on at the same time.
const AT_ONCE: u64 = 40;

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
    /// Workload W.
    Conversations,
    /// Threads of a question and an answer, each left waiting for its customer.
    Answered,
    /// One customer, again and again.
    OneCustomer,
}

struct Issue {
    customer: u64,
    script: Script,
    said: usize,
    direct: bool,
    last: u64,
}

/// One workspace's customers and agents.
pub(crate) struct Desk {
    pub(crate) workspace: String,
    kind: Kind,
    random: u64,
    customers: u64,
    messages: u64,
    issues: Vec<Issue>,
}

impl Desk {
    /// A desk; the same seed writes the same.
    pub(crate) fn new(workspace: String, kind: Kind, seed: u64) -> Self {
        Self { workspace, kind, random: seed, customers: 0, messages: 0, issues: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn open(&mut self) -> Issue {
        let comes_back = self.below(10) < 6;
        let script = match self.kind {
            Kind::Conversations if !comes_back => ASKS_ONCE,
            Kind::Conversations | Kind::OneCustomer => COMES_BACK,
            Kind::Answered => ANSWERED,
        };
        if self.kind != Kind::OneCustomer || self.customers == 0 {
            self.customers += 1;
        }
        let direct = self.kind == Kind::OneCustomer || self.customers.is_multiple_of(2);
        Issue { customer: self.customers, script, said: 0, direct, last: 0 }
    }

    /// The next messages, written now.
    pub(crate) fn batch(&mut self, count: usize) -> Vec<Interaction> {
        let now = clock::wall_ms();
        (0..count).map(|_| self.next(now)).collect()
    }

    fn next(&mut self, now: i64) -> Interaction {
        if (self.issues.len() as u64) < AT_ONCE {
            let issue = self.open();
            self.issues.push(issue);
        }
        let at = usize::try_from(self.below(self.issues.len() as u64)).unwrap_or_default();
        self.messages += 1;
        let (number, choice) = (self.messages, self.below(4));
        let issue = &mut self.issues[at];
        let message = write(issue, number, choice, now);
        issue.last = number;
        issue.said += 1;
        if issue.said == issue.script.len() {
            self.issues.swap_remove(at);
        }
        message
    }
}

fn write(issue: &Issue, number: u64, choice: u64, now: i64) -> Interaction {
    let asks = issue.script[issue.said];
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
