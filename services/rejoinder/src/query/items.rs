//! `items list`.

use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{Band, ListItemsRequest, WorkItem, work_item::Phase};

use crate::Ended;
use crate::cli::{Cli, Items};
use crate::query::{PAGE, pages, queues, word};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 13] = [
    "item_id",
    "thread_id",
    "phase",
    "queue",
    "band",
    "points",
    "agent_id",
    "eligible_since",
    "offers_made",
    "channel",
    "kind",
    "opened_at",
    "policy_version",
];
const WIDTHS: [usize; 13] = [14, 14, 9, 16, 7, 7, 16, 24, 11, 12, 14, 24, 0];

/// Which items are listed.
pub(crate) struct Wanted {
    /// Unspecified: all.
    pub(crate) phase: Phase,
    pub(crate) queue: Option<String>,
    pub(crate) thread: Option<String>,
}

pub(crate) async fn command(items: &Items, cli: &Cli) -> anyhow::Result<Ended> {
    let Items::List { phase, queue, thread, source } = items;
    let wanted = Wanted {
        phase: phase.unwrap_or_default(),
        queue: queue.clone(),
        thread: thread.map(|thread| thread.to_string()),
    };
    list(&source.open(&cli.workspace).await?, &wanted, cli.output).await
}

/// Work items in the order in which they were opened.
pub(crate) async fn list(remote: &Remote, wanted: &Wanted, output: Output) -> anyhow::Result<Ended> {
    let mut client = RoutingServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    let mut any = false;
    pages(async |page_token| {
        let request = ListItemsRequest {
            page_size: PAGE,
            page_token,
            phase: wanted.phase as i32,
            queue: wanted.queue.clone().unwrap_or_default(),
            thread_id: wanted.thread.clone().unwrap_or_default(),
            wait_for: String::new(),
        };
        let answer = client.list_items(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        any |= !page.items.is_empty();
        page.items.into_iter().try_for_each(|item| rows.row(&row(item)))?;
        Ok(page.next_page_token)
    })
    .await?;
    if let (false, Some(queue)) = (any, &wanted.queue) {
        queues::must_exist(remote, queue).await?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// A phase as people say it.
pub(crate) fn phase_name(phase: i32) -> String {
    word(Phase::try_from(phase).unwrap_or_default().as_str_name(), "PHASE_")
}

/// A band as people say it.
pub(crate) fn band_name(band: i32) -> String {
    word(Band::try_from(band).unwrap_or_default().as_str_name(), "BAND_")
}

fn row(item: WorkItem) -> [Value; 13] {
    [
        Value::name(item.item_id),
        Value::name(item.thread_id),
        Value::name(phase_name(item.phase)),
        Value::name(item.queue),
        Value::name(band_name(item.band)),
        Value::Points(item.priority.map_or(0, |priority| priority.milli_points)),
        Value::name(item.agent_id),
        Value::time(item.eligible_since.as_ref()),
        item.offers_made.into(),
        Value::name(item.channel),
        Value::name(item.kind),
        Value::time(item.opened_at.as_ref()),
        item.policy_version.into(),
    ]
}
