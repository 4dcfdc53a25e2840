//! The command line: all services in one process.

mod data_dir;
mod demo;
mod export;
mod files;
mod log_commands;
mod replay;
mod show;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rejoinder_channels::Format;

use crate::table::Output;

/// Social customer service: scattered messages become threads, durable, queryable, rebuildable.
#[derive(Parser)]
#[command(name = "rejoinder", version, about)]
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
    /// Runs the live engine on a temporary directory under a seeded workload.
    Demo {
        /// For how long, in seconds: `20s`.
        #[arg(long = "for", default_value = "30s", value_parser = seconds)]
        length: std::time::Duration,
        /// Messages a second.
        #[arg(long, default_value_t = 2_000)]
        rate: u32,
        /// The same seed gives the same messages.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Runs files through the services in virtual time, into an empty data directory.
    Replay(ReplayArgs),
    /// Threads of a stopped data directory.
    #[command(subcommand)]
    Threads(Threads),
    /// The event log of a stopped data directory.
    #[command(subcommand)]
    Log(LogCommand),
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
    /// In which order records are taken in.
    #[arg(long, default_value = "time")]
    order: replay::Order,
}

#[derive(Subcommand)]
enum Threads {
    /// One line for each message, with where it belongs.
    Export(DataDir),
    /// Threads, the newest first.
    List(DataDir),
    /// One thread with its messages.
    Show {
        /// The thread.
        thread: String,
        #[command(flatten)]
        data: DataDir,
    },
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
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let cli = Cli::parse();
    match run(&cli) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::FoundWrong) => ExitCode::from(3),
        Err(error) => {
            table::say(&format!("rejoinder: {error:#}"));
            ExitCode::from(1)
        }
    }
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>();
    let seconds = number.map_err(|_| format!("{text:?} is not a number of seconds, like 20s"))?;
    Ok(std::time::Duration::from_secs(seconds))
}

fn run(cli: &Cli) -> anyhow::Result<Ended> {
    match &cli.command {
        Command::Demo { length, rate, seed } => {
            demo::run(&demo::Options { length: *length, per_second: *rate, seed: *seed })
        }
        Command::Replay(args) => {
            let options = replay::Options {
                workspace: cli.workspace.clone(),
                format: args.format,
                account: args.account.clone(),
                order: args.order,
            };
            replay::run(&args.files, &args.data_dir, &options)
        }
        Command::Threads(Threads::Export(at)) => export::run(&at.data_dir, &cli.workspace),
        Command::Threads(Threads::List(at)) => show::list(&at.data_dir, &cli.workspace, cli.output),
        Command::Threads(Threads::Show { thread, data }) => show::thread(&data.data_dir, thread, cli.output),
        Command::Log(LogCommand::Verify(at)) => log_commands::verify(&at.data_dir),
        Command::Log(LogCommand::Rebuild { data, .. }) => log_commands::rebuild(&data.data_dir),
    }
}
