//! `alarms list`, `alarms ack`, and `alarms watch`: what happens to alarms as it becomes durable, until
//! somebody has seen enough. A server that goes away and comes back costs no line and doubles none.

use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::sla::alarm_service_client::AlarmServiceClient;
use rejoinder_api::sla::watch_alarms_response::Change;
use rejoinder_api::sla::{
    AcknowledgeAlarmRequest, Alarm, ListAlarmsRequest, WatchAlarmsRequest, WatchAlarmsResponse, alarm::Kind,
};
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;

use crate::Ended;
use crate::cli::{Alarms, Cli};
use crate::query::clocks::metric_name;
use crate::query::{PAGE, pages, word};
use crate::remote::{Remote, is_broken, reconnect, refused};
use crate::table::{Output, Rows, Value, say};

const COLUMNS: [&str; 10] = [
    "alarm_id",
    "kind",
    "thread_id",
    "metric",
    "due_at",
    "raised_at",
    "policy",
    "clock_id",
    "acknowledged_at",
    "acknowledged_by",
];
const WIDTHS: [usize; 10] = [14, 8, 14, 15, 24, 24, 12, 14, 24, 0];
const CHANGE_COLUMNS: [&str; 11] = [
    "time",
    "change",
    "alarm_id",
    "kind",
    "thread_id",
    "metric",
    "due_at",
    "policy",
    "clock_id",
    "position",
    "by_or_reason",
];
const CHANGE_WIDTHS: [usize; 11] = [24, 12, 14, 8, 14, 15, 24, 12, 14, 10, 0];

pub(crate) async fn command(alarms: &Alarms, cli: &Cli) -> anyhow::Result<Ended> {
    match alarms {
        Alarms::List { open, source } => list(&source.open(&cli.workspace).await?, *open, cli.output).await,
        Alarms::Watch { position, remotely } => {
            watch(&remotely.endpoint, &cli.workspace, position.clone(), cli.output).await
        }
        Alarms::Ack { alarm, by, remotely } => {
            let by = by.clone().or_else(|| std::env::var("USER").ok()).filter(|by| !by.is_empty());
            let by = by.context("nobody is named, and $USER is empty: say who has seen the alarm with --by NAME")?;
            let remote = Remote::connect(&remotely.endpoint, &cli.workspace).await?;
            acknowledge(&remote, alarm.to_string(), by).await
        }
    }
}

