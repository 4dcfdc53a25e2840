//! An event as a `CloudEvent`: the record of a public topic in the binary mode of Kafka.
//!
//! `CloudEvents` 1.0.2 and its Kafka protocol binding: each attribute is a header `ce_NAME` in UTF-8,
//! `content-type` is the type of the data, the data is the record's value as it is. Names of attributes
//! are lower-case letters and digits. Numbers above 31 bits are strings: the integers of the standard end
//! there.

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use rejoinder_event_log::LogId;
use rejoinder_model::{Millis, Position, Service};
use rejoinder_wire::event::Event;
use uuid::Uuid;

use crate::table::{Route, Topic, route};

/// What the bytes of a record are: `rejoinder.event.v1.Event`.
const CONTENT_TYPE: &str = "application/protobuf";

/// Where an event stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The log.
    pub log: LogId,
    /// The frame.
    pub position: Position,
    /// Number of the event in the frame.
    pub event: u32,
    /// Whose it is.
    pub service: Service,
    /// Its number in its lane.
    pub own_seq: u64,
    /// Of the frame.
    pub record_time: Millis,
}

/// A record of a public topic. Its partition is that of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRecord {
    /// Where it goes.
    pub topic: Topic,
    /// What it is about.
    pub key: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The event's bytes in the log.
    pub payload: Bytes,
}

impl PublicRecord {
    /// Roughly what it takes in memory and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.len() + headers + self.payload.len()
    }
}

/// An event that this version must not pass over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its bytes are no event.
    #[error("it is no event: {0}")]
    Bytes(#[from] prost::DecodeError),
    /// It must be understood, and is not known here.
    #[error("it must be understood and is unknown: use the version that wrote it, or a newer one")]
    Unknown,
}

/// The public record of an event; `None` for what stays inside.
///
/// # Errors
/// When the event cannot be told.
pub fn public_record(origin: &Origin, event: &Bytes) -> Result<Option<PublicRecord>, Unreadable> {
    let Event { workspace, body, must_understand, .. } = Event::decode(event.clone())?;
    let Some(body) = body else {
        return if must_understand { Err(Unreadable::Unknown) } else { Ok(None) };
    };
    // What is of no workspace is the engine's.
    let Some(Route { topic, name, key }) = route(&body).filter(|_| !workspace.is_empty()) else { return Ok(None) };
    let key = key.unwrap_or_else(|| workspace.clone());
    let headers = headers(origin, &format!("rejoinder.{}.{name}.v1", topic.area()), &key, workspace);
    Ok(Some(PublicRecord { topic, key, headers, payload: event.clone() }))
}

fn headers(origin: &Origin, kind: &str, subject: &str, workspace: String) -> Vec<(&'static str, String)> {
    let Origin { log, position, event, service, own_seq, record_time } = origin;
    let of_range = |time: Millis| Timestamp::from_millisecond(time).ok();
    let time = of_range(*record_time).unwrap_or(Timestamp::UNIX_EPOCH);
    vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{}/{}/{own_seq}", service.name(), position.partition)),
        ("ce_source", Uuid::from_u128(*log).urn().to_string()),
        ("ce_type", kind.to_owned()),
        ("ce_time", format!("{time:.3}")),
        ("ce_subject", subject.to_owned()),
        ("ce_workspace", workspace),
        ("ce_position", format!("{position}/{event}")),
        ("ce_ownseq", own_seq.to_string()),
        ("content-type", CONTENT_TYPE.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_wire::event::{ClockTick, OfferMade, event::Body};

    const ORIGIN: Origin = Origin {
        log: 0x6e8b_c430_9c3a_11d9_9669_0800_200c_9a66,
        position: Position { partition: 3, index: 1_742 },
        event: 2,
        service: Service::Routing,
        own_seq: 4_711,
        record_time: 1_795_579_200_123,
    };

    fn offer(workspace: &str) -> Bytes {
        let offer = OfferMade { offer: 8, item: 7, thread: 5, agent: "ann".into(), ..OfferMade::default() };
        let event = Event { workspace: workspace.into(), body: Some(Body::OfferMade(offer)), ..Event::default() };
        event.encode_to_vec().into()
    }

    #[test]
    fn an_offer_says_all_that_can_be_known_without_decoding_it() {
        let event = offer("acme");
        let record = public_record(&ORIGIN, &event).unwrap().unwrap();
        assert_eq!((record.topic, record.key.as_str()), (Topic::Routing, "t0000000000005"));
        assert_eq!(record.payload, event);
        let headers: Vec<_> = record.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            headers,
            [
                "ce_specversion: 1.0",
                "ce_id: routing/3/4711",
                "ce_source: urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
                "ce_type: rejoinder.routing.OfferMade.v1",
                "ce_time: 2026-11-25T04:00:00.123Z",
                "ce_subject: t0000000000005",
                "ce_workspace: acme",
                "ce_position: 3/1742/2",
                "ce_ownseq: 4711",
                "content-type: application/protobuf",
            ]
        );
    }

    #[test]
    fn names_of_attributes_are_those_of_the_standard() {
        let record = public_record(&ORIGIN, &offer("acme")).unwrap().unwrap();
        for name in record.headers.iter().filter_map(|(name, _)| name.strip_prefix("ce_")) {
            assert!(name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        }
    }

    #[test]
    fn what_is_inside_stays_inside() {
        let tick = Event { workspace: "acme".into(), body: Some(Body::ClockTick(ClockTick {})), ..Event::default() };
        assert_eq!(public_record(&ORIGIN, &tick.encode_to_vec().into()), Ok(None));
        assert_eq!(public_record(&ORIGIN, &offer("")), Ok(None));
    }

    #[test]
    fn an_event_of_a_newer_version_is_passed_over_only_if_it_may_be() {
        let newer = |must_understand| {
            let event = Event { workspace: "acme".into(), must_understand, ..Event::default() };
            // Field 4000 is none of this version.
            let mut bytes = event.encode_to_vec();
            prost::encoding::encode_key(4_000, prost::encoding::WireType::LengthDelimited, &mut bytes);
            bytes.extend([0]);
            public_record(&ORIGIN, &bytes.into())
        };
        assert_eq!(newer(false), Ok(None));
        assert_eq!(newer(true), Err(Unreadable::Unknown));
        assert!(public_record(&ORIGIN, &Bytes::from_static(b"\x0a\xff")).is_err());
    }
}
