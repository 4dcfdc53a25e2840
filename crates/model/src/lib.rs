//! Ids, keys and time: the few types that every part of Rejoinder shares.

mod id;
mod key;
mod service;
mod time;

pub use id::{AlarmId, ClockId, ConversationId, InteractionId, ParseIdError, PersonId, ThreadId};
pub use key::{ConversationKey, HandleKey, LineKey, MessageKey, partition_of};
pub use service::{Position, Service};
pub use time::{DAY_MS, EARLIEST_MS, HOUR_MS, MINUTE_MS, Millis, for_rules};
