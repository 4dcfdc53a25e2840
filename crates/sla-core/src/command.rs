//! What people may do to alarms.

use rejoinder_machine::{Context, event};
use rejoinder_model::{AlarmId, DAY_MS, MessageKey};
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

/// Who asks, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Who.
    pub actor: &'a str,
    /// The request's id, so that a repeat does nothing.
    pub request_id: &'a str,
    /// The etag of the alarm that the caller saw; 0: any.
    pub etag: u64,
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
    let key = (!asked.request_id.is_empty()).then(|| MessageKey::new(workspace, "request", None, asked.request_id));
    let today = u64::try_from(context.now / DAY_MS).unwrap_or_default();
    let days = [today, today.saturating_sub(1)];
    let repeated = key.and_then(|key| days.into_iter().find_map(|day| state.requests.get(&(day, key))));
    // A repeat must be about the same alarm, by the same person.
    let content = MessageKey::new(workspace, "command", None, &format!("{alarm} {}", asked.actor));
    if let Some(request) = repeated {
        if request.content != content {
            return Err(Refusal::RequestUsed);
        }
        return Ok(AlarmId(request.subject));
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
    decided.request = key.map(|key| [key.to_wire(), content.to_wire()].concat()).unwrap_or_default();
    out.push(decided);
    Ok(alarm)
}
