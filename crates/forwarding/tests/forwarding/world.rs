//! Processes that can be killed, and what they serve: agents that say who answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoinder_api::feed::event_feed_service_client::EventFeedServiceClient;
use rejoinder_api::feed::event_feed_service_server::{EventFeedService, EventFeedServiceServer};
use rejoinder_api::feed::{SubscribeRequest, SubscribeResponse};
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::agent_service_server::{AgentService, AgentServiceServer};
use rejoinder_api::routing::{self as api, WorkRequest, WorkResponse};
use rejoinder_forwarding::{CONNECTION_WINDOW_BYTES, ForwardingLayer, Peers, STREAM_WINDOW_BYTES};
use rejoinder_model::Service;
use rejoinder_service_kit::{Owner, Owners, refuse, workspace};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const PARTITIONS: u16 = 4;
/// Longer than anything takes that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Who owns what, as one process sees it.
pub(crate) struct View {
    owners: Mutex<BTreeMap<Service, Owner>>,
    changed: watch::Sender<u64>,
}

impl View {
    /// Nobody owns anything.
    fn new() -> Arc<Self> {
        Arc::new(Self { owners: Mutex::default(), changed: watch::Sender::new(0) })
    }

    pub(crate) fn set(&self, service: Service, owner: Owner) {
        self.owners.lock().unwrap().insert(service, owner);
        self.changed.send_modify(|changes| *changes += 1);
    }
}

