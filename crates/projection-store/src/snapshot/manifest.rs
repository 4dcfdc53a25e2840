//! What a snapshot says of itself: of which log it is, how far it goes, and which files it has.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rejoinder_event_log::LogId;
use rejoinder_model::{Millis, Service};
use serde::{Deserialize, Serialize};

use super::{SnapshotError, copy};

/// The version of the manifest and of the folder around it.
pub const FORMAT: u32 = 1;
/// The file that makes a folder a snapshot.
const NAME: &str = "manifest.json";
/// Times in names of folders: in the order of time, and without a colon.
const TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// The manifest of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the manifest.
    pub format: u32,
    /// The version of the stored form of states.
    pub state_format: u32,
    /// Of which log, in 32 hexadecimal digits.
    pub log_id: String,
    /// Who took it.
    pub instance: String,
    /// When, in milliseconds since 1970.
    pub taken_ms: Millis,
    /// The version of the program that took it.
    pub version: String,
    /// By name of a service and partition: own frames below this index are in the state. A service is
    /// here with all the lanes that had stored something.
    pub applied: BTreeMap<String, BTreeMap<u16, u64>>,
    /// Its files.
    pub files: Vec<FileFact>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// The CRC-32C of them.
    pub crc32c: u32,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// The manifest in a folder; `None` where there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let bytes = match std::fs::read(folder.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let wrong = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
        let Version { format } = serde_json::from_slice(&bytes).map_err(wrong)?;
        if format != FORMAT {
            return Err(format!("its manifest has format {format}, this version reads {FORMAT}"));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// Makes the folder a snapshot: everything else in it is durable by then.
    pub(super) fn publish(&self, folder: &Path) -> Result<(), SnapshotError> {
        let path = folder.join(NAME);
        let fresh = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).map_err(|error| SnapshotError::State(error.to_string()))?;
        let write = || {
            let mut file = std::fs::File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(SnapshotError::at(&path))?;
        copy::sync_dir(folder)
    }

    /// Takes from a folder what makes it a snapshot.
    pub(super) fn withdraw(folder: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Has it the lanes of all these services?
    #[must_use]
    pub fn has(&self, services: &[Service]) -> bool {
        services.iter().all(|service| self.applied.contains_key(service.name()))
    }

    /// The lanes of one service: partition, and how far it goes.
    pub fn lanes(&self, service: Service) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.applied.get(service.name()).into_iter().flatten().map(|(partition, applied)| (*partition, *applied))
    }

    /// How many records these services have behind them with it, in all lanes together.
    #[must_use]
    pub fn reach(&self, services: &[Service]) -> u64 {
        services.iter().flat_map(|service| self.lanes(*service)).map(|(_, applied)| applied).sum()
    }
}

/// A log's id, as folders and manifests have it.
pub(super) fn text_of(log_id: LogId) -> String {
    format!("{log_id:032x}")
}

/// The name of a folder: those of one log sort by time.
pub(super) fn folder_name(log_id: LogId, taken_ms: Millis, instance: &str) -> String {
    let time = jiff::Timestamp::from_millisecond(taken_ms).unwrap_or_default().strftime(TIME);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let instance: String = instance.chars().map(plain).collect();
    format!("{}-{time}-{instance}", text_of(log_id))
}

/// When a folder of this log was begun, by its name; `None` where the name is none of ours.
pub(super) fn begun_ms(log_id: LogId, name: &str) -> Option<Millis> {
    let (time, _) = name.strip_prefix(&text_of(log_id))?.strip_prefix('-')?.split_once('-')?;
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}
