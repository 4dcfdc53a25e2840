//! A table of the state: what is in use lives in memory, the rest behind it.
//!
//! Values are read through from a backing store and changed in memory only. What has changed is
//! collected once for each flush, in its stored form; at the same time the table's part of the
//! digest follows. Entries that are clean and were not used lately can be let go.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use rejoinder_model::{
    AgentKey, AlarmId, ClockId, ConversationKey, HandleKey, LineKey, MessageKey, OfferId, PersonId, QueueKey, ThreadId,
    WorkItemId,
};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use self::unstored::Unstored;
use crate::filter::Filter;

mod unstored;

/// The version of the digest: changes when stored forms or its rule change.
pub const DIGEST_VERSION: u32 = 1;

/// Bytes that an entry takes in memory besides its key and value: its slot, its share of the free ones,
/// what the allocator adds.
const ENTRY_OVERHEAD: usize = 160;

/// How many stored entries are looked at together at least: those that are gone may come first.
const SCANNED_AT_LEAST: usize = 64;

/// How many stored keys are learnt with each flush, after a restart.
const SCANNED_A_FLUSH: usize = 20_000;

/// Keys and values as stored.
pub type StoredEntries = Vec<(Vec<u8>, Vec<u8>)>;

/// Where a table's entries lie when they are not in memory.
pub trait Backing: Send + Sync {
    /// The stored value of a key.
    ///
    /// # Errors
    /// What the storage said.
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// Up to `limit` stored entries with keys from `from` on, in key order.
    ///
    /// # Errors
    /// What the storage said.
    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<StoredEntries, String>;

    /// Takes note that a read failed: the state can no longer be trusted, and its lane must stop.
    fn failed(&self, what: String);
}

/// No store behind: all entries are in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBacking;

impl Backing for NoBacking {
    fn get(&self, _: u8, _: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn scan(&self, _: u8, _: &[u8], _: usize) -> Result<StoredEntries, String> {
        Ok(Vec::new())
    }

    fn failed(&self, _: String) {}
}

/// A key of a table. Its bytes order as the keys do.
pub trait TableKey: Clone + Eq + Ord + Hash + Send {
    /// Appends the key's bytes.
    fn encode(&self, to: &mut Vec<u8>);

