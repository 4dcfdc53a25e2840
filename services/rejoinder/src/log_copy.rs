//! `log copy`: a log goes into an empty one, every record to its own position.
//!
//! The copy is the same log: it has the same id, so that a stored state goes on with it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rejoinder_event_log::{AppendError, EventLog, RecordView, StoredRecord};

use crate::Ended;
use crate::backend::{self, New};
use crate::config::{Config, LogKind};
use crate::table::say;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;
/// How often it is looked whether there is room, or all is durable.
const LOOK: Duration = Duration::from_millis(2);

/// What a configuration says of the other end too.
fn end(named: &str, config: &Config) -> Config {
    let (log, data_dir) = match named {
        "kafka" => (LogKind::Kafka, config.data_dir.clone()),
        dir => (LogKind::Embedded, PathBuf::from(dir)),
    };
    Config { log, data_dir, ..config.clone() }
}

/// Copies, and compares both.
pub(crate) fn run(from: &str, to: &str, config: &Config) -> anyhow::Result<Ended> {
    ensure!(from != to, "--from and --to are the same");
    let source = backend::open_read_only(&end(from, config)).with_context(|| format!("--from {from}"))?;
    let copy = Config { partitions: source.partitions(), ..end(to, config) };
    let copy =
        backend::create(&copy, New { id: source.id(), deferred: false }).with_context(|| format!("--to {to}"))?;
    // In Kafka others may go on writing: what stands there now is copied.
    let ends: Vec<u64> = (0..source.partitions()).map(|partition| source.end(partition)).collect();
    for (partition, end) in (0..).zip(&ends) {
        copy_partition(&*source, &*copy, partition, *end)?;
    }
    for (partition, end) in (0..).zip(&ends) {
        compare(&*source, &*copy, partition, *end)?;
    }
    copy.close();
    if let Some(what) = copy.stopped() {
        bail!("the copy stopped: {what}");
    }
    let records: u64 = ends.iter().sum();
    say(&format!("{records} records copied and compared; the log keeps its id {:032x}", source.id()));
    Ok(Ended::Well)
}

fn copy_partition(source: &dyn EventLog, copy: &dyn EventLog, partition: u16, end: u64) -> anyhow::Result<()> {
    let mut next = 0;
    while next < end {
        for record in below(source.read(partition, next, READ_BYTES)?, end) {
            RecordView::verify(&record.bytes).with_context(|| format!("{partition}/{} is damaged", record.index))?;
            while let Err(error) = copy.append(partition, record.bytes.clone()) {
                match error {
                    AppendError::Full(_) => std::thread::sleep(LOOK),
                    error @ (AppendError::Stopped(_) | AppendError::TooLarge { .. }) => bail!(error),
                }
            }
            next = record.index + 1;
        }
    }
    Ok(())
}

fn below(mut records: Vec<StoredRecord>, end: u64) -> Vec<StoredRecord> {
    records.retain(|record| record.index < end);
    records
}

/// Waits until the copy is durable, and reads it back.
fn compare(source: &dyn EventLog, copy: &dyn EventLog, partition: u16, end: u64) -> anyhow::Result<()> {
    let mut next = 0;
    while copy.end(partition) < end {
        if let Some(what) = copy.stopped() {
            bail!("the copy stopped: {what}");
        }
        std::thread::sleep(LOOK);
    }
    ensure!(copy.end(partition) == end, "partition {partition} of the copy is longer: others write to it");
    while next < end {
        let read = below(source.read(partition, next, READ_BYTES)?, end);
        let mut wanted = read.iter();
        while wanted.len() > 0 {
            for record in copy.read(partition, next, READ_BYTES)? {
                let Some(same) = wanted.next() else { break };
                ensure!(record == *same, "{partition}/{} differs in the copy", record.index);
                next += 1;
            }
        }
    }
    Ok(())
}
