//! Closing time: every thread is settled, and with it every item, offer, clock and alarm ends.

use std::time::Duration;

use rejoinder_api::routing::ListItemsRequest;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::sla::clock::State as ClockState;
use rejoinder_api::sla::{ListAlarmsRequest, ListClocksRequest};
use rejoinder_api::threading::thread::{Disposition, State};
use rejoinder_api::threading::{ListThreadsRequest, ResolveThreadRequest};
use tonic::Status;

use super::Shared;
use super::line::{Line, Meaning, meaning};

/// Looks until all is over: longer than anything takes that ends at all.
const LOOKS: usize = 1_000;

/// Settles all that is open, until nothing is. The agents go on answering meanwhile.
pub(super) async fn close(shared: &Shared, line: &Line) -> Result<(), String> {
    let mut open = Vec::new();
    for _ in 0..LOOKS {
        open = match round(line).await {
            Ok(open) if open.is_empty() && shared.memory().wishes.is_empty() => return Ok(()),
            Ok(open) => open,
            Err(status) if meaning(&status) == Meaning::Unknown => vec![status.to_string()],
            Err(status) => return Err(format!("closing: {status:?}")),
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("still open: {open:?}, asked for: {:?}", shared.memory().wishes))
}

/// Settles what is not, and answers with what is still open.
async fn round(line: &Line) -> Result<Vec<String>, Status> {
    let mut open = Vec::new();
    let (mut wait_for, mut page_token) = (String::new(), String::new());
    loop {
        let list = ListThreadsRequest { page_size: 1_000, page_token, ..ListThreadsRequest::default() };
        let page = line.threads().list_threads(list).await?.into_inner();
        for thread in page.threads.into_iter().filter(|thread| thread.state() != State::Resolved) {
            let thread_id = thread.thread_id.clone();
            let disposition = Disposition::Answered as i32;
            let resolve = ResolveThreadRequest { thread_id, disposition, ..ResolveThreadRequest::default() };
            match line.threads().resolve_thread(resolve).await {
                Ok(answer) => wait_for = answer.into_inner().as_of,
                // It has changed meanwhile: the next round sees to it.
                Err(status) if meaning(&status) == Meaning::Refused => {}
                Err(status) => return Err(status),
            }
            open.push(thread.thread_id);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for phase in [Phase::Queued, Phase::Offered, Phase::Assigned, Phase::Wrapping, Phase::Parked] {
        let (phase, wait_for) = (phase as i32, wait_for.clone());
        let list = ListItemsRequest { page_size: 1_000, phase, wait_for, ..ListItemsRequest::default() };
        let items = line.items().list_items(list).await?.into_inner().items;
        open.extend(items.into_iter().map(|item| format!("{} {:?}", item.item_id, item.phase())));
    }
    for state in [ClockState::Running, ClockState::Paused] {
        let (state, wait_for) = (state as i32, wait_for.clone());
        let list = ListClocksRequest { page_size: 1_000, state, wait_for, ..ListClocksRequest::default() };
        let clocks = line.clocks().list_clocks(list).await?.into_inner().clocks;
        open.extend(clocks.into_iter().map(|clock| format!("{} {:?}", clock.clock_id, clock.metric())));
    }
    let list = ListAlarmsRequest { page_size: 1_000, wait_for, ..ListAlarmsRequest::default() };
    let alarms = line.alarms().list_alarms(list).await?.into_inner().alarms;
    open.extend(alarms.into_iter().map(|alarm| alarm.alarm_id));
    Ok(open)
}
