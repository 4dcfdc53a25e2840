//! What messages say, read from the log: the state only knows where it stands.

use rejoinder_api::threading as api;
use rejoinder_event_log::EventLog;
use rejoinder_service_kit::{events_at, timestamp};
use rejoinder_threading_core::record::Place;
use rejoinder_wire::event::{Content, Event, content, event::Body};
use tonic::Status;

use crate::view::Located;

fn plain(content: Option<&Content>) -> content::Plain {
    match content.and_then(|content| content.body.as_ref()) {
        Some(content::Body::Plain(plain)) => plain.clone(),
        Some(content::Body::Sealed(_)) | None => content::Plain::default(),
    }
}

/// Messages with what they say.
pub(crate) fn messages(log: &dyn EventLog, partition: u16, located: Vec<Located>) -> Result<Vec<api::Message>, Status> {
    let places = located.iter().flat_map(|located| [Some(located.place), located.edit]).flatten();
    let events = events_at(log, partition, places.map(|place| (place.index, place.event)))?;
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
