//! The log's records and events as protobuf: generated types, which are also the events that the
//! pure cores decide and apply (see docs/adr/0004).

/// Records of the event log: header, claim, frame.
pub mod log {
    #![allow(missing_docs, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/rejoinder.log.v1.rs"));
}

/// Events, one message type each, by the service that owns them.
pub mod event {
    #![allow(missing_docs, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/rejoinder.event.v1.rs"));
}
