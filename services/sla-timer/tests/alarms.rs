//! Supervisors on real lanes of all services and a real gRPC server: clocks and alarms as they see them.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::sla as api;
use rejoinder_api::sla::alarm_service_client::AlarmServiceClient;
use rejoinder_api::sla::alarm_service_server::AlarmServiceServer;
use rejoinder_api::sla::clock::State as ClockState;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::sla::clock_service_server::ClockServiceServer;
use rejoinder_api::sla::watch_alarms_response::Change;
use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_ingest_core::{Arrival, Ingest, NewPolicy, accept, publish_policy};
use rejoinder_machine::State;
use rejoinder_model::Millis;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, JobQueue, Lane, Options, Phase, SystemClock, Turn, Workers};
use rejoinder_service_kit::{Lanes, LogNews};
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_timer::{Alarms, Clocks};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::{Direction, InteractionReceived, MessageRef, Structure, Visibility};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Code, Status};

/// Longer than anything takes that happens at all.
const SOON: Duration = Duration::from_secs(20);

const SLA: &str = "[[policy]]\nname = \"quick\"\n[policy.targets]\nfirst_response = \"1s\"\nresolution = \"1d\"\n";

struct House {
    ingest: Arc<Lanes<Ingest>>,
    workers: Option<Workers>,
    clocks: ClockServiceClient<Channel>,
    alarms: AlarmServiceClient<Channel>,
    _state: tempfile::TempDir,
}

async fn lanes<S: State>(
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
    group: &mut Vec<Box<dyn Turn + Send>>,
) -> Arc<Lanes<S>> {
    let jobs = Arc::new(JobQueue::new(16 << 20));
    let options = Options { tick_interval_ms: 50, ..Options::default() };
    let lane =
        Lane::<S>::open(0, log.clone(), clock.clone(), store.lane(S::SERVICE, 0), jobs.clone(), options).unwrap();
    let asked = vec![(jobs, lane.shared_status())];
    group.push(Box::new(lane));
    Arc::new(Lanes::new(log.clone(), S::SERVICE, asked))
}

impl House {
    async fn open() -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(state.path(), 8 << 20).unwrap();
        let log: Arc<dyn EventLog> = MemoryLog::new(1);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut group = Vec::new();
        let ingest = lanes::<Ingest>(&log, &clock, &store, &mut group).await;
        let _threading = lanes::<Threading>(&log, &clock, &store, &mut group).await;
        let _routing = lanes::<Routing>(&log, &clock, &store, &mut group).await;
        let sla = lanes::<SlaTimer>(&log, &clock, &store, &mut group).await;
        let workers = Workers::start(vec![group], &log).unwrap();
        while !sla.statuses().iter().all(|status| status.phase == Phase::Live) {
            tokio::task::yield_now().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(ClockServiceServer::new(Clocks::new(sla.clone())))
            .add_service(AlarmServiceServer::new(Alarms::new(sla, LogNews::of(&*log))));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let (clocks, alarms) = (ClockServiceClient::new(channel.clone()), AlarmServiceClient::new(channel));
        let house = Self { ingest, workers: Some(workers), clocks, alarms, _state: state };
        house.apply(SLA).await;
        house
    }

