//! The rules of ownership as they are, and the faults that a test may plant in them.

use rejoinder_event_log::{PartitionFold, Verdict};
use rejoinder_model::Service;
use rejoinder_wire::log::Header;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A claim counts whatever epoch it names.
    NewestClaimWins,
    /// Two writers that claim from the same position make the same nonce.
    AlikeNonces,
    /// What is visible is read back and acknowledged, durable or not.
    AcknowledgesAtVisible,
    /// What is visible is stored, durable or not.
    FlushesAtVisible,
    /// Only the position is kept of what was considered, not how many of its events.
    BarePosition,
    /// Frames are not numbered.
    NoFrameNumber,
    /// Who folds along believes what a void frame says was considered.
    VoidIsProgress,
}

/// The rules, with a fault in them or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules(pub(crate) Option<Fault>);

impl Rules {
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// The fold that the engine runs; a fault is put into the header before it looks.
    pub(crate) fn fold(self, fold: &mut PartitionFold, service: Service, header: &Header) -> Verdict {
        let mut header = header.clone();
        let lane = *fold.lane(service);
        match (self.0, &mut header.claim) {
            (Some(Fault::NewestClaimWins), Some(claim)) => {
                claim.prev_epoch = lane.epoch.unwrap_or_default();
                claim.lane_is_new = lane.epoch.is_none();
            }
            (Some(Fault::NoFrameNumber), None) => header.frame_no = lane.next_frame_no,
            _ => {}
        }
        fold.fold(fold.next_index, service, &header)
    }
}
