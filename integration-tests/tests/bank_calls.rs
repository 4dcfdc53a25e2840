//! A bank's calls of February 1999 through the services on the manual clock: the same arrivals, a given
//! number of agents. Calls are served in order within their priority, and nobody waits while an agent is
//! free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_ingest_core::{Arrival, Ingest, NewPolicy, accept, publish_policy};
use rejoinder_integration_tests::{corpora, decompressed};
use rejoinder_machine::{Context, State};
use rejoinder_model::{AgentKey, Millis, OfferId, ThreadId, WorkItemId};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::record::Phase;
use rejoinder_routing_core::{Asked, Command, Done, Routing, Session, decide_command};
use rejoinder_runtime::{Clock, Decide, JobQueue, Lane, ManualClock, Options, Turns};
use rejoinder_threading_core::{Command as ThreadCommand, Threading, decide_command as decide_thread};
use rejoinder_wire::event::{
    Direction, Disposition, Event, InteractionReceived, MessageRef, Presence, Structure, Visibility,
};

const WORKSPACE: &str = "default";
/// 1999-02-01T00:00:00Z.
const FEBRUARY: Millis = 917_827_200_000;
const SECOND: Millis = 1_000;
/// Agents of the bank, and those of its internet desk.
const AGENTS: [usize; 2] = [8, 5];
/// Calls that are taken from the file: four days of them.
const CALLS: usize = 5_000;

/// A call as the file tells it.
struct Call {
    id: String,
    at: Millis,
    priority: usize,
    internet: bool,
    /// How long the customer waits before hanging up; `None`: as long as it takes.
    patience: Option<Millis>,
    service: Millis,
}

fn seconds(clock: &str) -> Option<Millis> {
    let mut parts = clock.split(':').map(|part| part.parse::<Millis>().ok());
    Some(((parts.next()?? * 60 + parts.next()??) * 60 + parts.next()??) * SECOND)
}

fn calls(text: &str) -> Vec<Call> {
    let call = |line: &str| {
        let columns: Vec<&str> = line.trim_end().split('\t').collect();
        let [line, id, _, priority, kind, date, _, exit, _, _, _, waited, outcome, _, _, served, _] = columns[..]
        else {
            return None;
        };
        let day: Millis = date.get(4..6)?.parse().ok()?;
        let hangs_up = outcome == "HANG";
        (outcome != "PHANTOM").then_some(())?;
        Some(Call {
            id: format!("{line}-{id}-{date}-{exit}"),
            at: FEBRUARY + (day - 1) * 86_400 * SECOND + seconds(exit)?,
            priority: priority.parse().ok()?,
            internet: kind == "IN",
            patience: hangs_up.then_some(waited.parse::<Millis>().ok()?.max(1) * SECOND),
            service: if hangs_up { 107 * SECOND } else { served.parse::<Millis>().ok()?.max(1) * SECOND },
        })
    };
    let mut calls: Vec<Call> = text.lines().filter_map(call).collect();
    calls.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    calls.truncate(CALLS);
    calls
}

/// The bank's policy: a queue for the internet desk and one for all else, a band for each priority.
fn policy() -> NewPolicy {
    let mut agents = String::new();
    for (desk, (queue, count)) in ["service", "internet"].into_iter().zip(AGENTS).enumerate() {
        for n in 0..count {
            agents += &format!("[[agent]]\nid = \"agent{desk}{n}\"\nqueues = [\"{queue}\"]\n");
        }
    }
    let mut queues = "[[queue]]\nname = \"service\"\n[[queue]]\nname = \"internet\"\n".to_owned();
    let mut channels = Vec::new();
    for (internet, queue) in [(false, "service"), (true, "internet")] {
        for (priority, band) in ["listen", "normal", "crisis"].into_iter().enumerate() {
            let channel = channel(internet, priority);
            queues += &format!("[[route]]\nchannel = \"{channel}\"\nqueue = \"{queue}\"\nband = \"{band}\"\n");
            channels.push(format!("\"{channel}\""));
        }
    }
    let kinds = format!("[[kind]]\nname = \"voice\"\nchannels = [{}]\n", channels.join(", "));
    let file = |name: &str, text: String| (name.to_owned(), text);
    let files = [file("agents.toml", agents), file("queues.toml", queues), file("routing.toml", kinds)];
    let policy = rejoinder_policy::check(&files).expect("the bank's policy is right");
    NewPolicy { threading: policy.threading, routing: policy.routing, ..NewPolicy::default() }
}

fn channel(internet: bool, priority: usize) -> String {
    format!("{}{priority}", if internet { "internet" } else { "phone" })
}