    async fn apply(&self, sla: &str) {
        let policy = rejoinder_policy::check(&[("sla.toml".to_owned(), sla.to_owned())]).unwrap();
        let (threading, routing, sla) = (policy.threading, policy.routing, policy.sla);
        let new = NewPolicy { threading, routing, sla, ..NewPolicy::default() };
        let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
            publish_policy(state, context, "default", new, out).unwrap();
        };
        self.ingest.decide("default", decision).await.unwrap();
    }

    /// A direct message of a customer, or our answer, written some time ago.
    async fn message(&self, id: &str, customer: &str, ours: bool, ago: Millis) {
        let (channel, account) = ("x".to_owned(), "acme".to_owned());
        let message = MessageRef { channel, account, external_id: id.into(), global_ids: false };
        let now = SystemClock::new().wall_ms();
        let received = InteractionReceived {
            message: Some(message),
            direction: if ours { Direction::Outbound } else { Direction::Inbound } as i32,
            visibility: Visibility::Private as i32,
            structure: Structure::Direct as i32,
            author_id: Some(if ours { "acme" } else { customer }.into()),
            recipients: ours.then(|| customer.to_owned()).into_iter().collect(),
            event_time: now - ago,
            clock_time: now - ago,
            received_at: now,
            ..InteractionReceived::default()
        };
        let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
            accept(state, context, "default", Arrival { received, revision: None }, out)
        };
        self.ingest.decide("default", decision).await.unwrap();
    }

    async fn list(&mut self, request: api::ListClocksRequest) -> Result<api::ListClocksResponse, Status> {
        self.clocks.list_clocks(request).await.map(tonic::Response::into_inner)
    }

    /// All clocks, page by page.
    async fn pages(&mut self, page_size: i32) -> Vec<api::Clock> {
        let (mut clocks, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = api::ListClocksRequest { page_size, page_token, ..Default::default() };
            let page = self.list(request).await.unwrap();
            assert!(page.clocks.len() <= usize::try_from(page_size).unwrap());
            clocks.extend(page.clocks);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return clocks;
            }
        }
    }

    async fn acknowledge(&mut self, alarm: &str, etag: &str, request_id: &str) -> Result<Option<api::Alarm>, Status> {
        let (alarm_id, etag) = (alarm.to_owned(), etag.to_owned());
        let request =
            api::AcknowledgeAlarmRequest { alarm_id, etag, request_id: request_id.to_owned(), by: "eve".into() };
        self.alarms.acknowledge_alarm(request).await.map(|answer| answer.into_inner().alarm)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.stop();
        }
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_rings_once_is_acknowledged_and_cleared_by_a_reply_in_time() {
    let mut house = House::open().await;
    let mut watch = house.alarms.watch_alarms(api::WatchAlarmsRequest::default()).await.unwrap().into_inner();
    house.message("q", "ann", false, 0).await;
    let mut next = async || tokio::time::timeout(SOON, watch.message()).await.unwrap().unwrap().unwrap();
    let rung = next().await;
    let Some(Change::Raised(alarm)) = rung.change else { panic!("{rung:?}") };
    assert_eq!((alarm.kind(), alarm.metric()), (api::alarm::Kind::Breach, api::Metric::FirstResponse));
    assert_eq!(alarm.policy, "quick");
    let due = alarm.due_at.unwrap();
    let raised = alarm.raised_at.unwrap();
    assert!((raised.seconds, raised.nanos) >= (due.seconds, due.nanos), "never early");

    let listed = house.alarms.list_alarms(api::ListAlarmsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.alarms, std::slice::from_ref(&alarm));
    let id = alarm.alarm_id.clone();
    assert_eq!(code(house.acknowledge(&id, "1", "").await), Code::Aborted, "a stale etag");
    assert_eq!(code(house.acknowledge("a0000000000zzz", "", "").await), Code::NotFound);
    assert_eq!(code(house.acknowledge("t0000000000001", "", "").await), Code::InvalidArgument);
    let seen = house.acknowledge(&id, &alarm.etag, "r1").await.unwrap().unwrap();
    assert_eq!((seen.acknowledged_by.as_str(), seen.alarm_id.as_str()), ("eve", id.as_str()));
    assert_eq!(house.acknowledge(&id, &alarm.etag, "r1").await.unwrap(), Some(seen), "a repeat does nothing");
    assert_eq!(code(house.acknowledge(&id, "", "").await), Code::FailedPrecondition);
    let open = api::ListAlarmsRequest { open_only: true, ..Default::default() };
    assert!(house.alarms.list_alarms(open).await.unwrap().into_inner().alarms.is_empty());
    assert!(matches!(next().await.change, Some(Change::Acknowledged(by)) if by.by == "eve"));

    // Sent half a second after the question, and only seen now.
    let clock = house.clocks.get_clock(api::GetClockRequest { clock_id: alarm.clock_id.clone(), ..Default::default() });
    let opened = clock.await.unwrap().into_inner().clock.unwrap().opened_at.unwrap();
    let opened_ms = opened.seconds * 1_000 + i64::from(opened.nanos) / 1_000_000;
    let ago = SystemClock::new().wall_ms() - opened_ms - 500;
    house.message("r", "ann", true, ago).await;
    assert!(matches!(next().await.change, Some(Change::Cleared(cleared)) if cleared.reason == "retracted"));
    assert_eq!(code(house.acknowledge(&id, "", "").await), Code::NotFound, "it is cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_goes_on_in_the_middle_of_a_commit() {
    let mut house = House::open().await;
    let start = house.alarms.list_alarms(api::ListAlarmsRequest::default()).await.unwrap().into_inner().as_of;
    // Overdue when they come: one tick fires all that is there by then.
    for customer in 0..40 {
        house.message(&format!("q{customer}"), &format!("customer{customer}"), false, 60_000).await;
    }
    let mut watched = async |after: String, count: usize| {
        let request = api::WatchAlarmsRequest { after };
        let mut changes = house.alarms.watch_alarms(request).await.unwrap().into_inner();
        let mut seen = Vec::new();
        for _ in 0..count {
            seen.push(tokio::time::timeout(SOON, changes.message()).await.unwrap().unwrap().unwrap());
        }
        seen
    };
    let whole = watched(start.clone(), 40).await;
    assert!(whole.windows(2).any(|pair| pair[0].position == pair[1].position), "changes share positions");
    let mut after = start;
    for expected in whole {
        let change = watched(after, 1).await.remove(0);
        assert_eq!(change, expected, "each once, in order, with a connection for each");
        after = change.cursor;
    }
    for wrong in ["0/1/x", "1/1/1", "0/99999999/0"] {
        let request = api::WatchAlarmsRequest { after: wrong.into() };
        assert_eq!(code(house.alarms.watch_alarms(request).await), Code::InvalidArgument, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_listed_by_page_and_by_what_they_are() {
    let mut house = House::open().await;
    for customer in ["ann", "bob", "cid"] {
        house.message(customer, customer, false, 0).await;
    }
    house.message("r", "bob", true, 0).await;
    let all = async {
        loop {
            let clocks = house.pages(2).await;
            if clocks.iter().filter(|clock| clock.state() == ClockState::Met).count() == 1 {
                return clocks;
            }
        }
    };
    // sla-timer stands behind threading and routing.
    let clocks = tokio::time::timeout(SOON, all).await.unwrap();
    let of = |metric: api::Metric| clocks.iter().filter(move |clock| clock.metric() == metric);
    assert_eq!((of(api::Metric::FirstResponse).count(), of(api::Metric::Resolution).count()), (3, 3));
    let threads: std::collections::BTreeSet<&str> = clocks.iter().map(|clock| clock.thread_id.as_str()).collect();
    assert_eq!(threads.len(), 3);

    let thread_id = clocks[0].thread_id.clone();
    let of_thread = api::ListClocksRequest { thread_id, ..Default::default() };
    assert_eq!(house.list(of_thread).await.unwrap().clocks.len(), 2);
    let nobodys = api::ListClocksRequest { thread_id: "t0000000000zzz".into(), ..Default::default() };
    assert_eq!(code(house.list(nobodys).await), Code::NotFound);
    let token = api::ListClocksRequest { page_token: "7".into(), ..Default::default() };
    assert_eq!(code(house.list(token).await), Code::InvalidArgument);
    let mut elsewhere = tonic::Request::new(api::ListClocksRequest::default());
    elsewhere.metadata_mut().insert(rejoinder_api::WORKSPACE, "elsewhere".parse().unwrap());
    assert_eq!(code(house.clocks.list_clocks(elsewhere).await), Code::NotFound);

    // A new version reaches what runs.
    house.apply(&SLA.replace("1d", "2d")).await;
    let resolution = api::ListClocksRequest {
        metric: api::Metric::Resolution as i32,
        state: ClockState::Running as i32,
        ..Default::default()
    };
    let followed = async {
        loop {
            let clocks = house.list(resolution.clone()).await.unwrap().clocks;
            if clocks.iter().all(|clock| clock.policy_version == 2) {
                return clocks;
            }
        }
    };
    let clocks = tokio::time::timeout(SOON, followed).await.unwrap();
    assert_eq!(clocks.iter().map(|clock| clock.target_ms).collect::<Vec<_>>(), [2 * 86_400_000; 3]);
}
