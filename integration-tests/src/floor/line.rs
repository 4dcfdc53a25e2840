//! A connection to one server, for one workspace; and what a refusal on it means.

use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::policy_service_client::PolicyServiceClient;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::sla::alarm_service_client::AlarmServiceClient;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_service_kit::refuse;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::server::Server;

/// Names the workspace in every call.
#[derive(Clone)]
pub struct Addressed(MetadataValue<Ascii>);

impl Interceptor for Addressed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(rejoinder_api::WORKSPACE, self.0.clone());
        Ok(request)
    }
}

type Wire = InterceptedService<Channel, Addressed>;

/// A connection.
#[derive(Clone)]
pub struct Line {
    channel: Channel,
    addressed: Addressed,
}

impl Line {
    /// Connects to a server.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn to(server: &Server, workspace: &str) -> Self {
        let addressed = Addressed(workspace.parse().expect("a workspace's name"));
        Self { channel: server.channel().await, addressed }
    }

    fn wire(&self) -> Wire {
        InterceptedService::new(self.channel.clone(), self.addressed.clone())
    }

    /// Ingest.
    #[must_use]
    pub fn ingest(&self) -> IngestServiceClient<Wire> {
        IngestServiceClient::new(self.wire())
    }

    /// Policies.
    #[must_use]
    pub fn policies(&self) -> PolicyServiceClient<Wire> {
        PolicyServiceClient::new(self.wire())
    }

    /// Threads.
    #[must_use]
    pub fn threads(&self) -> ThreadServiceClient<Wire> {
        ThreadServiceClient::new(self.wire())
    }

    /// Agents.
    #[must_use]
    pub fn agents(&self) -> AgentServiceClient<Wire> {
        AgentServiceClient::new(self.wire())
    }

    /// Work items and queues.
    #[must_use]
    pub fn items(&self) -> RoutingServiceClient<Wire> {
        RoutingServiceClient::new(self.wire())
    }

    /// Clocks.
    #[must_use]
    pub fn clocks(&self) -> ClockServiceClient<Wire> {
        ClockServiceClient::new(self.wire())
    }

    /// Alarms.
    #[must_use]
    pub fn alarms(&self) -> AlarmServiceClient<Wire> {
        AlarmServiceClient::new(self.wire())
    }
}

/// What an error means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The server said no, and means it.
    Refused,
    /// It may have been done or not; ask again.
    Unknown,
    /// The server is gone.
    Gone,
    /// It must not say that.
    Wrong,
}

/// What a status means.
#[expect(clippy::wildcard_enum_match_arm, reason = "any code may come from a connection that breaks")]
#[must_use]
pub fn meaning(status: &Status) -> Meaning {
    let said = !refuse::reason(status).is_empty();
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted if said => Meaning::Unknown,
        // What the server says has its reason; a connection that breaks has none.
        _ if said => Meaning::Refused,
        Code::DataLoss | Code::Unimplemented | Code::OutOfRange => Meaning::Wrong,
        Code::Internal if std::error::Error::source(status).is_none() => Meaning::Wrong,
        _ => Meaning::Gone,
    }
}
