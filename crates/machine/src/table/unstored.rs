//! The keys of a table whose present values are not known to be stored; in order, once that is asked for.

use std::cell::{Ref, RefCell};
use std::collections::BTreeSet;

/// Changed keys, in the order of the changes.
pub(super) struct Unstored<K> {
    /// Changed since the last collection.
    dirty: Vec<K>,
    /// Collected, and not yet known to be stored.
    flushing: Vec<K>,
    /// Most tables never ask for the order, and a hot path must not pay for it: it is made up for when
    /// it is asked for.
    order: RefCell<Order<K>>,
}

struct Order<K> {
    keys: BTreeSet<K>,
    /// How many of each of the lists above are in it.
    dirty: usize,
    flushing: usize,
}

impl<K> Default for Unstored<K> {
    fn default() -> Self {
        let order = Order { keys: BTreeSet::new(), dirty: 0, flushing: 0 };
        Self { dirty: Vec::new(), flushing: Vec::new(), order: RefCell::new(order) }
    }
}

impl<K: Ord + Clone> Unstored<K> {
    /// Takes note of a changed key.
    pub(super) fn add(&mut self, key: K) {
        self.dirty.push(key);
    }

    /// Goes over what changed since the last time; what `is_collected` takes waits to be stored.
    pub(super) fn collect(&mut self, mut is_collected: impl FnMut(&K) -> bool) {
        self.flushing.extend(self.dirty.drain(..).filter(|key| is_collected(key)));
        self.order.get_mut().dirty = 0;
    }

    /// Goes over what was collected: it is stored.
    pub(super) fn flushed(&mut self, each: impl FnMut(K)) {
        self.flushing.drain(..).for_each(each);
        *self.order.get_mut() = Order { keys: BTreeSet::new(), dirty: 0, flushing: 0 };
    }

    /// All of them in order. Each costs once, however often this is asked between two flushes.
    pub(super) fn in_order(&self) -> Ref<'_, BTreeSet<K>> {
        let mut order = self.order.borrow_mut();
        let Order { keys, dirty, flushing } = &mut *order;
        keys.extend(self.flushing[*flushing..].iter().cloned());
        keys.extend(self.dirty[*dirty..].iter().cloned());
        (*flushing, *dirty) = (self.flushing.len(), self.dirty.len());
        drop(order);
        Ref::map(self.order.borrow(), |order| &order.keys)
    }
}
