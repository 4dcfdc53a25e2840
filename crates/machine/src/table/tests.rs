//! A table against a plain map: same answers, same digest, whatever is flushed and let go between.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

/// A store in memory, for tests.
#[derive(Default)]
pub(crate) struct Store(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Store {
    pub(crate) fn write(&self, changes: Vec<Change>) {
        let mut entries = self.0.lock().unwrap();
        for Change { key, value } in changes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
    }
}

impl Backing for Store {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().unwrap().get(&[&[table], key].concat()).cloned())
    }

    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
        let entries = self.0.lock().unwrap();
        let range = entries.range([&[table], from].concat()..);
        let own = range.take_while(|(key, _)| key[0] == table).take(limit);
        Ok(own.map(|(key, value)| (key[1..].to_vec(), value.clone())).collect())
    }

    fn failed(&self, what: String) {
        panic!("{what}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u32),
    Add(u64),
    Remove(u64),
    Collect,
    Stored,
    Evict,
    Reopen,
    Page(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u64..12;
    prop_oneof![
        (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        key.clone().prop_map(Step::Add),
        key.clone().prop_map(Step::Remove),
        Just(Step::Collect),
        Just(Step::Stored),
        Just(Step::Evict),
        Just(Step::Reopen),
        (key, 1_usize..6).prop_map(|(key, limit)| Step::Page(key, limit)),
    ]
}

proptest! {
    #[test]
    fn a_table_answers_like_a_map(steps in proptest::collection::vec(step(), 1..80)) {
        let store = Arc::new(Store::default());
        let mut table = Table::<u64, u32>::new(3, store.clone());
        let mut model = BTreeMap::new();
        let mut collected = Vec::new();
        for step in steps {
            match step {
                Step::Put(key, value) => { table.put(key, value); model.insert(key, value); }
                Step::Add(key) => {
                    let known = table.update(&key, |value| *value = value.wrapping_add(1));
                    prop_assert_eq!(known, model.contains_key(&key));
                    if let Some(value) = model.get_mut(&key) { *value = value.wrapping_add(1); }
                }
                Step::Remove(key) => { table.remove(&key); model.remove(&key); }
                Step::Collect => table.collect(&mut collected),
                Step::Stored => { store.write(std::mem::take(&mut collected)); table.flushed(); }
                Step::Evict => table.evict(),
                Step::Reopen => {
                    table.collect(&mut collected);
                    store.write(std::mem::take(&mut collected));
                    let digest = table.digest();
                    table = Table::new(3, store.clone());
                    table.restore_digest(digest);
                }
                Step::Page(from, limit) => {
                    let page: Vec<_> = table.page(&from, limit).into_iter().map(|(k, v)| (k, *v)).collect();
                    let want: Vec<_> = model.range(from..).take(limit).map(|(k, v)| (*k, *v)).collect();
                    prop_assert_eq!(page, want);
                }
            }
            let held: usize = table.slots.borrow().values().map(|slot| slot.bytes as usize).sum();
            prop_assert_eq!(table.bytes.get(), held, "what is read from the store is counted too");
            for key in 0..12 {
                prop_assert_eq!(table.get(&key).map(|value| *value), model.get(&key).copied());
            }
        }
        table.collect(&mut collected);
        let mut fresh = Table::<u64, u32>::new(3, Arc::new(NoBacking));
        for (key, value) in model { fresh.put(key, value); }
        fresh.collect(&mut Vec::new());
        prop_assert_eq!(table.digest(), fresh.digest());
    }
}
