//! Clients: what they sent, what they were answered, and what they send again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rejoinder_ingest::Publish;
use rejoinder_ingest_core::{NewPolicy, Outcome, Revision, publish_policy};
use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS, MessageKey, Millis, Position, partition_of};
use rejoinder_runtime::{Ask, Decide};
use rejoinder_threading_core::{Asked, Command, Threading, decide_command};
use rejoinder_wire::event::{ThreadingPolicy, threading_policy::Account};

use super::desk::Desk;
use super::draft::{Draft, drafts};
use super::order::command_on;
use super::promises::{Promise, Seen, threads_of};
use super::{Plant, Wrong};
use crate::client::Random;

/// How long a command is sent again: well within the time that requests are remembered.
const RETRY_FOR_MS: Millis = 6 * HOUR_MS;

/// A workspace, and what is said in it.
pub(super) struct Shop {
    pub(super) name: String,
    pub(super) partition: u16,
    /// People merge and split threads here: the grouping is not that of the messages alone.
    pub(super) regroups: bool,
    /// It has a policy, so it exists.
    pub(super) exists: bool,
    drafts: Vec<Draft>,
    sent: Vec<bool>,
    acknowledged: Vec<bool>,
    threads: Vec<Seen>,
    orders: Vec<Order>,
}

struct Order {
    command: Command,
    first_sent: Millis,
    waiting: bool,
    closed: bool,
}

enum Question {
    Batch { shop: usize, drafts: Vec<usize> },
    Order { shop: usize, order: usize },
    Threads { shop: usize },
    Policy,
}

enum Answer {
    Published(Option<Vec<Outcome>>),
    Commanded(Option<(bool, Position)>),
    Shown(Option<(Vec<Seen>, Position)>),
    Policy(Option<bool>),
}

type Answers = Arc<Mutex<Vec<(u64, Answer)>>>;

/// All clients of a world.
pub(super) struct Clients {
    pub(super) shops: Vec<Shop>,
    /// By partition.
    pub(super) promises: Vec<(u16, Promise)>,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    plant: Plant,
    answers: Answers,
    /// By the number of the question: to which desk it went.
    waiting: BTreeMap<u64, (u64, Question)>,
    asked: u64,
}

impl Clients {
    pub(super) fn new(random: &mut Random, partitions: u16, now: Millis, plant: Plant) -> Self {
        let count = 3 + random.below(3);
        let shop = |number: u64, random: &mut Random| {
            let exists = number > 0;
            let name = if exists { format!("shop-{number}") } else { "stranger".to_owned() };
            let drafts = drafts(random, &name, now);
            let none = vec![false; drafts.len()];
            let partition = partition_of(&name, partitions);
            let regroups = number.is_multiple_of(2);
            let (sent, acknowledged) = (none.clone(), none);
            Shop { name, partition, regroups, exists, drafts, sent, acknowledged, threads: vec![], orders: vec![] }
        };
        Self {
            shops: (0..count).map(|number| shop(number, random)).collect(),
            promises: Vec::new(),
            lost: 0,
            duplicates: 0,
            plant,
            answers: Arc::default(),
            waiting: BTreeMap::new(),
            asked: 0,
        }
    }

    fn ask(&mut self, desk: &Desk, question: Question) -> (u64, Answers) {
        self.asked += 1;
        self.waiting.insert(self.asked, (desk.number, question));
        (self.asked, self.answers.clone())
    }

    /// Gives a workspace its policy, or another one that differs in how long silence lasts.
    pub(super) fn publish_policy(&mut self, random: &mut Random, shop: usize, desk: &Desk) {
        let (number, answers) = self.ask(desk, Question::Policy);
        let accounts = ["x", "dm"].map(|channel| Account { channel: channel.into(), id: "us".into(), bot: false });
        let silences = [0, 10 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS];
        let silence_ms = silences[usize::try_from(random.below(5)).unwrap_or_default()];
        let (reopen_window_ms, burst_gap_ms) = (7 * DAY_MS, 30 * MINUTE_MS);
        let threading = ThreadingPolicy {
            accounts: accounts.into(),
            reopen_window_ms,
            silence_ms,
            burst_gap_ms,
            ..ThreadingPolicy::default()
        };
        let name = self.shops[shop].name.clone();
        let workspace = name.clone();
        let decision = move |state: &_, context: &_, out: &mut _| {
            let new = NewPolicy { threading, request_id: format!("policy-{number}"), ..NewPolicy::default() };
            publish_policy(state, context, &workspace, new, out).is_ok()
        };
        let reply = move |done: Option<(bool, Position)>| {
            tell(&answers, number, Answer::Policy(done.map(|(published, _)| published)));
        };
        desk.ingest.push(Decide::new(name, decision, reply));
    }

