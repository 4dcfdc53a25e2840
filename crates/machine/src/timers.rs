//! Timers in order of their due times: the near ones in memory, the far ones in the table behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use rejoinder_model::{HOUR_MS, Millis};

use crate::table::{Backing, Table, TableKey, TableOps};

/// How far ahead of the present timers are kept in memory.
const NEAR_MS: Millis = HOUR_MS;
/// How many timers are read from the table at a time.
const PAGE: usize = 1_000;

/// A timer by what it is about. Orders by due time, then entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    /// When it is due.
    pub due: Millis,
    /// What it is about.
    pub entity: u64,
    /// Which timer of the entity.
    pub kind: u8,
}

impl TableKey for TimerKey {
    fn encode(&self, to: &mut Vec<u8>) {
        // The flipped sign bit makes byte order the order of signed numbers.
        to.extend_from_slice(&(self.due.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        to.extend_from_slice(&self.entity.to_be_bytes());
        to.push(self.kind);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (due, rest) = bytes.split_first_chunk::<8>()?;
        let (entity, rest) = rest.split_first_chunk::<8>()?;
        let [kind] = rest else { return None };
        Some(Self {
            due: (u64::from_be_bytes(*due) ^ (1 << 63)).cast_signed(),
            entity: u64::from_be_bytes(*entity),
            kind: *kind,
        })
    }
}

/// No key is before this one.
const FIRST: TimerKey = TimerKey { due: Millis::MIN, entity: 0, kind: 0 };

/// The timers of a state. The value of each is the own_seq of the event that armed it.
pub struct Timers {
    table: Table<TimerKey, u64>,
    near: BTreeSet<TimerKey>,
    /// Every timer due before this is in `near`.
    near_to: Millis,
    /// The first of those that are not, as far as is known.
    far: Far,
}

/// Where the timers that are not near begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// There is none.
    Nowhere,
    /// With this one.
    With(TimerKey),
    /// Not before this key: a search goes on from there, and never again over those that are gone.
    NotBefore(TimerKey),
}

impl Timers {
    /// The timers of table `id` in front of a store.
    #[must_use]
    pub fn new(id: u8, backing: Arc<dyn Backing>) -> Self {
        Self { table: Table::new(id, backing), near: BTreeSet::new(), near_to: Millis::MIN, far: Far::NotBefore(FIRST) }
    }

    /// Arms a timer by the event `own_seq`.
    pub fn arm(&mut self, key: TimerKey, own_seq: u64) {
        self.table.put(key, own_seq);
        if key.due < self.near_to {
            self.near.insert(key);
            return;
        }
        self.far = match self.far {
            Far::Nowhere => Far::With(key),
            Far::With(first) => Far::With(first.min(key)),
            Far::NotBefore(from) => Far::NotBefore(from.min(key)),
        };
    }

    /// Removes a timer, if it is armed.
    pub fn disarm(&mut self, key: &TimerKey) {
        self.table.remove(key);
        self.near.remove(key);
        if self.far == Far::With(*key) {
            self.far = Far::NotBefore(*key);
        }
    }

    /// The due time of the earliest timer.
    #[must_use]
    pub fn next_due(&mut self) -> Option<Millis> {
        if let Some(first) = self.near.first() {
            return Some(first.due);
        }
        if let Far::NotBefore(from) = self.far {
            let from = from.max(TimerKey { due: self.near_to, entity: 0, kind: 0 });
            self.far = self.table.page(&from, 1).first().map_or(Far::Nowhere, |(key, _)| Far::With(*key));
        }
        match self.far {
            Far::With(first) => Some(first.due),
            Far::Nowhere | Far::NotBefore(_) => None,
        }
    }

    /// The first timers due at or before `time` that were armed by an event before `own_seq_end`,
    /// in order, `limit` at most.
    #[must_use]
    pub fn due(&mut self, time: Millis, own_seq_end: u64, limit: usize) -> Vec<TimerKey> {
        self.reach(time);
        let armed_before = |key: &&TimerKey| self.table.get(key).is_some_and(|armed| *armed < own_seq_end);
        let due = self.near.iter().take_while(|key| key.due <= time);
        due.filter(armed_before).take(limit).copied().collect()
    }