fn lane<S: State>(
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
) -> (Lane<S>, Arc<JobQueue<S>>) {
    let jobs = Arc::new(JobQueue::new(1 << 20));
    let options = Options { tick_interval_ms: 0, checkpoint_events: 500, ..Options::default() };
    let stored = store.lane(S::SERVICE, 0);
    let lane = Lane::open(0, log.clone(), clock.clone(), stored, jobs.clone(), options).expect("a lane opens");
    (lane, jobs)
}

/// The three services on one partition.
struct Bank {
    clock: Arc<ManualClock>,
    ingest: (Lane<Ingest>, Arc<JobQueue<Ingest>>),
    threading: (Lane<Threading>, Arc<JobQueue<Threading>>),
    routing: (Lane<Routing>, Arc<JobQueue<Routing>>),
    sessions: BTreeMap<String, u64>,
    _dir: tempfile::TempDir,
}

impl Bank {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = ProjectionStore::open(dir.path(), 8 << 20).expect("a store");
        let log: Arc<dyn EventLog> = MemoryLog::new(1);
        let clock = Arc::new(ManualClock::new(FEBRUARY));
        let shared: Arc<dyn Clock> = clock.clone();
        let mut bank = Self {
            clock,
            ingest: lane(&log, &shared, &store),
            threading: lane(&log, &shared, &store),
            routing: lane(&log, &shared, &store),
            sessions: BTreeMap::new(),
            _dir: dir,
        };
        bank.settle();
        let decision = |state: &Ingest, context: &Context, out: &mut Vec<Event>| {
            publish_policy(state, context, WORKSPACE, policy(), out).expect("the first policy follows nothing");
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(bank.ingest.1.push(Box::new(job)).is_ok());
        bank.settle();
        for (desk, count) in AGENTS.into_iter().enumerate() {
            for n in 0..count {
                let agent = format!("agent{desk}{n}");
                bank.command(Command::Connect { agent: agent.clone() });
                let session = bank.routing.0.state().agent(WORKSPACE, &agent).expect("connected").session;
                bank.sessions.insert(agent.clone(), session);
                bank.command(Command::SetPresence { by: bank.by(&agent), presence: Presence::Available });
            }
        }
        bank
    }

    fn by(&self, agent: &str) -> Session {
        Session { agent: agent.to_owned(), session: self.sessions[agent] }
    }

    fn settle(&mut self) {
        let lanes = Turns(vec![&mut self.ingest.0, &mut self.threading.0, &mut self.routing.0]).run_to_quiescence();
        lanes.expect("no lane stops");
    }

    /// Time goes on, deadline by deadline.
    fn advance_to(&mut self, at: Millis) {
        loop {
            let lanes = &mut Turns(vec![&mut self.ingest.0, &mut self.threading.0, &mut self.routing.0]);
            let Some(due) = lanes.next_deadline().filter(|due| *due < at) else { break };
            self.clock.advance_to(due);
            self.settle();
        }
        self.clock.advance_to(at);
    }

