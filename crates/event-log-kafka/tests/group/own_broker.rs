//! A broker of a test's own, which may be stopped: the one of development is shared.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A broker, its own controller, on loopback.
pub(crate) struct OwnBroker {
    home: TempDir,
    port: u16,
    process: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where `scripts/kafka.sh` keeps Kafka's jars.
fn jars() -> String {
    let cache = std::env::var("XDG_CACHE_HOME")
        .map_or_else(|_| Path::new(&std::env::var("HOME").unwrap()).join(".cache"), PathBuf::from);
    format!("{}/rejoinder/kafka/lib/*", cache.display())
}

fn java(home: &Path, main: &str, arguments: &[&str]) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp", &jars(), main]).args(arguments);
    java.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    java
}

impl OwnBroker {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let data = home.path().join("data");
        let settings = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            format!("log.dirs={}", data.display()),
            "offsets.topic.replication.factor=1".to_owned(),
            "offsets.topic.num.partitions=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "log.cleaner.dedupe.buffer.size=16777216".to_owned(),
            // One that was killed is let in again only when its own session at the controller is over.
            "broker.heartbeat.interval.ms=500".to_owned(),
            "broker.session.timeout.ms=2000".to_owned(),
        ];
        let file = home.path().join("server.properties");
        std::fs::write(&file, settings.join("\n")).unwrap();
        let file = file.display().to_string();
        let format = ["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", &file];
        let formatted = java(home.path(), "kafka.tools.StorageTool", &format).status().unwrap();
        assert!(formatted.success(), "{}", std::fs::read_to_string(home.path().join("log")).unwrap());
        let mut broker = Self { home, port, process: None };
        broker.again();
        broker
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it on the data that it has.
    pub(crate) fn again(&mut self) {
        let file = self.home.path().join("server.properties").display().to_string();
        self.process = Some(java(self.home.path(), "kafka.Kafka", &[&file]).spawn().unwrap());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.kill();
    }
}