    /// Publishes a batch of drafts, new ones and ones that were sent before.
    pub(super) fn publish(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let count = self.shops[shop].drafts.len() as u64;
        let size = 1 + random.below(8);
        let drafts = (0..size).map(|_| usize::try_from(random.below(count)).unwrap_or_default()).collect();
        self.publish_these(shop, drafts, desk, now);
    }

    /// Publishes again what was never answered; `false` when all was.
    pub(super) fn publish_unanswered(&mut self, shop: usize, desk: &Desk, now: Millis) -> bool {
        let at = &self.shops[shop];
        let drafts: Vec<usize> = (0..at.drafts.len()).filter(|n| at.sent[*n] && !at.acknowledged[*n]).collect();
        let any = !drafts.is_empty();
        if any {
            self.publish_these(shop, drafts, desk, now);
        }
        any
    }

    fn publish_these(&mut self, shop: usize, drafts: Vec<usize>, desk: &Desk, now: Millis) {
        let at = &mut self.shops[shop];
        let name = at.name.clone();
        let arrival = |draft: &usize| {
            let mut arrival = at.drafts[*draft].arrival.clone();
            arrival.received.received_at = now;
            arrival
        };
        let arrivals: Vec<_> = drafts.iter().map(arrival).collect();
        drafts.iter().for_each(|draft| at.sent[*draft] = true);
        let bytes = arrivals.len() * 256;
        let (number, answers) = self.ask(desk, Question::Batch { shop, drafts });
        let reply = move |published: rejoinder_ingest::Published| {
            tell(&answers, number, Answer::Published(published.map(|(outcomes, _)| outcomes)));
        };
        desk.ingest.push(Publish::new(name, arrivals, bytes, reply));
    }

    /// Asks for all threads of a workspace.
    pub(super) fn look(&mut self, shop: usize, desk: &Desk) {
        let name = self.shops[shop].name.clone();
        let workspace = name.clone();
        let (number, answers) = self.ask(desk, Question::Threads { shop });
        let question = move |state: &Threading| threads_of(state, &workspace);
        let reply = move |shown| tell(&answers, number, Answer::Shown(shown));
        desk.threading.push(Ask::new(name, question, reply));
    }

    /// Gives a command, a new one or one whose outcome is not known.
    pub(super) fn command(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let at = &mut self.shops[shop];
        let again = |order: &Order| !order.waiting && !order.closed && now < order.first_sent + RETRY_FOR_MS;
        let order = if random.below(2) == 0 { at.orders.iter().position(again) } else { None };
        let Some(order) = order.or_else(|| {
            let command = command_on(random, &at.threads, at.regroups, now)?;
            at.orders.push(Order { command, first_sent: now, waiting: false, closed: false });
            Some(at.orders.len() - 1)
        }) else {
            return;
        };
        at.orders[order].waiting = true;
        let (name, command) = (at.name.clone(), at.orders[order].command.clone());
        let (workspace, request_id) = (name.clone(), request_id(order));
        let (number, answers) = self.ask(desk, Question::Order { shop, order });
        let decision = move |state: &Threading, context: &_, out: &mut Vec<_>| {
            let asked = Asked { request_id: &request_id, ..Asked::default() };
            decide_command(state, context, &workspace, asked, &command, out).is_ok()
        };
        let reply = move |done| tell(&answers, number, Answer::Commanded(done));
        desk.threading.push(Decide::new(name, decision, reply));
    }

