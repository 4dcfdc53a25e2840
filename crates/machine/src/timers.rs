//! Timers in order of their due times: the next ones in memory, the rest in the table behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_model::Millis;

use crate::table::{Backing, Table, TableKey, TableOps};

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

impl TimerKey {
    /// No key of this time is before this one.
    const fn first_at(due: Millis) -> Self {
        Self { due, entity: 0, kind: 0 }
    }
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
const FIRST: TimerKey = TimerKey::first_at(Millis::MIN);

/// How much is kept and read at a time.
#[derive(Clone, Copy)]
struct Limits {
    /// How many timers are near at most: they take less than a megabyte.
    near: usize,
    /// How many are read from the table at a time.
    page: usize,
}

const LIMITS: Limits = Limits { near: 1 << 14, page: 1 << 11 };

/// The timers of a state. The value of each is the own_seq of the event that armed it.
pub struct Timers {
    table: Table<TimerKey, u64>,
    /// The earliest timers: all that are armed before `far_from`, and no others.
    near: BTreeMap<TimerKey, u64>,
    /// Where the timers begin that only the table has; `None`: all are near.
    ///
    /// It moves on as they come near, so a search never goes over those again that are gone.
    far_from: Option<TimerKey>,
    /// Every timer before this key was armed by the event of this own_seq or a later one.
    passed: (TimerKey, u64),
    limits: Limits,
}

impl Timers {
    /// The timers of table `id` in front of a store.
    #[must_use]
    pub fn new(id: u8, backing: Arc<dyn Backing>) -> Self {
        let table = Table::new(id, backing);
        Self { table, near: BTreeMap::new(), far_from: Some(FIRST), passed: (FIRST, 0), limits: LIMITS }
    }

    /// Arms a timer by the event `own_seq`.
    pub fn arm(&mut self, key: TimerKey, own_seq: u64) {
        self.table.put(key, own_seq);
        let (passed, since) = self.passed;
        if key < passed && own_seq < since {
            self.passed = (key, since);
        }
        if self.is_near(&key) {
            self.near.insert(key, own_seq);
            self.shed();
        }
    }

    /// Removes a timer, if it is armed.
    pub fn disarm(&mut self, key: &TimerKey) {
        self.table.remove(key);
        self.near.remove(key);
    }

    /// The own_seq of the event that armed a timer; `None`: it is not armed.
    #[must_use]
    pub fn armed_by(&self, key: &TimerKey) -> Option<u64> {
        if self.is_near(key) { self.near.get(key).copied() } else { self.table.get(key).map(|own_seq| *own_seq) }
    }

    /// The due time of the earliest timer.
    #[must_use]
    pub fn next_due(&mut self) -> Option<Millis> {
        if self.near.is_empty() {
            self.bring_near();
        }
        self.near.first_key_value().map(|(key, _)| key.due)
    }

    /// The first timers due at or before `time` that were armed by an event before `own_seq_end`,
    /// in order, `limit` at most.
    ///
    /// Asked again and again while they fire, it goes on where it was: a storm of timers that were
    /// armed too late for it is passed over once.
    #[must_use]
    pub fn due(&mut self, time: Millis, own_seq_end: u64, limit: usize) -> Vec<TimerKey> {
        if limit == 0 {
            return Vec::new();
        }
        let (passed, since) = self.passed;
        let from = if own_seq_end <= since { passed } else { FIRST };
        if self.near.len() < limit.min(self.limits.page) {
            self.bring_near();
        }
        let mut due = Vec::new();
        let is_old = |own_seq: u64| own_seq < own_seq_end;
        let near = self.near.range(from..).take_while(|(key, _)| key.due <= time);
        due.extend(near.filter(|(_, own_seq)| is_old(**own_seq)).map(|(key, _)| *key).take(limit));
        let mut far = self.far_from.map(|far| far.max(from));
        while let Some(from) = far.filter(|from| due.len() < limit && from.due <= time) {
            let at_once = (limit - due.len()).min(self.limits.page);
            let page = self.table.page(&from, at_once);
            let is_full = page.len() >= at_once;
            far = page.last().and_then(|(last, _)| next(*last)).filter(|_| is_full);
            let page = page.into_iter().take_while(|(key, _)| key.due <= time);
            due.extend(page.filter(|(_, own_seq)| is_old(**own_seq)).map(|(key, _)| key).take(limit - due.len()));
        }
        let first = due.first().copied().unwrap_or(TimerKey::first_at(time.saturating_add(1)));
        self.passed = (first.max(from), own_seq_end);
        due
    }

    /// The table below, for flushes and digests.
    pub fn table(&mut self) -> &mut dyn TableOps {
        &mut self.table
    }

    fn is_near(&self, key: &TimerKey) -> bool {
        self.far_from.is_none_or(|far| *key < far)
    }

    /// Reads the next timers from the table.
    fn bring_near(&mut self) {
        let Some(from) = self.far_from else { return };
        let page = self.table.page(&from, self.limits.page);
        let is_full = page.len() >= self.limits.page;
        self.far_from = page.last().and_then(|(last, _)| next(*last)).filter(|_| is_full);
        self.near.extend(page.into_iter().map(|(key, own_seq)| (key, *own_seq)));
    }

    /// Lets the later half go when too many are near.
    fn shed(&mut self) {
        if self.near.len() > self.limits.near
            && let Some(middle) = self.near.keys().nth(self.limits.near / 2).copied()
        {
            drop(self.near.split_off(&middle));
            self.far_from = Some(middle);
        }
    }
}

/// The key right after another; `None`: there is none.
fn next(TimerKey { due, entity, kind }: TimerKey) -> Option<TimerKey> {
    let same_entity = kind.checked_add(1).map(|kind| TimerKey { due, entity, kind });
    let same_time = || entity.checked_add(1).map(|entity| TimerKey { due, entity, kind: 0 });
    same_entity.or_else(same_time).or_else(|| due.checked_add(1).map(TimerKey::first_at))
}

#[cfg(test)]
mod tests;
