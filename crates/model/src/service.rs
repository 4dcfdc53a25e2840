//! The four services, and where a record stands.

use serde::{Deserialize, Serialize};

/// A writer of the log. Each has exactly one writer per partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Service {
    /// Takes in what connectors push; the source of all else.
    Ingest = 1,
    /// Joins messages into threads.
    Threading = 2,
    /// Brings threads to agents.
    Routing = 3,
    /// Keeps the promises about answering.
    SlaTimer = 4,
}

impl Service {
    /// All services, in the order in which they take turns.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Threading, Self::Routing, Self::SlaTimer];

    /// The service of a number on the wire.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.number() == number)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The name in metrics, logs and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Threading => "threading",
            Self::Routing => "routing",
            Self::SlaTimer => "sla-timer",
        }
    }

    /// The services whose events this one considers.
    #[must_use]
    pub fn upstreams(self) -> &'static [Self] {
        match self {
            Self::Ingest => &[],
            Self::Threading => &[Self::Ingest],
            Self::Routing => &[Self::Threading],
            Self::SlaTimer => &[Self::Threading, Self::Routing],
        }
    }
}

/// Where a record stands: its partition, and its index there, dense from 0 on every backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The partition of the log.
    pub partition: u16,
    /// The index of the record in its partition.
    pub index: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.partition, self.index)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("position {text:?} is not PARTITION/INDEX, like 3/1024");
        let (partition, index) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { partition: partition.parse().map_err(|_| wrong())?, index: index.parse().map_err(|_| wrong())? })
    }
}
