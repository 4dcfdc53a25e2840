//! `demo`: a server on a temporary directory under a seeded workload through its public gRPC API.
//!
//! Customers write on three channels, agents answer, some come back after days, a post goes viral. Every
//! message is durable before it is acknowledged; the view shows how long that takes. At the end the
//! server is stopped, and its state is rebuilt from the log and compared.

mod load;
mod view;
mod world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rejoinder_api::threading::thread::State;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::watch_threads_response::Change;
use rejoinder_api::threading::{ListThreadsRequest, ListThreadsResponse, WatchThreadsRequest};
use rejoinder_runtime::{Clock, SystemClock};
use tonic::transport::Channel;

use crate::Ended;
use crate::config::Config;
use crate::demo::load::Answers;
use crate::demo::view::{Second, View, remember};
use crate::remote::{Remote, refused};
use crate::server::Server;
use crate::table::say;

/// How long the end waits for what was accepted to be placed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long, how much, which seed.
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) per_second: u32,
    pub(crate) seed: u64,
}

/// Runs the demo and cleans up after itself.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Ended> {
    let dir = std::env::temp_dir().join(format!("rejoinder-demo-{}", std::process::id()));
    let shown = live(&dir, options).await;
    let result = shown.and_then(|()| {
        say("the server is stopped; its state is now rebuilt from the event log and compared:");
        crate::log_commands::rebuild(&dir)
    });
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    result
}

async fn live(dir: &std::path::Path, options: &Options) -> anyhow::Result<()> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { data_dir: dir.to_owned(), grpc_addr: any, http_addr: any, ..Config::default() };
    let server = Server::start(&config).await?;
    say(&format!(
        "a server with gRPC on {} and HTTP on {}; its data lie in {}",
        server.grpc,
        server.http,
        dir.display()
    ));
    let endpoint = server.grpc.to_string();
    let shown = tokio::select! {
        shown = show(&endpoint, options) => shown,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop().await?;
    shown
}

async fn show(endpoint: &str, options: &Options) -> anyhow::Result<()> {
    let remote = Remote::connect(endpoint, "default").await?;
    let newest = Arc::new(Mutex::new(VecDeque::new()));
    let watching = tokio::spawn(watch(remote.channel.clone(), newest.clone()));
    let answers = Answers::new()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let workload = (options.length, options.per_second, options.seed);
    let mut loading = tokio::spawn(load::run(remote.channel.clone(), clock, workload, answers.clone()));
    let mut view = View::new()?;
    let mut second = Second::default();
    let customers = loop {
        let ended = tokio::time::timeout(Duration::from_secs(1), &mut loading).await;
        let threads = threads(&remote, String::new()).await?;
        second = Second { number: second.number + 1, figures: answers.take(), ..told(&threads) };
        second.newest.clone_from(&newest.lock().unwrap_or_else(PoisonError::into_inner));
        view.show(&second)?;
        if let Ok(ended) = ended {
            break ended??;
        }
    };
    watching.abort();
    let (accepted, shed, as_of) = answers.look(|all| (all.accepted, all.shed, all.as_of.clone()));
    // A query that names a position waits until all before it has found its place.
    let placed =
        tokio::time::timeout(LONGEST_WAIT, threads(&remote, as_of)).await.context("threading lags behind")??;
    let count: u64 = placed.counts.iter().map(|count| count.threads).sum();
    say(&format!(
        "{accepted} messages of {customers} customers accepted and durable, {} placed in {count} threads; {shed} slices shed",
        placed.message_count,
    ));
    if placed.message_count != accepted {
        bail!("{accepted} messages were acknowledged and {} are placed", placed.message_count);
    }
    Ok(())
}

async fn threads(remote: &Remote, wait_for: String) -> anyhow::Result<ListThreadsResponse> {
    let request = ListThreadsRequest { page_size: 1, wait_for, ..ListThreadsRequest::default() };
    let answer = ThreadServiceClient::new(remote.channel.clone()).list_threads(remote.request(request)).await;
    Ok(answer.map_err(|status| refused(&status))?.into_inner())
}

fn told(answer: &ListThreadsResponse) -> Second {
    let of =
        |state: State| answer.counts.iter().find(|count| count.state == state as i32).map_or(0, |count| count.threads);
    Second {
        threads: answer.counts.iter().map(|count| count.threads).sum(),
        awaiting_agent: of(State::AwaitingAgent),
        awaiting_customer: of(State::AwaitingCustomer),
        resolved: of(State::Resolved),
        ..Second::default()
    }
}

/// Watches messages find their threads.
async fn watch(channel: Channel, newest: Arc<Mutex<VecDeque<String>>>) -> Result<(), tonic::Status> {
    let mut client = ThreadServiceClient::new(channel);
    let mut changes = client.watch_threads(WatchThreadsRequest::default()).await?.into_inner();
    while let Some(change) = changes.message().await? {
        let Some(Change::Placed(placed)) = change.change else { continue };
        let who = if placed.outbound { "our reply" } else { "a customer" };
        let text = format!("{who} on {}: {} in thread {}", placed.channel, placed.interaction_id, change.thread_id);
        remember(&mut newest.lock().unwrap_or_else(PoisonError::into_inner), text);
    }
    Ok(())
}
