//! What the gRPC edge of every service needs: lanes to ask, the caller's workspace, errors with
//! details, pages, what was set aside, the log's tail, and who owns what.

pub mod field;
mod lanes;
mod owners;
mod page;
mod quarantine;
pub mod refuse;
mod stored;
mod tail;
mod watching;
mod workspace;

pub use lanes::{Lanes, Upstream};
pub use owners::{Alone, Owner, Owners};
pub use page::{MAX_PAGE_BYTES, Page, fitting, page};
pub use quarantine::{Found, Quarantine, Quarantines};
pub use stored::events_at;
pub use tail::{LogNews, Tail, TailEvent};
pub use watching::{cursor, watch};
pub use workspace::{named, workspace};

use prost_types::Timestamp;
use rejoinder_model::Millis;

/// Milliseconds since 1970 as a protobuf time.
#[must_use]
pub fn timestamp(ms: Millis) -> Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or_default();
    Timestamp { seconds: ms.div_euclid(1_000), nanos }
}

/// A protobuf time as milliseconds since 1970; beyond what fits it stays at the end.
#[must_use]
pub fn millis(time: &Timestamp) -> Millis {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos / 1_000_000))
}
