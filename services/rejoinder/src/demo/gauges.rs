//! The figures of each second, as a dashboard has them: by queries, the event feed and the watch of alarms.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{Agent, ListAgentsRequest, ListQueuesRequest};
use rejoinder_api::threading::thread::State;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListThreadsRequest, ListThreadsResponse};

use super::alarms;
use super::customers::Answers;
use super::facts::{Offers, Outcomes};
use super::follow;
use super::view::{Second, View};
use crate::remote::{Remote, refused};

/// Agents of the demo are all on one page.
const PAGE: i32 = 1_000;

/// Where the figures come from, and which were shown so far.
pub(super) struct Gauges {
    pub(super) remote: Arc<Remote>,
    pub(super) answers: Answers,
    pub(super) facts: follow::Shared,
    pub(super) alarms: alarms::Shared,
    pub(super) second: Second,
    offers: Offers,
    outcomes: Outcomes,
    /// What had happened to alarms.
    happened: u64,
}

impl Gauges {
    pub(super) fn new(remote: Arc<Remote>, answers: Answers, facts: follow::Shared, alarms: alarms::Shared) -> Self {
        let (offers, outcomes) = (Offers::default(), Outcomes::default());
        Self { remote, answers, facts, alarms, second: Second::default(), offers, outcomes, happened: 0 }
    }

    /// Shows a second; answers with the number of agents who are busy.
    pub(super) async fn show(&mut self, view: &mut View) -> anyhow::Result<usize> {
        let (threads, waiting, agents) =
            tokio::try_join!(self.threads(String::new()), self.waiting(), self.agents_now())?;
        let busy = agents.iter().filter(|agent| agent.load.is_some_and(|load| load.items > 0)).count();
        let (offers, outcomes) = follow::look(&self.facts, |facts| (facts.offers, sum(&facts.outcomes())));
        let (ringing, newest, happened) = alarms::look(&self.alarms, |alarms| {
            (alarms.ringing(), alarms.newest.iter().cloned().collect::<Vec<_>>(), alarms.happened)
        });
        let second = &mut self.second;
        second.number += 1;
        second.figures = self.answers.take();
        second.open = threads.counts.iter().filter(|count| count.state() != State::Resolved).map(|c| c.threads).sum();
        second.waiting.push(waiting);
        second.offers = Offers {
            made: offers.made - self.offers.made,
            accepted: offers.accepted - self.offers.accepted,
            declined: offers.declined - self.offers.declined,
            timed_out: offers.timed_out - self.offers.timed_out,
            ..Offers::default()
        };
        second.busy = (busy, agents.len());
        // A breach that turns out to be none makes one less.
        second.met = outcomes.met.saturating_sub(self.outcomes.met);
        second.breached = outcomes.breached.saturating_sub(self.outcomes.breached);
        (second.ringing, second.newest, second.happened) = (ringing, newest, happened - self.happened);
        self.happened = happened;
        (self.offers, self.outcomes) = (offers, outcomes);
        view.show(second)?;
        Ok(busy)
    }

    /// Threads by state, and messages that are placed.
    pub(super) async fn threads(&self, wait_for: String) -> anyhow::Result<ListThreadsResponse> {
        let request = ListThreadsRequest { page_size: 1, wait_for, ..ListThreadsRequest::default() };
        let mut threads = ThreadServiceClient::new(self.remote.channel.clone());
        let answer = threads.list_threads(self.remote.request(request)).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// Items without an agent.
    async fn waiting(&self) -> anyhow::Result<u64> {
        let request = self.remote.request(ListQueuesRequest::default());
        let answer = RoutingServiceClient::new(self.remote.channel.clone()).list_queues(request).await;
        let queues = answer.map_err(|status| refused(&status))?.into_inner().queues;
        Ok(queues.iter().map(|queue| queue.waiting).sum())
    }

    async fn agents_now(&self) -> anyhow::Result<Vec<Agent>> {
        let request = self.remote.request(ListAgentsRequest { page_size: PAGE, ..ListAgentsRequest::default() });
        let answer = AgentServiceClient::new(self.remote.channel.clone()).list_agents(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner().agents)
    }
}

fn sum(outcomes: &BTreeMap<i32, Outcomes>) -> Outcomes {
    let mut sum = Outcomes::default();
    for each in outcomes.values() {
        sum.met += each.met;
        sum.breached += each.breached;
    }
    sum
}
