//! A store behind the tables, so that state can leave memory in a test.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rejoinder_machine::{Backing, Change, State, StoredEntries, TableOps, TableVisitor};

use crate::state::Threading;

#[derive(Default)]
pub(super) struct Store {
    entries: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    collected: Mutex<Vec<Change>>,
}

struct Visit<'a> {
    store: &'a Store,
    collect: bool,
    stored: bool,
    evict: bool,
}

impl TableVisitor for Visit<'_> {
    fn visit(&mut self, table: &mut dyn TableOps) {
        if self.collect {
            table.collect(&mut self.store.collected.lock().expect("one thread"));
        }
        if self.stored {
            self.store.write();
            table.flushed();
        }
        if self.evict {
            table.evict();
        }
    }
}

impl Store {
    /// Does some of: collect what changed, store what was collected, let memory go.
    pub(super) fn flush(&self, state: &mut Threading, collect: bool, stored: bool, evict: bool) {
        state.visit_tables(&mut Visit { store: self, collect, stored, evict });
    }

    fn write(&self) {
        let mut entries = self.entries.lock().expect("one thread");
        for Change { key, value } in std::mem::take(&mut *self.collected.lock().expect("one thread")) {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
    }
}

impl Backing for Store {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.entries.lock().expect("one thread").get(&[&[table], key].concat()).cloned())
    }

    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<StoredEntries, String> {
        let entries = self.entries.lock().expect("one thread");
        let range = entries.range([&[table], from].concat()..);
        let own = range.take_while(|(key, _)| key[0] == table).take(limit);
        Ok(own.map(|(key, value)| (key[1..].to_vec(), value.clone())).collect())
    }

    fn failed(&self, what: String) {
        panic!("{what}");
    }
}
