//! `up`: all services until a signal comes.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rejoinder_model::Service;
use tokio::signal::unix::{SignalKind, signal};

use crate::Ended;
use crate::config::Config;
use crate::server::{Server, StateDamaged};
use crate::table::say;

/// Runs until SIGTERM or SIGINT, or until the log stops.
pub(crate) async fn run(config: &Config, services: &[Service]) -> anyhow::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let starting = tokio::select! {
        starting = Server::start(config, services) => starting,
        // Whoever waits for brokers can be told to stop.
        _ = terminate.recv() => return Ok(Ended::Well),
        _ = interrupt.recv() => return Ok(Ended::Well),
    };
    let server = match starting {
        Err(error) => return Err(error.downcast::<StateDamaged>().map_or_else(|error| error, start_anew)),
        Ok(server) => server,
    };
    let (grpc, http) = (server.grpc, server.http);
    say(&format!("ready: gRPC on {grpc}, HTTP on {http}, data in {}", config.data_dir.display()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                if let Some(what) = server.failure() {
                    bail!("nothing can be promised any more: {what}");
                }
                if let Some(damage) = server.damage() {
                    return Err(start_anew(damage));
                }
            }
        }
    }
    say("stopping");
    server.stop().await?;
    Ok(Ended::Well)
}

/// Becomes a new process of the same number, which puts the damaged state aside and folds the log: the
/// way of every start after a crash. Returns only when that is not possible.
fn start_anew(damage: StateDamaged) -> anyhow::Error {
    say(&format!("{damage}: starting anew"));
    let again = std::env::current_exe().map(|binary| {
        let mut command = std::process::Command::new(binary);
        command.args(std::env::args_os().skip(1)).exec()
    });
    let error = again.unwrap_or_else(|error| error);
    anyhow::Error::new(damage).context(format!("cannot start anew: {error}"))
}
