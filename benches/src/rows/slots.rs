//! A workspace where more customers wait than its agents can take: each slot that becomes free is filled
//! again at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rejoinder_api::ingest::{ApplyPolicyRequest, PolicyFile, policy_service_client::PolicyServiceClient};
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{AcceptOffer, FinishItem, Hello, Request};
use rejoinder_api::routing::work_response::Response;
use rejoinder_api::routing::{ListAgentsRequest, Presence, WorkRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

use crate::clock;
use crate::latency::Latencies;
use crate::load::{Load, Pace};
use crate::server::{Server, of};
use crate::workload::Kind;

const WORKSPACE: &str = "full-house";
/// Agents, each with room for one item.
const AGENTS: u64 = 16;
/// So long an agent works on an item.
const WORK: Duration = Duration::from_millis(50);

/// Offers that each agent waits for at least.
const LEAST: u64 = 10;

/// A workspace with a long queue.
pub(crate) struct FullHouse {
    channel: Channel,
    /// The one who sent the questions stays until the end.
    _load: Arc<Load>,
}

/// Fills the queue for agents who work for so long.
pub(crate) async fn prepare(server: &Server, length: Duration) -> anyhow::Result<FullHouse> {
    let channel = server.channel().await?;
    let agent = |n: u64| format!("[[agent]]\nid = \"agent-{n}\"\ntotal = 10\nqueues = [\"default\"]\n\n");
    let kinds = "[[kind]]\nname = \"direct_message\"\ncost = 10\nmax = 10\n";
    let agents: String = (0..AGENTS).map(agent).collect();
    let file = |name: &str, text: &str| PolicyFile { name: name.into(), text: text.into() };
    let files = vec![file("agents.toml", &agents), file("routing.toml", kinds)];
    let policy = ApplyPolicyRequest { files, ..ApplyPolicyRequest::default() };
    let wait_for =
        PolicyServiceClient::new(channel.clone()).apply_policy(of(WORKSPACE, policy)?).await?.into_inner().as_of;
    let request = ListAgentsRequest { wait_for, page_size: 1, ..ListAgentsRequest::default() };
    AgentServiceClient::new(channel.clone()).list_agents(of(WORKSPACE, request)?).await?;
    // More than they can have finished by then, and before: they wait for the load to begin.
    let rounds = (length + Duration::from_secs(20)).as_millis() / WORK.as_millis();
    let messages = AGENTS * u64::try_from(rounds)?;
    let kind = Kind::Asked { at_ms: clock::wall_ms() };
    let mut load = Load::new(server, &[WORKSPACE.to_owned()], kind, None).await?;
    load.run(server, Pace { batch: 100, rate: None, messages }).await?;
    Ok(FullHouse { channel, _load: Arc::new(load) })
}

impl FullHouse {
    /// Lets the agents work for so long.
    pub(crate) async fn work(self, length: Duration) -> anyhow::Result<Latencies> {
        let mut agents = Vec::new();
        for number in 0..AGENTS {
            agents.push(tokio::spawn(agent(self.channel.clone(), number, length)));
        }
        let mut all = Latencies::default();
        for agent in agents {
            all.merge(&agent.await??);
        }
        Ok(all)
    }
}

/// Accepts, works, finishes; the time runs from when the item is finished to the next offer.
async fn agent(channel: Channel, number: u64, length: Duration) -> anyhow::Result<Latencies> {
    let (to, requests) = mpsc::unbounded_channel();
    let ask = |request| to.send(WorkRequest { request_id: String::new(), request: Some(request) });
    let agent_id = format!("agent-{number}");
    ask(Request::Hello(Hello { agent_id, presence: Presence::Available as i32, with_context: false }))?;
    let request = of(WORKSPACE, UnboundedReceiverStream::new(requests))?;
    let mut told = AgentServiceClient::new(channel).work(request).await?.into_inner();
    let (mut latencies, start, mut freed) = (Latencies::default(), clock::now(), None);
    while start.elapsed() < length || latencies.count() < LEAST {
        match told.message().await?.context("the stream ended")?.response {
            Some(Response::Welcome(welcome)) => {
                // What was offered before the welcome is told with it, and only there.
                for offer in welcome.offers {
                    ask(Request::Accept(AcceptOffer { offer_id: offer.offer_id }))?;
                }
            }
            Some(Response::Offer(offer)) => {
                if let Some(freed) = freed.take() {
                    latencies.add(clock::now().saturating_duration_since(freed));
                }
                ask(Request::Accept(AcceptOffer { offer_id: offer.offer_id }))?;
            }
            Some(Response::ItemChanged(changed)) if changed.phase() == Phase::Assigned => {
                tokio::time::sleep(WORK).await;
                freed = Some(clock::now());
                ask(Request::Finish(FinishItem { item_id: changed.item_id }))?;
            }
            Some(Response::Answer(answer)) => ensure!(answer.code == 0, "{}: {}", answer.reason, answer.message),
            _ => {}
        }
    }
    Ok(latencies)
}
