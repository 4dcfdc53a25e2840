//! What people may do to alarms.

pub use rejoinder_machine::request::Asked;

use rejoinder_machine::request::Request;
use rejoinder_machine::{Context, event};
use rejoinder_model::AlarmId;
use rejoinder_wire::event::{AlarmAcknowledged, Event, event::Body};

use crate::state::SlaTimer;

/// Why a command was refused: an answer, not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such alarm in this workspace, or it is cleared.
    #[error("alarm {0} does not exist in this workspace, or it is cleared")]
    NotFound(AlarmId),
    /// It has changed since the caller looked.
    #[error("alarm {alarm} has changed: its etag is {current} now; read it again and repeat the command")]
    Stale {
        /// Which.
        alarm: AlarmId,
        /// Its etag.
        current: u64,
    },
    /// The request's id belongs to another command.
    #[error("it was used for another command before: take a new one")]
    RequestUsed,
    /// Somebody has seen it before.
    #[error("alarm {alarm} is acknowledged already, by {actor:?}")]
    Acknowledged {
        /// Which.
        alarm: AlarmId,
        /// Who.
        actor: String,
    },
}

/// Somebody has seen an alarm: it rings no more, and lasts until its clock ends.
///
/// # Errors
/// When it is refused; nothing has changed then.
pub fn acknowledge(
    state: &SlaTimer,
    context: &Context,
    workspace: &str,
    asked: Asked<'_>,
    alarm: AlarmId,
    out: &mut Vec<Event>,
) -> Result<AlarmId, Refusal> {
    // A repeat must be about the same alarm, by the same person.
    let request = Request::new(workspace, asked, &format!("{alarm} {}", asked.actor));
    if let Some(request) = request
        && let Some(known) = state.requests.remembered(context.now, request.key)
    {
        return if known.content == request.content { Ok(AlarmId(known.subject)) } else { Err(Refusal::RequestUsed) };
    }
    let found = state.alarms.get(&alarm).filter(|found| found.workspace == workspace);
    let found = found.ok_or(Refusal::NotFound(alarm))?;
    if asked.etag != 0 && asked.etag != found.version {
        return Err(Refusal::Stale { alarm, current: found.version });
    }
    if let Some(acknowledged) = &found.acknowledged {
        return Err(Refusal::Acknowledged { alarm, actor: acknowledged.actor.clone() });
    }
    let acknowledged = AlarmAcknowledged { alarm: alarm.0, actor: asked.actor.to_owned(), at: context.now };
    let mut decided = event(workspace, Body::AlarmAcknowledged(acknowledged));
    decided.decided_at = context.now;
    decided.request = request.map(Request::to_wire).unwrap_or_default();
    out.push(decided);
    Ok(alarm)
}