    fn command(&mut self, command: Command) {
        let decision = move |state: &Routing, context: &Context, out: &mut Vec<Event>| {
            let done: Result<Done, _> = decide_command(state, context, WORKSPACE, Asked::default(), &command, out);
            assert!(done.is_ok(), "{command:?}: {done:?}");
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(self.routing.1.push(Box::new(job)).is_ok());
        self.settle();
    }

    fn ring(&mut self, call: &Call) {
        let message = MessageRef {
            channel: channel(call.internet, call.priority),
            account: "bank".into(),
            external_id: call.id.clone(),
            global_ids: false,
        };
        let received = InteractionReceived {
            message: Some(message),
            direction: Direction::Inbound as i32,
            visibility: Visibility::Private as i32,
            structure: Structure::Direct as i32,
            // Each call is a matter of its own.
            author_id: Some(call.id.clone()),
            event_time: call.at,
            received_at: call.at,
            clock_time: call.at,
            ..InteractionReceived::default()
        };
        let arrival = Arrival { received, revision: None };
        let decision = move |state: &Ingest, context: &Context, out: &mut Vec<Event>| {
            accept(state, context, WORKSPACE, arrival, out);
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(self.ingest.1.push(Box::new(job)).is_ok());
        self.settle();
    }

    fn hang_up(&mut self, thread: u64) {
        let command = ThreadCommand::Resolve {
            thread: ThreadId(thread),
            disposition: Disposition::Ignored,
            unconfirmed: false,
            reason: "hung up".into(),
        };
        let decision = move |state: &Threading, context: &Context, out: &mut Vec<Event>| {
            let asked = rejoinder_threading_core::Asked::default();
            assert!(decide_thread(state, context, WORKSPACE, asked, &command, out).is_ok());
        };
        let job = Decide::new(WORKSPACE.to_owned(), decision, |_: Option<((), _)>| {});
        assert!(self.threading.1.push(Box::new(job)).is_ok());
        self.settle();
    }

    /// Offers that stand: (offer, item, agent).
    fn offers(&self) -> Vec<(OfferId, u64, String)> {
        let agents = self.routing.0.state().agents.page(&AgentKey(0), 100);
        let of_agent = |(_, agent): &(AgentKey, Arc<rejoinder_routing_core::record::Agent>)| {
            let held = agent.held.iter().find(|held| held.offer != 0)?;
            Some((OfferId(held.offer), held.item, agent.id.clone()))
        };
        agents.iter().filter_map(of_agent).collect()
    }

    /// Agents of a desk who have nothing to do.
    fn free(&self, internet: bool) -> usize {
        let agents = self.routing.0.state().agents.page(&AgentKey(0), 100);
        let desk = format!("agent{}", usize::from(internet));
        agents.iter().filter(|(_, agent)| agent.id.starts_with(&desk) && agent.held.is_empty()).count()
    }
}

/// What happens when.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Finishes(String, u64),
    Rings(usize),
    HangsUp(usize),
}

#[test]
fn calls_are_served_in_order_and_nobody_waits_beside_a_free_agent() {
    let Some(folder) = corpora() else { return };
    let text = decompressed(&folder.join("calls-bank/february-1999.txt.zst"));
    let calls = calls(&String::from_utf8_lossy(&text));
    assert_eq!(calls.len(), CALLS);
    let mut bank = Bank::open();
    let mut agenda: BinaryHeap<Reverse<(Millis, Next)>> = BinaryHeap::new();
    agenda.extend(calls.iter().enumerate().map(|(n, call)| Reverse((call.at, Next::Rings(n)))));
    // Calls that wait, by item; and the item of each call.
    let mut waiting: BTreeMap<u64, usize> = BTreeMap::new();
    let mut item_of: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut served, mut lost, mut waits, mut last_item) = (0, 0, Vec::new(), 0);
    while let Some(Reverse((at, next))) = agenda.pop() {
        bank.advance_to(at);
        match next {
            Next::Rings(n) => {
                bank.ring(&calls[n]);
                let newest = bank.routing.0.state().items.page(&WorkItemId(last_item + 1), 1);
                last_item = newest.first().expect("the call is an item").0.0;
                waiting.insert(last_item, n);
                item_of.insert(n, last_item);
                if let Some(patience) = calls[n].patience {
                    agenda.push(Reverse((at + patience, Next::HangsUp(n))));
                }
            }
            Next::HangsUp(n) => {
                let id = item_of[&n];
                if waiting.remove(&id).is_some() {
                    let thread = bank.routing.0.state().item(id).expect("an item").thread;
                    bank.hang_up(thread);
                    let phase = bank.routing.0.state().item(id).expect("an item").phase;
                    assert_eq!(phase, Phase::Cancelled);
                    lost += 1;
                }
            }
            Next::Finishes(agent, item) => {
                bank.command(Command::Finish { by: bank.by(&agent), item: WorkItemId(item) });
            }
        }
        // Who is asked takes the call at once.
        while let Some((offer, item, agent)) = bank.offers().into_iter().min_by_key(|(offer, _, _)| *offer) {
            let call = &calls[waiting[&item]];
            let rank = |call: &Call| (Reverse(call.priority), call.at);
            let first = waiting.iter().filter(|(_, n)| calls[**n].internet == call.internet);
            let first = first.min_by_key(|(id, n)| (rank(&calls[**n]), **id)).expect("somebody waits");
            assert_eq!(*first.0, item, "at {at} {} goes before {}", call.id, calls[*first.1].id);
            bank.command(Command::Accept { by: bank.by(&agent), offer });
            waiting.remove(&item);
            waits.push(at - call.at);
            served += 1;
            agenda.push(Reverse((at + call.service, Next::Finishes(agent, item))));
        }
        for internet in [false, true] {
            let waits = waiting.values().any(|n| calls[*n].internet == internet);
            assert!(!waits || bank.free(internet) == 0, "somebody waits at {at} beside a free agent");
        }
    }
    assert_eq!(served + lost, CALLS);
    waits.sort_unstable();
    assert!(lost > 0 && waits[waits.len() * 9 / 10] > 0, "the bank is busy enough for queues");
}
