//! Timers against a plain ordered map: same answers and the same digest, whatever is near, stored,
//! let go or read again between.

use proptest::prelude::*;

use super::*;
use crate::table::NoBacking;
use crate::table::tests::Store;

const HOUR_MS: Millis = 3_600_000;

fn key(due: Millis, entity: u64) -> TimerKey {
    TimerKey { due, entity, kind: 0 }
}

proptest! {
    #[test]
    fn key_bytes_order_as_keys_do(a in any::<(i64, u64, u8)>(), b in any::<(i64, u64, u8)>()) {
        let key = |(due, entity, kind)| TimerKey { due, entity, kind };
        let bytes = |key: TimerKey| { let mut to = Vec::new(); key.encode(&mut to); to };
        let (a, b) = (key(a), key(b));
        prop_assert_eq!(a.cmp(&b), bytes(a).cmp(&bytes(b)));
        prop_assert_eq!(TimerKey::decode(&bytes(a)), Some(a));
    }

    #[test]
    fn the_next_key_is_right_after_its_own(a in any::<(i64, u64, u8)>(), wide in any::<[bool; 3]>()) {
        let or_max = |wide, number| if wide { u64::MAX } else { number };
        let a = TimerKey {
            due: if wide[0] { Millis::MAX } else { a.0 },
            entity: or_max(wide[1], a.1),
            kind: if wide[2] { u8::MAX } else { a.2 },
        };
        let number = |key: TimerKey| { let mut to = vec![0; 15]; key.encode(&mut to); to };
        let wide = |key| number(key).into_iter().fold((0_u128, 0_u128), |(high, low), byte| {
            ((high << 8) | (low >> 120), (low << 8) | u128::from(byte))
        });
        let plus_one = |(high, low): (u128, u128)| (high + u128::from(low == u128::MAX), low.wrapping_add(1));
        match next(a) {
            Some(next) => prop_assert_eq!(wide(next), plus_one(wide(a))),
            None => prop_assert_eq!(a, TimerKey { due: Millis::MAX, entity: u64::MAX, kind: u8::MAX }),
        }
    }
}

/// The timers, the map that they are compared with, and the store between.
struct World {
    timers: Timers,
    model: BTreeMap<TimerKey, u64>,
    store: Arc<Store>,
    collected: Vec<crate::table::Change>,
    own_seq: u64,
}

const SMALL: Limits = Limits { near: 6, page: 3 };

impl World {
    fn new() -> Self {
        let store = Arc::new(Store::default());
        let timers = Timers { limits: SMALL, ..Timers::new(9, store.clone()) };
        Self { timers, model: BTreeMap::new(), store, collected: Vec::new(), own_seq: 1 }
    }

    fn arm(&mut self, key: TimerKey) {
        self.timers.arm(key, self.own_seq);
        self.model.insert(key, self.own_seq);
        self.own_seq += 1;
    }

    fn disarm(&mut self, key: &TimerKey) {
        self.timers.disarm(key);
        self.model.remove(key);
    }

    fn stored(&mut self) {
        self.store.write(std::mem::take(&mut self.collected));
        self.timers.table().flushed();
    }

    fn reopen(&mut self) {
        self.timers.table().collect(&mut self.collected);
        self.store.write(std::mem::take(&mut self.collected));
        let digest = self.timers.table().digest();
        self.timers = Timers { limits: SMALL, ..Timers::new(9, self.store.clone()) };
        self.timers.table().restore_digest(digest);
    }

    fn expected(&self, time: Millis, own_seq_end: u64, limit: usize) -> Vec<TimerKey> {
        let due = self.model.iter().take_while(|(key, _)| key.due <= time);
        due.filter(|(_, armed)| **armed < own_seq_end).map(|(key, _)| *key).take(limit).collect()
    }

