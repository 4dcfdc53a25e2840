//! `agents list`.

use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::{Agent, ListAgentsRequest, Presence};

use crate::Ended;
use crate::cli::{Agents, Cli};
use crate::query::{PAGE, pages, word};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 10] =
    ["agent_id", "presence", "connected", "used", "total", "items", "parked", "idle_since", "last_assigned", "queues"];
const WIDTHS: [usize; 10] = [16, 14, 9, 5, 5, 5, 6, 24, 24, 0];

/// Which agents are listed.
pub(crate) struct Wanted {
    /// Unspecified: all.
    pub(crate) presence: Presence,
    /// Who serves this queue.
    pub(crate) queue: Option<String>,
}

pub(crate) async fn command(agents: &Agents, cli: &Cli) -> anyhow::Result<Ended> {
    let Agents::List { presence, queue, source } = agents;
    let wanted = Wanted { presence: presence.unwrap_or_default(), queue: queue.clone() };
    list(&source.open(&cli.workspace).await?, &wanted, cli.output).await
}

/// Agents in the order of their ids.
pub(crate) async fn list(remote: &Remote, wanted: &Wanted, output: Output) -> anyhow::Result<Ended> {
    let mut client = AgentServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    let serves = |agent: &Agent| wanted.queue.as_ref().is_none_or(|queue| agent.queues.contains(queue));
    let mut any = false;
    pages(async |page_token| {
        let presence = wanted.presence as i32;
        let request = ListAgentsRequest { page_size: PAGE, page_token, presence, wait_for: String::new() };
        let answer = client.list_agents(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        for agent in page.agents.into_iter().filter(serves) {
            any = true;
            rows.row(&row(agent))?;
        }
        Ok(page.next_page_token)
    })
    .await?;
    if let (false, Some(queue)) = (any, &wanted.queue) {
        super::queues::must_exist(remote, queue).await?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

fn row(agent: Agent) -> [Value; 10] {
    let load = agent.load.unwrap_or_default();
    let presence = Presence::try_from(agent.presence).unwrap_or_default();
    [
        Value::name(agent.agent_id),
        Value::name(word(presence.as_str_name(), "PRESENCE_")),
        agent.connected.into(),
        load.used.into(),
        load.total.into(),
        load.items.into(),
        load.parked.into(),
        Value::time(agent.idle_since.as_ref()),
        Value::time(agent.last_assigned.as_ref()),
        Value::Names(agent.queues),
    ]
}
