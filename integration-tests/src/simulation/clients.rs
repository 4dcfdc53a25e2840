//! Clients: what they asked, what they were answered, and what they ask again.
//!
//! What they know lies here, outside the services, so that nothing which goes wrong there changes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rejoinder_ingest_core::Outcome;
use rejoinder_model::{HOUR_MS, Millis, Position, partition_of};
use rejoinder_runtime::Ask;
use rejoinder_sla_core::SlaTimer;
use rejoinder_threading_core::Threading;

use super::desk::Desk;
use super::draft::{Draft, drafts};
use super::plant::Planted;
use super::promises::{Promise, Rings, Seen, View, alarms_of, threads_of};
use super::{Plant, Wrong};
use crate::client::Random;

mod agents;
mod customers;
mod errands;
mod office;
mod supervisors;

use agents::{Agent, Sight};
use errands::{Errand, Worked};
use office::Order;
use supervisors::{Nod, Nodded};

/// How long a command is sent again: well within the time that requests are remembered.
const RETRY_FOR_MS: Millis = 6 * HOUR_MS;

/// A workspace, what is said in it, and who works there.
pub(super) struct Shop {
    pub(super) name: String,
    pub(super) partition: u16,
    /// People merge and split threads here: the grouping is not that of the messages alone.
    pub(super) regroups: bool,
    /// It has a policy, so it exists.
    pub(super) exists: bool,
    drafts: Vec<Draft>,
    threads: Vec<Seen>,
    orders: Vec<Order>,
    agents: Vec<Agent>,
    errands: Vec<Errand>,
    /// Items that somebody has seen.
    items: Vec<(u64, u64)>,
    alarms: Vec<Rings>,
    nods: Vec<Nod>,
}

/// What was asked.
enum Question {
    Batch {
        shop: usize,
        drafts: Vec<usize>,
    },
    Order {
        shop: usize,
        order: usize,
    },
    Threads {
        shop: usize,
    },
    Policy,
    Connect {
        shop: usize,
        agent: usize,
    },
    Errand {
        shop: usize,
        errand: usize,
    },
    Work {
        shop: usize,
        agent: usize,
    },
    /// The shell ends the session of a stream that is gone: nobody waits for it.
    Gone,
    Alarms {
        shop: usize,
    },
    Nod {
        shop: usize,
        nod: usize,
    },
}

/// An answer; nothing: the outcome is not known.
enum Answer {
    Published(Option<Vec<Outcome>>),
    Commanded(Option<(bool, Position)>),
    Threads(Option<(Vec<Seen>, Position)>),
    Policy(Option<bool>),
    Worked(Option<(Worked, Position)>),
    Work(Option<(Sight, Position)>),
    Alarms(Option<(Vec<Rings>, Position)>),
    Nodded(Option<(Nodded, Position)>),
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
        let count = 2 + random.below(3);
        let shop = |number: u64, random: &mut Random| {
            let exists = number > 0;
            let name = if exists { format!("shop-{number}") } else { "stranger".to_owned() };
            Shop {
                partition: partition_of(&name, partitions),
                regroups: number.is_multiple_of(2),
                exists,
                drafts: drafts(random, &name, now),
                threads: Vec::new(),
                orders: Vec::new(),
                agents: agents::team(random, exists),
                errands: Vec::new(),
                items: Vec::new(),
                alarms: Vec::new(),
                nods: Vec::new(),
                name,
            }
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

    /// Asks for all threads of a workspace.
    pub(super) fn look(&mut self, shop: usize, desk: &Desk) {
        let name = self.shops[shop].name.clone();
        let workspace = name.clone();
        let (number, answers) = self.ask(desk, Question::Threads { shop });
        let question = move |state: &Planted<Threading>| threads_of(state, &workspace);
        let reply = move |shown| tell(&answers, number, Answer::Threads(shown));
        desk.threading.push(Ask::new(name, question, reply));
    }

    /// Asks for all alarms of a workspace.
    pub(super) fn listen(&mut self, shop: usize, desk: &Desk) {
        let name = self.shops[shop].name.clone();
        let workspace = name.clone();
        let (number, answers) = self.ask(desk, Question::Alarms { shop });
        let question = move |state: &Planted<SlaTimer>| alarms_of(state, &workspace);
        let reply = move |shown| tell(&answers, number, Answer::Alarms(shown));
        desk.sla.push(Ask::new(name, question, reply));
    }

    /// A desk is gone: nobody will answer what was asked there, and streams to it have ended.
    pub(super) fn give_up(&mut self, desk: u64) -> Result<(), Wrong> {
        self.hear()?;
        let gone: Vec<u64> =
            self.waiting.iter().filter(|(_, (at, _))| *at == desk).map(|(number, _)| *number).collect();
        for number in gone {
            match self.waiting.remove(&number) {
                Some((_, Question::Order { shop, order })) => self.shops[shop].orders[order].waiting = false,
                Some((_, Question::Connect { shop, agent })) => self.shops[shop].agents[agent].connects = false,
                Some((_, Question::Errand { shop, errand })) => self.shops[shop].errands[errand].waiting = false,
                Some((_, Question::Nod { shop, nod })) => self.shops[shop].nods[nod].waiting = false,
                _ => {}
            }
        }
        self.shops.iter_mut().flat_map(|shop| &mut shop.agents).for_each(|agent| agent.lose_desk(desk));
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
            let Some((desk, question)) = self.waiting.remove(&number) else {
                return Err(format!("question {number} is answered twice, or after its desk was gone"));
            };
            self.take(desk, question, answer)?;
        }
        Ok(())
    }

