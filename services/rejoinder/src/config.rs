//! Configuration of `up`: a TOML file, then `REJOINDER_*` of the environment, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Serialized, Toml};
use rejoinder_ingest::Quota;
use serde::{Deserialize, Serialize};

/// What the names of options begin with in the environment.
const PREFIX: &str = "REJOINDER_";
/// The file in the data directory with the name that was made up for this process.
const INSTANCE_FILE: &str = "instance";
/// Variables of the environment that are no options: what tests read, the development broker's port, and a
/// secret that is read where it is needed.
const NO_OPTIONS: [&str; 5] = ["corpora", "crash_rounds", "golden", "kafka_port", "kafka_password"];

/// Where an event log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// In the data directory.
    Embedded,
    /// In a topic of Apache Kafka.
    Kafka,
}

/// What a listener of Kafka speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KafkaSecurity {
    /// No TLS.
    Plaintext,
    /// TLS; mutual with a certificate and a key.
    Tls,
    /// User and password over TLS.
    SaslTls,
}

/// How a server runs. Each option has the default that `Default` gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the state lies, and the event log unless that is in Kafka.
    pub(crate) data_dir: PathBuf,
    /// Where the event log is: `embedded`, in the data directory; or in Apache `kafka`, for several processes.
    pub(crate) log: LogKind,
    /// Where gRPC listens. Port 0: any that is free.
    pub(crate) grpc_addr: SocketAddr,
    /// Where HTTP listens: `/metrics`, `/healthz` and `/readyz`.
    pub(crate) http_addr: SocketAddr,
    /// Where these three listen instead; not given: there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_addr: Option<SocketAddr>,
    /// Partitions of a new log; they never change.
    pub(crate) partitions: u16,
    /// Threads that decide; 0: one a core.
    pub(crate) workers: usize,
    /// Bytes that each lane may hold in memory before unused entries are let go, as a mean of all lanes:
    /// what some leave unused, others take.
    pub(crate) lane_memory_bytes: usize,
    /// Bytes of commands and queries that may wait in a lane.
    pub(crate) lane_queue_bytes: usize,
    /// Ingest sheds when the disk of the log has fewer free bytes than this.
    pub(crate) min_free_bytes: u64,
    /// How long timers wait after a downtime of more than a minute.
    pub(crate) downtime_grace_ms: i64,
    /// Kafka: HOST:PORT of some brokers, with commas between them.
    pub(crate) kafka_brokers: String,
    /// Kafka: what the brokers' listener speaks: `plaintext`, `tls`, or `sasl_tls` (SCRAM-SHA-512 over TLS).
    pub(crate) kafka_security: KafkaSecurity,
    /// Kafka: PEM file of the authorities that may sign a broker's certificate; those of the system by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_ca_file: Option<PathBuf>,
    /// Kafka: PEM file of the own certificate and its chain, for brokers that ask who connects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_certificate_file: Option<PathBuf>,
    /// Kafka: PEM file of the key of that certificate, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_key_file: Option<PathBuf>,
    /// Kafka: user of `sasl_tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_username: Option<String>,
    /// Kafka: file that holds the password of that user; the variable `REJOINDER_KAFKA_PASSWORD` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_password_file: Option<PathBuf>,
    /// Kafka: permits `plaintext` to other machines: who listens in reads everything, and may change it.
    pub(crate) kafka_insecure_plaintext: bool,
    /// Kafka: more properties of librdkafka, by name.
    pub(crate) kafka_properties: BTreeMap<String, String>,
    /// Kafka: what the names of topics and groups begin with.
    pub(crate) kafka_prefix: String,
    /// Kafka: copies of each partition. 1 is for development: one broker keeps what it took in its page
    /// cache, not on its disk.
    pub(crate) kafka_replication: u16,
    /// Kafka: how long a process that is not heard of keeps its partitions.
    pub(crate) kafka_session_timeout_ms: u32,
    /// Kafka: this process takes part in writing the public topics, for systems downstream.
    pub(crate) kafka_public_topics: bool,
    /// Kafka: the name of this process in its group, which no other may have; by default one is made up
    /// and kept in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// Kafka: HOST:PORT where the other processes call this one; by default where gRPC listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertise_addr: Option<String>,
    /// A directory that instances share, for snapshots of the state; none are taken without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_dir: Option<PathBuf>,
    /// The time between two snapshots of the same services.
    pub(crate) snapshot_every_ms: i64,
    /// How many snapshots of the same services are kept.
    pub(crate) snapshot_keep: usize,
    /// Quota of a workspace that is not named below; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quota: Option<Quota>,
    /// Quotas by workspace.
    pub(crate) quotas: BTreeMap<String, Quota>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("rejoinder-data"),
            log: LogKind::Embedded,
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 7400)),
            http_addr: SocketAddr::from(([127, 0, 0, 1], 7480)),
            admin_addr: None,
            partitions: 16,
            workers: 0,
            lane_memory_bytes: 10 << 20,
            lane_queue_bytes: 32 << 20,
            min_free_bytes: 256 << 20,
            downtime_grace_ms: 120_000,
            kafka_brokers: "127.0.0.1:9092".to_owned(),
            kafka_security: KafkaSecurity::Plaintext,
            kafka_ca_file: None,
            kafka_certificate_file: None,
            kafka_key_file: None,
            kafka_username: None,
            kafka_password_file: None,
            kafka_insecure_plaintext: false,
            kafka_properties: BTreeMap::new(),
            kafka_prefix: "rejoinder".to_owned(),
            kafka_replication: 3,
            kafka_session_timeout_ms: 6_000,
            kafka_public_topics: true,
            instance: None,
            advertise_addr: None,
            snapshot_dir: None,
            snapshot_every_ms: 3_600_000,
            snapshot_keep: 2,
            quota: None,
            quotas: BTreeMap::new(),
        }
    }
}

