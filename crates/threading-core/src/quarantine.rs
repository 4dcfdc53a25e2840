//! Inputs that were set aside: decided on again, or given up.
//!
//! Nothing has to be held meanwhile: placement does not depend on the order in which messages come, so
//! a message that is let in later ends where it would have been.

use rejoinder_machine::{Context, Failure, Source, event};
use rejoinder_wire::event::{Event, QuarantineReleased, event::Body};

use crate::consider;
use crate::state::Threading;

/// Decides again on an input; its event was read from the log where the quarantine says.
///
/// # Errors
/// When it fails again: it stays where it is.
pub fn retry(
    state: &Threading,
    context: &Context,
    quarantined: u64,
    input: &Event,
    out: &mut Vec<Event>,
) -> Result<(), Failure> {
    let Some(set_aside) = state.quarantine.get(&quarantined) else { return Ok(()) };
    let source = Source { index: set_aside.place.index, event: set_aside.place.event, own_seq: set_aside.own_seq };
    consider::consider(state, context, source, input, out)?;
    out.push(released(&set_aside.workspace, quarantined, true));
    Ok(())
}

/// Gives an input up.
pub fn skip(state: &Threading, quarantined: u64, out: &mut Vec<Event>) {
    if let Some(set_aside) = state.quarantine.get(&quarantined) {
        out.push(released(&set_aside.workspace, quarantined, false));
    }
}

fn released(workspace: &str, quarantined_own_seq: u64, retried: bool) -> Event {
    event(workspace, Body::QuarantineReleased(QuarantineReleased { quarantined_own_seq, retried }))
}