    /// The key of some bytes; `None` when they are none.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

macro_rules! number_key {
    ($($type:ty: $number:ty),+) => {$(
        impl TableKey for $type {
            fn encode(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.0.to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                Some(Self(<$number>::from_be_bytes(bytes.try_into().ok()?)))
            }
        }
    )+};
}

number_key!(
    MessageKey: u128, HandleKey: u128, ConversationKey: u128, LineKey: u128, AgentKey: u128, QueueKey: u128,
    ThreadId: u64, PersonId: u64, WorkItemId: u64, OfferId: u64, ClockId: u64, AlarmId: u64
);

impl TableKey for u64 {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

impl<A: TableKey + FixedWidth, B: TableKey> TableKey for (A, B) {
    fn encode(&self, to: &mut Vec<u8>) {
        self.0.encode(to);
        self.1.encode(to);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (a, b) = bytes.split_at_checked(A::WIDTH)?;
        Some((A::decode(a)?, B::decode(b)?))
    }
}

/// A key whose bytes always have the same number, so that another can follow it.
pub trait FixedWidth {
    /// How many bytes.
    const WIDTH: usize;
}

impl FixedWidth for u64 {
    const WIDTH: usize = 8;
}

impl TableKey for String {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// Keys are hashes or dense numbers already: folding their words is enough.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(xxh3_64(bytes));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_u128(&mut self, number: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the low word of a hash is a hash")]
        self.write_u64(number as u64);
    }
}

/// One change of a table, in stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table's number, then the key's bytes.
    pub key: Vec<u8>,
    /// `None`: the entry is gone.
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Clean,
    Dirty,
    /// Collected, and not yet known to be stored.
    Flushing,
}

/// Entries in memory.
type Slots<K, V> = HashMap<K, Slot<V>, BuildHasherDefault<KeyHasher>>;

struct Slot<V> {
    value: Option<Arc<V>>,
    /// What the entry adds to the digest in its last collected form; 0 for an absent one.
    digest: u128,
    bytes: u32,
    phase: Phase,
    used: bool,
}

/// What the shell does with every table alike.
pub trait TableOps {
    /// Collects what changed since the last time, in stored form, and brings the digest up to date.
    fn collect(&mut self, changes: &mut Vec<Change>);
    /// All that was collected is stored now.
    fn flushed(&mut self);
    /// The sum over all entries as of the last `collect`.
    fn digest(&self) -> u128;
    /// Sets the digest as it was stored.
    fn restore_digest(&mut self, digest: u128);
    /// About how many bytes of memory it holds.
    fn memory(&self) -> usize;
    /// Lets clean entries go that were not used since the last time.
    fn evict(&mut self);
    /// The table's number.
    fn id(&self) -> u8;
}

/// A table from `K` to `V`.
pub struct Table<K, V> {
    id: u8,
    slots: RefCell<Slots<K, V>>,
    unstored: Unstored<K>,
    digest: u128,
    /// Stored size of what is in memory.
    bytes: Cell<usize>,
    /// Keys that may be stored and are not in memory: who asks for a new key must not ask the disk.
    stored: Filter,
    /// Stored keys from here on are not in the filter yet; `None`: all are.
    unscanned: Option<Vec<u8>>,
    backing: Arc<dyn Backing>,
}

impl<K: TableKey, V: Clone + Serialize + DeserializeOwned> Table<K, V> {
    /// The table of number `id` in front of a store.
    #[must_use]
    pub fn new(id: u8, backing: Arc<dyn Backing>) -> Self {
        let empty = backing.scan(id, &[], 1).is_ok_and(|stored| stored.is_empty());
        Self {
            id,
            slots: RefCell::default(),
            unstored: Unstored::default(),
            digest: 0,
            bytes: Cell::new(0),
            stored: Filter::default(),
            unscanned: (!empty).then(Vec::new),
            backing,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.used = true;
            return slot.value.clone();
        }
        let slot = self.load(key)?;
        let value = slot.value.clone();
        self.keep(&mut self.slots.borrow_mut(), key, slot);
        value
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: K, value: V) {
        self.set(key, Some(Arc::new(value)));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &K) {
        if self.get(key).is_some() {
            self.set(key.clone(), None);
        }
    }

    /// Changes the value of a key in place; `false` when there is none.
    pub fn update(&mut self, key: &K, change: impl FnOnce(&mut V)) -> bool {
        if !self.slots.get_mut().contains_key(key) {
            let Some(slot) = self.load(key) else { return false };
            self.keep(&mut self.slots.borrow_mut(), key, slot);
        }
        let slot = self.slots.get_mut().get_mut(key);
        let Some(Slot { value: Some(value), phase, used, .. }) = slot else { return false };
        change(Arc::make_mut(value));
        *used = true;
        if *phase != Phase::Dirty {
            *phase = Phase::Dirty;
            self.unstored.add(key.clone());
        }
        true
    }

    /// Changes the value of a key in place, from the default one when there is none.
    pub fn upsert(&mut self, key: &K, change: impl FnOnce(&mut V))
    where
        V: Default,
    {
        let mut change = Some(change);
        let known = self.update(key, |value| {
            if let Some(change) = change.take() {
                change(value);
            }
        });
        if let (false, Some(change)) = (known, change) {
            let mut value = V::default();
            change(&mut value);
            self.put(key.clone(), value);
        }
    }

