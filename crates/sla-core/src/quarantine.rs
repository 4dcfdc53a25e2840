//! Inputs that were set aside: decided on again, or given up.
//!
//! Nothing has to be held meanwhile but what people did: clocks go by the times of messages, so that one
//! that is let in later moves them to where they would have been.

use rejoinder_machine::{Context, event};
use rejoinder_wire::event::{Event, QuarantineReleased, event::Body};

use crate::consider;
use crate::state::SlaTimer;

/// Decides again on an input; its event was read from the log where the quarantine says.
pub fn retry(state: &SlaTimer, context: &Context, quarantined: u64, input: &Event, out: &mut Vec<Event>) {
    let Some(set_aside) = state.quarantine.get(&quarantined) else { return };
    consider::consider(state, context, input, out);
    out.push(released(&set_aside.workspace, quarantined, true));
}

/// Gives an input up.
pub fn skip(state: &SlaTimer, quarantined: u64, out: &mut Vec<Event>) {
    if let Some(set_aside) = state.quarantine.get(&quarantined) {
        out.push(released(&set_aside.workspace, quarantined, false));
    }
}

fn released(workspace: &str, quarantined_own_seq: u64, retried: bool) -> Event {
    event(workspace, Body::QuarantineReleased(QuarantineReleased { quarantined_own_seq, retried }))
}
