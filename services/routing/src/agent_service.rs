//! AgentService: agents as they are, and their streams.

use std::pin::Pin;
use std::sync::Arc;

use rejoinder_api::routing::agent_service_server::AgentService;
use rejoinder_api::routing::{self as api, WorkRequest, WorkResponse};
use rejoinder_routing_core::{Command, Done, Routing, Session};
use rejoinder_service_kit::{Lanes, LogNews, field, page, refuse, workspace};
use rejoinder_wire::event::Presence;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::command::{Call, command};
use crate::context::AskContext;
use crate::desk::Desk;
use crate::sessions::OldSessions;
use crate::{view, work};

/// The service over its lanes.
#[derive(Clone)]
pub struct Agents {
    pub(crate) lanes: Arc<Lanes<Routing>>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) ask_context: AskContext,
    pub(crate) sessions: Arc<OldSessions>,
}

impl Agents {
    /// The service; streams are told what happens from now on. Must run on a runtime with threads.
    pub fn start(lanes: Arc<Lanes<Routing>>, news: &LogNews, ask_context: AskContext) -> Self {
        let desk = Arc::new(Desk::default());
        (0..lanes.log().partitions()).for_each(|partition| desk.follow(&lanes, news, partition));
        let sessions = Arc::new(OldSessions::of(lanes.log().partitions()));
        Self { lanes, desk, ask_context, sessions }
    }

    async fn agent(&self, workspace: &str, id: &str, wait_for: &str) -> Result<(api::Agent, String), Status> {
        let (of, wanted) = (workspace.to_owned(), id.to_owned());
        let question = move |state: &Routing| view::find_agent(state, &of, &wanted);
        let (agent, as_of) = self.lanes.ask(workspace, wait_for, question).await?;
        Ok((agent.ok_or_else(|| refuse::not_found("agent", id))?, as_of.to_string()))
    }
}

/// A presence that somebody may set.
pub(crate) fn presence(value: i32) -> Result<Presence, Status> {
    let known = Presence::try_from(value).ok().filter(|presence| *presence != Presence::Unspecified);
    known.ok_or_else(|| refuse::invalid("PRESENCE_INVALID", "presence", "is AVAILABLE, AWAY or OFFLINE"))
}

#[tonic::async_trait]
impl AgentService for Agents {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<WorkResponse, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let name = workspace(request.metadata())?;
        let epoch = self.begin(self.lanes.partition(&name)).await?;
        Ok(Response::new(Box::pin(work::serve(self.clone(), name, epoch, request.into_inner()))))
    }

    async fn set_presence(
        &self,
        request: Request<api::SetPresenceRequest>,
    ) -> Result<Response<api::SetPresenceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let workspace = call.workspace.clone();
        let by = Session { agent: request.agent_id, session: 0 };
        let decided = Command::SetPresence { by, presence: presence(request.presence)? };
        let (done, as_of) = command(&self.lanes, call, decided).await?;
        let Done::Agent(id) = done else {
            return Err(refuse::invalid("REQUEST_ID_USED", "request_id", "another command had it"));
        };
        let (agent, _) = self.agent(&workspace, &id, "").await?;
        Ok(Response::new(api::SetPresenceResponse { agent: Some(agent), as_of: as_of.to_string() }))
    }

    async fn get_agent(
        &self,
        request: Request<api::GetAgentRequest>,
    ) -> Result<Response<api::GetAgentResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let (agent, as_of) = self.agent(&name, &request.agent_id, &request.wait_for).await?;
        Ok(Response::new(api::GetAgentResponse { agent: Some(agent), as_of }))
    }

    async fn list_agents(
        &self,
        request: Request<api::ListAgentsRequest>,
    ) -> Result<Response<api::ListAgentsResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        // The token is the id after which the page begins: agents have no numbers.
        let (size, after) = (page(request.page_size, "")?.size, request.page_token);
        let (of, wanted) = (name.clone(), request.presence);
        let question = move |state: &Routing| {
            let policy = state.has_workspace(&of).then(|| state.policy(&of))?;
            let ids = policy.agents.keys().filter(|id| **id > after);
            let agents = ids.filter_map(|id| view::find_agent(state, &of, id));
            let mut agents = agents.filter(|agent| wanted == 0 || agent.presence == wanted);
            let page: Vec<api::Agent> = agents.by_ref().take(size).collect();
            let more = agents.next().is_some();
            let next = page.last().filter(|_| more).map(|agent| agent.agent_id.clone());
            Some((page, next.unwrap_or_default()))
        };
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (agents, next_page_token) = found.ok_or_else(|| refuse::not_found("workspace", &name))?;
        Ok(Response::new(api::ListAgentsResponse { agents, next_page_token, as_of: as_of.to_string() }))
    }
}

/// An agent's id as a stream names it.
pub(crate) fn agent_id(id: &str) -> Result<String, Status> {
    if id.is_empty() {
        return Err(refuse::invalid("ID_INVALID", "agent_id", "is empty"));
    }
    field::request_id(id.to_owned()).map_err(|_| refuse::not_found("agent", &id.chars().take(40).collect::<String>()))
}
