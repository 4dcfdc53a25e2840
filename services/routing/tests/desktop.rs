//! Agents at their desktops: real lanes of three services on one log, a real gRPC server, real clients.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::agent_service_server::AgentServiceServer;
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::routing_service_server::RoutingServiceServer;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{
    AcceptOffer, ChangePresence, DeclineOffer, FinishItem, Hello, ParkItem, Request as Up,
};
use rejoinder_api::routing::work_response::{Answer, Context, Response as Down, Welcome};
use rejoinder_api::routing::{self as api, Offer, Presence, WorkRequest, WorkResponse};
use rejoinder_event_log::{AppendError, EventLog, LogId, MemoryLog, ReadError, StoredRecord, Watcher};
use rejoinder_ingest_core::{Arrival, Ingest, NewPolicy, accept, publish_policy};
use rejoinder_machine::State;
use rejoinder_model::{Position, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing::{About, Agents, AskContext, Items};
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, JobQueue, Lane, Options, Phase as LanePhase, SystemClock, Turn, Workers};
use rejoinder_service_kit::{Lanes, LogNews, Owner, Owners};
use rejoinder_threading_core::Threading;
use rejoinder_wire::event::{Direction, InteractionReceived, MessageRef, Structure, Visibility};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Code, Status, Streaming};

const PARTITIONS: u16 = 2;
/// Longer than anything takes that happens at all.
const SOON: Duration = Duration::from_secs(20);

type Groups = Vec<Vec<Box<dyn Turn + Send>>>;

/// The services, on a log that outlives them.
struct House {
    log: Arc<MemoryLog>,
    blind: Arc<Blind>,
    workers: Workers,
    ingest: Arc<Lanes<Ingest>>,
    agents: Agents,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    _state: tempfile::TempDir,
}

fn lanes<S: State>(
    log: &Arc<dyn EventLog>,
    seen: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    store: &ProjectionStore,
    groups: &mut Groups,
) -> Arc<Lanes<S>> {
    let mut asked = Vec::new();
    for partition in 0..PARTITIONS {
        let jobs = Arc::new(JobQueue::new(16 << 20));
        let stored = store.lane(S::SERVICE, partition);
        let options = Options { tick_interval_ms: 50, ..Options::default() };
        let lane = Lane::<S>::open(partition, log.clone(), clock.clone(), stored, jobs.clone(), options).unwrap();
        asked.push((jobs, lane.shared_status()));
        groups[usize::from(partition)].push(Box::new(lane));
    }
    Arc::new(Lanes::new(seen.clone(), S::SERVICE, asked))
}

async fn until_live<S: 'static>(lanes: &Lanes<S>) {
    while !lanes.statuses().iter().all(|status| status.phase == LanePhase::Live) {
        tokio::task::yield_now().await;
    }
}

impl House {
    async fn open(log: Arc<MemoryLog>) -> Self {
        let house = Self::take_over(log).await;
        house.begin().await;
        house
    }

    /// Sessions of the owner before are ended.
    async fn begin(&self) {
        for partition in 0..PARTITIONS {
            self.agents.begin(partition).await.unwrap();
        }
    }

    /// Claims all lanes, whoever has them.
    async fn take_over(log: Arc<MemoryLog>) -> Self {
        let context: AskContext = Arc::new(|About { workspace, thread_id, .. }| {
            Box::pin(async move {
                let message = api::work_response::Message { text: format!("of {workspace}"), ..Default::default() };
                Ok(Context { thread_id, messages: vec![message], ..Context::default() })
            })
        });
        let state = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(state.path(), 8 << 20).unwrap();
        let shared: Arc<dyn EventLog> = log.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut groups: Groups = (0..PARTITIONS).map(|_| Vec::new()).collect();
        let ingest = lanes::<Ingest>(&shared, &shared, &clock, &store, &mut groups);
        let threading = lanes::<Threading>(&shared, &shared, &clock, &store, &mut groups);
        let blind = Arc::new(Blind { log: shared.clone(), is_blind: AtomicBool::new(false) });
        let seen: Arc<dyn EventLog> = blind.clone();
        let routing = lanes::<Routing>(&shared, &seen, &clock, &store, &mut groups);
        let workers = Workers::start(groups, &shared).unwrap();
        until_live(&ingest).await;
        until_live(&threading).await;
        until_live(&routing).await;
        let news = LogNews::of(&*shared);
        let agents = Agents::start(routing.clone(), &news, context);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(AgentServiceServer::new(agents.clone()))
            .add_service(RoutingServiceServer::new(Items::new(routing)));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { log, blind, workers, ingest, agents, address, server, _state: state }
    }

