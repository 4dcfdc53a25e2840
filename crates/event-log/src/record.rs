//! Records in bytes: a header that is read without touching the events, the events as they were
//! encoded by their writer, a checksum over all of it.

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};
use rejoinder_model::Service;
use rejoinder_wire::log::{Claim, Header};

/// The most bytes that the events of one frame may have.
pub const MAX_FRAME_BYTES: usize = 512 * 1024;
/// More than any frame with its header: what a backend must take.
pub const MAX_RECORD_BYTES: usize = MAX_FRAME_BYTES + 4096;
/// The version of the record format.
pub const FORMAT: u32 = 1;

const HEADER_TAG: u8 = 0x0a;
const EVENT_TAG: u8 = 0x12;
/// Tag of field 15, four bytes.
const CHECKSUM_TAG: u8 = 0x7d;
const CHECKSUM_BYTES: usize = 5;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Too few bytes for a header and a checksum.
    #[error("a record of {0} bytes is too short")]
    TooShort(usize),
    /// The bytes are not those that were written.
    #[error("the checksum is {found:08x}, the bytes give {computed:08x}")]
    Checksum {
        /// As stored.
        found: u32,
        /// As it should be.
        computed: u32,
    },
    /// The header does not parse, or names what does not exist.
    #[error("the header is wrong: {0}")]
    Header(String),
    /// Written by a newer version.
    #[error("the format is {0}, this version knows {FORMAT}: use the version that wrote it, or a newer one")]
    Format(u32),
    /// The events do not parse, or are not as many as the header says.
    #[error("the events are wrong: {0}")]
    Events(String),
}

/// A record, its header decoded and its events still in their bytes.
#[derive(Clone, Debug)]
pub struct RecordView {
    /// The header.
    pub header: Header,
    /// Whose it is.
    pub service: Service,
    events: Bytes,
}

impl RecordView {
    /// Looks at a record whose checksum was verified before.
    ///
    /// # Errors
    /// When the header cannot be read.
    pub fn peek(bytes: &Bytes) -> Result<Self, Damage> {
        if bytes.len() < CHECKSUM_BYTES + 2 {
            return Err(Damage::TooShort(bytes.len()));
        }
        let mut rest = &bytes[..bytes.len() - CHECKSUM_BYTES];
        let wrong = |error: String| Damage::Header(error);
        if rest[0] != HEADER_TAG {
            return Err(wrong("it does not come first".into()));
        }
        rest = &rest[1..];
        let length = decode_varint(&mut rest).map_err(|error| wrong(error.to_string()))?;
        let length = usize::try_from(length).map_err(|error| wrong(error.to_string()))?;
        let Some((header, events)) = rest.split_at_checked(length) else {
            return Err(Damage::TooShort(bytes.len()));
        };
        let header = Header::decode(header).map_err(|error| wrong(error.to_string()))?;
        if header.format != FORMAT {
            return Err(Damage::Format(header.format));
        }
        let service = Service::from_number(header.service)
            .ok_or_else(|| wrong(format!("service {} does not exist", header.service)))?;
        if header.claim.is_some() && (header.event_count != 0 || !events.is_empty()) {
            return Err(Damage::Events("a claim has none".into()));
        }
        Ok(Self { header, service, events: bytes.slice_ref(events) })
    }

    /// Verifies the checksum, then looks at the record.
    ///
    /// # Errors
    /// When the bytes are not those that were written.
    pub fn verify(bytes: &Bytes) -> Result<Self, Damage> {
        let Some((content, checksum)) = bytes.len().checked_sub(CHECKSUM_BYTES).map(|at| bytes.split_at(at)) else {
            return Err(Damage::TooShort(bytes.len()));
        };
        let found = match checksum {
            [CHECKSUM_TAG, a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return Err(Damage::Header("it does not end in a checksum".into())),
        };
        let computed = crc32c::crc32c(content);
        if found != computed {
            return Err(Damage::Checksum { found, computed });
        }
        Self::peek(bytes)
    }

    /// It is a claim, not a frame.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        self.header.claim.is_some()
    }

    /// The encoded events.
    ///
    /// # Errors
    /// When they do not parse or are not as many as the header says.
    pub fn events(&self) -> Result<Vec<Bytes>, Damage> {
        let wrong = |what: &str| Damage::Events(what.to_owned());
        let mut events = Vec::with_capacity(usize::try_from(self.header.event_count).unwrap_or_default().min(65_536));
        let mut rest = &self.events[..];
        while let Some((tag, after)) = rest.split_first() {
            if *tag != EVENT_TAG {
                return Err(wrong("an unknown field stands among them"));
            }
            rest = after;
            let length = decode_varint(&mut rest).map_err(|error| wrong(&error.to_string()))?;
            let length = usize::try_from(length).map_err(|_| wrong("a length is absurd"))?;
            let (event, after) = rest.split_at_checked(length).ok_or_else(|| wrong("one is cut off"))?;
            events.push(self.events.slice_ref(event));
            rest = after;
        }
        if events.len() != self.header.event_count as usize {
            return Err(wrong("they are not as many as the header says"));
        }
        Ok(events)
    }
}

