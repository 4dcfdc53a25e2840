//! Damage to a data directory over the real binary: the log's is refused with the way out and nothing
//! is changed, the state's is mended from the log.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListMessagesRequest, ListThreadsRequest};
use rejoinder_integration_tests::auditor::{after_closing, check};
use rejoinder_integration_tests::client::{Client, message};
use rejoinder_integration_tests::floor::{Floor, WORKSPACE};
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{binary, data, run};
use tonic::{Code, Status};

/// Messages of the first life of the server: they lie in a table of the log afterwards.
const FIRST: u64 = 2_000;
/// All messages; those of the second life lie in the write-ahead file.
const ALL: u64 = 3_000;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name))
        } else {
            let _ = fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Every file below a directory with its bytes, but for RocksDB's diaries, which it begins at each start.
fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let diary = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG"));
        if path.is_dir() {
            found.extend(bytes(&path));
        } else if !diary {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Positions all over a file: its first bytes, its last ones, and `count` in between.
fn positions(path: &Path, count: usize) -> Vec<usize> {
    let size = usize::try_from(path.metadata().unwrap().len()).unwrap();
    assert!(size > 100, "{}", path.display());
    let mut all = vec![0, 5, 9, size - 1, size - 9, size - 60];
    all.extend((1..count).map(|n| n * size / count));
    all
}

/// A data directory in a temporary one.
struct World {
    dir: tempfile::TempDir,
}

/// What a server says of all its messages: ids by external id, and the messages of each thread.
type Answers = (BTreeMap<String, String>, BTreeMap<String, Vec<String>>);

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Publishes messages again or for the first time, and returns their ids.
async fn publish(server: &Server, from: u64, to: u64, outcome: Outcome) -> Result<BTreeMap<String, String>, Status> {
    let mut ids = BTreeMap::new();
    let mut ingest = server.ingest().await;
    for start in (from..to).step_by(500) {
        let interactions: Vec<_> = (start..to.min(start + 500)).map(message).collect();
        let answer = ingest.publish_batch(PublishBatchRequest { interactions: interactions.clone() }).await;
        for (sent, result) in interactions.into_iter().zip(answer?.into_inner().results) {
            assert_eq!(result.outcome(), outcome, "{}", sent.external_id);
            ids.insert(sent.external_id, result.interaction_id);
        }
    }
    Ok(ids)
}

async fn answers(server: &Server) -> Result<Answers, Status> {
    let ids = publish(server, 0, ALL, Outcome::Duplicate).await?;
    let mut client = ThreadServiceClient::new(server.channel().await);
    let request = ListThreadsRequest { page_size: 1_000, ..ListThreadsRequest::default() };
    let mut threads = BTreeMap::new();
    for thread in client.list_threads(request).await?.into_inner().threads {
        let thread_id = thread.thread_id;
        let request = ListMessagesRequest { thread_id: thread_id.clone(), page_size: 1_000, ..Default::default() };
        let messages = client.list_messages(request).await?.into_inner().messages;
        threads
            .insert(thread_id, messages.into_iter().map(|it| format!("{} {}", it.interaction_id, it.text)).collect());
    }
    Ok((ids, threads))
}

/// A directory with messages in all places, and what its server answered.
fn whole() -> &'static (World, Answers) {
    static WHOLE: OnceLock<(World, Answers)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let world = World { dir: tempfile::tempdir().unwrap() };
        let server = Server::start(&world.data(), &[]);
        wait(publish(&server, 0, FIRST, Outcome::Accepted)).unwrap();
        assert!(server.stop().contains("stopping"));
        let server = Server::start(&world.data(), &[]);
        wait(publish(&server, FIRST, ALL, Outcome::Accepted)).unwrap();
        let answers = wait(answers(&server)).unwrap();
        assert!(server.stop().contains("stopping"));
        assert_eq!((answers.0.len() as u64, answers.1.len()), (ALL, 200));
        (world, answers)
    })
}

impl World {
    /// A copy of the whole one.
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        copy(&whole().0.data(), &world.data());
        world
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The largest file of a database with such a name.
    fn largest(&self, database: &str, name: impl Fn(&str) -> bool) -> PathBuf {
        let files = fs::read_dir(self.data().join(database)).unwrap().map(|entry| entry.unwrap().path());
        let wanted = files.filter(|path| name(path.file_name().unwrap().to_str().unwrap()));
        wanted.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
    }