    async fn new(files: &[(&str, &str)]) -> Self {
        let house = Self::open(MemoryLog::new(PARTITIONS)).await;
        house.apply(files).await;
        house
    }

    /// The same log with new processes.
    async fn restart(self) -> Self {
        self.server.abort();
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || self.workers.stop()).await.unwrap();
        Self::open(log).await
    }

    async fn apply(&self, files: &[(&str, &str)]) -> Position {
        let (applied, agents, queues) = self.publish("default", files).await;
        self.until_adopted(agents, queues).await;
        applied
    }

    /// Applies a policy, and does not wait until routing has it. Answers with its agents and queues too.
    async fn publish(&self, workspace: &'static str, files: &[(&str, &str)]) -> (Position, usize, Vec<String>) {
        let files: Vec<(String, String)> = files.iter().map(|(n, t)| ((*n).into(), (*t).into())).collect();
        let policy = rejoinder_policy::check(&files).unwrap();
        let agents = policy.routing.agents.len();
        let queues = policy.routing.queues.iter().map(|queue| queue.name.clone()).collect();
        let new = NewPolicy { threading: policy.threading, routing: policy.routing, ..NewPolicy::default() };
        let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
            publish_policy(state, context, workspace, new, out).unwrap();
        };
        (self.ingest.decide(workspace, decision).await.unwrap().1, agents, queues)
    }

    /// Threading hands a policy on: routing has it a moment later.
    async fn until_adopted(&self, agents: usize, queues: Vec<String>) {
        let (mut of_agents, mut of_items) = (self.desks().await, self.items().await);
        let adopted = async {
            loop {
                let known = of_agents.list_agents(api::ListAgentsRequest::default()).await.unwrap().into_inner();
                let listed = of_items.list_queues(api::ListQueuesRequest::default()).await.unwrap().into_inner();
                let names: Vec<String> = listed.queues.into_iter().map(|queue| queue.name).collect();
                if known.agents.len() == agents && names == queues {
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, adopted).await.expect("routing adopts the policy");
    }

    /// A customer's direct message; answers with where it stands.
    async fn message(&self, id: &str, from: &str) -> Position {
        self.said(id, from, InteractionReceived { direction: Direction::Inbound as i32, ..Default::default() }).await
    }

    /// Our answer to a customer.
    async fn reply(&self, id: &str, to: &str) -> Position {
        let recipients = vec![to.to_owned()];
        let direction = Direction::Outbound as i32;
        self.said(id, "acme", InteractionReceived { direction, recipients, ..Default::default() }).await
    }

    async fn said(&self, id: &str, by: &str, said: InteractionReceived) -> Position {
        let message =
            MessageRef { channel: "x".into(), account: "acme".into(), external_id: id.into(), global_ids: false };
        let now = SystemClock::new().wall_ms();
        let received = InteractionReceived {
            message: Some(message),
            visibility: Visibility::Private as i32,
            structure: Structure::Direct as i32,
            author_id: Some(by.to_owned()),
            event_time: now,
            received_at: now,
            clock_time: now,
            ..said
        };
        let arrival = Arrival { received, revision: None };
        let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
            accept(state, context, "default", arrival, out);
        };
        self.ingest.decide("default", decision).await.unwrap().1
    }

    async fn is_connected(&self, agent: &str) -> bool {
        let request = api::GetAgentRequest { agent_id: agent.into(), wait_for: String::new() };
        self.desks().await.get_agent(request).await.unwrap().into_inner().agent.unwrap().connected
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn items(&self) -> RoutingServiceClient<Channel> {
        RoutingServiceClient::new(self.channel().await)
    }

    async fn desks(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel().await)
    }
}