/// The checksum that a record carries; 0 for what is none.
#[must_use]
pub fn checksum_of(bytes: &[u8]) -> u32 {
    bytes.last_chunk::<4>().map_or(0, |last| u32::from_le_bytes(*last))
}

/// Gathers encoded events until a frame is written.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    events: BytesMut,
    count: u32,
}

impl FrameBuilder {
    /// Adds an event.
    pub fn push(&mut self, event: &impl Message) {
        self.events.extend_from_slice(&[EVENT_TAG]);
        encode_varint(event.encoded_len() as u64, &mut self.events);
        // A BytesMut grows as needed: encoding into it cannot fail.
        let _ = event.encode(&mut self.events);
        self.count += 1;
    }

    /// How many events it has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes the events have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.len()
    }

    /// Takes the last events away again, back to a count and a number of bytes that it had.
    pub fn cut_back(&mut self, count: u32, bytes: usize) {
        self.events.truncate(bytes);
        self.count = count;
    }

    /// The frame, with the format and the count of events filled in. The builder is empty again.
    pub fn finish(&mut self, header: &Header) -> Bytes {
        let header = Header { format: FORMAT, event_count: self.count, claim: None, ..*header };
        let record = encode(&header, &self.events);
        self.events.clear();
        self.count = 0;
        record
    }
}

/// A claim of a lane.
#[must_use]
pub fn claim(service: Service, claim: Claim, record_time: i64) -> Bytes {
    let header =
        Header { format: FORMAT, service: service.number(), claim: Some(claim), record_time, ..Header::default() };
    encode(&header, &[])
}

fn encode(header: &Header, events: &[u8]) -> Bytes {
    let mut record = BytesMut::with_capacity(header.encoded_len() + events.len() + 16);
    encode_key(1, WireType::LengthDelimited, &mut record);
    encode_varint(header.encoded_len() as u64, &mut record);
    header.encode_raw(&mut record);
    record.extend_from_slice(events);
    let checksum = crc32c::crc32c(&record);
    record.extend_from_slice(&[CHECKSUM_TAG]);
    record.extend_from_slice(&checksum.to_le_bytes());
    record.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rejoinder_wire::event::{ClockTick, Event, event::Body};
    use rejoinder_wire::log::Record;

    fn header() -> Header {
        Header {
            service: 2,
            epoch: 7,
            frame_no: 3,
            first_own_seq: 41,
            consumed_index: 9,
            consumed_events: 2,
            settled_index: 9,
            record_time: 1_700_000_000_000,
            ..Header::default()
        }
    }

    fn tick(workspace: &str) -> Event {
        Event { workspace: workspace.into(), body: Some(Body::ClockTick(ClockTick {})), ..Event::default() }
    }

    proptest! {
        #[test]
        fn frames_round_trip(names in proptest::collection::vec("[a-z]{0,40}", 0..20)) {
            let mut builder = FrameBuilder::default();
            for name in &names {
                builder.push(&tick(name));
            }
            let bytes = builder.finish(&header());
            let view = RecordView::verify(&bytes).unwrap();
            let events: Vec<String> =
                view.events().unwrap().into_iter().map(|event| Event::decode(event).unwrap().workspace).collect();
            prop_assert_eq!(&events, &names);
            prop_assert_eq!(view.header.first_own_seq, 41);
            // The bytes are the protobuf message that the schema describes.
            let record = Record::decode(bytes.clone()).unwrap();
            prop_assert_eq!(record.events.len(), names.len());
            prop_assert_eq!(record.checksum, checksum_of(&bytes));
        }

        #[test]
        fn any_flipped_bit_is_found(at in 0_usize..10_000, bit in 0_u8..8) {
            let mut builder = FrameBuilder::default();
            builder.push(&tick("acme"));
            let mut bytes = builder.finish(&header()).to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(RecordView::verify(&bytes.into()).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = RecordView::verify(&bytes);
            if let Ok(view) = RecordView::peek(&bytes) {
                let _ = view.events();
            }
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let mut builder = FrameBuilder::default();
        builder.push(&tick("acme"));
        let frame = builder.finish(&header());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&frame), include_str!("../testdata/frame-v1.hex").trim());
        let claim = Claim { prev_epoch: 5, lane_is_new: false, nonce: 77, ..Claim::default() };
        let claim = super::claim(Service::Ingest, claim, 1_700_000_000_000);
        assert_eq!(hex(&claim), include_str!("../testdata/claim-v1.hex").trim());
        assert!(RecordView::verify(&claim).unwrap().is_claim());
    }

    #[test]
    fn a_decision_that_does_not_fit_is_taken_back() {
        let mut builder = FrameBuilder::default();
        builder.push(&tick("a"));
        let (count, bytes) = (builder.count(), builder.bytes());
        builder.push(&tick("b"));
        builder.cut_back(count, bytes);
        let frame = builder.finish(&header());
        assert_eq!(RecordView::verify(&frame).unwrap().events().unwrap().len(), 1);
    }
}
