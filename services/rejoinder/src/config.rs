//! Configuration of `up`: a TOML file, then `REJOINDER_*` of the environment, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use rejoinder_ingest::Quota;
use serde::{Deserialize, Serialize};

/// How a server runs. Each option has the default that `Default` gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the event log and the state lie.
    pub(crate) data_dir: PathBuf,
    /// Where gRPC listens. Port 0: any that is free.
    pub(crate) grpc_addr: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub(crate) http_addr: SocketAddr,
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
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 7400)),
            http_addr: SocketAddr::from(([127, 0, 0, 1], 7480)),
            partitions: 16,
            workers: 0,
            lane_memory_bytes: 20 << 20,
            lane_queue_bytes: 32 << 20,
            min_free_bytes: 256 << 20,
            downtime_grace_ms: 120_000,
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
        // Tests find their corpora by this one.
        let environment = Env::prefixed("REJOINDER_").ignore(&["corpora"]);
        figment = figment.merge(environment).merge(Serialized::defaults(flags));
        let config: Self = figment.extract().map_err(|error| match file {
            Some(file) => anyhow::anyhow!("{}: {error}", file.display()),
            None => anyhow::anyhow!("{error}"),
        })?;
        anyhow::ensure!(config.partitions > 0, "partitions: there must be one at least");
        Ok(config)
    }
}
