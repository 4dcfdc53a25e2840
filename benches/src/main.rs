//! Measures a real server over its public API, and prints one table: each figure next to what the
//! machine itself did in the same run.

mod clock;
mod kafka;
mod latency;
mod load;
mod machine;
mod rows;
mod server;
mod staff;
mod table;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rejoinder_api::ingest::policy_service_client::PolicyServiceClient;
use rejoinder_api::ingest::{ApplyPolicyRequest, PolicyFile};
use rejoinder_api::routing::ListAgentsRequest;
use rejoinder_api::routing::agent_service_client::AgentServiceClient;

use crate::server::{Server, of};
use crate::staff::Staff;
use crate::table::{Row, say};

/// Measures the released server next to the machine's own limits.
#[derive(Parser)]
#[command(name = "rejoinder-bench")]
struct Arguments {
    /// What to measure; without one everything but `kafka`, which needs Java and a broker.
    #[arg(value_enum)]
    only: Vec<Part>,
    /// About two minutes in all, with fewer messages.
    #[arg(long)]
    quick: bool,
    /// Threads that are open, and timers armed, when memory is measured.
    #[arg(long)]
    threads: Option<u64>,
    /// How long a workspace surges.
    #[arg(long)]
    surge_seconds: Option<u64>,
    /// A directory on the disk to measure; a temporary one without it.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Workload W over 64 workspaces.
    Throughput,
    /// Workload W in one workspace.
    Single,
    /// Latencies at 5,000 messages a second, to offers and from freed slots too.
    Latency,
    /// Queries at 5,000 messages a second.
    Queries,
    /// A surge in one workspace, seen from another one of its partition.
    Surge,
    /// Memory with many open threads, their timers, a restart and a rebuild.
    Large,
    /// Bare frames and transactions on an Apache Kafka broker: the one that runs, or one for this time.
    Kafka,
}

/// How much is measured.
struct Sizes {
    /// Messages to find the limit with.
    limit_messages: u64,
    /// How long an open loop runs.
    steady: Duration,
    /// Open threads, and armed timers.
    threads: u64,
    /// Timers that come due at once.
    due_at_once: usize,
    /// How long a workspace surges.
    surge: Duration,
    /// How long each way to write to Kafka runs.
    kafka: Duration,
    /// Records that Kafka's own tool writes.
    tool_records: u64,
}

impl Sizes {
    fn new(arguments: &Arguments) -> Self {
        let quick = arguments.quick;
        let seconds = |full, short| Duration::from_secs(if quick { short } else { full });
        Self {
            limit_messages: if quick { 300_000 } else { 1_500_000 },
            steady: seconds(20, 5),
            threads: arguments.threads.unwrap_or(if quick { 100_000 } else { 1_000_000 }),
            due_at_once: if quick { 10_000 } else { 100_000 },
            surge: arguments.surge_seconds.map_or(seconds(20, 5), Duration::from_secs),
            kafka: seconds(5, 2),
            tool_records: if quick { 50_000 } else { 200_000 },
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let temporary = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(measure(&arguments, temporary.path()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut head = vec![
        format!("{cores} cores, shared by the server, by this client that loads it, and by whatever else runs."),
        "Latencies count from when a message was to be sent. W: 8 messages a thread, 1 in 5 opens or wakes.".to_owned(),
    ];
    if arguments.only.contains(&Part::Kafka) {
        head.push("Kafka: one broker on this machine, one copy, acknowledged from its page cache.".to_owned());
    }
    table::print(&head, &rows)?;
    Ok(())
}

async fn measure(arguments: &Arguments, dir: &Path) -> anyhow::Result<Vec<Row>> {
    let sizes = Sizes::new(arguments);
    let all = [Part::Throughput, Part::Single, Part::Latency, Part::Queries, Part::Surge, Part::Large];
    let wanted = if arguments.only.is_empty() { &all[..] } else { &arguments.only };
    let mut rows = Vec::new();
    for part in wanted {
        let start = clock::now();
        let name = format!("{part:?}").to_lowercase();
        let at = dir.join(&name);
        std::fs::create_dir_all(&at)?;
        match part {
            Part::Throughput => rows.extend(rows::throughput::measure(&at, &sizes, 64).await?),
            Part::Single => rows.extend(rows::throughput::measure(&at, &sizes, 1).await?),
            Part::Latency => rows.extend(rows::latency::measure(&at, &sizes).await?),
            Part::Queries => rows.extend(rows::queries::measure(&at, &sizes).await?),
            Part::Surge => rows.extend(rows::surge::measure(&at, &sizes).await?),
            Part::Large => rows.extend(rows::large::measure(&at, &sizes).await?),
            Part::Kafka => rows.extend(tokio::task::block_in_place(|| rows::kafka::measure(&sizes))?),
        }
        std::fs::remove_dir_all(&at)?;
        say(&format!("{name}: measured in {:.0} s", start.elapsed().as_secs_f64()));
    }
    Ok(rows)
}

/// Agents of all workspaces together.
const AGENTS: usize = 640;

/// Names of workspaces, none of them special.
fn workspaces(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("company-{number}")).collect()
}

/// The agents of each of so many workspaces.
fn staff(workspaces: usize, with_context: bool) -> Staff {
    Staff { agents: AGENTS / workspaces, with_context }
}

/// Workspaces exist once they have a policy: the built-in one with their accounts and agents. Who answered
/// a post finishes it; a direct message is parked by the answer.
async fn create(server: &Server, workspaces: &[String], agents: usize) -> anyhow::Result<()> {
    const ACCOUNTS: &str =
        "[[account]]\nchannel = \"x\"\nid = \"acme\"\n\n[[account]]\nchannel = \"whatsapp\"\nid = \"acme\"\n";
    const ROUTING: &str = "[[kind]]\nname = \"public_post\"\nwrap_up = \"5m\"\n";
    let agent = |number: usize| format!("[[agent]]\nid = \"{}\"\nqueues = [\"default\"]\n\n", staff::agent_id(number));
    let agents: String = (0..agents).map(agent).collect();
    let texts = [("accounts.toml", ACCOUNTS), ("routing.toml", ROUTING), ("agents.toml", &agents)];
    let channel = server.channel().await?;
    let mut policies = PolicyServiceClient::new(channel.clone());
    for name in workspaces {
        let texts = texts.iter().filter(|(_, text)| !text.is_empty());
        let files = texts.map(|(name, text)| PolicyFile { name: (*name).into(), text: (*text).into() }).collect();
        let policy = ApplyPolicyRequest { files, ..ApplyPolicyRequest::default() };
        let wait_for = policies.apply_policy(of(name, policy)?).await?.into_inner().as_of;
        // Routing follows it before anybody signs in.
        let request = ListAgentsRequest { wait_for, page_size: 1, ..ListAgentsRequest::default() };
        AgentServiceClient::new(channel.clone()).list_agents(of(name, request)?).await?;
    }
    Ok(())
}
