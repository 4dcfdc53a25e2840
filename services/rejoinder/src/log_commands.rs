//! `log verify` and `log rebuild --compare` on a stopped directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rejoinder_event_log::{PartitionFold, RecordView};
use rejoinder_model::Service;
use rejoinder_projection_store::{LaneStore, ProjectionStore};
use rejoinder_runtime::{Clock, ManualClock, Options, SystemClock};
use xxhash_rust::xxh3::Xxh3;

use crate::Ended;
use crate::config::Config;
use crate::data_dir::{Partition, Stopped};
use crate::table::say;

/// What changed, by table and key; `None`: gone.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Reads every record: checksums, density, ownership, digests; prints the digest of the log.
pub(crate) fn verify(config: &Config) -> anyhow::Result<Ended> {
    let stopped = Stopped::open(config)?;
    let mut digest = Xxh3::new();
    let mut folds = vec![PartitionFold::default(); usize::from(stopped.log.partitions())];
    let verified = rejoinder_event_log::verify(&*stopped.log, |partition, index, bytes| {
        digest.update(&partition.to_le_bytes());
        digest.update(&index.to_le_bytes());
        digest.update(bytes);
        if let Ok(view) = RecordView::peek(bytes) {
            folds[usize::from(partition)].fold(index, view.service, &view.header);
        }
    });
    for damage in &verified.damages {
        say(&format!("damaged: {damage}"));
    }
    // Folding from the start compares every checkpoint on the way.
    let wrong = if verified.damages.is_empty() { fold_anew(&stopped, |_, _, _| Ok(None))? } else { None };
    if let Some(wrong) = &wrong {
        say(wrong);
    }
    let records: u64 = verified.records.iter().sum();
    let void: u64 = folds.iter().map(|fold| fold.void).sum();
    let mut rows = crate::table::Rows::new(crate::table::Output::Table, &["log_digest", "records", "void"], &[32, 10])?;
    rows.row(&[format!("{:032x}", digest.digest128()), records.to_string(), void.to_string()])?;
    rows.end()?;
    Ok(if verified.damages.is_empty() && wrong.is_none() { Ended::Well } else { Ended::FoundWrong })
}

/// Rebuilds the state beside the stored one and compares byte for byte.
pub(crate) fn rebuild(config: &Config) -> anyhow::Result<Ended> {
    let stopped = Stopped::open(config)?;
    let mut entries = 0;
    let wrong = fold_anew(&stopped, |number, rebuilt, live| {
        // What is stored may end before the log does, after a crash: the rest is folded on top.
        let mut ends = stopped.partition(number)?;
        let changes = [
            (Service::Ingest, ends.ingest.take_changes()),
            (Service::Threading, ends.threading.take_changes()),
            (Service::Routing, ends.routing.take_changes()),
            (Service::SlaTimer, ends.sla.take_changes()),
        ];
        for (service, changes) in changes {
            let live = live.lane(service, number);
            let (count, difference) = compare(&live, changes, &rebuilt.lane(service, number))?;
            entries += count;
            if let Some(key) = difference {
                return Ok(Some(format!("{} of partition {number} differs at key {key}", service.name())));
            }
        }
        Ok(None)
    })?;
    match wrong {
        Some(wrong) => {
            say(&wrong);
            Ok(Ended::FoundWrong)
        }
        None => {
            say(&format!("the rebuilt state equals the stored one: {entries} entries"));
            Ok(Ended::Well)
        }
    }
}

/// Folds each partition from the start into a state of its own, then hands both to `each`.
fn fold_anew(
    stopped: &Stopped,
    mut each: impl FnMut(u16, &ProjectionStore, &ProjectionStore) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Option<String>> {
    let dir = std::env::temp_dir().join(format!("rejoinder-rebuild-{}", std::process::id()));
    let (system, mut events, mut milliseconds) = (SystemClock::new(), 0, 0);
    let result = (|| {
        let rebuilt = ProjectionStore::open(&dir, 64 << 20)?;
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        for number in 0..stopped.log.partitions() {
            if stopped.log.end(number) == 0 {
                continue;
            }
            let options = Options { follow_only: true, stores_following: true, ..Options::default() };
            let start = system.wall_ms();
            let mut partition = Partition::open(number, &stopped.log, &clock, &rebuilt, options)?;
            if let Err(error) = partition.fold_to_end() {
                return Ok(Some(format!("partition {number}: {error:#}")));
            }
            partition.store_now()?;
            milliseconds += system.wall_ms() - start;
            events += partition.events();
            if let Some(wrong) = each(number, &rebuilt, &stopped.store)? {
                return Ok(Some(wrong));
            }
        }
        Ok(None)
    })();
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    let milliseconds = u64::try_from(milliseconds).unwrap_or_default().max(1);
    say(&format!("folded {events} events in {milliseconds} ms, {}/s", events * 1_000 / milliseconds));
    result
}

/// The number of entries, and the key of the first that differs.
fn compare(live: &LaneStore, mut changes: Changes, rebuilt: &LaneStore) -> anyhow::Result<(usize, Option<String>)> {
    let mut expected = BTreeMap::new();
    rebuilt
        .for_each(|key, value| {
            expected.insert(key.to_vec(), value.to_vec());
        })
        .map_err(|error| anyhow!(error))?;
    let count = expected.len();
    let mut first: Option<Vec<u8>> = None;
    let mut differ = |key: &[u8]| {
        if first.as_deref().is_none_or(|first| key < first) {
            first = Some(key.to_vec());
        }
    };
    live.for_each(|key, value| {
        let changed = changes.remove(key);
        let value = changed.as_ref().map_or(Some(value), Option::as_deref);
        if expected.remove(key).as_deref() != value {
            differ(key);
        }
    })
    .map_err(|error| anyhow!(error))?;
    for (key, value) in changes {
        if expected.remove(&key) != value {
            differ(&key);
        }
    }
    if let Some(key) = expected.keys().next() {
        differ(key);
    }
    Ok((count, first.map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect())))
}
