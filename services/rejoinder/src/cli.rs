//! What the command line takes: commands, their arguments and filters.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use rejoinder_api::routing::{Presence, work_item::Phase};
use rejoinder_api::sla::{Metric, clock::State as ClockState};
use rejoinder_channels::Format;
use rejoinder_model::{AlarmId, PersonId, Service, ThreadId, WorkItemId};

use crate::config::{Config, Flags, LogKind};
use crate::remote::Remote;
use crate::replay::Order;
use crate::table::Output;

/// Social customer service: scattered messages become threads, durable, queryable, rebuildable.
#[derive(Parser)]
#[command(name = "rejoinder", version)]
pub(crate) struct Cli {
    /// The workspace to act in.
    #[arg(long, global = true, default_value = "default")]
    pub(crate) workspace: String,
    /// How data is written to stdout.
    #[arg(long, global = true, default_value = "table")]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows the whole product in a minute: customers write, agents answer, clocks run, alarms ring.
    Demo {
        /// For how long, in seconds: `20s`.
        #[arg(long = "for", default_value = "60s", value_parser = seconds)]
        length: Duration,
        /// Messages of customers a second, about; five times as many when a post goes viral in the middle.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        /// The same seed gives the same messages of customers, and agents of the same character.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// An absent or empty directory for the data, which stay; otherwise they go with the demo.
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Runs all services until it is told to stop.
    Up(UpArgs),
    /// Runs one service until it is told to stop, beside processes that run the others. The binary does
    /// that too when it is called rejoinder-SERVICE.
    Serve {
        /// The service.
        #[arg(value_parser = service())]
        service: Service,
        #[command(flatten)]
        args: UpArgs,
    },
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
    /// The server's own wall clock.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Runs files through the services in virtual time, into an empty data directory.
    Replay(ReplayArgs),
    /// Threads: one customer's one issue, over any channels.
    #[command(subcommand)]
    Threads(Threads),
    /// Persons: who writes.
    #[command(subcommand)]
    Persons(Persons),
    /// Agents: who answers, and what they hold.
    #[command(subcommand)]
    Agents(Agents),
    /// Queues: where work items wait.
    #[command(subcommand)]
    Queues(Queues),
    /// Work items: threads that need an agent.
    #[command(subcommand)]
    Items(Items),
    /// Why a work item is where it is: its priority, and each decision on it with its reasons.
    Explain(ExplainArgs),
    /// Clocks: what was promised, and how it stands.
    #[command(subcommand)]
    Clocks(Clocks),
    /// Alarms: breaches and warnings that somebody must see.
    #[command(subcommand)]
    Alarms(Alarms),
    /// Inputs that were set aside because deciding on them failed.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// The event log, of a stopped data directory or in Kafka.
    #[command(subcommand)]
    Log(LogCommand),
}

/// Where the event log is, and whatever the options file says.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LogArgs {
    /// Where the event log is [default: embedded].
    #[arg(long)]
    pub(crate) log: Option<LogKind>,
    /// Kafka: HOST:PORT of some brokers, with commas between them [default: 127.0.0.1:9092].
    #[arg(long)]
    pub(crate) brokers: Option<String>,
    /// Kafka: what the names of topics and groups begin with [default: rejoinder].
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Kafka: copies of each partition; 1 is for development [default: 3].
    #[arg(long)]
    pub(crate) replication: Option<u16>,
    /// A TOML file with any of the options of the reference page.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

impl LogArgs {
    /// The configuration, with what the command line says of the log over it.
    ///
    /// # Errors
    /// As `Config::load`.
    pub(crate) fn load(&self, flags: Flags) -> anyhow::Result<Config> {
        let flags = Flags {
            log: self.log,
            kafka_brokers: self.brokers.clone(),
            kafka_prefix: self.prefix.clone(),
            kafka_replication: self.replication,
            ..flags
        };
        Config::load(self.config.as_deref(), &flags)
    }
}

#[derive(Args)]
pub(crate) struct UpArgs {
    /// Where the state lies, and the event log unless that is in Kafka.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Kafka: the name of this process, which no other may have.
    #[arg(long)]
    pub(crate) instance: Option<String>,
    /// Kafka: HOST:PORT where the other processes call this one [default: where gRPC listens].
    #[arg(long)]
    pub(crate) advertise_addr: Option<String>,
    /// Where gRPC listens [default: 127.0.0.1:7400].
    #[arg(long)]
    pub(crate) grpc_addr: Option<SocketAddr>,
    /// Where HTTP listens [default: 127.0.0.1:7480].
    #[arg(long)]
    pub(crate) http_addr: Option<SocketAddr>,
    /// Where /metrics, /healthz and /readyz listen instead of there.
    #[arg(long)]
    pub(crate) admin_addr: Option<SocketAddr>,
}

impl UpArgs {
    /// # Errors
    /// As `Config::load`.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        self.log.load(Flags {
            data_dir: self.data_dir.clone(),
            grpc_addr: self.grpc_addr,
            http_addr: self.http_addr,
            admin_addr: self.admin_addr,
            instance: self.instance.clone(),
            advertise_addr: self.advertise_addr.clone(),
            ..Flags::default()
        })
    }
}

