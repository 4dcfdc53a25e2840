//! The command line: all services in one process.

mod admin;
mod backend;
mod cli;
mod config;
mod context;
mod data_dir;
mod demo;
mod doctor;
mod events;
mod feed;
mod files;
mod grpc;
mod http;
mod ingest;
mod inside;
mod local;
mod log_commands;
mod log_copy;
mod membership;
mod others;
mod owners;
mod policy;
mod query;
mod remote;
mod replay;
mod server;
mod state;
mod table;
mod up;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use rejoinder_event_log_embedded::OpenError;
use rejoinder_model::Service;

use crate::cli::{Cli, ClockCommand, Command, Events, LogCommand, PolicyCommand};
use crate::config::Flags;
use crate::remote::Remote;

/// How long the last tasks may take to end.
const LAST_TASKS: std::time::Duration = std::time::Duration::from_secs(2);

/// Events are decoded, decided and applied in small pieces: the system's allocator takes a sixth of the
/// processor time of a busy server, and its arenas do not shrink.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ended that did not fail.
pub(crate) enum Ended {
    /// Done.
    Well,
    /// Done, and something is wrong: records skipped, a difference, damage.
    FoundWrong,
}

/// The command line; a binary that is called rejoinder-SERVICE serves that.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let called = arguments.first().and_then(|path| Path::new(path).file_name()?.to_str()).unwrap_or_default();
    let service = called.strip_prefix("rejoinder-").map(ToOwned::to_owned);
    if let Some(service) = service.filter(|name| Service::ALL.iter().any(|service| service.name() == name)) {
        arguments.splice(1..1, ["serve".into(), service.into()]);
    }
    arguments
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let cli = Cli::parse_from(arguments());
    match run(&cli) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::FoundWrong) => ExitCode::from(3),
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            table::say(&format!("rejoinder: {error:#}"));
            ExitCode::from(if error.is::<remote::Unreachable>() { 4 } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A check that finds the log too damaged to be opened has found something, and has not failed.
fn checked(ended: anyhow::Result<Ended>) -> anyhow::Result<Ended> {
    let damage = ended.as_ref().err().and_then(|error| error.downcast_ref::<OpenError>());
    match damage {
        Some(OpenError::Damaged { .. }) => {
            table::say(&format!("rejoinder: {}", ended.err().map(|error| format!("{error:#}")).unwrap_or_default()));
            Ok(Ended::FoundWrong)
        }
        _ => ended,
    }
}

fn run(cli: &Cli) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(command(cli));
    // Tasks let go of the storage before the process takes its globals down. A file that is still being
    // read, like a silent standard input, is not waited for much longer.
    runtime.shutdown_timeout(LAST_TASKS);
    ended
}

async fn command(cli: &Cli) -> anyhow::Result<Ended> {
    let remote = async |at: &cli::Remotely| Remote::connect(&at.endpoint, &cli.workspace).await;
    match &cli.command {
        Command::Up(args) => up::run(&args.load()?, &Service::ALL).await,
        Command::Serve { service, args } => up::run(&args.load()?, &[*service]).await,
        Command::Ingest(args) => {
            let options = ingest::Options {
                endpoint: args.remotely.endpoint.clone(),
                workspace: cli.workspace.clone(),
                format: args.format,
                account: args.account.clone(),
                live: args.live,
                from_start: args.from_start,
                patience: args.patience,
            };
            ingest::run(&args.files, &options).await
        }
        Command::Policy(PolicyCommand::Check { dir }) => policy::check(dir),
        Command::Policy(PolicyCommand::Apply { dir, etag, validate_only, remotely }) => {
            policy::apply(&remote(remotely).await?, dir, etag.clone().unwrap_or_default(), *validate_only).await
        }
        Command::Doctor(at) => doctor::run(&remote(at).await?, cli.output).await,
        Command::Clock(ClockCommand::Accept(at)) => doctor::accept_clock(&remote(at).await?).await,
        Command::Demo { length, rate, seed, keep } => {
            let (length, per_second, seed, keep) = (*length, *rate, *seed, keep.clone());
            demo::run(&demo::Options { length, per_second, seed, keep }).await
        }
        Command::Replay(args) => {
            let options = replay::Options {
                workspace: cli.workspace.clone(),
                format: args.format,
                account: args.account.clone(),
                policy: args.policy.clone(),
                order: args.order,
            };
            let config = args.log.load(Flags { data_dir: Some(args.data_dir.clone()), ..Flags::default() })?;
            tokio::task::block_in_place(|| replay::run(&args.files, &config, &options))
        }
        Command::Events(Events::Tail { from, types, until_end, source }) => {
            let stopped = source.is_a_log();
            let from = from.clone().or_else(|| stopped.then(|| "start".to_owned()));
            let remote = source.open(&cli.workspace).await?;
            events::tail(&remote, from, types.clone(), *until_end || stopped, cli.output).await
        }
        Command::Log(LogCommand::Verify(at)) => checked(log_commands::verify(&at.load()?)),
        Command::Log(LogCommand::Rebuild { data, .. }) => checked(log_commands::rebuild(&data.load()?)),
        Command::Log(LogCommand::Copy { from, to, log }) => {
            checked(log_copy::run(from, to, &log.load(Flags::default())?))
        }
        Command::Threads(threads) => query::threads::command(threads, cli).await,
        Command::Persons(persons) => query::persons::command(persons, cli).await,
        Command::Agents(agents) => query::agents::command(agents, cli).await,
        Command::Queues(queues) => query::queues::command(queues, cli).await,
        Command::Items(items) => query::items::command(items, cli).await,
        Command::Explain(args) => query::explain::command(args, cli).await,
        Command::Clocks(clocks) => query::clocks::command(clocks, cli).await,
        Command::Alarms(alarms) => query::alarms::command(alarms, cli).await,
        Command::Quarantine(quarantine) => query::quarantine::command(quarantine, cli).await,
    }
}
