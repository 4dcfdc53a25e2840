//! How long queries take while 5,000 messages a second flow.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::routing::GetAgentRequest;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::threading::person_service_client::PersonServiceClient;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{GetThreadRequest, ListThreadsRequest, ListTimelineRequest};
use tonic::transport::Channel;

use crate::latency::Latencies;
use crate::load::{Load, Pace};
use crate::rows::latency::paced;
use crate::server::{Server, of};
use crate::staff::agent_id;
use crate::table::Row;
use crate::workload::Kind;
use crate::{Sizes, clock, create, staff, workspaces};

/// What has happened between the company and its most faithful customer.
const LONG_TIMELINE: u64 = 10_000;
/// Between two queries of a kind.
const EVERY: Duration = Duration::from_millis(20);

pub(crate) async fn measure(dir: &Path, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let names = workspaces(64);
    let faithful = "company-with-a-fan".to_owned();
    let server = Server::start(&dir.join("data"))?;
    let staff = staff(names.len(), true);
    create(&server, &names, staff.agents).await?;
    create(&server, std::slice::from_ref(&faithful), 0).await?;
    let fan = Pace { batch: 50, rate: None, messages: LONG_TIMELINE };
    Load::new(&server, std::slice::from_ref(&faithful), Kind::OneCustomer, None).await?.run(&server, fan).await?;
    let mut load = Load::new(&server, &names, Kind::Conversations, Some(staff)).await?;
    load.run(&server, paced(Duration::from_secs(2))).await?;
    let channel = server.channel().await?;
    let threads = threads(&channel, &names).await?;
    let person = listed(&channel, &faithful, 1).await?.pop().context("the fan has a thread")?.person_id;
    let length = sizes.steady;
    let asking = tokio::spawn(ask_for_threads(channel.clone(), threads, length));
    let looking = tokio::spawn(ask_for_agents(channel.clone(), names, staff.agents, length));
    let telling = tokio::spawn(ask_for_timelines(channel, faithful, person, length));
    let run = load.run(&server, paced(length)).await?;
    let (thread, timeline, agent) = (asking.await??, telling.await??, looking.await??);
    drop(load);
    server.stop()?;
    Ok(vec![
        Row::new("at 5,000/s: GetThread", thread.p50_p99()).target("p99 ≤ 5 ms"),
        Row::new("at 5,000/s: ListTimeline, 100 of a person's 10,000 messages", timeline.p50_p99())
            .target("p99 ≤ 50 ms"),
        Row::new("at 5,000/s: GetAgent, with its load", agent.p50_p99()).target("p99 ≤ 5 ms"),
        Row::new("at 5,000/s: offer → its context: newest messages, running clocks", run.context.p50_p99())
            .target("p99 ≤ 20 ms"),
    ])
}

/// Threads of each workspace, with their workspaces.
async fn threads(channel: &Channel, names: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut threads = Vec::new();
    for name in names {
        threads.extend(listed(channel, name, 100).await?.into_iter().map(|thread| (name.clone(), thread.thread_id)));
    }
    Ok(threads)
}

async fn listed(
    channel: &Channel,
    workspace: &str,
    page_size: i32,
) -> anyhow::Result<Vec<rejoinder_api::threading::Thread>> {
    let request = ListThreadsRequest { page_size, ..ListThreadsRequest::default() };
    Ok(ThreadServiceClient::new(channel.clone()).list_threads(of(workspace, request)?).await?.into_inner().threads)
}

async fn ask_for_threads(
    channel: Channel,
    threads: Vec<(String, String)>,
    length: Duration,
) -> anyhow::Result<Latencies> {
    let mut client = ThreadServiceClient::new(channel);
    let (mut latencies, start) = (Latencies::default(), clock::now());
    let mut due = start;
    for (workspace, thread_id) in threads.iter().cycle() {
        due += EVERY;
        if due > start + length {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let request = GetThreadRequest { thread_id: thread_id.clone(), ..GetThreadRequest::default() };
        client.get_thread(of(workspace, request)?).await?;
        latencies.add(due.elapsed());
    }
    Ok(latencies)
}

async fn ask_for_agents(
    channel: Channel,
    names: Vec<String>,
    agents: usize,
    length: Duration,
) -> anyhow::Result<Latencies> {
    let mut client = AgentServiceClient::new(channel);
    let (mut latencies, start) = (Latencies::default(), clock::now());
    let mut due = start;
    for (number, workspace) in names.iter().cycle().enumerate() {
        due += EVERY;
        if due > start + length {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let request = GetAgentRequest { agent_id: agent_id(number % agents), ..GetAgentRequest::default() };
        let agent = client.get_agent(of(workspace, request)?).await?.into_inner().agent;
        anyhow::ensure!(agent.is_some_and(|agent| agent.load.is_some()), "an agent has no load");
        latencies.add(due.elapsed());
    }
    Ok(latencies)
}

async fn ask_for_timelines(
    channel: Channel,
    workspace: String,
    person: String,
    length: Duration,
) -> anyhow::Result<Latencies> {
    let mut client = PersonServiceClient::new(channel);
    let (mut latencies, start) = (Latencies::default(), clock::now());
    let mut due = start;
    while due < start + length {
        due += EVERY * 5;
        tokio::time::sleep_until(due.into()).await;
        let request =
            ListTimelineRequest { person_id: person.clone(), page_size: 100, ..ListTimelineRequest::default() };
        let entries = client.list_timeline(of(&workspace, request)?).await?.into_inner().entries.len();
        anyhow::ensure!(entries == 100, "a timeline has {entries} entries");
        latencies.add(due.elapsed());
    }
    Ok(latencies)
}
