//! A real broker to measure on: started by `scripts/kafka.sh`, with topics of the bench's own, and what
//! the broker does with nothing around it.

pub(crate) mod desk;
pub(crate) mod frames;
pub(crate) mod transactions;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use crate::clock;
use crate::latency::Latencies;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka.sh");
/// How long a broker may take for what is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Done before anything is counted: what was never used before is slow once.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// What was measured of one way to commit.
pub(crate) struct Outcome {
    pub(crate) latencies: Latencies,
    /// Over how long.
    pub(crate) length: Duration,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        clock::per_second(self.latencies.count(), self.length)
    }
}

/// Counts what ends after the warm-up and before the end.
pub(crate) struct Meter {
    from: Instant,
    until: Instant,
    latencies: Latencies,
}

impl Meter {
    pub(crate) fn new(length: Duration) -> Self {
        let from = clock::now() + WARM_UP;
        Self { from, until: from + length, latencies: Latencies::default() }
    }

    pub(crate) fn is_over(&self) -> bool {
        clock::now() >= self.until
    }

    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Something ended now that began then.
    pub(crate) fn ends(&mut self, began: Instant) {
        let now = clock::now();
        if (self.from..self.until).contains(&now) {
            self.latencies.add(now - began);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
    }

    pub(crate) fn outcome(self) -> Outcome {
        Outcome { latencies: self.latencies, length: self.until - self.from }
    }
}

/// Tells whoever waits that a record is acknowledged.
struct Deliveries(Sender<Result<(), KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // Whoever does not listen any more has ended.
        let _ = self.0.send(result.as_ref().map(drop).map_err(|(error, _)| error.clone()));
    }
}

/// What Apache's own producer says that it reached.
pub(crate) struct Tool {
    pub(crate) records_per_second: f64,
    pub(crate) megabytes_per_second: f64,
}

/// A broker on loopback.
pub(crate) struct Broker {
    address: String,
    /// It ran before, and goes on after.
    is_others: bool,
    topics: Mutex<Vec<String>>,
}

impl Broker {
    /// The one that runs, or else a new one for as long as this is kept.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let port = std::env::var("REJOINDER_KAFKA_PORT").unwrap_or_else(|_| "9392".to_owned());
        let is_others = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
        let started = Command::new(SCRIPT).arg("start").output().with_context(|| format!("{SCRIPT} does not run"))?;
        ensure!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let address = String::from_utf8(started.stdout)?.trim().to_owned();
        Ok(Self { address, is_others, topics: Mutex::default() })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A name that nobody has used; what is below it goes with the broker or at the end.
    pub(crate) fn fresh_name(&self, what: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{}-{number}-{what}", std::process::id());
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        name
    }

    /// A topic of its own with nothing in it.
    pub(crate) fn fresh_topic(&self, what: &str, partitions: u16) -> anyhow::Result<String> {
        let name = self.fresh_name(what);
        let topic = NewTopic::new(&name, i32::from(partitions), TopicReplication::Fixed(1));
        let patience = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let created = futures_executor::block_on(self.admin()?.create_topics([&topic], &patience))?;
        for outcome in created {
            outcome.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(name)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("client.id", "rejoinder-bench");
        config
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// One record after the other, each acknowledged before the next: what a round trip costs.
    pub(crate) fn acknowledged(&self, bytes: usize, length: Duration) -> anyhow::Result<Outcome> {
        let topic = self.fresh_topic("acknowledged", 1)?;
        let (tell, acknowledged) = mpsc::channel();
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        let producer: ThreadedProducer<Deliveries> = config.create_with_context(Deliveries(tell))?;
        let record = vec![7; bytes];
        let mut meter = Meter::new(length);
        while !meter.is_over() {
            let began = clock::now();
            producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload(&record)).map_err(|(error, _)| error)?;
            acknowledged.recv_timeout(PATIENCE)??;
            meter.ends(began);
        }
        Ok(meter.outcome())
    }

    /// Apache's `ProducerPerformance`, as fast as it goes.
    pub(crate) fn tool(&self, partitions: u16, bytes: usize, records: u64) -> anyhow::Result<Tool> {
        let topic = self.fresh_topic("tool", partitions)?;
        let output = Command::new("java")
            .args(["-cp", &format!("{}/lib/*", jars()?.display()), "org.apache.kafka.tools.ProducerPerformance"])
            .args(["--bootstrap-server", &self.address, "--topic", &topic, "--throughput", "-1"])
            .args(["--num-records", &records.to_string(), "--record-size", &bytes.to_string()])
            // The first tenth warms the virtual machine up, and is not counted.
            .args(["--warmup-records", &(records / 10).to_string()])
            .args(["--command-property", "acks=all", "enable.idempotence=true", "linger.ms=5", "batch.size=262144"])
            .output()
            .context("java does not run")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let figures = || {
            // "90000 records sent, 61234.5 records/sec (250.1 MB/sec), 3.94 ms avg latency, …"
            let line = said.lines().rfind(|line| line.contains("99.9th"))?;
            let number_before = |unit: &str| {
                let before = line.split(unit).next()?.trim_end();
                before.rsplit([' ', '(']).next()?.parse::<f64>().ok()
            };
            let (records_per_second, mebibytes) = (number_before("records/sec")?, number_before("MB/sec")?);
            Some(Tool { records_per_second, megabytes_per_second: mebibytes * 1.048_576 })
        };
        figures().with_context(|| format!("ProducerPerformance says something else than it did: {said}"))
    }
}

/// Where `scripts/kafka.sh` keeps what Maven brought.
fn jars() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(cache.or_else(of_home).context("HOME is not set")?.join("rejoinder/kafka"))
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.is_others {
            // It goes with all its topics; one that does not stop is found by whoever looks.
            let _ = Command::new(SCRIPT).arg("stop").status();
            return;
        }
        let topics = std::mem::take(self.topics.get_mut().unwrap_or_else(PoisonError::into_inner));
        let names: Vec<String> = topics.into_iter().flat_map(|name| [format!("{name}.meta"), name]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(admin) = self.admin() {
            // Not every topic has a second one beside it, and what is left over does no harm.
            let _ = futures_executor::block_on(admin.delete_topics(&names, &AdminOptions::new()));
        }
    }
}