#[derive(Args)]
pub(crate) struct Remotely {
    /// A running server.
    #[arg(long, default_value = "127.0.0.1:7400")]
    pub(crate) endpoint: String,
}

#[derive(Args)]
pub(crate) struct IngestArgs {
    /// Files to read; `-` is standard input. `.zst` and `.gz` are read as they are.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long)]
    pub(crate) format: Format,
    /// The company's account, for formats that name none.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Records older than an hour count as live too: alarms, offers.
    #[arg(long)]
    pub(crate) live: bool,
    /// Sends what was acknowledged before again.
    #[arg(long)]
    pub(crate) from_start: bool,
    /// How long the server may be away in between, in seconds: `20s`.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    pub(crate) patience: Duration,
    #[command(flatten)]
    pub(crate) remotely: Remotely,
}

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
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
pub(crate) enum Events {
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
pub(crate) enum ClockCommand {
    /// Takes the wall clock as right after it jumped: timers fire again.
    Accept(Remotely),
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Files to read; `-` is standard input. `.zst` and `.gz` are read as they are.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long)]
    pub(crate) format: Format,
    /// An absent or empty directory for the log and the state; a log in Kafka must be empty or absent too.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// The company's account, for formats that name none.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// A directory of policy files, in force from the start.
    #[arg(long)]
    pub(crate) policy: Option<PathBuf>,
    /// In which order records are taken in.
    #[arg(long, default_value = "time")]
    pub(crate) order: Order,
}

