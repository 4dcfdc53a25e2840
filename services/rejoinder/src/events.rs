//! `events tail`: events as they are, with where they stand.

use prost_reflect::{DescriptorPool, DynamicMessage};
use rejoinder_api::feed::event_feed_service_client::EventFeedServiceClient;
use rejoinder_api::feed::{SubscribeRequest, SubscribeResponse};
use rejoinder_service_kit::millis;

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, time};

const COLUMNS: [&str; 8] = ["position", "event", "service", "own_seq", "record_time", "workspace", "type", "body"];

/// Writes events until the log's end, or for ever.
pub(crate) async fn tail(
    remote: &Remote,
    from: Option<String>,
    types: Vec<String>,
    until_end: bool,
    output: Output,
) -> anyhow::Result<Ended> {
    let pool = DescriptorPool::decode(rejoinder_api::EVENT_DESCRIPTORS)?;
    let request = SubscribeRequest { from: from.unwrap_or_default(), types, until_end };
    let mut client = EventFeedServiceClient::new(remote.channel.clone());
    let answer = client.subscribe(remote.request(request)).await.map_err(|status| refused(&status))?;
    let mut events = answer.into_inner();
    let mut rows = Rows::new(output, &COLUMNS, &[12, 5, 9, 9, 24, 12, 22, 0])?;
    rows.show()?;
    while let Some(event) = events.message().await.map_err(|status| refused(&status))? {
        rows.row(&row(&pool, event))?;
        rows.show()?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

fn row(pool: &DescriptorPool, event: SubscribeResponse) -> [String; 8] {
    [
        event.position,
        event.event.to_string(),
        event.service,
        event.own_seq.to_string(),
        event.record_time.as_ref().map(|at| time(millis(at))).unwrap_or_default(),
        event.workspace,
        event.r#type,
        body(pool, &event.payload),
    ]
}

/// The event as JSON; one of a newer version as far as it is known.
fn body(pool: &DescriptorPool, payload: &[u8]) -> String {
    let kind = pool.get_message_by_name("rejoinder.event.v1.Event");
    let message = kind.and_then(|kind| DynamicMessage::decode(kind, payload).ok());
    message.and_then(|message| serde_json::to_string(&message).ok()).unwrap_or_default()
}
