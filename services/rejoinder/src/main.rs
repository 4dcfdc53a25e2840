//! The command line: all services in one process.

mod admin;
mod config;
mod context;
mod data_dir;
mod demo;
mod doctor;
mod events;
mod export;
mod feed;
mod files;
mod grpc;
mod http;
mod ingest;
mod inside;
mod local;
mod log_commands;
mod policy;
mod query;
mod remote;
mod replay;
mod server;
mod table;
mod up;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rejoinder_channels::Format;
use rejoinder_event_log_embedded::OpenError;

use crate::config::{Config, Flags};
use crate::remote::Remote;
use crate::table::Output;

/// Events are decoded, decided and applied in small pieces: the system's allocator takes a sixth of the
/// processor time of a busy server, and its arenas do not shrink.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Social customer service: scattered messages become threads, durable, queryable, rebuildable.
#[derive(Parser)]
#[command(name = "rejoinder", version)]
struct Cli {
    /// The workspace to act in.
    #[arg(long, global = true, default_value = "default")]
    workspace: String,
    /// How data is written to stdout.
    #[arg(long, global = true, default_value = "table")]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a server on a temporary directory under a seeded workload, and shows what becomes of it.
    Demo {
        /// For how long, in seconds: `20s`.
        #[arg(long = "for", default_value = "60s", value_parser = seconds)]
        length: std::time::Duration,
        /// Messages a second.
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        /// The same seed gives the same messages.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Runs all services until it is told to stop.
    Up(UpArgs),
    /// Sends files to a running server; an interrupted run goes on where it was.
    Ingest(IngestArgs),
    /// Policies: who the company is, and the windows of threading.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Events of the log.
    #[command(subcommand)]
    Events(Events),
    /// Looks whether a running server is well.
    Doctor(Remotely),
    /// The server's clock.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Runs files through the services in virtual time, into an empty data directory.
    Replay(ReplayArgs),
    /// Threads of a running server, or of a stopped data directory.
    #[command(subcommand)]
    Threads(Threads),
    /// Persons of a running server, or of a stopped data directory.
    #[command(subcommand)]
    Persons(Persons),
    /// Inputs that were set aside because deciding on them failed.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// The event log of a stopped data directory.
    #[command(subcommand)]
    Log(LogCommand),
}

#[derive(Args)]
struct UpArgs {
    /// Where the event log and the state lie.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A TOML file with any of the options of the reference page.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where gRPC listens [default: 127.0.0.1:7400].
    #[arg(long)]
    grpc_addr: Option<SocketAddr>,
    /// Where HTTP listens [default: 127.0.0.1:7480].
    #[arg(long)]
    http_addr: Option<SocketAddr>,
    /// Where /metrics, /healthz and /readyz listen instead of there.
    #[arg(long)]
    admin_addr: Option<SocketAddr>,
}

#[derive(Args)]
struct Remotely {
    /// A running server.
    #[arg(long, default_value = "127.0.0.1:7400")]
    endpoint: String,
}

#[derive(Args)]
struct IngestArgs {
    /// Files to read; `-` is standard input. `.zst` and `.gz` are read as they are.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long)]
    format: Format,
    /// The company's account, for formats that name none.
    #[arg(long)]
    account: Option<String>,
    /// Records older than an hour count as live too: alarms, offers.
    #[arg(long)]
    live: bool,
    /// Sends what was acknowledged before again.
    #[arg(long)]
    from_start: bool,
    /// How long the server may be away in between, in seconds: `20s`.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    patience: std::time::Duration,
    #[command(flatten)]
    remotely: Remotely,
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Says what is wrong with the files of a directory, with line and column.
    Check {
        /// A directory of TOML files.
        dir: PathBuf,
    },
    /// Publishes the files as the next version; the workspace exists from then on.
    Apply {
        /// A directory of TOML files.
        dir: PathBuf,
        /// The version that this one follows, for when others may publish too.
        #[arg(long)]
        etag: Option<String>,
        /// Only checks, on the server.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        remotely: Remotely,
    },
}

#[derive(Subcommand)]
enum Events {
    /// Events as they become durable.
    Tail {
        /// Begins at this record, PARTITION/INDEX, or at `start`; otherwise now, or at the start of a stopped
        /// directory, which is read to its end.
        #[arg(long)]
        from: Option<String>,
        /// Only events of this name, like MessagePlaced; may be given several times.
        #[arg(long = "type")]
        types: Vec<String>,
        /// Ends at the end of the log.
        #[arg(long)]
        until_end: bool,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
enum ClockCommand {
    /// Takes the wall clock as right after it jumped: timers fire again.
    Accept(Remotely),
}

#[derive(Args)]
struct ReplayArgs {
    /// Files to read; `-` is standard input. `.zst` and `.gz` are read as they are.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long)]
    format: Format,
    /// An absent or empty directory for the log and the state.
    #[arg(long)]
    data_dir: PathBuf,
    /// The company's account, for formats that name none.
    #[arg(long)]
    account: Option<String>,
    /// A directory of policy files, in force from the start.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// In which order records are taken in.
    #[arg(long, default_value = "time")]
    order: replay::Order,
}

#[derive(Subcommand)]
enum Threads {
    /// One line for each message, with where it belongs; TSV unless JSON is asked for.
    Export(Source),
    /// All threads.
    List(Source),
    /// One thread with its messages.
    Show {
        /// The thread.
        thread: String,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
enum Persons {
    /// Who it is.
    Show {
        /// The person.
        person: String,
        #[command(flatten)]
        source: Source,
    },
    /// All that happened between a person and us, the newest first.
    Timeline {
        /// The person.
        person: String,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
enum Quarantine {
    /// What is set aside, and why.
    List(Source),
    /// Decides again on an input.
    Retry {
        /// Its id, as the list has it.
        id: String,
        #[command(flatten)]
        remotely: Remotely,
    },
    /// Gives an input up.
    Skip {
        /// Its id, as the list has it.
        id: String,
        #[command(flatten)]
        remotely: Remotely,
    },
}

#[derive(Args)]
struct Source {
    /// A running server.
    #[arg(long, default_value = "127.0.0.1:7400", conflicts_with = "data_dir")]
    endpoint: String,
    /// The data directory of a stopped process, instead of a server.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum LogCommand {
    /// Checks every record and prints the digest of the log.
    Verify(DataDir),
    /// Rebuilds the state from the log and compares it with the one that is stored.
    Rebuild {
        /// Compares, and keeps the stored one.
        #[arg(long, required = true)]
        compare: bool,
        #[command(flatten)]
        data: DataDir,
    },
}

#[derive(Args)]
struct DataDir {
    /// The data directory of a stopped process.
    #[arg(long)]
    data_dir: PathBuf,
}

/// How a command ended that did not fail.
pub(crate) enum Ended {
    /// Done.
    Well,
    /// Done, and something is wrong: records skipped, a difference, damage.
    FoundWrong,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let cli = Cli::parse();
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

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>();
    let seconds = number.map_err(|_| format!("{text:?} is not a number of seconds, like 20s"))?;
    Ok(std::time::Duration::from_secs(seconds))
}

fn run(cli: &Cli) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(command(cli));
    // A file that is still being read, like a silent standard input, is not waited for.
    runtime.shutdown_background();
    ended
}

async fn command(cli: &Cli) -> anyhow::Result<Ended> {
    let remote = async |at: &Remotely| Remote::connect(&at.endpoint, &cli.workspace).await;
    let reading = async |source: &Source| match &source.data_dir {
        Some(dir) => Remote::open(dir, &cli.workspace).await,
        None => Remote::connect(&source.endpoint, &cli.workspace).await,
    };
    match &cli.command {
        Command::Up(args) => {
            let flags = Flags {
                data_dir: args.data_dir.clone(),
                grpc_addr: args.grpc_addr,
                http_addr: args.http_addr,
                admin_addr: args.admin_addr,
            };
            up::run(&Config::load(args.config.as_deref(), &flags)?).await
        }
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
        Command::Events(Events::Tail { from, types, until_end, source }) => {
            let stopped = source.data_dir.is_some();
            let from = from.clone().or_else(|| stopped.then(|| "start".to_owned()));
            events::tail(&reading(source).await?, from, types.clone(), *until_end || stopped, cli.output).await
        }
        Command::Doctor(at) => doctor::run(&remote(at).await?, cli.output).await,
        Command::Clock(ClockCommand::Accept(at)) => doctor::accept_clock(&remote(at).await?).await,
        Command::Demo { length, rate, seed } => {
            demo::run(&demo::Options { length: *length, per_second: *rate, seed: *seed }).await
        }
        Command::Replay(args) => {
            let options = replay::Options {
                workspace: cli.workspace.clone(),
                format: args.format,
                account: args.account.clone(),
                policy: args.policy.clone(),
                order: args.order,
            };
            replay::run(&args.files, &args.data_dir, &options)
        }
        Command::Threads(Threads::Export(source)) => export::run(&reading(source).await?, cli.output).await,
        Command::Threads(Threads::List(source)) => query::threads(&reading(source).await?, cli.output).await,
        Command::Threads(Threads::Show { thread, source }) => {
            query::thread(&reading(source).await?, thread, cli.output).await
        }
        Command::Persons(Persons::Show { person, source }) => {
            query::person(&reading(source).await?, person, cli.output).await
        }
        Command::Persons(Persons::Timeline { person, source }) => {
            query::timeline(&reading(source).await?, person, cli.output).await
        }
        Command::Quarantine(Quarantine::List(source)) => query::quarantine(&reading(source).await?, cli.output).await,
        Command::Quarantine(Quarantine::Retry { id, remotely }) => query::retry(&remote(remotely).await?, id).await,
        Command::Quarantine(Quarantine::Skip { id, remotely }) => query::skip(&remote(remotely).await?, id).await,
        Command::Log(LogCommand::Verify(at)) => checked(log_commands::verify(&at.data_dir)),
        Command::Log(LogCommand::Rebuild { data, .. }) => checked(log_commands::rebuild(&data.data_dir)),
    }
}
