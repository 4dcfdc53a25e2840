//! WatchAlarms: what happens to alarms, as it becomes durable.

use prost::Message as _;
use rejoinder_api::sla::watch_alarms_response::{Acknowledged, Change, Cleared};
use rejoinder_api::sla::{Alarm, WatchAlarmsResponse};
use rejoinder_model::{AlarmId, ClockId, Position, Service, ThreadId};
use rejoinder_service_kit::{Tail, TailEvent, refuse, timestamp};
use rejoinder_wire::event::{AlarmRaised, Event, event::Body};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

use crate::alarm_service::Alarms;
use crate::view;

/// Changes that may wait for a slow reader.
const MAX_WAITING: usize = 256;

/// The changes of a workspace after a position.
pub(crate) fn changes(
    alarms: &Alarms,
    workspace: &str,
    after: &str,
) -> Result<impl Stream<Item = Result<WatchAlarmsResponse, Status>> + Send + use<>, Status> {
    let (lanes, workspace) = (&alarms.lanes, workspace.to_owned());
    let partition = lanes.partition(&workspace);
    let end = lanes.log().end(partition);
    let from = if after.is_empty() {
        end
    } else {
        let wrong = |what: String| refuse::invalid("POSITION_INVALID", "after", what);
        let after: Position = after.parse().map_err(wrong)?;
        if after.partition != partition || after.index >= end {
            let what = format!("{after} is not in the workspace's partition, which ends at {partition}/{end}");
            return Err(wrong(what));
        }
        after.index + 1
    };
    let known = lanes.statuses().get(usize::from(partition)).map(|status| status.fold).unwrap_or_default();
    let mut tail = Tail::new(lanes.log().clone(), alarms.news.clone(), partition, from, known);
    let (to, changes) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        loop {
            let events = tokio::select! {
                events = tail.next(true) => events,
                () = to.closed() => return,
            };
            let events = match events {
                Ok(events) => events.unwrap_or_default(),
                Err(status) => {
                    // The watcher may be gone as well.
                    let _ = to.send(Err(status)).await;
                    return;
                }
            };
            for event in events.iter().filter(|event| event.service == Service::SlaTimer) {
                let Some(told) = change(&workspace, event) else { continue };
                if to.send(Ok(told)).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(ReceiverStream::new(changes))
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
        time: Some(timestamp(event.record_time)),
        alarm_id: AlarmId(alarm).to_string(),
        change: Some(change),
    })
}