    /// A desk is gone: nobody will answer what was asked there.
    pub(super) fn give_up(&mut self, desk: u64) -> Result<(), Wrong> {
        self.hear()?;
        let gone: Vec<u64> =
            self.waiting.iter().filter(|(_, (at, _))| *at == desk).map(|(number, _)| *number).collect();
        for number in gone {
            if let Some((_, Question::Order { shop, order })) = self.waiting.remove(&number) {
                self.shops[shop].orders[order].waiting = false;
            }
        }
        Ok(())
    }

    /// Is everything answered?
    pub(super) fn is_answered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the answers in.
    pub(super) fn hear(&mut self) -> Result<(), Wrong> {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, answer) in answers {
            let Some((_, question)) = self.waiting.remove(&number) else {
                return Err(format!("question {number} is answered twice, or after its desk was gone"));
            };
            self.take(question, answer)?;
        }
        Ok(())
    }

    fn take(&mut self, question: Question, answer: Answer) -> Result<(), Wrong> {
        match (question, answer) {
            (Question::Batch { shop, drafts }, Answer::Published(Some(outcomes))) => {
                if outcomes.len() != drafts.len() {
                    return Err(format!("{} outcomes for {} messages", outcomes.len(), drafts.len()));
                }
                drafts.into_iter().zip(outcomes).try_for_each(|(draft, outcome)| self.learn(shop, draft, outcome))
            }
            (Question::Batch { shop, drafts }, Answer::Published(None)) => {
                self.lost += 1;
                if self.plant == Plant::LostIsRefused {
                    let at = &self.shops[shop];
                    let messages = drafts.iter().map(|draft| &at.drafts[*draft]);
                    let refused = messages.filter(|draft| draft.arrival.revision.is_none());
                    let refused = refused.map(|draft| (at.partition, Promise::Refused { key: draft.key }));
                    self.promises.extend(refused);
                }
                Ok(())
            }
            (Question::Order { shop, order }, Answer::Commanded(done)) => {
                let at = &mut self.shops[shop];
                at.orders[order].waiting = false;
                at.orders[order].closed = done.is_some();
                let Some((accepted, Position { index, .. })) = done else {
                    self.lost += 1;
                    return Ok(());
                };
                let request = MessageKey::new(&at.name, "request", None, &request_id(order));
                let promise =
                    if accepted { Promise::Commanded { request, index } } else { Promise::CommandRefused { request } };
                self.promises.push((at.partition, promise));
                Ok(())
            }
            (Question::Threads { shop }, Answer::Shown(shown)) => {
                let at = &mut self.shops[shop];
                if let Some((threads, Position { index, .. })) = shown {
                    at.threads.clone_from(&threads);
                    self.promises.push((at.partition, Promise::Shown { workspace: at.name.clone(), index, threads }));
                }
                Ok(())
            }
            (Question::Policy, Answer::Policy(Some(true))) => Ok(()),
            (Question::Policy, Answer::Policy(None)) => {
                self.lost += 1;
                Ok(())
            }
            _ => Err("an answer to another question".into()),
        }
    }

    fn learn(&mut self, shop: usize, draft: usize, outcome: Outcome) -> Result<(), Wrong> {
        let at = &mut self.shops[shop];
        let Draft { key, arrival } = &at.drafts[draft];
        let key = *key;
        at.acknowledged[draft] = true;
        let promise = match (arrival.revision, outcome) {
            (None, Outcome::Accepted(id)) => Promise::Stands { key, id },
            (None, Outcome::Duplicate(Some(id))) => {
                self.duplicates += 1;
                Promise::Stands { key, id }
            }
            (Some(Revision::Edit { version }), Outcome::Revised | Outcome::Duplicate(None)) => {
                Promise::Edited { key, version }
            }
            (Some(Revision::Delete), Outcome::Revised | Outcome::Duplicate(None)) => Promise::Deleted { key },
            (_, Outcome::UnknownWorkspace) if !at.exists => Promise::Refused { key },
            (revision, outcome) => return Err(format!("{revision:?} of {key:?} is answered {outcome:?}")),
        };
        self.promises.push((at.partition, promise));
        Ok(())
    }
}

fn tell(answers: &Answers, number: u64, answer: Answer) {
    answers.lock().unwrap_or_else(PoisonError::into_inner).push((number, answer));
}

fn request_id(order: usize) -> String {
    format!("order-{order}")
}
