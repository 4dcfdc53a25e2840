//! What two services have set aside: listed as one, decided on again, given up.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_machine::quarantine::{Quarantine, SetsAside};
use rejoinder_machine::{Backing, Context, DueTimer, Failure, Own, Source, State, Table, TableVisitor, Timers, event};
use rejoinder_model::Service;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, JobQueue, Lane, Options, Phase, SystemClock, Turn, Workers};
use rejoinder_service_kit::{Lanes, Quarantines, refuse};
use rejoinder_wire::event::{Event, NoteAdded, OutcomeRecorded, event::Body};
use tonic::{Code, Status};

/// Workspaces for which the rules are mended.
static MENDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Service number `N`. It fails on notes whose author is its name, panics on those of `panic`, and
/// answers others with the same note.
struct Fragile<const N: u32> {
    quarantine: Quarantine,
    timers: Timers,
}

impl<const N: u32> State for Fragile<N> {
    const SERVICE: Service = match N {
        1 => Service::Ingest,
        2 => Service::Threading,
        _ => Service::Routing,
    };

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self { quarantine: Table::new(1, backing.clone()), timers: Timers::new(2, backing) }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        match &event.body {
            Some(Body::Quarantined(quarantined)) => self.quarantine.set_aside(own, &event.workspace, quarantined),
            Some(Body::QuarantineReleased(released)) => self.quarantine.release(released),
            _ => {}
        }
    }

    fn consider(&self, _: &Context, _: Source, input: &Event, out: &mut Vec<Event>) -> Result<(), Failure> {
        let Some(Body::NoteAdded(note)) = &input.body else { return Ok(()) };
        if MENDED.lock().unwrap().contains(&input.workspace) {
            out.push(event(&input.workspace, Body::OutcomeRecorded(OutcomeRecorded::default())));
            return Ok(());
        }
        assert_ne!(note.author, "panic");
        out.push(input.clone());
        if note.author == Self::SERVICE.name() { Err(Failure("it cannot be read".into())) } else { Ok(()) }
    }

    fn fire(&self, _: &Context, _: DueTimer, _: &mut Vec<Event>) {}

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.quarantine);
    }
}

impl<const N: u32> SetsAside for Fragile<N> {
    fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}

struct World {
    source: Arc<Lanes<Fragile<1>>>,
    routing: Arc<Lanes<Fragile<3>>>,
    all: Quarantines,
    _workers: Workers,
    _state: tempfile::TempDir,
}

