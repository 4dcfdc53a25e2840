//! Where a lane is in its life, and what can stop it.

use rejoinder_event_log::{Damage, PartitionFold, ReadError};
use rejoinder_model::Position;

/// Where a lane is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It folds along.
    #[default]
    Warm,
    /// It waits to read its claim back.
    Claiming,
    /// It decides and writes.
    Live,
    /// It stopped, loudly.
    Stopped(Failure),
}

/// Why a lane stopped. The other lanes go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The log cannot be read or written.
    #[error("the event log: {0}")]
    Log(String),
    /// The log is away: nothing is wrong with the lane.
    #[error("the event log cannot be reached now: {0}")]
    Unreachable(String),
    /// The stored state cannot be read; it can be rebuilt.
    #[error("the state: {0}; rebuild it from the event log")]
    State(String),
    /// The state is not what it was when the checkpoint was written.
    #[error("the state differs from the checkpoint at {at}; rebuild it from the event log")]
    Differs {
        /// Where the checkpoint stands.
        at: Position,
    },
    /// A core broke a rule.
    #[error("a defect: {0}")]
    Defect(String),
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more to do.
    Worked,
    /// Nothing to do until something comes.
    Idle,
}

/// How a lane is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Where it is in its life.
    pub phase: Phase,
    /// The first record not considered.
    pub considered: u64,
    /// Ownership as of the last record read.
    pub fold: PartitionFold,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(what) => Self::Unreachable(what),
            error @ (ReadError::Damaged { .. } | ReadError::Storage(_)) => Self::Log(error.to_string()),
        }
    }
}

impl Failure {
    /// The log is damaged.
    pub(super) fn damaged(at: Position, damage: &Damage) -> Self {
        Self::Log(format!("damaged at {at}: {damage}"))
    }
}
