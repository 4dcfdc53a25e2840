//! `replay`: the very services, engine and log of `up` in virtual time.
//!
//! Between two timestamps everything runs to quiescence; then time jumps to the next deadline or the
//! next record, whichever comes first. The same input gives the same log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use rejoinder_channels::{Format, Interaction};
use rejoinder_ingest::{Publish, Published, as_given};
use rejoinder_ingest_core::{Ingest, NewPolicy, Outcome};
use rejoinder_model::{DAY_MS, Millis, partition_of};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, Decide, ManualClock, Options as LaneOptions, SystemClock, Turns};

use crate::Ended;
use crate::backend::New;
use crate::config::Config;
use crate::data_dir::Partition;
use crate::table::say;
use crate::{backend, files, policy};

/// Records of one timestamp that are published together.
const BATCH: usize = 1_000;
/// What a message takes in a queue, about.
const MESSAGE_BYTES: usize = 1_024;

/// In which order records are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// By their own times.
    Time,
    /// As the files have them.
    File,
}

/// How a replay runs.
pub(crate) struct Options {
    pub(crate) workspace: String,
    pub(crate) format: Format,
    pub(crate) account: Option<String>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) order: Order,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    revised: AtomicU64,
    duplicates: AtomicU64,
    lost: AtomicU64,
}

/// Replays files into an absent or empty directory.
pub(crate) fn run(paths: &[PathBuf], config: &Config, options: &Options) -> anyhow::Result<Ended> {
    let dir = config.data_dir.as_path();
    let used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        bail!("{} is not empty: a replay needs a directory of its own", dir.display());
    }
    if options.workspace != "default" && options.policy.is_none() {
        bail!("workspace {:?} exists once it has a policy: name one with --policy", options.workspace);
    }
    files::say_account(options.format, options.account.as_deref());
    let new_policy = options.policy.as_deref().map(policy::read).transpose()?;
    let mut skipped = 0_u64;
    let mut interactions = Vec::new();
    let mut cut_off = None;
    for path in paths {
        let read = files::interactions(
            path,
            options.format,
            options.account.as_deref(),
            &mut |interaction| interactions.push(interaction),
            &mut |path, malformed| {
                skipped += 1;
                say(&format!("{}: {malformed}: skipped", path.display()));
            },
        );
        if let Err(error) = read {
            say(&format!("rejoinder: {error:#}"));
            cut_off = Some(error);
        }
    }
    if let Some(error) = cut_off.take_if(|_| interactions.is_empty()) {
        // Nothing to replay: the directory stays as it was.
        return Err(error.context("nothing was replayed"));
    }
    if options.order == Order::Time {
        interactions.sort_by_key(|interaction| interaction.event_time);
    }
    let counts = Arc::new(Counts::default());
    let log = backend::create(config, New { id: u128::from_be_bytes(*b"rejoinder replay"), deferred: true })?;
    let store = ProjectionStore::open(&dir.join("state"), 64 << 20)?;
    let clock = Arc::new(ManualClock::default());
    let lane_clock: Arc<dyn Clock> = clock.clone();
    let lane_options = LaneOptions { tick_interval_ms: 0, ..LaneOptions::default() };
    let number = partition_of(&options.workspace, log.partitions());
    let mut partition = Partition::open(number, &log, &lane_clock, &store, lane_options)?;
    Turns(partition.lanes().into()).run_to_quiescence()?;
    if !partition.is_live() {
        bail!("the lanes did not start: {:?}", partition.statuses());
    }
    if let Some(new) = new_policy {
        publish_policy(&mut partition, options, new)?;
    }
    drive(&mut partition, &clock, interactions, options, &counts)?;
    Turns(partition.lanes().into()).flush()?;
    store.sync().map_err(|error| anyhow!(error)).context("the state cannot be written")?;
    log.close();
    if let Some(what) = log.stopped() {
        bail!("the event log stopped: {what}");
    }
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    say(&format!(
        "{} messages accepted, {} edits and deletes, {} duplicates, {skipped} malformed records skipped",
        get(&counts.accepted),
        get(&counts.revised),
        get(&counts.duplicates),
    ));
    if get(&counts.lost) > 0 {
        bail!("{} messages were not accepted: is the workspace known?", get(&counts.lost));
    }
    let set_aside = partition.set_aside();
    if set_aside > 0 {
        say(&format!("{set_aside} inputs were set aside: `rejoinder quarantine list --data-dir …` says why"));
    }
    Ok(if skipped > 0 || set_aside > 0 || cut_off.is_some() { Ended::FoundWrong } else { Ended::Well })
}

/// The policy stands before every record.
fn publish_policy(partition: &mut Partition, options: &Options, new: NewPolicy) -> anyhow::Result<()> {
    let workspace = options.workspace.clone();
    let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
        // Nothing is in force yet that it could fail to follow.
        let _ = rejoinder_ingest_core::publish_policy(state, context, &workspace, new, out);
    };
    let job = Decide::new(options.workspace.clone(), decision, |_: Option<((), _)>| {});
    if partition.ingest_jobs.push(Box::new(job)).is_err() {
        bail!("the policy did not fit the queue of ingest");
    }
    Turns(partition.lanes().into()).run_to_quiescence()?;
    Ok(())
}

fn drive(
    partition: &mut Partition,
    clock: &Arc<ManualClock>,
    interactions: Vec<Interaction>,
    options: &Options,
    counts: &Arc<Counts>,
) -> anyhow::Result<()> {
    let start = SystemClock::new().wall_ms();
    let mut batch = Vec::new();
    let mut at = clock.wall_ms();
    for interaction in interactions {
        // A date in the future is kept, and time does not follow it.
        let believable = interaction.event_time <= start.saturating_add(DAY_MS);
        let next = if believable { at.max(interaction.event_time) } else { at };
        if next > at || batch.len() >= BATCH {
            publish(partition, std::mem::take(&mut batch), options, counts)?;
            reach(partition, clock, next)?;
            at = next;
        }
        batch.push(as_given(interaction, at));
    }
    publish(partition, batch, options, counts)
}

/// Lets time pass up to a record: every deadline before it has its turn.
fn reach(partition: &mut Partition, clock: &Arc<ManualClock>, next: Millis) -> anyhow::Result<()> {
    loop {
        let mut turns = Turns(partition.lanes().into());
        let Some(deadline) = turns.next_deadline().filter(|deadline| *deadline < next) else { break };
        clock.advance_to(deadline);
        turns.run_to_quiescence()?;
    }
    clock.advance_to(next);
    Ok(())
}

fn publish(
    partition: &mut Partition,
    batch: Vec<rejoinder_ingest_core::Arrival>,
    options: &Options,
    counts: &Arc<Counts>,
) -> anyhow::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let counts = counts.clone();
    let size = batch.len();
    let reply = move |published: Published| {
        let Some((outcomes, _)) = published else {
            counts.lost.fetch_add(size as u64, Ordering::Relaxed);
            return;
        };
        for outcome in outcomes {
            let count = match outcome {
                Outcome::Accepted(_) => &counts.accepted,
                Outcome::Revised => &counts.revised,
                Outcome::Duplicate(_) => &counts.duplicates,
                Outcome::UnknownWorkspace => &counts.lost,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let job = Publish::new(options.workspace.clone(), batch, size * MESSAGE_BYTES, reply);
    if partition.ingest_jobs.push(Box::new(job)).is_err() {
        bail!("a batch did not fit the queue of ingest");
    }
    Turns(partition.lanes().into()).run_to_quiescence()?;
    Ok(())
}