/// An agent's desktop.
struct Desktop {
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
    welcome: Welcome,
    /// What was told and not looked for yet.
    told: Vec<Down>,
}

impl Desktop {
    async fn open(house: &House, agent: &str, with_context: bool) -> Result<Self, Status> {
        let (up, requests) = mpsc::channel(64);
        let hello = Hello { agent_id: agent.into(), presence: Presence::Available as i32, with_context };
        up.send(WorkRequest { request_id: String::new(), request: Some(Up::Hello(hello)) }).await.unwrap();
        let mut down = house.desks().await.work(ReceiverStream::new(requests)).await?.into_inner();
        let first = down.message().await?.unwrap();
        let Some(Down::Welcome(welcome)) = first.response else { panic!("the first is a welcome: {first:?}") };
        let told = welcome.offers.iter().cloned().map(Down::Offer).collect();
        Ok(Self { up, down, welcome, told })
    }

    async fn say(&self, request_id: &str, request: Up) {
        self.up.send(WorkRequest { request_id: request_id.into(), request: Some(request) }).await.unwrap();
    }

    /// The next response that is one of those looked for; others are kept.
    async fn until<R>(&mut self, wanted: impl Fn(Down) -> Option<R>) -> R {
        let look = async {
            loop {
                if let Some(at) = self.told.iter().position(|told| wanted(told.clone()).is_some()) {
                    return wanted(self.told.remove(at)).unwrap();
                }
                let response = self.down.message().await.unwrap().expect("the stream goes on").response.unwrap();
                self.told.push(response);
            }
        };
        tokio::time::timeout(SOON, look).await.expect("it comes soon")
    }

    async fn offer(&mut self) -> Offer {
        let offer = |down| if let Down::Offer(offer) = down { Some(offer) } else { None };
        self.until(offer).await
    }

    async fn answer(&mut self, to: &str) -> Answer {
        let answer = |down| {
            let Down::Answer(answer) = down else { return None };
            (answer.request_id == to).then_some(answer)
        };
        self.until(answer).await
    }

    async fn accept(&mut self, offer: &Offer) -> Answer {
        self.say("accept", Up::Accept(AcceptOffer { offer_id: offer.offer_id.clone() })).await;
        self.answer("accept").await
    }

    /// The status with which the stream ends.
    async fn end(mut self) -> Status {
        let look = async {
            loop {
                match self.down.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ended without a reason"),
                    Err(status) => return status,
                }
            }
        };
        tokio::time::timeout(SOON, look).await.expect("it ends soon")
    }
}

const QUEUES: &str = "[[queue]]\nname = \"default\"\nparallel_offers = 2\n[[queue]]\nname = \"second\"\n";
const AGENTS: &str = "[[agent]]\nid = \"ann\"\nqueues = [\"default\", \"second\"]\n\
                      [[agent]]\nid = \"bob\"\nqueues = [\"default\"]\nmax = { direct_message = 1 }\n";

