//! What a snapshot holds, and what it leaves when it does not come to its end.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_snapshot_taken_while_writing_goes_on_holds_each_lane_as_of_one_position() {
    let world = World::new();
    let (written, end) = (std::sync::atomic::AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for applied in 1.. {
                for service in TWO {
                    (0..2).for_each(|partition| write(&world.store, service, partition, applied));
                }
                written.store(applied, Ordering::SeqCst);
                if end.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let mut last = 0;
        for round in 0..8 {
            while written.load(Ordering::SeqCst) <= last {
                std::thread::yield_now();
            }
            let before = written.load(Ordering::SeqCst);
            let manifest = world.try_take(&World::facts(START + round)).unwrap();
            let wanted = Wanted { log_id: LOG, services: &TWO, ends: &|_| u64::MAX };
            let into = world.dir.path().join(format!("other-{round}")).join("state");
            assert_eq!(restore(&world.shared(), &wanted, &into).unwrap(), Outcome::Restored(manifest.clone()));
            let other = ProjectionStore::open(&into, 1 << 20).unwrap();
            for service in TWO {
                for (partition, applied) in manifest.lanes(service) {
                    assert_eq!(stored(&other, service, partition), Some(applied));
                    assert!(applied >= before, "what was written before it is in it: {applied} of {before}");
                }
                assert_eq!(manifest.lanes(service).count(), 2);
            }
            last = written.load(Ordering::SeqCst);
        }
        end.store(true, Ordering::SeqCst);
    });
}

#[test]
fn the_manifest_says_of_what_it_is_and_lists_every_file() {
    let world = World::new();
    let folder = world.take(40, START);
    assert_eq!(world.shelf(), ["00000000000000000000000000000007-20260528T202640.000Z-one_7400"]);
    let manifest = Manifest::read(&folder).unwrap().unwrap();
    assert_eq!((manifest.format, manifest.state_format, manifest.taken_ms), (FORMAT, STATE_FORMAT, START));
    assert_eq!((manifest.instance.as_str(), manifest.version.as_str()), ("one:7400", "0.1.0"));
    assert_eq!(manifest.reach(&TWO), 4 * 40);
    let mut listed: Vec<_> = manifest.files.iter().map(|file| file.name.clone()).collect();
    listed.push("manifest.json".into());
    listed.sort();
    let mut there: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(listed, there);
    assert!(!beside(&world.dir.path().join("state"), ".snapshot").exists(), "what it was made from is gone");
}

#[test]
fn lanes_of_another_log_or_of_services_that_do_not_run_here_are_not_promised() {
    let world = World::new();
    world.take(40, START);
    write(&world.store, Service::SlaTimer, 0, 40);
    let facts = Facts { log_id: 8, ..World::facts(START + 1) };
    let manifest = world.try_take(&facts).unwrap();
    assert!(manifest.has(&TWO) && !manifest.has(&[Service::SlaTimer]));
    assert_eq!(manifest.reach(&TWO), 0);
}

#[test]
fn what_is_stopped_or_meets_its_own_name_leaves_nothing_and_changes_nothing() {
    let world = World::new();
    let facts = World::facts(START);
    write(&world.store, Service::Ingest, 0, 5);
    let stopped = world.store.snapshot(&world.shared(), &facts, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(SnapshotError::Stopped)));
    assert!(world.shelf().is_empty());
    world.try_take(&facts).unwrap();
    assert!(matches!(world.try_take(&facts), Err(SnapshotError::Disk { .. })));
    assert_eq!(world.restored(&TWO), Some(5), "the first one is whole");
}

#[test]
fn what_a_crash_left_beside_the_state_is_in_nobodys_way() {
    let world = World::new();
    for half in [".snapshot", ".snapshot.tmp"] {
        let half = beside(&world.dir.path().join("state"), half);
        fs::create_dir(&half).unwrap();
        fs::write(half.join("000007.sst"), "half").unwrap();
    }
    world.take(40, START);
    assert_eq!(world.restored(&TWO), Some(40));
}

#[test]
fn damage_of_the_state_is_found_and_not_handed_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let store = ProjectionStore::open(&state, 1 << 20).unwrap();
    write(&store, Service::Ingest, 0, 40);
    store.sync().unwrap();
    drop(store);
    let files = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let table = files.filter(|path| path.extension().is_some_and(|it| it == "sst")).last().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[20] ^= 1;
    fs::write(&table, bytes).unwrap();
    let store = ProjectionStore::open(&state, 1 << 20).unwrap();
    let world = World { dir, store };
    let said = world.try_take(&World::facts(START)).unwrap_err().to_string();
    assert!(said.contains("mismatch"), "{said}");
    assert!(world.store.damage().is_some(), "the state knows it from now on");
    assert!(world.shelf().is_empty());
}

/// A small disk of its own, in a mount namespace that lives as long as a process in it.
struct SmallDisk(Child, tempfile::TempDir);

impl SmallDisk {
    /// `None`, with a line that says so, where the system does not allow it.
    fn new(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && echo mounted && exec sleep 600"#;
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", script, &bytes.to_string()]).arg(place.path());
        let mut line = String::new();
        if let Ok(mut keeper) = unshare.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
            let _ = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line);
            if line.starts_with("mounted") {
                return Some(Self(keeper, place));
            }
            let _ = keeper.wait();
        }
        eprintln!("skipped: this needs the right to mount (root and unshare)");
        None
    }

    /// The disk as seen from outside.
    fn seen(&self) -> PathBuf {
        let inner = self.1.path().strip_prefix("/").unwrap();
        std::path::Path::new("/proc").join(self.0.id().to_string()).join("root").join(inner)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_shared_disk_that_runs_full_gets_no_half_snapshot_and_the_state_goes_on() {
    let Some(disk) = SmallDisk::new(2 << 20) else { return };
    let world = World::new();
    world.take(40, START);
    let shared = disk.seen().join("snapshots");
    let take = |now_ms| world.store.snapshot(&shared, &World::facts(now_ms), &AtomicBool::new(false));
    take(START).unwrap();
    let ballast = disk.seen().join("ballast");
    // The last page of it fails.
    assert!(fs::write(&ballast, vec![1; 2 << 20]).is_err());
    let said = take(START + 1).unwrap_err().to_string();
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 1, "only the first one is there");
    write(&world.store, Service::Ingest, 0, 41);
    world.store.sync().unwrap();
    assert_eq!((stored(&world.store, Service::Ingest, 0), world.store.damage()), (Some(41), None));
    fs::remove_file(ballast).unwrap();
    assert_eq!(take(START + 2).unwrap().lanes(Service::Ingest).collect::<Vec<_>>(), [(0, 41), (1, 40)]);
}
