//! An index: keys in order, all of them in memory, with the table behind for flushes and digests.
//!
//! What is waiting and who is available must be found without a look at the store; both are small
//! beside the records that they point to.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use rejoinder_machine::{Backing, Table, TableKey, TableOps};
use serde::{Serialize, de::DeserializeOwned};

/// How many stored entries are read at a time.
const PAGE: usize = 1_000;

/// Keys in order, each with a value.
pub(crate) struct Index<K, V> {
    table: Table<K, V>,
    keys: BTreeSet<K>,
}

impl<K: TableKey, V: Clone + Serialize + DeserializeOwned> Index<K, V> {
    /// The index of table `id`; `least` is not above any key.
    pub(crate) fn open(id: u8, backing: Arc<dyn Backing>, least: K) -> Self {
        let table = Table::new(id, backing);
        let mut keys = BTreeSet::new();
        let mut from = least;
        loop {
            let page = table.page(&from, PAGE);
            let full = page.len() == PAGE;
            let before = keys.len();
            keys.extend(page.into_iter().map(|(key, _)| key));
            match keys.last() {
                // The page begins with the last key of the one before.
                Some(last) if full && keys.len() > before => from = last.clone(),
                _ => return Self { table, keys },
            }
        }
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.keys.insert(key.clone());
        self.table.put(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if self.keys.remove(key) {
            self.table.remove(key);
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        if self.keys.contains(key) { self.table.get(key) } else { None }
    }

    pub(crate) fn first(&self) -> Option<&K> {
        self.keys.first()
    }

    /// Keys from `from` on.
    pub(crate) fn from<'a>(&'a self, from: &K) -> impl Iterator<Item = &'a K> + use<'a, K, V> {
        self.keys.range((Bound::Included(from.clone()), Bound::Unbounded))
    }

    pub(crate) fn table(&mut self) -> &mut dyn TableOps {
        &mut self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Stored(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Backing for Stored {
        fn get(&self, _: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(&self, _: u8, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
            Ok(self.0.range(from.to_vec()..).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
        }

        fn failed(&self, what: String) {
            panic!("{what}");
        }
    }

    #[test]
    fn all_that_is_stored_is_found_again() {
        for count in [0, 1, PAGE as u64 - 1, PAGE as u64, 2 * PAGE as u64 + 3] {
            let entry = |n: u64| (n.to_be_bytes().to_vec(), vec![u8::try_from(n % 100).unwrap()]);
            let stored = Arc::new(Stored((0..count).map(entry).collect()));
            let index: Index<u64, u8> = Index::open(1, stored, 0);
            assert_eq!(index.from(&0).count() as u64, count);
        }
    }
}
