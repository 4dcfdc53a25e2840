//! Inputs that were set aside: decided on again, or given up.
//!
//! An event that is let in later acts as if it came now: what routing keeps of a thread is what it last
//! heard, and threading's next event about it sets it right.

use rejoinder_machine::{Context, Failure, event};
use rejoinder_wire::event::{Event, QuarantineReleased, event::Body};

use crate::consider;
use crate::state::Routing;

/// Decides again on an input; its event was read from the log where the quarantine says.
///
/// # Errors
/// When it fails again: it stays where it is.
pub fn retry(
    state: &Routing,
    context: &Context,
    quarantined: u64,
    input: &Event,
    out: &mut Vec<Event>,
) -> Result<(), Failure> {
    let Some(set_aside) = state.quarantine.get(&quarantined) else { return Ok(()) };
    consider::consider(state, context, input, out)?;
    out.push(released(&set_aside.workspace, quarantined, true));
    Ok(())
}

/// Gives an input up.
pub fn skip(state: &Routing, quarantined: u64, out: &mut Vec<Event>) {
    if let Some(set_aside) = state.quarantine.get(&quarantined) {
        out.push(released(&set_aside.workspace, quarantined, false));
    }
}

fn released(workspace: &str, quarantined_own_seq: u64, retried: bool) -> Event {
    event(workspace, Body::QuarantineReleased(QuarantineReleased { quarantined_own_seq, retried }))
}
