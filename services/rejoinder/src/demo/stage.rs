//! How the demo runs: policy, agents, customers, a view each second, and the end in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fastrand::Rng;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{Agent as ApiAgent, ListAgentsRequest, ListQueuesRequest};
use rejoinder_api::sla::ListClocksRequest;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::threading::thread::State;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListThreadsRequest, ListThreadsResponse};
use rejoinder_model::{AlarmId, OfferId};
use rejoinder_runtime::{Clock, SystemClock};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Options;
use super::agent::Agent;
use super::alarms::{self, Alarms};
use super::audit::Audit;
use super::character::{Cast, characters};
use super::customers::{self, Answers};
use super::facts::{Facts, Offers, Outcomes};
use super::follow::{self, Follower};
use super::policy;
use super::story;
use super::summary::{Counts, Story, Summary};
use super::tally::Tally;
use super::view::{Second, View};
use super::world::World;
use crate::remote::{Remote, refused};

/// How long the end waits for what was accepted to be placed, and for alarms to be told of.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the agents may go on after the last customer.
const OVERTIME: Duration = Duration::from_secs(20);
/// Agents of the demo are all on one page.
const PAGE: i32 = 1_000;

/// Who plays, and what they count.
struct Stage {
    remote: Arc<Remote>,
    answers: Answers,
    tally: Arc<Tally>,
    facts: follow::Shared,
    alarms: alarms::Shared,
    cast: Cast,
    stop_agents: watch::Sender<bool>,
    stop_following: watch::Sender<bool>,
    agents: JoinSet<anyhow::Result<()>>,
    following: JoinHandle<anyhow::Result<()>>,
    ringing: JoinHandle<anyhow::Result<()>>,
}

/// Plays the whole demo on a running server.
pub(super) async fn play(endpoint: &str, options: &Options) -> anyhow::Result<Summary> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut stage = Stage::open(endpoint, options, &clock).await?;
    let world = World::new(options.seed, options.length, options.per_second);
    let load = customers::run(stage.remote.clone(), clock, world, options.length, stage.answers.clone());
    let loading = tokio::spawn(load);
    let (customers, waiting) = stage.show(loading).await?;
    stage.close(options.seed, customers, &waiting).await
}

impl Stage {
    async fn open(endpoint: &str, options: &Options, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let remote = Arc::new(Remote::connect(endpoint, "default").await?);
        policy::apply(&remote).await?;
        let totals = policy::agents()?;
        let (characters, cast) = characters(options.seed, totals.len());
        let (answers, tally) = (Answers::new()?, Arc::new(Tally::new()?));
        let (stop_agents, stopped) = watch::channel(false);
        let mut agents = JoinSet::new();
        for (n, (id, character)) in totals.keys().zip(characters).enumerate() {
            let agent = Agent {
                id: id.clone(),
                character,
                random: Rng::with_seed(options.seed.wrapping_mul(1_000).wrapping_add(n as u64)),
                endpoint: endpoint.to_owned(),
                clock: clock.clone(),
                answers: answers.clone(),
                tally: tally.clone(),
                replies: 0,
                owed: BTreeMap::new(),
            };
            agents.spawn(agent.work(stopped.clone()));
        }
        let facts: follow::Shared = Arc::new(Mutex::new(Facts::new(Audit::new(totals))));
        let (stop_following, stopped) = watch::channel(false);
        let following = tokio::spawn(Follower::new(remote.clone(), facts.clone()).follow(stopped));
        let alarms: alarms::Shared = Arc::new(Mutex::new(Alarms::default()));
        let changes = alarms::open(&remote).await?;
        let ringing = tokio::spawn(alarms::watch(remote.clone(), changes, alarms.clone(), options.seed));
        Ok(Self {
            remote,
            answers,
            tally,
            facts,
            alarms,
            cast,
            stop_agents,
            stop_following,
            agents,
            following,
            ringing,
        })
    }

