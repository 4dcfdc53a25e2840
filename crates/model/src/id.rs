//! Ids of what we name ourselves, made from (partition, own_seq) of the event that named it.
//!
//! The service is implied by the kind: interactions are numbered by ingest, threads and persons by
//! threading, work items and offers by routing. In text an id is a letter and 13 digits of Crockford's base 32: `t0000000000G05`.

use serde::{Deserialize, Serialize};

const SEQ_BITS: u32 = 48;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is no id of the kind wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind} id: want the letter {letter:?} and 13 digits of 0-9 a-z without i, l, o, u")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    letter: char,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The id made by the event `own_seq` of the owner's lane in `partition`.
            #[must_use]
            pub fn new(partition: u16, own_seq: u64) -> Self {
                Self((u64::from(partition) << SEQ_BITS) | (own_seq & ((1 << SEQ_BITS) - 1)))
            }

            /// `None` for the wire's 0, which means absent.
            #[must_use]
            pub fn from_wire(number: u64) -> Option<Self> {
                (number != 0).then_some(Self(number))
            }

            /// The partition whose lane made the id.
            #[must_use]
            pub fn partition(self) -> u16 {
                u16::try_from(self.0 >> SEQ_BITS).unwrap_or(u16::MAX)
            }

            /// The own_seq of the event that made the id.
            #[must_use]
            pub fn own_seq(self) -> u64 {
                self.0 & ((1 << SEQ_BITS) - 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut text = [0_u8; 14];
                text[0] = u8::try_from($letter).unwrap_or_default();
                for (i, digit) in text[1..].iter_mut().enumerate() {
                    let shift = 5 * (12 - i);
                    *digit = DIGITS[((self.0 >> shift) & 31) as usize];
                }
                f.pad(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let wrong = || ParseIdError {
                    text: text.chars().take(40).collect(),
                    kind: $kind,
                    letter: $letter,
                };
                let digits = text.strip_prefix($letter).ok_or_else(wrong)?;
                if digits.len() != 13 {
                    return Err(wrong());
                }
                let mut number: u64 = 0;
                for (i, byte) in digits.bytes().enumerate() {
                    let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_lowercase());
                    let digit = digit.ok_or_else(wrong)? as u64;
                    if i == 0 && digit > 15 {
                        return Err(wrong());
                    }
                    number = (number << 5) | digit;
                }
                Self::from_wire(number).ok_or_else(wrong)
            }
        }
    };
}

id!(
    /// An accepted message, numbered by ingest.
    InteractionId, "message", 'm'
);
id!(
    /// A thread, numbered by threading.
    ThreadId, "thread", 't'
);
id!(
    /// A person, numbered by threading.
    PersonId, "person", 'p'
);

id!(
    /// A public conversation, numbered by threading.
    ConversationId, "conversation", 'c'
);

id!(
    /// A work item, numbered by routing.
    WorkItemId, "work item", 'w'
);
id!(
    /// An offer, numbered by routing.
    OfferId, "offer", 'o'
);
id!(
    /// A clock, numbered by sla-timer.
    ClockId, "clock", 'k'
);
id!(
    /// An alarm, numbered by sla-timer.
    AlarmId, "alarm", 'a'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text() {
        for (partition, seq) in [(0, 1), (15, 16_005), (u16::MAX, (1 << 48) - 1)] {
            let id = ThreadId::new(partition, seq);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!((id.partition(), id.own_seq()), (partition, seq));
        }
    }

    #[test]
    fn each_kind_has_its_letter() {
        let texts = [
            InteractionId::new(0, 1).to_string(),
            ThreadId::new(0, 1).to_string(),
            PersonId::new(0, 1).to_string(),
            ConversationId::new(0, 1).to_string(),
            ClockId::new(0, 1).to_string(),
            AlarmId::new(0, 1).to_string(),
        ];
        assert_eq!(
            texts,
            [
                "m0000000000001",
                "t0000000000001",
                "p0000000000001",
                "c0000000000001",
                "k0000000000001",
                "a0000000000001"
            ]
        );
    }

    #[test]
    fn another_kind_or_a_broken_text_is_refused() {
        let text = ThreadId::new(1, 2).to_string();
        assert!(text.parse::<PersonId>().is_err());
        for text in ["", "t", "t000000000000", "tzzzzzzzzzzzzz", "t000000000000u", "t0000000000000"] {
            assert!(text.parse::<ThreadId>().is_err(), "{text}");
        }
    }
}
