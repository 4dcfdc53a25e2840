//! Inputs that were set aside because deciding on them failed: every service keeps them alike, decides
//! on them again, or gives them up.

use rejoinder_model::Millis;
use rejoinder_wire::event::{Event, QuarantineReleased, Quarantined, Source, event::Body};
use serde::{Deserialize, Serialize};

use crate::kernel::{Context, Failure, Own, State, event};
use crate::table::Table;

/// An input whose decision failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Whose input it was.
    pub workspace: String,
    /// Where it stands: index of the record.
    pub index: u64,
    /// Number of the event in it.
    pub event: u32,
    /// Its number in its own lane.
    pub own_seq: u64,
    /// What failed.
    pub reason: String,
    /// When, by record time.
    pub at: Millis,
}

/// Inputs that were set aside, by the own_seq of the event that says so.
pub type Quarantine = Table<u64, SetAside>;

/// A state that sets inputs aside.
pub trait SetsAside: State {
    /// Its quarantine.
    fn quarantine(&self) -> &Quarantine;
}

impl Quarantine {
    /// Folds that an input was set aside.
    pub fn set_aside(&mut self, own: Own, workspace: &str, quarantined: &Quarantined) {
        let set_aside = SetAside {
            workspace: workspace.to_owned(),
            index: quarantined.source_index,
            event: quarantined.source_event,
            own_seq: quarantined.source_own_seq,
            reason: quarantined.reason.clone(),
            at: quarantined.at,
        };
        self.put(own.own_seq, set_aside);
    }

    /// Folds that one is not there any more.
    pub fn release(&mut self, released: &QuarantineReleased) {
        self.remove(&released.quarantined_own_seq);
    }
}

/// Decides again on an input; its event was read from the log where the quarantine says.
///
/// # Errors
/// When it fails again: it stays where it is.
pub fn retry<S: SetsAside>(
    state: &S,
    context: &Context,
    quarantined: u64,
    input: &Event,
    out: &mut Vec<Event>,
) -> Result<(), Failure> {
    let Some(set_aside) = state.quarantine().get(&quarantined) else { return Ok(()) };
    let source = Source { index: set_aside.index, event: set_aside.event, own_seq: set_aside.own_seq };
    state.consider(context, source, input, out)?;
    out.push(released(&set_aside.workspace, quarantined, true));
    Ok(())
}

/// Gives an input up.
pub fn skip<S: SetsAside>(state: &S, quarantined: u64, out: &mut Vec<Event>) {
    if let Some(set_aside) = state.quarantine().get(&quarantined) {
        out.push(released(&set_aside.workspace, quarantined, false));
    }
}

fn released(workspace: &str, quarantined_own_seq: u64, retried: bool) -> Event {
    event(workspace, Body::QuarantineReleased(QuarantineReleased { quarantined_own_seq, retried }))
}
