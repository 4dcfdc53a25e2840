//! `up`: all services until a signal comes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::Ended;
use crate::config::Config;
use crate::server::Server;
use crate::table::say;

/// Runs until SIGTERM or SIGINT, or until the log stops.
pub(crate) async fn run(config: &Config) -> anyhow::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let server = Server::start(config).await?;
    let (grpc, http) = (server.grpc, server.http);
    say(&format!("ready: gRPC on {grpc}, HTTP on {http}, data in {}", config.data_dir.display()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                if let Some(what) = server.inside.stopped() {
                    bail!("the event log stopped, and nothing can be promised any more: {what}");
                }
            }
        }
    }
    say("stopping");
    server.stop().await?;
    Ok(Ended::Well)
}
