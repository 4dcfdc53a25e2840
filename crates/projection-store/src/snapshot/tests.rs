//! Snapshots on real disks: a world has a state in use, a shared directory, and empty disks.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rejoinder_event_log::{LogId, PartitionFold};
use rejoinder_machine::{Backing as _, Change};
use rejoinder_model::{DAY_MS, HOUR_MS, Millis, Service};

use super::*;
use crate::{LaneMeta, ProjectionStore, STATE_FORMAT};

mod choosing;
mod driving;
mod pruning;
mod taking;

const LOG: LogId = 7;
const START: Millis = 1_780_000_000_000;
const TWO: [Service; 2] = [Service::Ingest, Service::Routing];

struct World {
    dir: tempfile::TempDir,
    store: ProjectionStore,
}

/// Every key of a lane has the value of the last write.
const KEYS: u8 = 50;

fn write(store: &ProjectionStore, service: Service, partition: u16, applied: u64) {
    let fold = PartitionFold::default();
    let meta = LaneMeta {
        log_id: LOG,
        fold,
        applied,
        checksum: 9,
        digests: vec![],
        next_own_seq: applied,
        fires_from: [0; 4],
    };
    let value = |n: u8| [applied.to_be_bytes().to_vec(), vec![n; 200]].concat();
    let changes = (0..KEYS).map(|n| Change { key: vec![1, n], value: Some(value(n)) });
    store.lane(service, partition).write(changes, &meta).unwrap();
}

/// How far a lane goes; its content agrees with that.
fn stored(store: &ProjectionStore, service: Service, partition: u16) -> Option<u64> {
    let lane = store.lane(service, partition);
    let entries = lane.scan(1, &[], 1_000).unwrap();
    let Some(meta) = lane.meta().unwrap() else {
        assert!(entries.is_empty());
        return None;
    };
    assert_eq!(entries.len(), usize::from(KEYS));
    let agree =
        entries.iter().all(|(key, value)| value[..8] == meta.applied.to_be_bytes() && value[8..] == [key[0]; 200]);
    assert!(agree, "the content is not as of {}", meta.applied);
    Some(meta.applied)
}

impl World {
    /// With nothing in its state.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(&dir.path().join("state"), 1 << 20).unwrap();
        Self { dir, store }
    }

    fn shared(&self) -> PathBuf {
        self.dir.path().join("shared").join("snapshots")
    }

    fn facts(now_ms: Millis) -> Facts {
        Facts { log_id: LOG, services: TWO.to_vec(), instance: "one:7400".into(), version: "0.1.0".into(), now_ms }
    }

    fn try_take(&self, facts: &Facts) -> Result<Manifest, SnapshotError> {
        self.store.snapshot(&self.shared(), facts, &AtomicBool::new(false))
    }

    /// A snapshot of two services in two partitions that goes to `applied` in each, taken then.
    fn take(&self, applied: u64, now_ms: Millis) -> PathBuf {
        for service in TWO {
            (0..2).for_each(|partition| write(&self.store, service, partition, applied));
        }
        self.try_take(&Self::facts(now_ms)).unwrap();
        self.shared().join(manifest::folder_name(LOG, now_ms, "one:7400"))
    }

    fn restore(&self, services: &[Service], name: &str) -> (Outcome, PathBuf) {
        let into = self.dir.path().join(name).join("state");
        let wanted = Wanted { log_id: LOG, services, ends: &|_| 1_000 };
        (restore(&self.shared(), &wanted, &into).unwrap(), into)
    }

    /// How far ingest's lane of the first partition goes on a disk that was empty.
    fn restored(&self, services: &[Service]) -> Option<u64> {
        let into = tempfile::tempdir().unwrap();
        let into = into.path().join("state");
        let wanted = Wanted { log_id: LOG, services, ends: &|_| 1_000 };
        match restore(&self.shared(), &wanted, &into).unwrap() {
            Outcome::Restored(_) => {
                assert!(!beside(&into, ".restoring").exists());
                stored(&ProjectionStore::open(&into, 1 << 20).unwrap(), services[0], 0)
            }
            Outcome::Nothing => {
                assert!(!into.exists() && !beside(&into, ".restoring").exists());
                None
            }
            Outcome::Kept => panic!("the disk was empty"),
        }
    }

    /// Names of what lies in the shared directory.
    fn shelf(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.shared()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