#[derive(Subcommand)]
pub(crate) enum Threads {
    /// One line for each message, with where it belongs; TSV unless JSON is asked for.
    Export(Source),
    /// All threads, in the order in which they were opened.
    List(Source),
    /// One thread with its messages.
    Show {
        /// The thread.
        thread: ThreadId,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
pub(crate) enum Persons {
    /// Who it is.
    Show {
        /// The person.
        person: PersonId,
        #[command(flatten)]
        source: Source,
    },
    /// All that happened between a person and us, the newest first.
    Timeline {
        /// The person.
        person: PersonId,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
pub(crate) enum Agents {
    /// Agents of the policy with their load, in the order of their ids.
    List {
        /// Only agents like this.
        #[arg(long, value_parser = one_of(&PRESENCES, "PRESENCE_", Presence::from_str_name))]
        presence: Option<Presence>,
        /// Only those who serve this queue.
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Subcommand)]
pub(crate) enum Queues {
    /// Queues with what waits in them, in the order of the policy.
    List(Source),
}

#[derive(Subcommand)]
pub(crate) enum Items {
    /// Work items, also ended ones, in the order in which they were opened.
    List {
        /// Only items in this phase.
        #[arg(long, value_parser = one_of(&PHASES, "PHASE_", Phase::from_str_name))]
        phase: Option<Phase>,
        /// Only items of this queue.
        #[arg(long)]
        queue: Option<String>,
        /// Only the item of this thread that has not ended.
        #[arg(long)]
        thread: Option<ThreadId>,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The work item.
    pub(crate) item: WorkItemId,
    /// Says instead what stands between the item and this agent now.
    #[arg(long = "why-not")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Subcommand)]
pub(crate) enum Clocks {
    /// Clocks, also ended ones, in the order of their threads.
    List {
        /// Only clocks of this thread.
        #[arg(long)]
        thread: Option<ThreadId>,
        /// Only clocks of this metric.
        #[arg(long, value_parser = one_of(&METRICS, "METRIC_", Metric::from_str_name))]
        metric: Option<Metric>,
        /// Only clocks in this state.
        #[arg(long, value_parser = one_of(&CLOCK_STATES, "STATE_", ClockState::from_str_name))]
        state: Option<ClockState>,
        /// Only clocks whose breach stands.
        #[arg(long)]
        breached: bool,
        #[command(flatten)]
        source: Source,
    },
    /// One line for each clock, with what became of it; TSV unless JSON is asked for.
    Export(Source),
}

#[derive(Subcommand)]
pub(crate) enum Alarms {
    /// Alarms that stand, the oldest first.
    List {
        /// Only those that nobody has acknowledged.
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        source: Source,
    },
    /// What happens to alarms as it becomes durable, until it is interrupted; goes on after a restart of the
    /// server.
    Watch {
        /// Begins after this position, PARTITION/INDEX/EVENT, from an earlier line; otherwise now.
        #[arg(long = "after")]
        position: Option<String>,
        #[command(flatten)]
        remotely: Remotely,
    },
    /// Somebody has seen an alarm: it rings no more.
    Ack {
        /// The alarm.
        alarm: AlarmId,
        /// Who has seen it [default: the name in $USER].
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        #[command(flatten)]
        remotely: Remotely,
    },
}

/// Presences, as `--presence` names them.
const PRESENCES: [&str; 4] = ["offline", "available", "away", "not_responding"];
/// Phases of work items.
const PHASES: [&str; 7] = ["queued", "offered", "assigned", "wrapping", "parked", "done", "cancelled"];
/// Metrics of clocks.
const METRICS: [&str; 8] = [
    "first_response",
    "next_response",
    "periodic_update",
    "requester_wait",
    "agent_work",
    "resolution",
    "queue_wait",
    "offer_accept",
];
/// States of clocks.
const CLOCK_STATES: [&str; 4] = ["running", "paused", "met", "cancelled"];

/// One of some names, as the value of an enum that it stands for.
fn one_of<E: Default + Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
    prefix: &'static str,
    of: fn(&str) -> Option<E>,
) -> impl TypedValueParser<Value = E> {
    PossibleValuesParser::new(names)
        .map(move |name| of(&format!("{prefix}{}", name.to_uppercase())).unwrap_or_default())
}

#[derive(Subcommand)]
pub(crate) enum Quarantine {
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
pub(crate) struct Source {
    /// A running server.
    #[arg(long, default_value = "127.0.0.1:7400", conflicts_with_all = ["data_dir", "log"])]
    pub(crate) endpoint: String,
    /// The data directory of a stopped process, instead of a server.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl Source {
    /// Whom a reading command asks.
    ///
    /// # Errors
    /// When nobody answers, or the directory cannot be opened.
    pub(crate) async fn open(&self, workspace: &str) -> anyhow::Result<Remote> {
        if self.is_a_log() {
            let config = self.log.load(Flags { data_dir: self.data_dir.clone(), ..Flags::default() })?;
            return Remote::open(&config, workspace).await;
        }
        Remote::connect(&self.endpoint, workspace).await
    }

    /// Is a log read as it stands, rather than a server asked?
    pub(crate) fn is_a_log(&self) -> bool {
        self.data_dir.is_some() || self.log.log.is_some()
    }
}

#[derive(Subcommand)]
pub(crate) enum LogCommand {
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
    /// Copies a log into an empty one, every record to its own position.
    Copy {
        /// A data directory, or `kafka`.
        #[arg(long)]
        from: String,
        /// An absent or empty directory, or `kafka`.
        #[arg(long)]
        to: String,
        #[command(flatten)]
        log: LogArgs,
    },
}

#[derive(Args)]
pub(crate) struct DataDir {
    /// The data directory of a stopped process; with a log in Kafka the state in it, if any.
    #[arg(long, required_unless_present = "log")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl DataDir {
    /// # Errors
    /// As `Config::load`.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        self.log.load(Flags { data_dir: self.data_dir.clone(), ..Flags::default() })
    }
}

/// A service by its name.
fn service() -> impl TypedValueParser<Value = Service> {
    PossibleValuesParser::new(Service::ALL.map(Service::name)).map(|name| {
        let of_name = Service::ALL.into_iter().find(|service| service.name() == name);
        of_name.unwrap_or(Service::Ingest)
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>();
    let seconds = number.map_err(|_| format!("{text:?} is not a number of seconds, like 20s"))?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_every_value_and_no_other() {
        fn check<E: TryFrom<i32> + Default + PartialEq>(names: &[&str], prefix: &str, of: fn(&str) -> Option<E>) {
            for name in names {
                let meant = of(&format!("{prefix}{}", name.to_uppercase()));
                assert!(meant.is_some_and(|meant| meant != E::default()), "{name}");
            }
            let known = (1..).take_while(|number| E::try_from(*number).is_ok()).count();
            assert_eq!(names.len(), known, "{prefix}");
        }
        check(&PRESENCES, "PRESENCE_", Presence::from_str_name);
        check(&PHASES, "PHASE_", Phase::from_str_name);
        check(&METRICS, "METRIC_", Metric::from_str_name);
        check(&CLOCK_STATES, "STATE_", ClockState::from_str_name);
    }
}