/// Alarms that stand, the oldest first.
pub(crate) async fn list(remote: &Remote, open_only: bool, output: Output) -> anyhow::Result<Ended> {
    let mut client = AlarmServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    pages(async |page_token| {
        let request = ListAlarmsRequest { page_size: PAGE, page_token, open_only, wait_for: String::new() };
        let answer = client.list_alarms(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.alarms.into_iter().try_for_each(|alarm| rows.row(&row(alarm)))?;
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}

fn kind_name(alarm: &Alarm) -> String {
    word(Kind::try_from(alarm.kind).unwrap_or_default().as_str_name(), "KIND_")
}

fn row(alarm: Alarm) -> [Value; 10] {
    let kind = kind_name(&alarm);
    [
        Value::name(alarm.alarm_id),
        Value::name(kind),
        Value::name(alarm.thread_id),
        Value::name(metric_name(alarm.metric)),
        Value::time(alarm.due_at.as_ref()),
        Value::time(alarm.raised_at.as_ref()),
        Value::name(alarm.policy),
        Value::name(alarm.clock_id),
        Value::time(alarm.acknowledged_at.as_ref()),
        Value::name(alarm.acknowledged_by),
    ]
}

/// Somebody has seen an alarm: it rings no more.
pub(crate) async fn acknowledge(remote: &Remote, alarm_id: String, by: String) -> anyhow::Result<Ended> {
    let request = AcknowledgeAlarmRequest { alarm_id: alarm_id.clone(), by, ..AcknowledgeAlarmRequest::default() };
    let answer = AlarmServiceClient::new(remote.channel.clone()).acknowledge_alarm(remote.request(request)).await;
    let answer = answer.map_err(|status| refused(&status))?.into_inner();
    match answer.alarm {
        Some(alarm) if alarm.acknowledged_by.is_empty() => say(&format!("{alarm_id} is acknowledged")),
        Some(alarm) => say(&format!("{alarm_id} is acknowledged by {}", alarm.acknowledged_by)),
        None => say(&format!("{alarm_id} was acknowledged, and is cleared by now")),
    }
    Ok(Ended::Well)
}

/// Shows changes until it is interrupted, or nobody reads them any more.
pub(crate) async fn watch(
    endpoint: &str,
    workspace: &str,
    after: Option<String>,
    output: Output,
) -> anyhow::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        ended = follow(endpoint, workspace, after, output) => ended,
        _ = terminate.recv() => Ok(Ended::Well),
        _ = interrupt.recv() => Ok(Ended::Well),
    }
}

async fn follow(endpoint: &str, workspace: &str, after: Option<String>, output: Output) -> anyhow::Result<Ended> {
    let mut remote = Remote::connect(endpoint, workspace).await?;
    let mut after = match after {
        Some(after) => after,
        None => now(&remote).await.map_err(|status| refused(&status))?,
    };
    let mut rows = Rows::new(output, &CHANGE_COLUMNS, &CHANGE_WIDTHS)?;
    rows.show()?;
    let mut said = false;
    loop {
        let Broken { opened, status } = stream(&remote, &mut after, &mut rows).await?;
        if !is_broken(&status) {
            return Err(refused(&status));
        }
        // Once for each break, however often it is tried.
        if opened || !said {
            say(&format!("the connection broke ({}): trying again", status.message()));
        }
        said = true;
        remote = reconnect(endpoint, workspace, Duration::MAX).await?;
    }
}

/// How a connection ended.
struct Broken {
    /// It brought changes, or would have.
    opened: bool,
    status: Status,
}

/// Where the log is now: what comes after it is news.
async fn now(remote: &Remote) -> Result<String, Status> {
    let request = ListAlarmsRequest { page_size: 1, ..ListAlarmsRequest::default() };
    let answer = AlarmServiceClient::new(remote.channel.clone()).list_alarms(remote.request(request)).await?;
    Ok(answer.into_inner().as_of)
}

/// Shows what one connection brings; the next one goes on right behind the change that was shown last.
async fn stream(remote: &Remote, after: &mut String, rows: &mut Rows) -> anyhow::Result<Broken> {
    let request = WatchAlarmsRequest { after: after.clone() };
    let answer = AlarmServiceClient::new(remote.channel.clone()).watch_alarms(remote.request(request)).await;
    let mut changes = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Ok(Broken { opened: false, status }),
    };
    let status = loop {
        match changes.message().await {
            Ok(Some(change)) => {
                let cursor = change.cursor.clone();
                rows.row(&line(change))?;
                rows.show()?;
                *after = cursor;
            }
            Ok(None) => break Status::unavailable("the server ended the stream"),
            Err(status) => break status,
        }
    };
    Ok(Broken { opened: true, status })
}

fn line(response: WatchAlarmsResponse) -> [Value; 11] {
    let (change, alarm, why) = match response.change {
        Some(Change::Raised(alarm)) => ("raised", alarm, String::new()),
        Some(Change::Acknowledged(seen)) => ("acknowledged", Alarm::default(), seen.by),
        Some(Change::Cleared(cleared)) => ("cleared", Alarm::default(), cleared.reason),
        None => ("", Alarm::default(), String::new()),
    };
    let kind = kind_name(&alarm);
    [
        Value::time(response.time.as_ref()),
        Value::name(change),
        Value::name(response.alarm_id),
        Value::name(kind),
        Value::name(alarm.thread_id),
        Value::name(metric_name(alarm.metric)),
        Value::time(alarm.due_at.as_ref()),
        Value::name(alarm.policy),
        Value::name(alarm.clock_id),
        Value::name(response.cursor),
        Value::name(why),
    ]
}