    /// Up to `limit` entries with keys from `from` on, in key order, changed ones included.
    #[must_use]
    pub fn page(&self, from: &K, limit: usize) -> Vec<(K, Arc<V>)> {
        let mut page = BTreeMap::new();
        let mut start = Vec::new();
        from.encode(&mut start);
        // Stored entries that memory says are gone or changed are passed over, so ask until enough.
        let mut complete_to: Option<K> = None;
        let chunk = limit.max(SCANNED_AT_LEAST);
        loop {
            let stored = match self.backing.scan(self.id, &start, chunk) {
                Ok(stored) => stored,
                Err(what) => {
                    self.backing.failed(what);
                    return Vec::new();
                }
            };
            let full = stored.len() >= chunk;
            let mut last = None;
            for (bytes, value) in stored {
                let Some(key) = K::decode(&bytes) else {
                    self.backing.failed(format!("table {} has a key that is none", self.id));
                    return Vec::new();
                };
                if let Some(value) = self.found(&key, &bytes, &value) {
                    page.insert(key.clone(), value);
                    if page.len() >= limit {
                        complete_to = Some(key);
                        break;
                    }
                }
                last = Some(bytes);
            }
            let Some(mut bytes) = last.filter(|_| full && complete_to.is_none()) else { break };
            bytes.push(0);
            start = bytes;
        }
        let slots = self.slots.borrow();
        let to = complete_to.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let unstored = self.unstored.in_order();
        let present = unstored.range((Bound::Included(from), to)).filter_map(|key| {
            let value = slots.get(key)?.value.clone()?;
            Some((key.clone(), value))
        });
        page.extend(present.take(limit));
        page.into_iter().take(limit).collect()
    }

    fn set(&mut self, key: K, value: Option<Arc<V>>) {
        let slots = self.slots.get_mut();
        if let Some(slot) = slots.get_mut(&key) {
            slot.value = value;
            slot.used = true;
            if slot.phase != Phase::Dirty {
                slot.phase = Phase::Dirty;
                self.unstored.add(key);
            }
            return;
        }
        // What is stored must be known, since the digest loses it.
        let digest = self.load(&key).map_or(0, |slot| slot.digest);
        let slot = Slot { value, digest, bytes: 0, phase: Phase::Dirty, used: true };
        self.slots.get_mut().insert(key.clone(), slot);
        self.unstored.add(key);
    }

    fn load(&self, key: &K) -> Option<Slot<V>> {
        let mut bytes = Vec::with_capacity(24);
        key.encode(&mut bytes);
        if self.unscanned.is_none() && !self.stored.may_have(&bytes) {
            return None;
        }
        let stored = match self.backing.get(self.id, &bytes) {
            Ok(stored) => stored?,
            Err(what) => {
                self.backing.failed(what);
                return None;
            }
        };
        self.slot_of(&bytes, &stored)
    }

    /// The value of a key that a scan found stored; memory may know better.
    fn found(&self, key: &K, bytes: &[u8], stored: &[u8]) -> Option<Arc<V>> {
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get_mut(key) {
            slot.used = true;
            return slot.value.clone();
        }
        let slot = self.slot_of(bytes, stored)?;
        let value = slot.value.clone();
        self.keep(&mut slots, key, slot);
        value
    }

    /// Takes an entry that was stored into memory.
    fn keep(&self, slots: &mut Slots<K, V>, key: &K, slot: Slot<V>) {
        self.bytes.set(self.bytes.get() + slot.bytes as usize);
        slots.insert(key.clone(), slot);
    }

