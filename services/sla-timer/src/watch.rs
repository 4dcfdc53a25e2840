//! WatchAlarms: what happens to alarms, as it becomes durable.

use prost::Message as _;
use rejoinder_api::sla::watch_alarms_response::{Acknowledged, Change, Cleared};
use rejoinder_api::sla::{Alarm, WatchAlarmsResponse};
use rejoinder_model::{AlarmId, ClockId, ThreadId};
use rejoinder_service_kit::{TailEvent, cursor, timestamp, watch};
use rejoinder_wire::event::{AlarmRaised, Event, event::Body};
use tokio_stream::Stream;
use tonic::Status;

use crate::alarm_service::Alarms;
use crate::view;

/// The changes of a workspace after a position.
pub(crate) async fn changes(
    alarms: &Alarms,
    workspace: &str,
    after: &str,
) -> Result<impl Stream<Item = Result<WatchAlarmsResponse, Status>> + Send + use<>, Status> {
    let of = workspace.to_owned();
    watch(&alarms.lanes, &alarms.news, workspace, after, move |event| change(&of, event)).await
}

fn raised(raised: &AlarmRaised, own_seq: u64) -> Alarm {
    Alarm {
        alarm_id: AlarmId(raised.alarm).to_string(),
        clock_id: ClockId(raised.clock).to_string(),
        thread_id: ThreadId(raised.thread).to_string(),
        metric: raised.metric,
        kind: raised.kind,
        due_at: Some(timestamp(raised.due_at)),
        raised_at: Some(timestamp(raised.at)),
        policy: raised.rule.clone(),
        acknowledged_at: None,
        acknowledged_by: String::new(),
        etag: own_seq.to_string(),
    }
}

fn change(workspace: &str, event: &TailEvent) -> Option<WatchAlarmsResponse> {
    let decoded = Event::decode(event.bytes.clone()).ok().filter(|event| event.workspace == workspace)?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events are about no alarm")]
    let (alarm, change) = match decoded.body? {
        Body::AlarmRaised(alarm) => (alarm.alarm, Change::Raised(raised(&alarm, event.own_seq))),
        Body::AlarmAcknowledged(seen) => (seen.alarm, Change::Acknowledged(Acknowledged { by: seen.actor })),
        Body::AlarmCleared(cleared) => {
            (cleared.alarm, Change::Cleared(Cleared { reason: view::cleared_because(cleared.reason) }))
        }
        _ => return None,
    };
    Some(WatchAlarmsResponse {
        position: event.position.to_string(),
        cursor: cursor(event),
        time: Some(timestamp(event.record_time)),
        alarm_id: AlarmId(alarm).to_string(),
        change: Some(change),
    })
}
