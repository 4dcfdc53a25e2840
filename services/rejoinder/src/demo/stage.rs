//! How the demo runs: policy, agents, customers, a view each second, and the end in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fastrand::Rng;
use rejoinder_api::sla::ListClocksRequest;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::threading::thread::State;
use rejoinder_model::AlarmId;
use rejoinder_runtime::{Clock, SystemClock};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Options;
use super::agent::Agent;
use super::alarms::{self, Alarms};
use super::audit::Audit;
use super::character::{Cast, characters};
use super::counts::Counts;
use super::customers::{self, Answers};
use super::facts::Facts;
use super::follow::{self, Follower};
use super::gauges::Gauges;
use super::policy;
use super::summary::{Story, Summary};
use super::tally::Tally;
use super::view::View;
use super::world::World;
use crate::query::explain;
use crate::remote::{Remote, refused};

/// How long the end waits for what was accepted to be placed, and for alarms to be told of.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the agents may go on after the last customer.
const OVERTIME: Duration = Duration::from_secs(20);

/// Who plays, and what they count.
struct Stage {
    gauges: Gauges,
    tally: Arc<Tally>,
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
    let load = customers::run(stage.gauges.remote.clone(), clock, world, options.length, stage.gauges.answers.clone());
    let loading = tokio::spawn(load);
    let customers = stage.show(loading).await?;
    stage.close(options.seed, customers).await
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
                writing: JoinSet::new(),
            };
            agents.spawn(agent.work(stopped.clone()));
        }
        let facts: follow::Shared = Arc::new(Mutex::new(Facts::new(Audit::new(totals))));
        let (stop_following, stopped) = watch::channel(false);
        let following = tokio::spawn(Follower::new(remote.clone(), facts.clone()).follow(stopped));
        let alarms: alarms::Shared = Arc::new(Mutex::new(Alarms::default()));
        let changes = alarms::open(&remote).await?;
        let ringing = tokio::spawn(alarms::watch(remote.clone(), changes, alarms.clone(), options.seed));
        let gauges = Gauges::new(remote, answers, facts, alarms);
        Ok(Self { gauges, tally, cast, stop_agents, stop_following, agents, following, ringing })
    }

    /// Shows each second, until the customers have ended and the agents are through.
    async fn show(&mut self, mut loading: JoinHandle<anyhow::Result<u64>>) -> anyhow::Result<u64> {
        let mut view = View::new()?;
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
            let busy = self.gauges.show(&mut view).await?;
            self.must_go_on().await?;
            let Some(customers) = customers else { continue };
            let waiting = self.gauges.second.waiting.last().copied().unwrap_or_default();
            if (waiting == 0 && busy == 0) || Instant::now() > overtime {
                return Ok(customers);
            }
        }
    }

    /// Nobody may have failed or left so far.
    async fn must_go_on(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.agents.try_join_next() {
            ended??;
            bail!("an agent has left");
        }
        for reading in [&mut self.following, &mut self.ringing] {
            if reading.is_finished() {
                reading.await??;
                bail!("the feed of events or the watch of alarms has ended");
            }
        }
        Ok(())
    }

    /// Sends everybody home, reads the feed to its end, and sums up.
    async fn close(mut self, seed: u64, customers: u64) -> anyhow::Result<Summary> {
        self.stop_agents.send_replace(true);
        while let Some(ended) = self.agents.join_next().await {
            ended??;
        }
        // A query that names a position waits until all before it has been considered.
        let as_of = self.gauges.answers.as_of();
        let placed = tokio::time::timeout(LONGEST_WAIT, self.gauges.threads(as_of.clone()));
        let placed = placed.await.context("threading lags behind")??;
        let clocks =
            self.gauges.remote.request(ListClocksRequest { page_size: 1, wait_for: as_of, ..Default::default() });
        let mut of_clocks = ClockServiceClient::new(self.gauges.remote.channel.clone());
        let considered = tokio::time::timeout(LONGEST_WAIT, of_clocks.list_clocks(clocks));
        considered.await.context("sla-timer lags behind")?.map_err(|status| refused(&status))?;
        self.stop_following.send_replace(true);
        self.following.await??;
        let raised = follow::look(&self.gauges.facts, |facts| facts.alarms.clone());
        let raised: BTreeSet<String> = raised.into_iter().map(|alarm| AlarmId(alarm).to_string()).collect();
        alarms::until_rung(&self.gauges.alarms, &raised, LONGEST_WAIT).await?;
        self.ringing.abort();
        let story = match follow::look(&self.gauges.facts, |facts| facts.story()) {
            Some((item, what)) => {
                let decisions = explain::in_words(&self.gauges.remote, item.clone()).await?;
                Some(Story { item, what, decisions })
            }
            None => None,
        };
        let (tally, cast, waiting) = (&self.tally, self.cast, &self.gauges.second.waiting);
        let summary = self.gauges.answers.look(|answered| {
            follow::look(&self.gauges.facts, |facts| {
                alarms::look(&self.gauges.alarms, |alarms| {
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
