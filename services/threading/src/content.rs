//! What messages say, read from the log: the state only knows where it stands.

use std::collections::BTreeMap;

use prost::Message as _;
use rejoinder_api::threading as api;
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_service_kit::timestamp;
use rejoinder_threading_core::record::Place;
use rejoinder_wire::event::{Content, Event, content, event::Body};
use tonic::Status;

use crate::view::Located;

/// Reads events, each record once.
pub(crate) fn events(
    log: &dyn EventLog,
    partition: u16,
    places: impl Iterator<Item = Place>,
) -> Result<BTreeMap<(u64, u32), Event>, Status> {
    let mut wanted: Vec<(u64, u32)> = places.map(|place| (place.index, place.event)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = BTreeMap::new();
    for of_record in wanted.chunk_by(|one, other| one.0 == other.0) {
        let index = of_record[0].0;
        let lost = |what: String| Status::data_loss(format!("the event log at {partition}/{index}: {what}"));
        let records = log.read(partition, index, 1).map_err(|error| lost(error.to_string()))?;
        let record = records.first().ok_or_else(|| lost("it is not there".into()))?;
        let view = RecordView::verify(&record.bytes).map_err(|damage| lost(damage.to_string()))?;
        let events = view.events().map_err(|damage| lost(damage.to_string()))?;
        for (index, number) in of_record {
            let bytes = events.get(*number as usize).cloned().ok_or_else(|| lost("an event is missing".into()))?;
            let event = Event::decode(bytes).map_err(|error| lost(error.to_string()))?;
            found.insert((*index, *number), event);
        }
    }
    Ok(found)
}

fn plain(content: Option<&Content>) -> content::Plain {
    match content.and_then(|content| content.body.as_ref()) {
        Some(content::Body::Plain(plain)) => plain.clone(),
        Some(content::Body::Sealed(_)) | None => content::Plain::default(),
    }
}

/// Messages with what they say.
pub(crate) fn messages(log: &dyn EventLog, partition: u16, located: Vec<Located>) -> Result<Vec<api::Message>, Status> {
    let places = located.iter().flat_map(|located| [Some(located.place), located.edit]).flatten();
    let events = events(log, partition, places)?;
    let at = |place: Place| events.get(&(place.index, place.event)).and_then(|event| event.body.as_ref());
    let told = |located: Located| {
        let mut message = located.message;
        if let Some(Body::InteractionReceived(received)) = at(located.place) {
            let reference = received.message.clone().unwrap_or_default();
            let said = plain(received.content.as_ref());
            message.channel = reference.channel;
            message.account = reference.account;
            message.external_id = reference.external_id;
            message.event_time = Some(timestamp(received.event_time));
            message.received_at = Some(timestamp(received.received_at));
            message.author_name = said.author_name;
            message.author_handle = said.author_handle;
            if !message.deleted {
                message.text = said.text;
                message.subject = said.subject;
            }
        }
        if let Some(Body::InteractionEdited(edited)) = located.edit.and_then(at) {
            message.text = plain(edited.content.as_ref()).text;
        }
        message
    };
    Ok(located.into_iter().map(told).collect())
}

/// A handle as its newest message shows it.
pub(crate) fn handle(event: Option<&Event>) -> Option<api::person::Handle> {
    let Some(Body::InteractionReceived(received)) = event.and_then(|event| event.body.as_ref()) else { return None };
    let said = plain(received.content.as_ref());
    Some(api::person::Handle {
        channel: received.message.as_ref().map(|message| message.channel.clone()).unwrap_or_default(),
        id: received.author_id.clone().unwrap_or_default(),
        name: said.author_name,
        handle: said.author_handle,
    })
}
