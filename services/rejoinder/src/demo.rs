//! `demo`: the whole product in a minute, through its public gRPC API.
//!
//! A server on a directory of its own gets a policy, customers write on five channels, and simulated agents
//! on their streams accept, decline, answer, resolve, do not notice an offer, lose their connection and come
//! back. In the middle a post goes viral: a queue grows and is worked off, clocks breach, alarms ring. In
//! the end the state is rebuilt from the log and compared, and one decision is told in full.

mod agent;
mod alarms;
mod audit;
mod character;
mod counts;
mod customers;
mod desktop;
mod facts;
mod follow;
mod gauges;
mod plan;
mod policy;
mod reply;
mod stage;
mod summary;
mod tally;
mod view;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use rejoinder_model::Service;

use crate::Ended;
use crate::config::Config;
use crate::demo::summary::Summary;
use crate::server::Server;
use crate::table::say;

/// How long, how much, which seed, and where the data stay.
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) per_second: u32,
    pub(crate) seed: u64,
    pub(crate) keep: Option<PathBuf>,
}

/// Runs the demo, and cleans up after itself unless told to keep the data.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Ended> {
    let kept = options.keep.as_deref();
    let dir = match kept {
        Some(dir) => unused(dir)?.to_owned(),
        None => std::env::temp_dir().join(format!("rejoinder-demo-{}", std::process::id())),
    };
    let shown = live(&dir, options).await;
    let result = shown.and_then(|summary| {
        say("the server is stopped; its state is now rebuilt from the event log and compared:");
        let rebuilt_equal = matches!(
            crate::log_commands::rebuild(&Config { data_dir: dir.clone(), ..Config::default() })?,
            Ended::Well
        );
        summary.write(rebuilt_equal, kept)?;
        Ok(if rebuilt_equal && summary.findings.is_empty() { Ended::Well } else { Ended::FoundWrong })
    });
    if kept.is_none() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    result
}

/// A directory for a demo that is to be kept.
fn unused(dir: &Path) -> anyhow::Result<&Path> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty: --keep wants a directory of its own", dir.display());
    }
    Ok(dir)
}

async fn live(dir: &Path, options: &Options) -> anyhow::Result<Summary> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { data_dir: dir.to_owned(), grpc_addr: any, http_addr: any, ..Config::default() };
    let server = Server::start(&config, &Service::ALL).await?;
    say(&format!(
        "a server with gRPC on {} and HTTP on {}; its data lie in {}",
        server.grpc,
        server.http,
        dir.display()
    ));
    let endpoint = server.grpc.to_string();
    let shown = tokio::select! {
        shown = stage::play(&endpoint, options) => shown,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop().await?;
    shown
}