    fn slot_of(&self, bytes: &[u8], stored: &[u8]) -> Option<Slot<V>> {
        let Ok(value) = postcard::from_bytes(stored) else {
            self.backing.failed(format!("table {} has an entry that cannot be read", self.id));
            return None;
        };
        Some(Slot {
            value: Some(Arc::new(value)),
            digest: entry_digest(self.id, bytes, stored),
            bytes: u32::try_from(stored.len()).unwrap_or(u32::MAX),
            phase: Phase::Clean,
            used: true,
        })
    }
}

impl<K, V> Table<K, V> {
    /// Learns some more of the keys that were stored before this process started.
    fn scan_on(&mut self) {
        let Some(from) = self.unscanned.take() else { return };
        match self.backing.scan(self.id, &from, SCANNED_A_FLUSH) {
            Ok(found) => {
                found.iter().for_each(|(key, _)| self.stored.add(key));
                let full = found.len() == SCANNED_A_FLUSH;
                let last = found.into_iter().next_back().filter(|_| full);
                self.unscanned = last.map(|(mut key, _)| {
                    key.push(0);
                    key
                });
            }
            Err(what) => self.backing.failed(what),
        }
    }
}

fn entry_digest(table: u8, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Xxh3::with_seed(u64::from(DIGEST_VERSION));
    hasher.update(&[table]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    // 0 stands for an absent entry.
    hasher.digest128().max(1)
}

impl<K: TableKey, V: Clone + Serialize + DeserializeOwned> TableOps for Table<K, V> {
    fn collect(&mut self, changes: &mut Vec<Change>) {
        let Self { id, slots, unstored, digest: total, bytes: held, backing, .. } = self;
        let slots = slots.get_mut();
        unstored.collect(|key| {
            let Some(slot) = slots.get_mut(key).filter(|slot| slot.phase == Phase::Dirty) else { return false };
            let mut bytes = Vec::with_capacity(24);
            bytes.push(*id);
            key.encode(&mut bytes);
            let value = slot.value.as_deref().and_then(|value| match postcard::to_stdvec(value) {
                Ok(stored) => Some(stored),
                Err(error) => {
                    backing.failed(format!("table {id}: {error}"));
                    None
                }
            });
            let digest = value.as_ref().map_or(0, |value| entry_digest(*id, &bytes[1..], value));
            // What came and went between two flushes was never stored: there is nothing to remove.
            let is_stored = value.is_some() || slot.digest != 0;
            *total = total.wrapping_sub(slot.digest).wrapping_add(digest);
            slot.digest = digest;
            let size = value.as_ref().map_or(0, |value| u32::try_from(value.len()).unwrap_or(u32::MAX));
            held.set((held.get() + size as usize).saturating_sub(slot.bytes as usize));
            slot.bytes = size;
            slot.phase = Phase::Flushing;
            if is_stored {
                changes.push(Change { key: bytes, value });
            }
            true
        });
    }

    fn flushed(&mut self) {
        let slots = self.slots.get_mut();
        self.unstored.flushed(|key| {
            let Entry::Occupied(mut entry) = slots.entry(key) else { return };
            if entry.get().phase != Phase::Flushing {
                return;
            }
            if entry.get().value.is_none() {
                entry.remove();
            } else {
                entry.get_mut().phase = Phase::Clean;
            }
        });
        self.scan_on();
    }

    fn digest(&self) -> u128 {
        self.digest
    }

    fn restore_digest(&mut self, digest: u128) {
        self.digest = digest;
    }

    fn memory(&self) -> usize {
        // A value in memory takes about three times its stored form.
        let slots = self.slots.borrow();
        slots.len() * (ENTRY_OVERHEAD + size_of::<K>() + size_of::<V>()) + 2 * self.bytes.get() + self.stored.bytes()
    }

    fn evict(&mut self) {
        let mut bytes = self.bytes.get();
        let (stored, mut encoded) = (&mut self.stored, Vec::with_capacity(24));
        self.slots.get_mut().retain(|key, slot| {
            let keep = slot.phase != Phase::Clean || std::mem::take(&mut slot.used);
            if !keep {
                bytes = bytes.saturating_sub(slot.bytes as usize);
                encoded.clear();
                key.encode(&mut encoded);
                stored.add(&encoded);
            }
            keep
        });
        let slots = self.slots.get_mut();
        if slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
        }
        self.bytes.set(bytes);
    }

    fn id(&self) -> u8 {
        self.id
    }
}

#[cfg(test)]
pub(crate) mod tests;
