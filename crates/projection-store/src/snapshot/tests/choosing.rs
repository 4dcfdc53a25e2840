//! Which snapshot becomes the state, and what becomes of those that cannot.

use std::cell::RefCell;
use std::sync::Once;

use super::*;

/// The first file of a snapshot with this ending.
fn file(folder: &std::path::Path, ending: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

fn edit(folder: &std::path::Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(folder).unwrap().unwrap();
    change(&mut manifest);
    manifest.publish(folder).unwrap();
}

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &std::path::Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn what_is_wrong_with_a_snapshot_is_said_and_the_next_older_one_is_taken() {
    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm); 12] = [
        ("the checksum of", |folder| flip(&file(folder, ".sst"), 20)),
        ("bytes of", |folder| cut(&file(folder, ".sst"))),
        ("cannot be read: No such file", |folder| fs::remove_file(file(folder, ".sst")).unwrap()),
        ("its manifest cannot be read", |folder| cut(&file(folder, "manifest.json"))),
        ("its manifest has format 2", |folder| edit(folder, |manifest| manifest.format = 2)),
        ("of another event log", |folder| edit(folder, |manifest| manifest.log_id = manifest::text_of(8))),
        ("its state has format", |folder| edit(folder, |manifest| manifest.state_format += 1)),
        ("ahead of the event log", |folder| {
            edit(folder, |manifest| *manifest.applied.get_mut("ingest").unwrap().get_mut(&0).unwrap() = 1_001);
        }),
        ("goes to Some(50), not to 51", |folder| {
            edit(folder, |manifest| *manifest.applied.get_mut("ingest").unwrap().get_mut(&0).unwrap() = 51);
        }),
        ("it has only the services routing", |folder| edit(folder, |manifest| drop(manifest.applied.remove("ingest")))),
        ("is no name of a file", |folder| edit(folder, |manifest| manifest.files[0].name = "../x".into())),
        ("While creating a new Db", |folder| {
            fs::remove_file(folder.join("CURRENT")).unwrap();
            edit(folder, |manifest| manifest.files.retain(|file| file.name != "CURRENT"));
        }),
    ];
    for (wanted, harm) in harms {
        let world = World::new();
        world.take(40, START);
        let newest = world.take(50, START + 1);
        assert_eq!(world.restored(&TWO), Some(50));
        harm(&newest);
        let said = Log::during(|| assert_eq!(world.restored(&TWO), Some(40), "{wanted}"));
        assert!(said.contains("passed over") && said.contains(wanted), "{wanted}: {said}");
        assert!(said.contains(newest.file_name().unwrap().to_str().unwrap()), "{said}");
    }
}

#[test]
fn where_every_snapshot_is_damaged_there_is_none() {
    let world = World::new();
    assert_eq!(world.restored(&TWO), None, "there is not even a directory");
    for (n, folder) in [world.take(40, START), world.take(50, START + 1)].iter().enumerate() {
        flip(&file(folder, ".sst"), 30 + n);
    }
    assert_eq!(world.restored(&TWO), None);
}

#[test]
fn a_folder_that_is_not_whole_is_nobodys_snapshot_and_no_news() {
    let world = World::new();
    world.take(40, START);
    let half = world.take(50, START + 1);
    fs::remove_file(half.join("manifest.json")).unwrap();
    fs::write(half.join("manifest.json.new"), "{").unwrap();
    fs::create_dir(world.shared().join("lost+found")).unwrap();
    let foreign = manifest::folder_name(8, START + 2, "two");
    fs::rename(world.take(60, START + 2), world.shared().join(foreign)).unwrap();
    let said = Log::during(|| assert_eq!(world.restored(&TWO), Some(40)));
    assert_eq!(said, "");
}

#[test]
fn the_one_that_reaches_furthest_is_taken_also_when_one_who_begins_anew_took_a_later_one() {
    let world = World::new();
    world.take(40, START);
    world.take(3, START + 1);
    assert_eq!(world.restored(&TWO), Some(40));
    let later = world.take(40, START + 2);
    let manifest = Manifest::read(&later).unwrap().unwrap();
    assert_eq!(world.restore(&TWO, "other").0, Outcome::Restored(manifest), "of equal ones the newest");
}

#[test]
fn what_is_not_wanted_is_cleared_and_what_is_wanted_must_be_there() {
    let world = World::new();
    world.take(40, START);
    let (outcome, state) = world.restore(&[Service::Routing], "other");
    assert!(matches!(outcome, Outcome::Restored(_)));
    let other = ProjectionStore::open(&state, 1 << 20).unwrap();
    assert_eq!(stored(&other, Service::Routing, 1), Some(40));
    let mut left = 0;
    other.lane(Service::Ingest, 0).for_each(|_, _| left += 1).unwrap();
    assert_eq!((stored(&other, Service::Ingest, 0), left), (None, 0));
    assert_eq!(world.restored(&[Service::Routing, Service::SlaTimer]), None);
}

#[test]
fn a_state_that_is_there_is_kept_and_what_a_crash_left_beside_it_is_not() {
    let world = World::new();
    world.take(40, START);
    let into = world.dir.path().join("other").join("state");
    let half = beside(&into, ".restoring");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("CURRENT"), "half").unwrap();
    fs::create_dir(&into).unwrap();
    let (outcome, _) = world.restore(&TWO, "other");
    assert!(matches!(outcome, Outcome::Restored(_)), "into an empty directory");
    assert!(!half.exists());
    world.take(50, START + 1);
    assert_eq!(world.restore(&TWO, "other").0, Outcome::Kept);
    assert_eq!(stored(&ProjectionStore::open(&into, 1 << 20).unwrap(), Service::Ingest, 0), Some(40));
}

thread_local! {
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What the thread of a test logs. One subscriber serves all tests: those of single threads would
/// disagree on which messages are of interest.
struct Log;

impl Log {
    fn during(what: impl FnOnce()) -> String {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Self).init());
        LOGGED.take();
        what();
        String::from_utf8(LOGGED.take()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
