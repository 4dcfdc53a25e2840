//! What a lane says of its stored state: of which log it is, and how far it goes.

use rejoinder_event_log::{LogId, PartitionFold};
use rejoinder_model::Millis;
use serde::{Deserialize, Serialize};

/// The version of the stored form of states. Another one means: rebuild.
pub const STATE_FORMAT: u32 = 2;

/// How far the stored state of a lane goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneMeta {
    /// Of which log: equal positions do not prove equal logs.
    pub log_id: LogId,
    /// Ownership as of where reading must start again: the first record not yet considered.
    pub fold: PartitionFold,
    /// Own frames below this index are in the state.
    pub applied: u64,
    /// The checksum of the record before `applied`, 0 when there is none.
    pub checksum: u32,
    /// The digest of each table.
    pub digests: Vec<(u8, u128)>,
    /// The number of the next own event.
    pub next_own_seq: u64,
    /// By service: no timer fires before this time, since its owner came back after a downtime. The
    /// claim that says so may stand before where reading starts again.
    pub fires_from: [Millis; 4],
}

impl LaneMeta {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(&(STATE_FORMAT, self)).map_err(|error| error.to_string())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (format, rest): (u32, _) = postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
        if format != STATE_FORMAT {
            return Err(format!("the state has format {format}, this version has {STATE_FORMAT}"));
        }
        postcard::from_bytes(rest).map_err(|error| error.to_string())
    }
}