    fn digest(&mut self) -> u128 {
        self.timers.table().collect(&mut self.collected);
        self.timers.table().digest()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arm(Millis, u64),
    Disarm(usize),
    /// Asks for the timers due at a time that were armed before the last so many.
    Due(Millis, u64, usize),
    /// Fires them as a lane does, a few at a time; some arm another one, due at once or later.
    Fire(Millis, u64, Option<Millis>),
    Collect,
    Stored,
    Evict,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let due = 0_i64..40;
    prop_oneof![
        6 => (due.clone(), 0_u64..3).prop_map(|(due, entity)| Step::Arm(due, entity)),
        3 => (0_usize..20).prop_map(Step::Disarm),
        3 => (due.clone(), 0_u64..6, 0_usize..9).prop_map(|(time, late, limit)| Step::Due(time, late, limit)),
        2 => (due.clone(), 0_u64..6, proptest::option::of(due)).prop_map(|(time, late, arms)| Step::Fire(time, late, arms)),
        1 => Just(Step::Collect),
        1 => Just(Step::Stored),
        1 => Just(Step::Evict),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn timers_answer_like_an_ordered_map(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Arm(due, entity) => world.arm(key(due, entity)),
                Step::Disarm(number) => {
                    let armed = world.model.keys().nth(number).copied().unwrap_or(key(7, 9));
                    world.disarm(&armed);
                }
                Step::Due(time, late, limit) => {
                    let end = world.own_seq - late.min(world.own_seq);
                    prop_assert_eq!(world.timers.due(time, end, limit), world.expected(time, end, limit));
                }
                Step::Fire(time, late, arms) => {
                    let end = world.own_seq - late.min(world.own_seq);
                    loop {
                        let due = world.timers.due(time, end, 2);
                        prop_assert_eq!(&due, &world.expected(time, end, 2));
                        if due.is_empty() {
                            break;
                        }
                        for fired in due {
                            // The one before it may have armed it anew.
                            let armed = world.timers.armed_by(&fired);
                            prop_assert_eq!(armed, world.model.get(&fired).copied());
                            if armed.is_none_or(|armed| armed >= end) {
                                continue;
                            }
                            world.disarm(&fired);
                            if let Some(due) = arms {
                                world.arm(TimerKey { due, entity: fired.entity, kind: 1 });
                            }
                        }
                    }
                }
                Step::Collect => world.timers.table().collect(&mut world.collected),
                Step::Stored => world.stored(),
                Step::Evict => world.timers.table().evict(),
                Step::Reopen => world.reopen(),
            }
            prop_assert_eq!(world.timers.next_due(), world.model.keys().next().map(|key| key.due));
            for armed in (0..40).flat_map(|due| [key(due, 0), key(due, 2)]) {
                prop_assert_eq!(world.timers.armed_by(&armed), world.model.get(&armed).copied());
            }
            prop_assert!(world.timers.near.len() <= SMALL.near, "bounded");
        }
        let digest = world.digest();
        let mut fresh = Timers::new(9, Arc::new(NoBacking));
        world.model.iter().for_each(|(key, armed)| fresh.arm(*key, *armed));
        fresh.table().collect(&mut Vec::new());
        prop_assert_eq!(digest, fresh.table().digest());
    }
}

#[test]
fn near_and_far_timers_come_due_in_order_and_only_if_armed_before() {
    let mut timers = Timers::new(9, Arc::new(NoBacking));
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

/// A store that counts what is looked at.
#[derive(Default)]
struct Counting {
    inside: Store,
    looked_at: std::sync::atomic::AtomicUsize,
}

impl Backing for Counting {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.looked_at.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inside.get(table, key)
    }

    fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<crate::table::StoredEntries, String> {
        let found = self.inside.scan(table, from, limit)?;
        self.looked_at.fetch_add(found.len(), std::sync::atomic::Ordering::Relaxed);
        Ok(found)
    }

    fn failed(&self, what: String) {
        self.inside.failed(what);
    }
}

#[test]
fn a_storm_of_stored_timers_is_read_about_once() {
    let store = Arc::new(Counting::default());
    let armed = 30_000;
    let mut timers = Timers::new(9, store.clone());
    (0..armed).for_each(|entity| timers.arm(key(50, entity), entity + 1));
    let mut collected = Vec::new();
    timers.table().collect(&mut collected);
    store.inside.write(collected);
    let mut timers = Timers::new(9, store.clone());
    let mut fired = 0;
    loop {
        let due = timers.due(50, u64::MAX, 256);
        fired += due.len() as u64;
        if due.is_empty() {
            break;
        }
        for key in due {
            timers.disarm(&key);
            assert_eq!(timers.armed_by(&key), None);
        }
        // A lane asks after each of its steps; nothing is flushed in between.
        assert_eq!(timers.next_due().is_none(), fired == armed);
    }
    let looked_at = store.looked_at.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(fired, armed);
    assert!(looked_at < 2 * usize::try_from(armed).unwrap(), "looked at {looked_at} stored entries");
}