/// What the command line says, over everything else.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Flags {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc_addr: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_addr: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_addr: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<LogKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_brokers: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_replication: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertise_addr: Option<String>,
}

impl Config {
    /// # Errors
    /// When the file cannot be read, or holds something that is no option.
    pub(crate) fn load(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            figment = figment.merge(Toml::string(&text));
        }
        let environment = Env::prefixed(PREFIX).ignore(&NO_OPTIONS);
        figment = figment.merge(environment).merge(Serialized::defaults(flags));
        let config: Self = figment.extract().map_err(|error| explained(error, file))?;
        anyhow::ensure!(config.partitions > 0, "partitions: there must be one at least");
        Ok(config)
    }

    /// The name of this process among others: as said, or as made up at its first start.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub(crate) fn instance_name(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.instance {
            return Ok(name.clone());
        }
        let file = self.data_dir.join(INSTANCE_FILE);
        match std::fs::read_to_string(&file) {
            Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
            _ => {
                let name = uuid::Uuid::new_v4().simple().to_string();
                let written = std::fs::create_dir_all(&self.data_dir).and_then(|()| std::fs::write(&file, &name));
                written.with_context(|| format!("cannot write {}", file.display()))?;
                Ok(name)
            }
        }
    }
}

/// All that is wrong, where it was said, and what was probably meant.
fn explained(error: figment::Error, file: Option<&Path>) -> anyhow::Error {
    let lines: Vec<String> = error.into_iter().map(|error| one(error, file)).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

fn one(mut error: figment::Error, file: Option<&Path>) -> String {
    let from_environment = error.metadata.as_ref().is_some_and(|metadata| metadata.name.contains(PREFIX));
    let option = error.path.join(".");
    let named = if from_environment { format!("{PREFIX}{}", option.to_uppercase()) } else { format!("{option:?}") };
    let place = file.filter(|_| !from_environment).map(|file| format!("{}: ", file.display())).unwrap_or_default();
    if let Kind::UnknownField(name, known) = &error.kind {
        let named = if option.is_empty() { format!("{name:?}") } else { named };
        return format!("{place}there is no option {named}{}", rejoinder_policy::nearest(name, known));
    }
    // Said by the words before.
    error.metadata = None;
    error.profile = None;
    if option.is_empty() {
        return format!("{place}{}", error.to_string().trim_end());
    }
    error.path.clear();
    format!("{place}{named}: {}", error.to_string().trim_end())
}

#[cfg(test)]
mod tests;