    /// `up` ends with 1, says what is damaged and the way out, and leaves every byte as it was.
    fn is_refused(&self, what: &str) -> String {
        let before = bytes(&self.data());
        let said = Server::try_start(&self.data(), &[]).err().unwrap_or_else(|| panic!("{what}: it starts"));
        assert!(said.starts_with("exit status: 1"), "{what}: {said}");
        assert!(said.contains("is damaged: ") && said.contains("restore it from a copy"), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
        let after = bytes(&self.data());
        let differs = after.iter().chain(&before).find(|(path, _)| before.get(*path) != after.get(*path));
        assert!(differs.is_none(), "{what}: {} was changed", differs.unwrap().0.display());
        said
    }

    /// `up` gets ready, answers as before, and what it leaves equals a rebuild.
    fn is_mended(&self, what: &str) -> String {
        let server = Server::try_start(&self.data(), &[]).unwrap_or_else(|said| panic!("{what}: {said}"));
        let answers = wait(answers(&server)).unwrap_or_else(|status| panic!("{what}: {status}"));
        assert!(answers == whole().1, "{what}: other answers");
        let said = server.stop();
        assert!(!said.contains("panicked"), "{what}: {said}");
        let dir = self.data();
        let compared = run(&["log", "rebuild", "--compare", "--data-dir", dir.to_str().unwrap()]);
        assert!(compared.status.success(), "{what}: {}", String::from_utf8_lossy(&compared.stderr));
        said
    }
}

/// Damages a data directory.
type Harm = fn(&World);

fn is_wal(name: &str) -> bool {
    name.ends_with(".log")
}

fn is_table(name: &str) -> bool {
    name.ends_with(".sst")
}

fn is_manifest(name: &str) -> bool {
    name.starts_with("MANIFEST")
}

#[test]
fn a_flipped_bit_in_the_write_ahead_file_of_the_log_is_refused_wherever_it_is() {
    let world = World::new();
    let wal = world.largest("log/db", is_wal);
    for at in positions(&wal, 16) {
        flip(&wal, at);
        let said = world.is_refused(&format!("bit at {at} of {}", wal.display()));
        assert!(said.contains("log/db") || said.contains("was durable"), "{said}");
        flip(&wal, at);
    }
    let _ = world.is_mended("all bits as they were");
}

#[test]
fn what_lacks_in_the_log_is_refused() {
    let cases: [(&str, Harm); 5] = [
        ("write-ahead file deleted", |world| fs::remove_file(world.largest("log/db", is_wal)).unwrap()),
        ("write-ahead file cut before the mark", |world| {
            let wal = world.largest("log/db", is_wal);
            let bytes = fs::read(&wal).unwrap();
            fs::write(&wal, &bytes[..bytes.len() * 2 / 3]).unwrap();
        }),
        ("table deleted", |world| fs::remove_file(world.largest("log/db", is_table)).unwrap()),
        ("manifest flipped", |world| flip(&world.largest("log/db", is_manifest), 30)),
        ("database deleted", |world| fs::remove_dir_all(world.data().join("log/db")).unwrap()),
    ];
    for (what, damage) in cases {
        let world = World::new();
        damage(&world);
        world.is_refused(what);
    }
}

#[test]
fn a_flipped_bit_in_a_table_of_the_log_is_refused_when_it_is_read_and_found_by_verify() {
    let world = World::new();
    let table = world.largest("log/db", is_table);
    let original = fs::read(&table).unwrap();
    for at in (0..8).map(|n| n * original.len() / 8 + 50) {
        flip(&table, at);
        let dir = world.data();
        let verified = run(&["log", "verify", "--data-dir", dir.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(matches!(verified.status.code(), Some(1 | 3)), "bit at {at}: {said}");
        assert!(said.contains(table.file_name().unwrap().to_str().unwrap()), "bit at {at}: {said}");
        flip(&table, at);
    }
    // Who folds it all meets it.
    fs::remove_dir_all(world.data().join("state")).unwrap();
    flip(&table, original.len() / 2);
    let said = Server::try_start(&world.data(), &[]).err().unwrap();
    assert!(said.starts_with("exit status: 1") && said.contains("the event log is damaged at "), "{said}");
    assert!(said.contains(table.file_name().unwrap().to_str().unwrap()), "{said}");
}

#[test]
fn a_damaged_state_is_mended_from_the_log() {
    let cases: [(&str, Harm); 6] = [
        ("state deleted", |world| fs::remove_dir_all(world.data().join("state")).unwrap()),
        ("table deleted", |world| fs::remove_file(world.largest("state", is_table)).unwrap()),
        ("manifest flipped", |world| flip(&world.largest("state", is_manifest), 30)),
        ("manifest deleted", |world| fs::remove_file(world.largest("state", is_manifest)).unwrap()),
        ("CURRENT flipped", |world| flip(&world.data().join("state/CURRENT"), 10)),
        ("CURRENT empty", |world| fs::write(world.data().join("state/CURRENT"), "").unwrap()),
    ];
    for (what, damage) in cases {
        let world = World::new();
        damage(&world);
        let said = world.is_mended(what);
        assert!(said.contains("the state is damaged") || what == "state deleted", "{what}: {said}");
    }
    let world = World::new();
    let table = world.largest("state", is_table);
    let mut found = 0;
    let all = positions(&table, 6);
    for at in &all {
        let (world, at) = (World::new(), *at);
        let table = world.data().join("state").join(table.file_name().unwrap());
        flip(&table, at);
        let said = world.is_mended(&format!("bit at {at} of {}", table.display()));
        // A bit may lie where nothing is stored.
        found += usize::from(said.contains("the state is damaged"));
    }
    assert!(found * 2 > all.len(), "{found} of {} were found", all.len());
}

#[test]
fn damage_of_a_running_state_is_met_by_a_question_and_mended_at_once() {
    let world = World::new();
    let mut server = Server::start(&world.data(), &[]);
    let table = world.largest("state", is_table);
    for at in (500..usize::try_from(table.metadata().unwrap().len()).unwrap()).step_by(2_000) {
        flip(&table, at);
    }
    // Its lane refuses, or the connection ends with the process: no wrong answer.
    let code = wait(answers(&server)).unwrap_err().code();
    assert!(matches!(code, Code::Unavailable | Code::Unknown), "{code:?}");
    server.ready_again().unwrap();
    assert!(wait(answers(&server)).unwrap() == whole().1);
    assert!(server.stop().contains("stopping"));
}

#[test]
fn a_log_without_its_high_water_mark_starts_and_says_so() {
    let world = World::new();
    fs::remove_file(world.data().join("log/high-water")).unwrap();
    let said = world.is_mended("high-water deleted");
    assert!(said.contains("no high-water mark"), "{said}");
}

#[test]
fn the_state_of_another_log_is_not_believed() {
    let world = World::new();
    let other = World { dir: tempfile::tempdir().unwrap() };
    let server = Server::start(&other.data(), &[]);
    wait(publish(&server, 0, 100, Outcome::Accepted)).unwrap();
    assert!(server.stop().contains("stopping"));
    fs::remove_dir_all(other.data().join("log")).unwrap();
    copy(&world.data().join("log"), &other.data().join("log"));
    let _ = other.is_mended("another log");
    let dir = other.data();
    assert_eq!(data(&["threads", "export", "--data-dir", dir.to_str().unwrap()]).lines().count() as u64, ALL + 1);
}

/// A small disk of its own, in a mount namespace that lives as long as a process in it.
struct SmallDisk {
    keeper: Child,
    place: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with a line that says so, where the system does not allow it.
    fn new(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && echo mounted && exec sleep 600"#;
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", script, &bytes.to_string()]).arg(place.path());
        let spawned = unshare.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut line = String::new();
        if let Ok(mut keeper) = spawned {
            let _ = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line);
            if line.starts_with("mounted") {
                return Some(Self { keeper, place });
            }
            let _ = keeper.wait();
        }
        eprintln!("skipped: this needs the right to mount (root and unshare)");
        None
    }

    /// A command that runs inside.
    fn inside(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.keeper.id().to_string(), "-m", "--"]).arg(program);
        let ours = std::env::vars_os().map(|(name, _)| name);
        let ours: Vec<_> = ours.filter(|name| name.to_string_lossy().starts_with("REJOINDER_")).collect();
        for name in ours {
            command.env_remove(name);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// The place as seen from outside.
    fn seen(&self) -> PathBuf {
        let inner = self.place.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inner)
    }

    fn try_start(&self, min_free_bytes: u64) -> Result<Server, String> {
        let environment = [("REJOINDER_MIN_FREE_BYTES".to_owned(), min_free_bytes.to_string())];
        Server::try_start_by(&mut self.inside(&binary()), &self.data(), &environment)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        self.inside(Path::new(program)).args(args).output().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_named_and_what_is_on_it_can_be_read() {
    let Some(disk) = SmallDisk::new(64 << 20) else { return };
    copy(&whole().0.data(), &disk.seen().join("data"));
    let place = disk.place.path().to_str().unwrap();
    assert!(disk.run("mount", &["-o", "remount,ro", place]).status.success());
    let said = disk.try_start(0).err().unwrap();
    assert!(said.starts_with("exit status: 1") && said.contains("cannot be written"), "{said}");
    assert!(said.contains("Read-only file system") && !said.contains("panicked"), "{said}");
    let data = disk.data();
    let exported = disk.run(binary().to_str().unwrap(), &["threads", "export", "--data-dir", data.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    assert_eq!(String::from_utf8(exported.stdout).unwrap().lines().count() as u64, ALL + 1);
    assert!(disk.run("mount", &["-o", "remount,rw", place]).status.success());
    assert!(disk.try_start(0).unwrap().stop().contains("stopping"));
}

#[test]
fn a_disk_that_runs_full_sheds_before_the_wall_and_takes_again_when_there_is_room() {
    let Some(disk) = SmallDisk::new(128 << 20) else { return };
    let server = disk.try_start(64 << 20).unwrap();
    wait(publish(&server, 0, 100, Outcome::Accepted)).unwrap();
    let ballast = disk.seen().join("ballast");
    fs::write(&ballast, vec![1; 80 << 20]).unwrap();
    // The disk is looked at once a second; until then messages are taken.
    let mut next = 100;
    let shed = loop {
        match wait(publish(&server, next, next + 1, Outcome::Accepted)) {
            Ok(_) => next += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(shed.code(), Code::ResourceExhausted, "{shed:?}");
    assert!(shed.message().contains("must stay free"), "{shed:?}");
    fs::remove_file(ballast).unwrap();
    while wait(publish(&server, next, next + 1, Outcome::Accepted)).is_err() {}
    assert!(server.stop().contains("runs full"));
}

#[test]
fn a_full_disk_stops_the_server_loudly_and_takes_nothing_that_was_acknowledged() {
    // Too small for what RocksDB would like to set aside.
    let Some(disk) = SmallDisk::new(12 << 20) else { return };
    let mut client = Client::default();
    let server = disk.try_start(0).unwrap();
    client.load_until_gone(&server, 3);
    let (status, said) = server.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("nothing can be promised any more") && said.contains("No space left"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    // Still full: refused, or up without a promise; and nothing is lost by trying.
    if let Err(said) = disk.try_start(0) {
        assert!(said.starts_with("exit status: 1") && said.contains("No space left"), "{said}");
    }
    let place = disk.place.path().to_str().unwrap();
    assert!(disk.run("mount", &["-o", "remount,size=128m", place]).status.success());
    assert!(disk.try_start(0).unwrap().stop().contains("stopping"));
    assert!(client.history().acknowledged() > 100, "{}", client.history().acknowledged());
    let after = tempfile::tempdir().unwrap();
    copy(&disk.seen().join("data"), after.path());
    check(after.path(), &client.history());
}

#[test]
fn a_disk_that_fills_while_agents_work_takes_nothing_of_what_they_were_told() {
    let Some(disk) = SmallDisk::new(16 << 20) else { return };
    let (mut client, floor) = (Client::default(), Floor::default());
    let server = disk.try_start(0).unwrap();
    floor.open(&server);
    let people = floor.begin(&server, 1);
    client.load_until_gone(&server, 4);
    floor.end(people);
    let (status, said) = server.ended();
    assert!(status.code() == Some(1) && said.contains("No space left") && !said.contains("panicked"), "{said}");
    let place = disk.place.path().to_str().unwrap();
    assert!(disk.run("mount", &["-o", "remount,size=256m", place]).status.success());
    let server = disk.try_start(0).unwrap();
    floor.close(&server, 2).unwrap();
    assert!(server.stop().contains("stopping"));
    let after = tempfile::tempdir().unwrap();
    copy(&disk.seen().join("data"), after.path());
    let memory = floor.memory();
    let findings = after_closing(after.path(), WORKSPACE, &memory);
    assert!(findings.is_empty(), "{} findings, like {:#?}", findings.len(), findings.first());
    assert!(memory.acknowledged() > 10, "the work was real: {}", memory.acknowledged());
    check(after.path(), &client.history());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, "").unwrap();
    let said = Server::try_start(&file, &[]).err().unwrap();
    assert!(said.starts_with("exit status: 1") && said.contains(file.to_str().unwrap()), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"");
}
