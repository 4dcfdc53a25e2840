//! `doctor`: what a running server says of itself, and what is wrong with it.

use rejoinder_api::admin::admin_service_client::AdminServiceClient;
use rejoinder_api::admin::{AcceptClockRequest, GetStatusRequest};

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value, say};

/// A lane this far behind is worth a word.
const MUCH_LAG: u64 = 1_000;
/// A disk with less than this is worth a word.
const LITTLE_ROOM: u64 = 1 << 30;

/// Looks at every lane, the clock and the disk.
pub(crate) async fn run(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = AdminServiceClient::new(remote.channel.clone());
    let answer = client.get_status(remote.request(GetStatusRequest {})).await;
    let status = answer.map_err(|status| refused(&status))?.into_inner();
    let columns =
        ["service", "partition", "phase", "owner", "log_end", "considered", "next_own_seq", "void", "failure"];
    let mut rows = Rows::new(output, &columns, &[10, 9, 9, 15, 9, 10, 12, 6, 0])?;
    let mut wrong = Vec::new();
    for lane in status.lanes {
        let name = format!("{} of partition {}", lane.service, lane.partition);
        if !["live", "standby", "elsewhere"].contains(&lane.phase.as_str()) {
            wrong.push(format!("{name} is {}: {}", lane.phase, lane.failure));
        } else if lane.owner.is_empty() {
            wrong.push(format!("{name} has no owner: start a process that runs the service, or look at its group"));
        }
        let lag = lane.log_end.saturating_sub(lane.considered);
        if lag > MUCH_LAG {
            wrong.push(format!("{name} is {lag} records behind: it needs time or fewer messages"));
        }
        rows.row(&[
            Value::name(lane.service),
            lane.partition.into(),
            Value::name(lane.phase),
            Value::name(lane.owner),
            lane.log_end.into(),
            lane.considered.into(),
            lane.next_own_seq.into(),
            lane.void_records.into(),
            Value::name(lane.failure),
        ])?;
    }
    rows.end()?;
    if status.clock_jumped {
        wrong.push("the clock has jumped and no timer fires: mend it, or run `rejoinder clock accept`".into());
    }
    if let Some(free) = status.free_bytes.filter(|free| *free < LITTLE_ROOM) {
        wrong.push(format!("the disk of the log has {free} bytes left"));
    }
    say(&format!("version {}, log {}", status.version, status.log_id));
    wrong.iter().for_each(|what| say(&format!("wrong: {what}")));
    Ok(if wrong.is_empty() { Ended::Well } else { Ended::FoundWrong })
}

/// Takes the wall clock as right.
pub(crate) async fn accept_clock(remote: &Remote) -> anyhow::Result<Ended> {
    let mut client = AdminServiceClient::new(remote.channel.clone());
    client.accept_clock(remote.request(AcceptClockRequest {})).await.map_err(|status| refused(&status))?;
    Ok(Ended::Well)
}
