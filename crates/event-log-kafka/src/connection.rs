//! A checked way to the brokers: what every client of them begins with.

use std::net::IpAddr;
use std::path::PathBuf;

use rdkafka::config::ClientConfig;

use crate::cluster::{Cluster, PASSWORD_VARIABLE, Security};

/// Options that were looked at, as properties of librdkafka. It holds the password, and has no `Debug`.
#[derive(Clone)]
pub struct Connection {
    cluster: Cluster,
    config: ClientConfig,
}

impl Connection {
    pub(crate) fn new(cluster: Cluster, config: ClientConfig) -> Self {
        Self { cluster, config }
    }

    /// What it was made of.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// As given.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.cluster.brokers
    }

    /// A client that talks to the brokers; add what it is for.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Reads at the high watermark; small queues, so that an old reader takes little memory and wakes
    /// at once.
    pub(crate) fn consumer(&self, topic: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{topic}-readers"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.message.max.bytes", "4000000")
            .set("queued.max.messages.kbytes", "4096");
        config
    }
}

/// Which option is wrong, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No server is named.
    #[error("brokers is empty: name one at least, as kafka-1:9093")]
    NoBrokers,
    /// Plaintext would leave the machine.
    #[error(
        "security = \"plaintext\" is refused for {server}: {address} is not this machine, and who listens in would \
         read everything; set security = \"tls\" or \"sasl_tls\", or permit it with insecure_plaintext = true"
    )]
    Plaintext {
        /// As given, or as the brokers name it.
        server: String,
        /// Its address.
        address: IpAddr,
    },
    /// Nobody knows whether it is this machine.
    #[error("brokers: cannot look up {server}: {source}")]
    Lookup {
        /// As given.
        server: String,
        /// What the resolver says.
        #[source]
        source: std::io::Error,
    },
    /// An option asks for another.
    #[error("{by} needs {option}")]
    Missing {
        /// What is missing.
        option: &'static str,
        /// What asks for it.
        by: &'static str,
    },
    /// An option that the listener has no use for.
    #[error("{option} has no effect with security = \"{}\": leave it out, or set security to another value", name(*.security))]
    NoEffect {
        /// The option.
        option: &'static str,
        /// As given.
        security: Security,
    },
    /// A file cannot be read.
    #[error("{option}: cannot read {}: {source}", .file.display())]
    Unreadable {
        /// The option that names it.
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{option}: there is no {wanted} in PEM form in {}", .file.display())]
    NotPem {
        /// The option that names it.
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A user without a password.
    #[error("security = \"sasl_tls\" needs a password: name a password_file, or set {PASSWORD_VARIABLE}")]
    NoPassword,
    /// A password of no length.
    #[error("password_file: {} is empty", .0.display())]
    EmptyPassword(PathBuf),
    /// A property that an option sets.
    #[error("properties: {name} is not taken there; use {option}")]
    Property {
        /// The property.
        name: String,
        /// Where it is set.
        option: &'static str,
    },
}

/// As configured.
fn name(security: Security) -> &'static str {
    match security {
        Security::Plaintext => "plaintext",
        Security::Tls => "tls",
        Security::SaslTls => "sasl_tls",
    }
}