    /// Brings the timers due up to `time` into memory, and those due soon after.
    fn reach(&mut self, time: Millis) {
        if time < self.near_to {
            return;
        }
        let to = time.saturating_add(NEAR_MS);
        let mut from = TimerKey { due: self.near_to, entity: 0, kind: 0 };
        match self.far {
            Far::Nowhere => {
                self.near_to = to;
                return;
            }
            Far::With(first) | Far::NotBefore(first) => from = from.max(first),
        }
        self.far = Far::Nowhere;
        loop {
            let page = self.table.page(&from, PAGE);
            let full = page.len() == PAGE;
            for (key, _) in page {
                if key.due >= to {
                    self.near_to = to;
                    self.far = Far::With(key);
                    return;
                }
                self.near.insert(key);
                from = key;
            }
            if !full {
                self.near_to = to;
                return;
            }
            from.kind = from.kind.saturating_add(1);
        }
    }

    /// The table below, for flushes and digests.
    pub fn table(&mut self) -> &mut dyn TableOps {
        &mut self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::NoBacking;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn key_bytes_order_as_keys_do(a in any::<(i64, u64, u8)>(), b in any::<(i64, u64, u8)>()) {
            let key = |(due, entity, kind)| TimerKey { due, entity, kind };
            let bytes = |key: TimerKey| { let mut to = Vec::new(); key.encode(&mut to); to };
            let (a, b) = (key(a), key(b));
            prop_assert_eq!(a.cmp(&b), bytes(a).cmp(&bytes(b)));
            prop_assert_eq!(TimerKey::decode(&bytes(a)), Some(a));
        }
    }

    proptest! {
        #[test]
        fn the_earliest_is_known_whatever_was_armed_and_disarmed(
            steps in proptest::collection::vec((any::<bool>(), 0_i64..40, 0_u64..3), 1..60),
        ) {
            let mut timers = Timers::new(9, Arc::new(NoBacking));
            let mut armed = BTreeSet::new();
            let mut now = 0;
            for (arms, due, entity) in steps {
                // Some lie near, others far ahead.
                let key = TimerKey { due: now + due * HOUR_MS / 8, entity, kind: 0 };
                if arms {
                    timers.arm(key, 1);
                    armed.insert(key);
                } else if let Some(key) = armed.iter().nth(entity as usize).copied() {
                    timers.disarm(&key);
                    armed.remove(&key);
                }
                let first = armed.first().map(|key| key.due);
                prop_assert_eq!(timers.next_due(), first);
                if entity == 2 && let Some(first) = first {
                    now = now.max(first);
                    let due: Vec<TimerKey> = armed.iter().take_while(|key| key.due <= now).copied().collect();
                    prop_assert_eq!(timers.due(now, 2, 100), due);
                }
            }
        }
    }

    #[test]
    fn near_and_far_timers_come_due_in_order_and_only_if_armed_before() {
        let mut timers = Timers::new(9, Arc::new(NoBacking));
        let key = |due, entity| TimerKey { due, entity, kind: 0 };
        timers.arm(key(50, 2), 7);
        timers.arm(key(10 * HOUR_MS, 1), 8);
        timers.arm(key(50, 1), 9);
        assert_eq!(timers.next_due(), Some(50));
        assert_eq!(timers.due(49, 100, 10), vec![]);
        assert_eq!(timers.due(50, 100, 10), vec![key(50, 1), key(50, 2)]);
        assert_eq!(timers.due(50, 9, 10), vec![key(50, 2)]);
        timers.disarm(&key(50, 1));
        timers.disarm(&key(50, 2));
        assert_eq!(timers.next_due(), Some(10 * HOUR_MS));
        assert_eq!(timers.due(11 * HOUR_MS, 100, 10), vec![key(10 * HOUR_MS, 1)]);
    }
}