impl Owners for View {
    fn owner(&self, service: Service, _: u16) -> Owner {
        self.owners.lock().unwrap().get(&service).cloned().unwrap_or(Owner::Nobody)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// What goes on in the handlers of a process.
#[derive(Clone)]
pub(crate) struct Handlers {
    name: &'static str,
    /// Calls that began, and calls that ended.
    pub(crate) seen: watch::Sender<(u64, u64)>,
    /// Calls that wait go on when it is true.
    pub(crate) go_on: watch::Sender<bool>,
}

/// A call that goes on; it has ended when dropped.
struct GoesOn(watch::Sender<(u64, u64)>);

impl Handlers {
    fn begin(&self) -> GoesOn {
        self.seen.send_modify(|seen| seen.0 += 1);
        GoesOn(self.seen.clone())
    }

    /// Waits until so many calls have begun and ended.
    pub(crate) async fn until(&self, seen: (u64, u64)) {
        let mut looked = self.seen.subscribe();
        let reached = looked.wait_for(|now| *now == seen);
        tokio::time::timeout(SOON, reached).await.unwrap_or_else(|_| panic!("never: {seen:?}")).unwrap();
    }
}

impl Drop for GoesOn {
    fn drop(&mut self) {
        self.0.send_modify(|seen| seen.1 += 1);
    }
}

#[tonic::async_trait]
impl AgentService for Handlers {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<WorkResponse, Status>> + Send>>;

    /// Answers each request with its id, before the next one comes.
    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let goes_on = self.begin();
        let of = workspace(request.metadata())?;
        let (mut up, name) = (request.into_inner(), self.name);
        let (down, told) = mpsc::channel(1);
        tokio::spawn(async move {
            let _goes_on = goes_on;
            loop {
                let request = tokio::select! {
                    request = up.message() => request,
                    () = down.closed() => return,
                };
                let Ok(Some(request)) = request else { return };
                let position = format!("{name}/{of}/{}", request.request_id);
                // Who listens may be gone.
                let _ = down.send(Ok(WorkResponse { position, response: None })).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }

    async fn set_presence(
        &self,
        _: Request<api::SetPresenceRequest>,
    ) -> Result<Response<api::SetPresenceResponse>, Status> {
        let what = (0..20).map(|n| ("presence".to_owned(), format!("{n} ä {}", "x".repeat(100))));
        Err(refuse::invalid_in("PRESENCE_INVALID", what))
    }

    /// Says who answers, in which workspace, and what the metadata has. `wait` waits.
    async fn get_agent(
        &self,
        request: Request<api::GetAgentRequest>,
    ) -> Result<Response<api::GetAgentResponse>, Status> {
        let _goes_on = self.begin();
        let of = workspace(request.metadata())?;
        let said = request.metadata().get("said").map(|said| said.to_str().unwrap().to_owned());
        if request.get_ref().agent_id == "wait" {
            self.go_on.subscribe().wait_for(|go_on| *go_on).await.unwrap();
        }
        let as_of = format!("{}/{of}/{}", self.name, said.unwrap_or_default());
        let mut response = Response::new(api::GetAgentResponse { agent: None, as_of });
        response.metadata_mut().insert("answered", self.name.parse().unwrap());
        Ok(response)
    }

    async fn list_agents(
        &self,
        _: Request<api::ListAgentsRequest>,
    ) -> Result<Response<api::ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl EventFeedService for Handlers {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    /// As many events as there are types, each 64 KiB large; then the end, or what was refused.
    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let goes_on = self.begin();
        let (request, name) = (request.into_inner(), self.name);
        let (to, events) = mpsc::channel(1);
        tokio::spawn(async move {
            let _goes_on = goes_on;
            for (own_seq, kind) in (1..).zip(request.types) {
                let payload = vec![7; 64 << 10];
                let (service, r#type) = (name.to_owned(), kind);
                let event = SubscribeResponse { service, own_seq, r#type, payload, ..SubscribeResponse::default() };
                if to.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            let ended = if request.until_end { return } else { refuse::exhausted("no more", 77) };
            // Who listens may be gone.
            let _ = to.send(Err(ended)).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }
}

/// A process.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    pub(crate) view: Arc<View>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) handlers: Handlers,
    runtime: Option<Runtime>,
}

impl Process {
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::start_with(name, "127.0.0.1:0".parse().unwrap(), |_| Routes::default()).await
    }

    /// At an address, with more services.
    pub(crate) async fn start_with(
        name: &'static str,
        address: SocketAddr,
        more: impl FnOnce(&Arc<Peers>) -> Routes,
    ) -> Self {
        let view = View::new();
        let peers = Peers::new(view.clone(), PARTITIONS);
        let handlers = Handlers { name, seen: watch::Sender::new((0, 0)), go_on: watch::Sender::new(false) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.spawn(TcpListener::bind(address)).await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let routes = more(&peers)
            .add_service(AgentServiceServer::new(handlers.clone()))
            .add_service(EventFeedServiceServer::new(handlers.clone()));
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .layer(ForwardingLayer::new(peers.clone()))
            .add_routes(routes);
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, view, peers, handlers, runtime: Some(runtime) }
    }

    pub(crate) fn owns(&self, service: Service) {
        self.view.set(service, Owner::Here);
    }

    pub(crate) fn sees(&self, service: Service, owner: &Self) {
        self.view.set(service, Owner::At(owner.address.to_string()));
    }

    /// Ends it, and its connections, in the middle of everything.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel().await)
    }

    pub(crate) async fn feed(&self) -> EventFeedServiceClient<Channel> {
        EventFeedServiceClient::new(self.channel().await)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two processes: `far` owns all, and `near` knows it.
pub(crate) async fn two() -> (Process, Process) {
    let (near, far) = (Process::start("near").await, Process::start("far").await);
    for service in Service::ALL {
        far.owns(service);
        near.sees(service, &far);
    }
    (near, far)
}

/// A question for an agent.
pub(crate) fn get(agent_id: &str) -> Request<api::GetAgentRequest> {
    Request::new(api::GetAgentRequest { agent_id: agent_id.to_owned(), wait_for: String::new() })
}

pub(crate) fn in_workspace<T>(name: &str, mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert(rejoinder_api::WORKSPACE, name.parse().unwrap());
    request
}

/// It may be asked again, and says when, and of what it speaks.
pub(crate) fn is_retryable(status: &Status, service: &str) {
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    assert!(refuse::retry_after_ms(status) > 0, "it says when: {status:?}");
    assert_eq!(refuse::reason(status), "UNAVAILABLE");
    assert!(status.message().contains(&format!("{service} of partition ")), "{status}");
}

/// A stream of an agent that goes on: what it says, and what it is told.
pub(crate) struct Desktop {
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
}

impl Desktop {
    pub(crate) async fn open(at: &Process, workspace: &str) -> Result<Self, Status> {
        let (up, requests) = mpsc::channel(4);
        let request = in_workspace(workspace, Request::new(ReceiverStream::new(requests)));
        let down = at.agents().await.work(request).await?.into_inner();
        Ok(Self { up, down })
    }

    pub(crate) async fn ask(&mut self, id: &str) -> Result<String, Status> {
        let said = self.up.send(WorkRequest { request_id: id.to_owned(), request: None }).await;
        said.map_err(|_| Status::cancelled("the stream has ended"))?;
        let told = tokio::time::timeout(SOON, self.down.message()).await.expect("an answer comes")?;
        Ok(told.unwrap().position)
    }

    /// How it ends, without being asked anything.
    pub(crate) async fn end(mut self) -> Option<Status> {
        tokio::time::timeout(SOON, self.down.message()).await.expect("it ends").err()
    }

    /// The agent has nothing more to say.
    pub(crate) async fn close(self) -> Result<Option<WorkResponse>, Status> {
        let Self { up, mut down } = self;
        drop(up);
        tokio::time::timeout(SOON, down.message()).await.expect("it ends")
    }
}