fn lanes<const N: u32>(
    log: &Arc<dyn EventLog>,
    store: &ProjectionStore,
    lanes: &mut Vec<Box<dyn Turn + Send>>,
) -> Lanes<Fragile<N>> {
    let (jobs, clock): (_, Arc<dyn Clock>) = (Arc::new(JobQueue::new(16 << 20)), Arc::new(SystemClock::new()));
    let stored = store.lane(Fragile::<N>::SERVICE, 0);
    let lane = Lane::<Fragile<N>>::open(0, log.clone(), clock, stored, jobs.clone(), Options::default()).unwrap();
    let asked = vec![(jobs, lane.shared_status())];
    lanes.push(Box::new(lane));
    Lanes::new(log.clone(), Fragile::<N>::SERVICE, asked)
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(state.path(), 8 << 20).unwrap();
        let log: Arc<dyn EventLog> = MemoryLog::new(1);
        let mut group = Vec::new();
        let source = Arc::new(lanes::<1>(&log, &store, &mut group));
        let threading = Arc::new(lanes::<2>(&log, &store, &mut group));
        let routing = Arc::new(lanes::<3>(&log, &store, &mut group).behind(threading.clone()));
        let all = Quarantines::new(vec![threading, routing.clone()]);
        Self { source, routing, all, _workers: Workers::start(vec![group], &log).unwrap(), _state: state }
    }

    /// Writes a note of each author, and waits until both services have considered them.
    async fn write(&self, workspace: &str, authors: &[&str]) {
        while self.source.statuses()[0].phase != Phase::Live {
            tokio::task::yield_now().await;
        }
        let note = |author: &&str| NoteAdded { author: (*author).to_owned(), ..NoteAdded::default() };
        let notes: Vec<Event> = authors.iter().map(|author| event(workspace, Body::NoteAdded(note(author)))).collect();
        let ((), as_of) = self.source.decide(workspace, move |_, _, out| out.extend(notes)).await.unwrap();
        self.routing.ask(workspace, &as_of.to_string(), |_| ()).await.unwrap();
    }

    /// The ids of a page with their reasons, and the token of the next page.
    async fn page(&self, workspace: &str, size: usize, token: &str) -> (Vec<(String, String)>, String) {
        let (page, next) = self.all.page(workspace, size, token).await.unwrap();
        let told = |(service, number, set_aside): (Service, u64, Arc<rejoinder_machine::quarantine::SetAside>)| {
            (format!("{}/0/{number}", service.name()), set_aside.reason.clone())
        };
        (page.into_iter().map(told).collect(), next)
    }

    async fn ids(&self, workspace: &str) -> Vec<String> {
        self.page(workspace, 100, "").await.0.into_iter().map(|(id, _)| id).collect()
    }

    async fn retry(&self, workspace: &str, id: &str) -> Result<(), Status> {
        let found = self.all.find(workspace, 0, id).await?;
        found.quarantine.retry(workspace, found.number, found.input).await.map(|_| ())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_over_all_services_and_one_workspace() {
    let world = World::new();
    world.write("v", &["threading", "routing"]).await;
    world.write("others", &["threading"; 1_100]).await;
    world.write("v", &["threading", "fine", "routing"]).await;
    let ids = world.ids("v").await;
    let services: Vec<&str> = ids.iter().map(|id| id.split('/').next().unwrap()).collect();
    assert_eq!(services, ["threading", "threading", "routing", "routing"], "also beyond a thousand of others");
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let (page, next) = world.page("v", 1, &token).await;
        assert_eq!(page.len(), 1);
        paged.extend(page.into_iter().map(|(id, _)| id));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, ids);
    let counts = world.all.each().map(|quarantine| quarantine.count(0));
    let mut counted = Vec::new();
    for count in counts {
        counted.push(count.await.unwrap());
    }
    assert_eq!(counted, [1_102, 2], "of all workspaces");
    for wrong in ["threading", "threading/x", "nobody/1", "7"] {
        let status = world.all.page("v", 1, wrong).await.unwrap_err();
        assert_eq!(refuse::reason(&status), "PAGE_TOKEN_INVALID", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_let_in_once_the_rules_take_it_or_given_up() {
    let world = World::new();
    world.write("w", &["threading", "panic", "routing", "routing"]).await;
    let (page, _) = world.page("w", 100, "").await;
    let reasons: Vec<&str> = page.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons[0], "it cannot be read");
    assert!(reasons[1].starts_with("a panic"), "{reasons:?}");
    let ids = world.ids("w").await;
    for id in &ids {
        let status = world.retry("w", id).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{id}: {status}");
        assert!(status.message().contains("failed again"), "{status}");
    }
    assert_eq!(world.ids("w").await, ids, "what fails again stays where it is");
    MENDED.lock().unwrap().insert("w".to_owned());
    for id in &ids[..3] {
        world.retry("w", id).await.unwrap();
    }
    let found = world.all.find("w", 0, &ids[3]).await.unwrap();
    found.quarantine.skip("w", found.number).await.unwrap();
    assert!(world.ids("w").await.is_empty());
    let gone = world.retry("w", &ids[0]).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_names_the_service_the_partition_and_the_number() {
    let world = World::new();
    world.write("u", &["threading"]).await;
    let ids = world.ids("u").await;
    let id = ids[0].strip_prefix("threading/0/").unwrap();
    let cases = [
        (format!("routing/0/{id}"), Code::NotFound),
        (format!("ingest/0/{id}"), Code::NotFound),
        (format!("sla-timer/0/{id}"), Code::NotFound),
        (format!("threading/1/{id}"), Code::NotFound),
        ("threading/0/999".to_owned(), Code::NotFound),
        (format!("threads/0/{id}"), Code::InvalidArgument),
        (format!("0/{id}"), Code::InvalidArgument),
        (format!("threading/{id}"), Code::InvalidArgument),
        (String::new(), Code::InvalidArgument),
    ];
    for (named, code) in cases {
        let status = world.all.find("u", 0, &named).await.map(|found| found.number).unwrap_err();
        assert_eq!(status.code(), code, "{named:?}: {status}");
        assert!(code != Code::NotFound || status.message().contains(&named), "{status}");
    }
    let other = world.all.find("another", 0, &ids[0]).await.map(|found| found.number).unwrap_err();
    assert_eq!(other.code(), Code::NotFound, "of another workspace");
    assert!(world.all.find("u", 0, &ids[0]).await.is_ok());
}
