//! Where a Kafka cluster is and how a client proves who it is: what an operator configures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdkafka::config::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, ConnectionError};
use crate::loopback;

/// The variable of the environment that holds the password where no `password_file` is named.
pub const PASSWORD_VARIABLE: &str = "REJOINDER_KAFKA_PASSWORD";

/// What belongs to an option of [`Cluster`], and is no property.
const OPTIONS: [(&str, &str); 11] = [
    ("bootstrap.servers", "brokers"),
    ("metadata.broker.list", "brokers"),
    ("sasl.mechanisms", "sasl.mechanism among the properties"),
    ("sasl.password", "password_file"),
    ("sasl.username", "username"),
    ("security.protocol", "security"),
    ("ssl.ca.location", "ca_file"),
    ("ssl.certificate.location", "certificate_file"),
    ("ssl.key.location", "key_file"),
    ("ssl.key.password", "a key_file that only the server may read, without a password"),
    ("statistics.interval.ms", "nothing: it is fixed"),
];

/// What the brokers' listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// No TLS. To another machine only with `insecure_plaintext`.
    #[default]
    Plaintext,
    /// TLS; mutual with `certificate_file` and `key_file`.
    Tls,
    /// User and password (SCRAM-SHA-512) over TLS.
    SaslTls,
}

/// How a Kafka cluster is reached. Each option has the default that `Default` gives it: a broker on this
/// machine, without TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Host and port of some brokers, with commas between them; the others are learned from these.
    pub brokers: String,
    /// What the brokers' listener speaks: `plaintext`, `tls` or `sasl_tls`.
    pub security: Security,
    /// PEM file of the authorities that may sign a broker's certificate; those of the system by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the own certificate and its chain, for brokers that ask who connects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file of the key of that certificate, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// User of `sasl_tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File that holds the password of that user; the variable `REJOINDER_KAFKA_PASSWORD` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Permits `plaintext` to other machines: who listens in reads everything, and may change it.
    pub insecure_plaintext: bool,
    /// More properties of librdkafka, as `sasl.mechanism`.
    pub properties: BTreeMap<String, String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            security: Security::default(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            username: None,
            password_file: None,
            insecure_plaintext: false,
            properties: BTreeMap::new(),
        }
    }
}

impl From<&str> for Cluster {
    fn from(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), ..Self::default() }
    }
}

impl From<&String> for Cluster {
    fn from(brokers: &String) -> Self {
        Self::from(brokers.as_str())
    }
}

impl Cluster {
    /// Looks at every option and every file that one names; nothing is connected yet.
    ///
    /// # Errors
    /// When an option is missing, has no effect, or names a file that does not hold what it should; or when
    /// plaintext would leave the machine without permission.
    pub fn connection(&self) -> Result<Connection, ConnectionError> {
        let mut servers = self.brokers.split(',').map(str::trim).filter(|server| !server.is_empty()).peekable();
        if servers.peek().is_none() {
            return Err(ConnectionError::NoBrokers);
        }
        self.fits_together()?;
        if !self.may_leave_the_machine() {
            servers.try_for_each(loopback::check)?;
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "rejoinder");
        self.identify(&mut config)?;
        for (name, value) in &self.properties {
            if let Some((_, option)) = OPTIONS.iter().find(|(owned, _)| owned == name) {
                return Err(ConnectionError::Property { name: name.clone(), option });
            }
            config.set(name, value);
        }
        Ok(Connection::new(self.clone(), config))
    }

    pub(crate) fn may_leave_the_machine(&self) -> bool {
        self.security != Security::Plaintext || self.insecure_plaintext
    }

    /// Who sets what has no effect believes to be safe.
    fn fits_together(&self) -> Result<(), ConnectionError> {
        let (tls, sasl) = (self.security != Security::Plaintext, self.security == Security::SaslTls);
        let given = [
            ("ca_file", self.ca_file.is_some(), tls),
            ("certificate_file", self.certificate_file.is_some(), tls),
            ("key_file", self.key_file.is_some(), tls),
            ("username", self.username.is_some(), sasl),
            ("password_file", self.password_file.is_some(), sasl),
            ("insecure_plaintext", self.insecure_plaintext, !tls),
        ];
        if let Some((option, ..)) = given.into_iter().find(|(_, given, takes)| *given && !takes) {
            return Err(ConnectionError::NoEffect { option, security: self.security });
        }
        let needed = [
            ("key_file", self.key_file.is_none(), "certificate_file", self.certificate_file.is_some()),
            ("certificate_file", self.certificate_file.is_none(), "key_file", self.key_file.is_some()),
            ("username", self.username.is_none(), "security = \"sasl_tls\"", sasl),
        ];
        match needed.into_iter().find(|(_, missing, _, by)| *missing && *by) {
            Some((option, _, by, _)) => Err(ConnectionError::Missing { option, by }),
            None => Ok(()),
        }
    }

    fn identify(&self, config: &mut ClientConfig) -> Result<(), ConnectionError> {
        let protocol = match self.security {
            Security::Plaintext => return Ok(()),
            Security::Tls => "ssl",
            Security::SaslTls => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        let pem = [
            ("ca_file", &self.ca_file, "ssl.ca.location", "CERTIFICATE-----"),
            ("certificate_file", &self.certificate_file, "ssl.certificate.location", "CERTIFICATE-----"),
            ("key_file", &self.key_file, "ssl.key.location", "PRIVATE KEY-----"),
        ];
        for (option, file, property, wanted) in pem {
            let Some(file) = file else { continue };
            if !read(option, file)?.contains(wanted) {
                let (option, file) = (option, file.clone());
                return Err(ConnectionError::NotPem { option, file, wanted: wanted.trim_end_matches('-') });
            }
            config.set(property, file.to_string_lossy());
        }
        if let Some(username) = self.username.as_deref() {
            config.set("sasl.mechanism", "SCRAM-SHA-512").set("sasl.username", username);
            config.set("sasl.password", self.password()?);
        }
        Ok(())
    }

    fn password(&self) -> Result<String, ConnectionError> {
        let Some(file) = &self.password_file else {
            return std::env::var(PASSWORD_VARIABLE).map_err(|_| ConnectionError::NoPassword);
        };
        let text = read("password_file", file)?;
        // Editors end a file with a line break.
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(ConnectionError::EmptyPassword(file.clone()));
        }
        Ok(password.to_owned())
    }
}

fn read(option: &'static str, file: &Path) -> Result<String, ConnectionError> {
    let unreadable = |source| ConnectionError::Unreadable { option, file: file.to_owned(), source };
    Ok(String::from_utf8_lossy(&std::fs::read(file).map_err(unreadable)?).into_owned())
}

#[cfg(test)]
mod tests;
