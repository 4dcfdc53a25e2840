//! Ids, keys and time: the few types that every part of Rejoinder shares.

mod id;
mod key;
mod service;
mod time;

pub use id::{AlarmId, ClockId, ConversationId, InteractionId, OfferId, ParseIdError, PersonId, ThreadId, WorkItemId};
pub use key::{AgentKey, ConversationKey, HandleKey, LineKey, MessageKey, QueueKey, partition_of};
pub use service::{Position, Service};
pub use time::{DAY_MS, EARLIEST_MS, HOUR_MS, MINUTE_MS, Millis, for_rules};
