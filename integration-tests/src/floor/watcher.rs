//! The watcher of alarms: is told each change once, whatever happens to the server, and sees to some.

use std::sync::Arc;

use rejoinder_api::sla::watch_alarms_response::Change;
use rejoinder_api::sla::{AcknowledgeAlarmRequest, WatchAlarmsRequest};
use rejoinder_model::Position;

use super::Shared;
use super::line::{Line, Meaning, meaning};
use super::memory::Promise;

/// Works at a server until it is gone.
pub(crate) async fn life(shared: Arc<Shared>, line: Line) {
    let after = shared.memory().cursor.clone();
    let mut changes = match line.alarms().watch_alarms(WatchAlarmsRequest { after }).await {
        Ok(changes) => changes.into_inner(),
        Err(status) => return wrong(&shared, &status),
    };
    let unseen: Vec<String> = shared.memory().unseen.clone();
    for alarm in unseen {
        tokio::spawn(acknowledge(shared.clone(), line.clone(), alarm));
    }
    loop {
        let told = match changes.message().await {
            Ok(Some(told)) => told,
            Ok(None) => return,
            Err(status) => return wrong(&shared, &status),
        };
        let what = match told.change {
            Some(Change::Raised(_)) => "raised",
            Some(Change::Acknowledged(_)) => "acknowledged",
            Some(Change::Cleared(_)) => "cleared",
            None => "nothing",
        };
        let seen_to = {
            let mut memory = shared.memory();
            memory.cursor.clone_from(&told.cursor);
            memory.rung.push((told.position, told.alarm_id.clone(), what));
            let seen_to = what == "raised" && memory.rung.len().is_multiple_of(3);
            if seen_to {
                memory.unseen.push(told.alarm_id.clone());
            }
            seen_to
        };
        if seen_to {
            tokio::spawn(acknowledge(shared.clone(), line.clone(), told.alarm_id));
        }
    }
}

fn wrong(shared: &Shared, status: &tonic::Status) {
    if matches!(meaning(status), Meaning::Wrong | Meaning::Refused) {
        shared.broken(format!("watching alarms: {status:?}"));
    }
}

/// Says that an alarm was seen; it may be over by then.
async fn acknowledge(shared: Arc<Shared>, line: Line, alarm_id: String) {
    let request_id = format!("ack-{alarm_id}");
    let (alarm, by) = (alarm_id.clone(), "sue".to_owned());
    let request = AcknowledgeAlarmRequest { alarm_id, request_id: request_id.clone(), by, ..Default::default() };
    let outcome = line.alarms().acknowledge_alarm(request).await;
    let mut memory = shared.memory();
    match outcome {
        Ok(answer) => {
            let by = answer.into_inner().as_of.parse::<Position>();
            memory.promises.extend(by.map(|by| Promise::Seen { alarm: alarm.clone(), by }));
        }
        Err(status) => match meaning(&status) {
            Meaning::Refused => memory.promises.push(Promise::Refused { request: request_id }),
            Meaning::Unknown | Meaning::Gone => return,
            Meaning::Wrong => memory.broken.push(format!("acknowledging {alarm}: {status:?}")),
        },
    }
    memory.unseen.retain(|other| *other != alarm);
}