fn files() -> [(&'static str, &'static str); 2] {
    [("agents.toml", AGENTS), ("queues.toml", QUEUES)]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_reaches_two_desktops_and_one_accept_wins() {
    let house = House::new(&files()).await;
    let mut ann = Desktop::open(&house, "ann", true).await.unwrap();
    let mut bob = Desktop::open(&house, "bob", false).await.unwrap();
    assert_eq!(ann.welcome.agent.as_ref().unwrap().presence, Presence::Available as i32);
    house.message("m1", "customer").await;
    let (to_ann, to_bob) = (ann.offer().await, bob.offer().await);
    assert_eq!((&to_ann.item_id, to_ann.kind.as_str()), (&to_bob.item_id, "direct_message"));
    let context = ann.until(|down| if let Down::Context(context) = down { Some(context) } else { None }).await;
    assert_eq!((context.offer_id, context.messages[0].text.as_str()), (to_ann.offer_id.clone(), "of default"));
    assert_eq!(ann.accept(&to_ann).await.code, 0);
    let ended = bob.until(|down| if let Down::OfferEnded(ended) = down { Some(ended) } else { None }).await;
    assert_eq!((ended.offer_id.as_str(), ended.how.as_str()), (to_bob.offer_id.as_str(), "other_accepted"));
    let late = bob.accept(&to_bob).await;
    assert_eq!((late.code, late.reason.as_str()), (i32::from(Code::Aborted), "OFFER_OVER"));

    let mut items = house.items().await;
    let item_id = to_ann.item_id.clone();
    let get = api::GetItemRequest { item_id: item_id.clone(), ..Default::default() };
    let item = items.get_item(get).await.unwrap().into_inner().item.unwrap();
    assert_eq!((item.phase(), item.agent_id.as_str()), (Phase::Assigned, "ann"));
    let explain = api::ExplainRequest { item_id: item_id.clone(), ..Default::default() };
    let explained = items.explain(explain).await.unwrap().into_inner();
    assert_eq!(explained.decisions[0].chosen_agent_ids.len(), 2);
    assert_eq!(explained.decisions[0].best.len(), 2);
    ann.say("finish", Up::Finish(FinishItem { item_id: item_id.clone() })).await;
    let done = |down| {
        let Down::ItemChanged(changed) = down else { return None };
        (changed.phase == Phase::Done as i32).then_some(changed.item_id)
    };
    assert_eq!(ann.until(done).await, item_id);
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_applied_policy_names_exists_at_once() {
    let house = House::new(&files()).await;
    for round in 0..20 {
        let agent = format!("agent{round}");
        let of_policy = format!("{AGENTS}[[agent]]\nid = \"{agent}\"\nqueues = [\"default\"]\n");
        house.publish("default", &[("agents.toml", &of_policy), ("queues.toml", QUEUES)]).await;
        let desktop = Desktop::open(&house, &agent, false).await.unwrap_or_else(|status| panic!("{agent}: {status}"));
        assert_eq!(desktop.welcome.agent.unwrap().agent_id, agent);
    }
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_slot_brings_the_next_offer() {
    let house = House::new(&files()).await;
    let mut bob = Desktop::open(&house, "bob", false).await.unwrap();
    for n in 0..3 {
        house.message(&format!("m{n}"), &format!("customer{n}")).await;
    }
    let mut served = Vec::new();
    for _ in 0..3 {
        let offer = bob.offer().await;
        assert_eq!(bob.accept(&offer).await.code, 0);
        served.push(offer.item_id.clone());
        bob.say("f", Up::Finish(FinishItem { item_id: offer.item_id })).await;
        assert_eq!(bob.answer("f").await.code, 0);
    }
    assert!(served.is_sorted(), "in order of their age: {served:?}");
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_stream_speaks_and_takes_over_what_is_held() {
    let house = House::new(&files()).await;
    let mut first = Desktop::open(&house, "ann", false).await.unwrap();
    house.message("m1", "one").await;
    let offer = first.offer().await;
    first.accept(&offer).await;
    house.message("m2", "two").await;
    let waiting = first.offer().await;
    let mut second = Desktop::open(&house, "ann", false).await.unwrap();
    let status = first.end().await;
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert_eq!(second.welcome.items.len(), 1);
    assert_eq!(second.welcome.offers[0].offer_id, waiting.offer_id, "what stands is told anew");
    assert_eq!(second.accept(&waiting).await.code, 0);
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_leaves_its_offers_to_others_and_a_restart_ends_sessions() {
    let house = House::new(&files()).await;
    let mut ann = Desktop::open(&house, "ann", false).await.unwrap();
    house.message("m1", "one").await;
    let offer = ann.offer().await;
    drop(ann);
    let mut bob = Desktop::open(&house, "bob", false).await.unwrap();
    assert_eq!(bob.offer().await.item_id, offer.item_id);
    let house = house.restart().await;
    assert!(!house.is_connected("bob").await, "his stream was another process's");
    let mut ann = Desktop::open(&house, "ann", false).await.unwrap();
    assert_eq!(ann.offer().await.item_id, offer.item_id);
    house.workers.stop();
}

/// The log as a desk reads it, which may be out of reach for a while.
struct Blind {
    log: Arc<dyn EventLog>,
    is_blind: AtomicBool,
}

impl EventLog for Blind {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        self.log.append(partition, record)
    }

    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        if self.is_blind.load(Ordering::Acquire) {
            return Err(ReadError::Storage("no broker answers".into()));
        }
        self.log.read(partition, from, max_bytes)
    }

    fn end(&self, partition: u16) -> u64 {
        self.log.end(partition)
    }

    fn watch(&self, watcher: Watcher) {
        self.log.watch(watcher);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_may_have_missed_something_end_and_others_come() {
    let house = House::new(&files()).await;
    let ann = Desktop::open(&house, "ann", false).await.unwrap();
    house.blind.is_blind.store(true, Ordering::Release);
    house.message("m0", "one").await;
    let status = ann.end().await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    house.blind.is_blind.store(false, Ordering::Release);
    let told = async {
        for n in 1.. {
            // Who comes before the log is read again has to come once more.
            let Ok(mut ann) = Desktop::open(&house, "ann", false).await else { continue };
            house.message(&format!("m{n}"), &format!("customer{n}")).await;
            match ann.down.message().await {
                Ok(told) => return assert!(told.is_some()),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
    };
    tokio::time::timeout(SOON, told).await.expect("agents are told again");
    house.workers.stop();
}

/// Routing is nobody's, as far as is known, until it is this process's.
struct Coming {
    is_here: AtomicBool,
    changed: watch::Sender<u64>,
}

impl Coming {
    fn comes(&self) {
        self.is_here.store(true, Ordering::Release);
        self.changed.send_modify(|changes| *changes += 1);
    }
}

impl Owners for Coming {
    fn owner(&self, _: Service, _: u16) -> Owner {
        if self.is_here.load(Ordering::Acquire) { Owner::Here } else { Owner::Nobody }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_partition_over_ends_the_sessions_of_the_owner_before() {
    let first = House::new(&files()).await;
    let ann = Desktop::open(&first, "ann", false).await.unwrap();
    let bob = Desktop::open(&first, "bob", false).await.unwrap();
    let second = House::take_over(first.log.clone()).await;
    assert!(second.is_connected("ann").await, "nobody has said yet that the partition is ours");
    let coming = Arc::new(Coming { is_here: AtomicBool::new(false), changed: watch::Sender::new(0) });
    let ending = tokio::spawn(second.agents.clone().end_old_sessions(coming.clone()));
    coming.comes();
    let ended = async { while second.is_connected("ann").await || second.is_connected("bob").await {} };
    tokio::time::timeout(SOON, ended).await.expect("without anybody who comes");
    for left in [ann, bob] {
        let status = left.end().await;
        assert_eq!(status.code(), Code::Unavailable, "nobody else speaks for the agent: {status}");
    }
    let ann = Desktop::open(&second, "ann", false).await.unwrap();
    coming.comes();
    second.begin().await;
    assert!(second.is_connected("ann").await, "once for each epoch");
    drop(ann);
    ending.abort();
    let late = Desktop::open(&first, "bob", false).await.err().unwrap();
    assert_eq!(late.code(), Code::Unavailable, "{late}");
    second.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_winds_up_is_told_that_the_customer_wrote_again() {
    let kinds = "[[kind]]\nname = \"direct_message\"\nwrap_up = \"1h\"\n";
    let house = House::new(&[files()[0], files()[1], ("routing.toml", kinds)]).await;
    let mut ann = Desktop::open(&house, "ann", false).await.unwrap();
    house.message("m1", "customer").await;
    let offer = ann.offer().await;
    assert_eq!(ann.accept(&offer).await.code, 0);
    house.reply("r1", "customer").await;
    house.message("m2", "customer").await;
    let woken = ann.until(|down| if let Down::ItemWoken(woken) = down { Some(woken) } else { None }).await;
    assert_eq!((woken.item_id, woken.thread_id), (offer.item_id, offer.thread_id));
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_code() {
    let house = House::new(&files()).await;
    let nobody = Desktop::open(&house, "nobody", false).await.err().unwrap();
    assert_eq!(nobody.code(), Code::NotFound, "{nobody}");
    let mut ann = Desktop::open(&house, "ann", false).await.unwrap();
    let requests = [
        (Up::Accept(AcceptOffer { offer_id: "o0000000000009".into() }), Code::NotFound),
        (Up::Accept(AcceptOffer { offer_id: "nonsense".into() }), Code::InvalidArgument),
        (
            Up::Decline(DeclineOffer { offer_id: "o0000000000009".into(), reason: "x".repeat(513) }),
            Code::InvalidArgument,
        ),
        (Up::Park(ParkItem { item_id: "w0000000000009".into() }), Code::NotFound),
        (Up::Presence(ChangePresence { presence: 99 }), Code::InvalidArgument),
        (Up::Hello(Hello::default()), Code::InvalidArgument),
    ];
    for (n, (request, code)) in requests.into_iter().enumerate() {
        ann.say(&n.to_string(), request.clone()).await;
        let answer = ann.answer(&n.to_string()).await;
        assert_eq!(answer.code, i32::from(code), "{request:?}: {answer:?}");
        assert!(!answer.message.is_empty() && !answer.reason.is_empty());
    }
    house.message("m1", "one").await;
    let offer = ann.offer().await;
    ann.say("no", Up::Decline(DeclineOffer { offer_id: offer.offer_id.clone(), reason: String::new() })).await;
    assert_eq!(ann.answer("no").await.code, 0);
    ann.say("twice", Up::Decline(DeclineOffer { offer_id: offer.offer_id, reason: String::new() })).await;
    assert_eq!(ann.answer("twice").await.code, i32::from(Code::FailedPrecondition));

    let mut items = house.items().await;
    let item_id = offer.item_id;
    let why =
        |agent: &str| api::WhyNotRequest { item_id: item_id.clone(), agent_id: agent.into(), wait_for: String::new() };
    assert_eq!(items.why_not(why("bob")).await.unwrap().into_inner().reasons, ["not_available"]);
    assert_eq!(items.why_not(why("nobody")).await.unwrap_err().code(), Code::NotFound);
    let transfer = |queue: &str, etag: &str| api::TransferItemRequest {
        item_id: item_id.clone(),
        request_id: "t1".into(),
        etag: etag.into(),
        queue: queue.into(),
        agent_id: String::new(),
    };
    assert_eq!(items.transfer_item(transfer("nowhere", "")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(items.transfer_item(transfer("second", "1")).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(items.transfer_item(transfer("", "")).await.unwrap_err().code(), Code::InvalidArgument);
    let moved = items.transfer_item(transfer("second", "")).await.unwrap().into_inner();
    assert_eq!(moved.item.unwrap().queue, "second");
    let again = items.transfer_item(transfer("second", "1")).await.unwrap().into_inner();
    assert_eq!(again.item.unwrap().queue, "second", "a repeat does nothing, whatever its etag");
    let queues = items.list_queues(api::ListQueuesRequest::default()).await.unwrap().into_inner().queues;
    let names: Vec<(&str, u32)> = queues.iter().map(|queue| (queue.name.as_str(), queue.members)).collect();
    assert_eq!(names, [("default", 2), ("second", 1)]);
    house.workers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_items_follow_a_policy_that_is_applied_meanwhile() {
    let house = House::new(&[("queues.toml", "[[queue]]\nname = \"old\"\n")]).await;
    for n in 0..150 {
        house.message(&format!("m{n}"), &format!("customer{n}")).await;
    }
    let applied = house.apply(&files()).await;
    let mut items = house.items().await;
    let list = api::ListItemsRequest { page_size: 1_000, wait_for: applied.to_string(), ..Default::default() };
    let follow = async {
        loop {
            let listed = items.list_items(list.clone()).await.unwrap().into_inner().items;
            if listed.len() == 150 && listed.iter().all(|item| item.queue == "default") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, follow).await.expect("all follow");
    let mut ann = Desktop::open(&house, "ann", false).await.unwrap();
    ann.offer().await;
    house.workers.stop();
}