    /// Shows each second, until the customers have ended and the agents are through.
    async fn show(&mut self, mut loading: JoinHandle<anyhow::Result<u64>>) -> anyhow::Result<(u64, Vec<u64>)> {
        let mut view = View::new()?;
        let mut shown = Shown::default();
        let mut seconds = tokio::time::interval_at(Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
        let mut customers = None;
        let mut overtime = Instant::now();
        loop {
            tokio::select! {
                _ = seconds.tick() => {}
                ended = &mut loading, if customers.is_none() => {
                    customers = Some(ended??);
                    overtime = Instant::now() + OVERTIME;
                    continue;
                }
            }
            let busy = self.second(&mut view, &mut shown).await?;
            self.must_go_on()?;
            let Some(customers) = customers else { continue };
            let waiting = shown.second.waiting.last().copied().unwrap_or_default();
            if (waiting == 0 && busy == 0) || Instant::now() > overtime {
                return Ok((customers, shown.second.waiting));
            }
        }
    }

    /// Shows a second; answers with the number of agents who are busy.
    async fn second(&self, view: &mut View, shown: &mut Shown) -> anyhow::Result<usize> {
        let (threads, waiting, agents) =
            tokio::try_join!(self.threads(String::new()), self.waiting(), self.agents_now())?;
        let busy = agents.iter().filter(|agent| agent.load.is_some_and(|load| load.items > 0)).count();
        let (offers, outcomes) = follow::look(&self.facts, |facts| (facts.offers, sum(&facts.outcomes())));
        let (ringing, newest, happened) = alarms::look(&self.alarms, |alarms| {
            (alarms.ringing(), alarms.newest.iter().cloned().collect::<Vec<_>>(), alarms.happened)
        });
        let second = &mut shown.second;
        second.number += 1;
        second.figures = self.answers.take();
        second.open = threads.counts.iter().filter(|count| count.state() != State::Resolved).map(|c| c.threads).sum();
        second.waiting.push(waiting);
        second.offers = Offers {
            made: offers.made - shown.offers.made,
            accepted: offers.accepted - shown.offers.accepted,
            declined: offers.declined - shown.offers.declined,
            timed_out: offers.timed_out - shown.offers.timed_out,
            ..Offers::default()
        };
        second.busy = (busy, agents.len());
        // A breach that turns out to be none makes one less.
        second.met = outcomes.met.saturating_sub(shown.outcomes.met);
        second.breached = outcomes.breached.saturating_sub(shown.outcomes.breached);
        (second.ringing, second.newest, second.happened) = (ringing, newest, happened - shown.happened);
        shown.happened = happened;
        (shown.offers, shown.outcomes) = (offers, outcomes);
        view.show(second)?;
        Ok(busy)
    }

    /// Nobody may have failed or left so far.
    fn must_go_on(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.agents.try_join_next() {
            ended??;
            bail!("an agent has left");
        }
        if self.following.is_finished() || self.ringing.is_finished() {
            bail!("the feed of events or the watch of alarms has ended");
        }
        Ok(())
    }

    async fn threads(&self, wait_for: String) -> anyhow::Result<ListThreadsResponse> {
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

    async fn agents_now(&self) -> anyhow::Result<Vec<ApiAgent>> {
        let request = self.remote.request(ListAgentsRequest { page_size: PAGE, ..ListAgentsRequest::default() });
        let answer = AgentServiceClient::new(self.remote.channel.clone()).list_agents(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner().agents)
    }

    /// Sends everybody home, reads the feed to its end, and sums up.
    async fn close(mut self, seed: u64, customers: u64, waiting: &[u64]) -> anyhow::Result<Summary> {
        self.stop_agents.send_replace(true);
        while let Some(ended) = self.agents.join_next().await {
            ended??;
        }
        // A query that names a position waits until all before it has been considered.
        let as_of = self.answers.as_of();
        let placed = tokio::time::timeout(LONGEST_WAIT, self.threads(as_of.clone()));
        let placed = placed.await.context("threading lags behind")??;
        let clocks = self.remote.request(ListClocksRequest { page_size: 1, wait_for: as_of, ..Default::default() });
        let mut of_clocks = ClockServiceClient::new(self.remote.channel.clone());
        let considered = tokio::time::timeout(LONGEST_WAIT, of_clocks.list_clocks(clocks));
        considered.await.context("sla-timer lags behind")?.map_err(|status| refused(&status))?;
        self.stop_following.send_replace(true);
        self.following.await??;
        let raised = follow::look(&self.facts, |facts| facts.alarms.clone());
        let raised: BTreeSet<String> = raised.into_iter().map(|alarm| AlarmId(alarm).to_string()).collect();
        alarms::until_rung(&self.alarms, &raised, LONGEST_WAIT).await?;
        self.ringing.abort();
        let story = match follow::look(&self.facts, |facts| facts.story()) {
            Some((item, what)) => Some(Story { decisions: story::of(&self.remote, &item).await?, item, what }),
            None => None,
        };
        let (tally, cast) = (&self.tally, self.cast);
        let summary = self.answers.look(|answered| {
            follow::look(&self.facts, |facts| {
                alarms::look(&self.alarms, |alarms| {
                    let counted = &*tally.look();
                    let threads = placed.counts.iter().map(|count| count.threads).sum();
                    let resolved = placed.counts.iter().find(|count| count.state() == State::Resolved);
                    let resolved = resolved.map_or(0, |count| count.threads);
                    let placed = placed.message_count;
                    let counts = Counts {
                        seed,
                        customers,
                        threads,
                        resolved,
                        placed,
                        cast,
                        waiting,
                        answered,
                        counted,
                        facts,
                        alarms,
                    };
                    Summary { lines: counts.lines(), findings: counts.findings(), story }
                })
            })
        });
        Ok(summary)
    }
}

/// What was shown so far.
#[derive(Default)]
struct Shown {
    second: Second,
    offers: Offers,
    outcomes: Outcomes,
    /// What had happened to alarms.
    happened: u64,
}

fn sum(outcomes: &BTreeMap<i32, Outcomes>) -> Outcomes {
    let mut sum = Outcomes::default();
    for each in outcomes.values() {
        sum.met += each.met;
        sum.breached += each.breached;
    }
    sum
}

impl Counts<'_> {
    /// What must not be.
    fn findings(&self) -> Vec<String> {
        let mut findings = self.facts.audit.findings.clone();
        findings.extend(self.alarms.findings.iter().cloned());
        if self.placed != self.answered.accepted {
            let accepted = self.answered.accepted;
            findings.push(format!("{accepted} messages were acknowledged and {} are placed", self.placed));
        }
        let known: BTreeSet<String> = self.facts.accepted.iter().map(|offer| OfferId(*offer).to_string()).collect();
        let lost = self.counted.accepted.iter().filter(|offer| !known.contains(*offer));
        findings.extend(lost.map(|offer| format!("offer {offer} was taken, and no event says so")));
        let raised = self.facts.alarms.len();
        if self.alarms.rung.len() < raised {
            findings.push(format!("{raised} alarms were raised and {} rang", self.alarms.rung.len()));
        }
        findings
    }
}
