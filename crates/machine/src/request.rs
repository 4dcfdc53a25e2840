//! Requests and their ids: every service remembers alike what it did for one, so that a repeat does
//! nothing and another command under the same id is refused.

use std::sync::Arc;

use rejoinder_model::{DAY_MS, MessageKey, Millis};
use rejoinder_wire::event::Event;
use serde::{Serialize, de::DeserializeOwned};

use crate::table::Table;

/// Requests are remembered for a day at least.
const DAYS: u64 = 1;
/// Requests of days before that are forgotten with each new one.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Who.
    pub actor: &'a str,
    /// The request's id, so that a repeat does nothing.
    pub request_id: &'a str,
    /// The etag that the caller saw of what it wants to change; 0: any.
    pub etag: u64,
}

/// A request as events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id, in its workspace.
    pub key: MessageKey,
    /// What it asks for, whatever the etag was.
    pub content: MessageKey,
}

impl Request {
    /// A command under an id; `None` without one.
    #[must_use]
    pub fn new(workspace: &str, asked: Asked<'_>, command: &str) -> Option<Self> {
        let key = MessageKey::new(workspace, "request", None, asked.request_id);
        let content = MessageKey::new(workspace, "command", None, command);
        (!asked.request_id.is_empty()).then_some(Self { key, content })
    }

    /// The request that an event answers.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let (key, content) = event.request.split_at_checked(16)?;
        Some(Self { key: MessageKey::from_wire(key)?, content: MessageKey::from_wire(content)? })
    }

    /// As events have it.
    #[must_use]
    pub fn to_wire(self) -> Vec<u8> {
        [self.key.to_wire(), self.content.to_wire()].concat()
    }
}

/// What requests did, by day and key.
pub type Requests<R> = Table<(u64, MessageKey), R>;

fn day(at: Millis) -> u64 {
    u64::try_from(at / DAY_MS).unwrap_or_default()
}

impl<R: Clone + Serialize + DeserializeOwned> Requests<R> {
    /// What a request within the last day did.
    #[must_use]
    pub fn remembered(&self, now: Millis, key: MessageKey) -> Option<Arc<R>> {
        let today = day(now);
        (today.saturating_sub(DAYS)..=today).rev().find_map(|day| self.get(&(day, key)))
    }

    /// Folds what a request did, and forgets those of the days before.
    pub fn remember(&mut self, decided_at: Millis, key: MessageKey, did: R) {
        let today = day(decided_at);
        if self.get(&(today, key)).is_some() {
            return;
        }
        for ((old, key), _) in self.page(&(0, MessageKey(0)), FORGOTTEN_AT_ONCE) {
            if old + DAYS < today {
                self.remove(&(old, key));
            }
        }
        self.put((today, key), did);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::NoBacking;

    #[test]
    fn a_request_is_remembered_for_a_day_and_forgotten_after() {
        let mut requests: Requests<u64> = Table::new(1, Arc::new(NoBacking));
        let asked = Asked { request_id: "r", ..Asked::default() };
        let request = Request::new("w", asked, "do").unwrap();
        requests.remember(DAY_MS, request.key, 1);
        requests.remember(DAY_MS + 1, request.key, 2);
        assert_eq!(requests.remembered(3 * DAY_MS - 1, request.key).as_deref(), Some(&1), "the first time counts");
        assert_eq!(requests.remembered(3 * DAY_MS, request.key), None);
        requests.remember(3 * DAY_MS, MessageKey(7), 3);
        assert_eq!(requests.page(&(0, MessageKey(0)), 9).len(), 1, "what is old is gone");
    }

    #[test]
    fn an_event_names_its_request() {
        let asked = Asked { request_id: "r", ..Asked::default() };
        let request = Request::new("w", asked, "do").unwrap();
        let event = Event { request: request.to_wire(), ..Event::default() };
        assert_eq!(Request::of(&event), Some(request));
        assert_eq!(Request::of(&Event::default()), None);
        assert_eq!(Request::new("w", Asked::default(), "do"), None);
    }
}
