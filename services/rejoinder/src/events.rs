//! `events tail`: events as they are, with where they stand.

mod ids;

use prost_reflect::{DescriptorPool, DynamicMessage};
use rejoinder_api::feed::event_feed_service_client::EventFeedServiceClient;
use rejoinder_api::feed::{SubscribeRequest, SubscribeResponse};
use serde_json::Value as Json;

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

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

fn row(pool: &DescriptorPool, event: SubscribeResponse) -> [Value; 8] {
    [
        Value::name(event.position),
        event.event.into(),
        Value::name(event.service),
        event.own_seq.into(),
        Value::time(event.record_time.as_ref()),
        Value::name(event.workspace),
        Value::name(event.r#type),
        Value::Json(body(pool, &event.payload)),
    ]
}

/// The event as JSON; one of a newer version as far as it is known.
fn body(pool: &DescriptorPool, payload: &[u8]) -> Json {
    let Some(kind) = pool.get_message_by_name("rejoinder.event.v1.Event") else { return Json::Null };
    let message = DynamicMessage::decode(kind.clone(), payload).ok();
    let mut body = message.and_then(|message| serde_json::to_value(&message).ok()).unwrap_or_default();
    ids::show(&kind, &mut body);
    body
}