    fn take(&mut self, desk: u64, question: Question, answer: Answer) -> Result<(), Wrong> {
        match (question, answer) {
            (Question::Batch { shop, drafts }, Answer::Published(Some(outcomes))) => {
                if outcomes.len() != drafts.len() {
                    return Err(format!("{} outcomes for {} messages", outcomes.len(), drafts.len()));
                }
                drafts.into_iter().zip(outcomes).try_for_each(|(draft, outcome)| self.learn(shop, draft, outcome))
            }
            (Question::Batch { shop, drafts }, Answer::Published(None)) => {
                self.lost += 1;
                self.take_for_refused(shop, &drafts);
                Ok(())
            }
            (Question::Order { shop, order }, Answer::Commanded(done)) => {
                self.ordered(shop, order, done);
                Ok(())
            }
            (Question::Threads { shop }, Answer::Threads(shown)) => {
                let Some((threads, as_of)) = shown else { return Ok(()) };
                self.shops[shop].threads.clone_from(&threads);
                self.shown(shop, as_of, View::Threads(threads));
                Ok(())
            }
            (Question::Policy, Answer::Policy(Some(true))) | (Question::Gone, Answer::Worked(_)) => Ok(()),
            (Question::Policy, Answer::Policy(None)) => {
                self.lost += 1;
                Ok(())
            }
            (Question::Connect { shop, agent }, Answer::Worked(done)) => self.connected(shop, agent, desk, done),
            (Question::Errand { shop, errand }, Answer::Worked(done)) => self.worked(shop, errand, done),
            (Question::Work { shop, agent }, Answer::Work(shown)) => {
                if let Some((sight, as_of)) = shown {
                    self.see_work(shop, agent, sight, as_of);
                }
                Ok(())
            }
            (Question::Alarms { shop }, Answer::Alarms(shown)) => {
                let Some((alarms, as_of)) = shown else { return Ok(()) };
                self.shops[shop].alarms.clone_from(&alarms);
                self.shown(shop, as_of, View::Alarms(alarms));
                Ok(())
            }
            (Question::Nod { shop, nod }, Answer::Nodded(done)) => self.nodded(shop, nod, done),
            _ => Err("an answer to another question".into()),
        }
    }

    fn promise(&mut self, shop: usize, promise: Promise) {
        self.promises.push((self.shops[shop].partition, promise));
    }

    fn shown(&mut self, shop: usize, as_of: Position, view: View) {
        let workspace = self.shops[shop].name.clone();
        self.promise(shop, Promise::Shown { workspace, index: as_of.index, view });
    }
}

fn tell(answers: &Answers, number: u64, answer: Answer) {
    answers.lock().unwrap_or_else(PoisonError::into_inner).push((number, answer));
}

/// One of them.
fn any<T: Clone>(random: &mut Random, of: &[T]) -> Option<T> {
    of.get(usize::try_from(random.below(of.len().max(1) as u64)).ok()?).cloned()
}
