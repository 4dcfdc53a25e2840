//! Power cuts: whatever was not synced is gone, and nothing that was acknowledged is among it.
//!
//! The server runs on a disk that forgets (`power-cut/shim.c` says how). A cut kills the server and
//! puts what the disk remembers in the place of the data directory; every other time a torn part of
//! what was appended and not synced survives too.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rejoinder_integration_tests::auditor::{after_closing, after_kill, check, findings};
use rejoinder_integration_tests::client::{Client, Random};
use rejoinder_integration_tests::floor::memory::Promise;
use rejoinder_integration_tests::floor::{Floor, WORKSPACE};
use rejoinder_integration_tests::number;
use rejoinder_integration_tests::server::Server;

/// A data directory on a disk that forgets.
struct Disk {
    dir: tempfile::TempDir,
    random: Random,
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("power-cut/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(dir.path().join("shim.so")).arg(source).arg("-ldl");
        let compiled = cc.output().expect("a C compiler, as RocksDB needs one");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { dir, random: Random(7) }
    }

    /// The data directory, without links on the way: the shim compares names.
    fn data(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("data")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn environment(&self, lie: &str) -> Vec<(String, String)> {
        let set = |name: &str, value: &Path| (name.to_owned(), value.to_str().unwrap().to_owned());
        vec![
            set("LD_PRELOAD", &self.dir.path().join("shim.so")),
            set("POWER_CUT_DIR", &self.data()),
            set("POWER_CUT_IMAGE", &self.image()),
            set("POWER_CUT_LIE", Path::new(lie)),
        ]
    }

    fn start(&self, lie: &str) -> Server {
        Server::start(&self.data(), &self.environment(lie))
    }

    /// Puts what is remembered in the place of the data directory. Returns how many bytes are gone.
    fn cut(&mut self, torn: bool) -> u64 {
        let unmodelled = fs::read_to_string(self.dir.path().join("image.unmodelled")).unwrap_or_default();
        assert_eq!(unmodelled, "", "the shim models all that the server does");
        let (data, image, old) = (self.data(), self.image(), self.dir.path().join("old"));
        fs::rename(&data, &old).unwrap();
        let mut gone = 0;
        for remembered in files(&image) {
            let name = remembered.strip_prefix(&image).unwrap();
            let mut bytes = fs::read(&remembered).unwrap();
            let written = fs::read(old.join(name)).unwrap_or_default();
            if torn && written.starts_with(&bytes) {
                let more = self.random.below((written.len() - bytes.len()) as u64 + 1);
                bytes.extend_from_slice(&written[bytes.len()..][..usize::try_from(more).unwrap()]);
                fs::write(&remembered, &bytes).unwrap();
            }
            gone += (written.len() as u64).saturating_sub(bytes.len() as u64);
            let place = data.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
        fs::remove_dir_all(old).unwrap();
        gone
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let mut disk = Disk::new();
    let mut client = Client::default();
    let rounds = number("REJOINDER_POWER_CUTS", 15);
    let mut random = Random(rounds);
    let mut gone = 0;
    for round in 0..rounds {
        let life = Duration::from_millis(5 + random.below(400));
        client.load_and_kill(disk.start(""), life, round);
        gone += disk.cut(round % 2 == 1);
        assert_eq!(client.history().broken, [""; 0], "round {round}");
    }
    assert!(disk.start("").stop().contains("stopping"));
    assert!(gone > 0, "the disk did forget");
    let acknowledged = client.history().acknowledged();
    assert!(acknowledged as u64 > 10 * rounds, "the load was real: {acknowledged}");
    check(&disk.data(), &client.history());
}

#[test]
fn a_power_cut_takes_nothing_that_agents_and_watchers_were_told() {
    let mut disk = Disk::new();
    let floor = Floor::default();
    let rounds = number("REJOINDER_POWER_CUTS", 15) / 2;
    let mut random = Random(rounds + 1);
    let mut first = Some(disk.start(""));
    first.iter().for_each(|server| floor.open(server));
    for round in 0..rounds {
        let server = first.take().unwrap_or_else(|| disk.start(""));
        floor.work_and_kill(server, Duration::from_millis(200 + random.below(1_200)), round);
        disk.cut(round % 2 == 1);
        let findings = after_kill(&disk.data(), WORKSPACE, &floor.memory());
        assert!(findings.is_empty(), "round {round}: {} findings, like {:#?}", findings.len(), findings.first());
    }
    let server = disk.start("");
    floor.close(&server, rounds).unwrap();
    assert!(server.stop().contains("stopping"));
    let memory = floor.memory();
    let findings = after_closing(&disk.data(), WORKSPACE, &memory);
    assert!(findings.is_empty(), "{} findings, like {:#?}", findings.len(), findings.first());
    let accepted = memory.count(|promise| matches!(promise, Promise::Accepted { .. }));
    assert!(accepted as u64 > rounds && !memory.rung.is_empty(), "the work was real: {accepted}");
}

#[test]
fn a_disk_that_lies_about_every_sync_is_seen_as_loss() {
    let mut disk = Disk::new();
    let mut client = Client::default();
    assert!(disk.start("").stop().contains("stopping"));
    disk.cut(false);
    client.load_and_kill(disk.start("all"), Duration::from_millis(400), 1);
    disk.cut(false);
    assert!(disk.start("").stop().contains("stopping"), "to the server it is a log as any other");
    let findings = findings(&disk.data(), &client.history());
    let lost = findings.iter().filter(|finding| finding.ends_with("was acknowledged and is lost")).count();
    assert!(lost > 0, "{findings:?}");
    assert_eq!(lost, client.history().acknowledged(), "every one of them");
}

#[test]
fn a_disk_that_lies_about_the_log_only_is_caught_by_the_high_water_mark() {
    let mut disk = Disk::new();
    let mut client = Client::default();
    assert!(disk.start("").stop().contains("stopping"));
    disk.cut(false);
    client.load_and_kill(disk.start("wal"), Duration::from_millis(400), 1);
    assert!(client.history().acknowledged() > 0);
    disk.cut(false);
    let said = Server::try_start(&disk.data(), &disk.environment("")).err().unwrap();
    assert!(said.contains("was durable") && said.contains("records are lost"), "{said}");
}
