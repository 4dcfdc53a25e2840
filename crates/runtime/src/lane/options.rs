//! How a lane runs.

use rejoinder_model::Millis;

/// How a lane runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Own events between checkpoints.
    pub checkpoint_events: u64,
    /// Records read after which the state is stored, however few of them are the lane's own: what was
    /// read since is read again after a crash.
    pub store_records: u64,
    /// Frames that may wait to be read back.
    pub max_in_flight: usize,
    /// The least time between two ticks.
    pub tick_interval_ms: Millis,
    /// Bytes that the tables may hold in memory before unused entries are let go, unless the lane
    /// shares its memory with others.
    pub memory_bytes: usize,
    /// Writes claims and frames; otherwise it only folds along.
    pub follow_only: bool,
    /// Stores what it folds even if it only follows: for a rebuild in a state of its own.
    pub stores_following: bool,
    /// The longest time of ingest's lane without a tick, so that time moves on in a silent partition;
    /// 0: none is written for that.
    pub heartbeat_ms: Millis,
    /// How long no timer fires after a downtime of more than a minute, so that what waits outside can
    /// come in first; 0: virtual time, where neither downtimes nor jumps are looked for.
    pub grace_ms: Millis,
    /// Tells this process's claims from those of others; 0: virtual time, where there are no others
    /// and the same input gives the same log.
    pub writer: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_events: 20_000,
            store_records: 20_000,
            max_in_flight: 8,
            tick_interval_ms: 50,
            memory_bytes: 64 << 20,
            follow_only: false,
            stores_following: false,
            heartbeat_ms: 0,
            grace_ms: 0,
            writer: 0,
        }
    }
}
