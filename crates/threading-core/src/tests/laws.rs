//! Any permutation and duplication of messages gives the same grouping; merge, any messages,
//! unmerge gives the grouping as if never merged; a replay of the events gives the same state.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rejoinder_machine::{Change, NoBacking, Own, State, TableOps, TableVisitor};
use rejoinder_model::DAY_MS;

use super::drawn::{Deed, MOST, deeds, shuffled};
use super::oracle::{Definition, Held, Owner};
use super::people::People;
use super::store::Store;
use super::world::World;
use crate::state::Threading;

const WINDOW: i64 = 7 * DAY_MS;

struct Digest(u128);

impl TableVisitor for Digest {
    fn visit(&mut self, table: &mut dyn TableOps) {
        let mut changes: Vec<Change> = Vec::new();
        table.collect(&mut changes);
        self.0 = self.0.wrapping_add(table.digest());
    }
}

fn digest(state: &mut Threading) -> u128 {
    let mut digest = Digest(0);
    state.visit_tables(&mut digest);
    digest.0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_000), ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_duplicates_give_the_defined_grouping((said, order) in shuffled(), deeds in deeds()) {
        let mut world = World::new();
        let mut versions = BTreeMap::new();
        for (n, one) in order.iter().enumerate() {
            // Edits and deletes may come before their message, and change no place.
            for (_, deed) in deeds.iter().filter(|(at, _)| *at == n) {
                let (which, version) = match deed {
                    Deed::Edit(which, version) => (which % said.len(), *version),
                    Deed::Delete(which) => (which % said.len(), i64::MAX),
                    Deed::MergeThreads(..) | Deed::MergePersons(..) | Deed::LinkHandle(..) | Deed::Undo(_) => continue,
                };
                if version == i64::MAX { world.delete(&said[which]) } else { world.edit(&said[which], version) }
                versions.entry(which).and_modify(|known: &mut i64| *known = version.max(*known)).or_insert(version);
            }
            world.say(one);
        }
        let definition = Definition::of(&said);
        prop_assert_eq!(world.grouping(&said), definition.grouping(WINDOW, &Held::default()));
        for (n, one) in said.iter().enumerate() {
            prop_assert_eq!(world.version_of(one), versions.get(&n).copied(), "{}", one.id);
            let theirs = match definition.owner(one) {
                Owner::Customer(handle) => handle.split_once(' ').and_then(|(channel, who)| world.first_person(channel, who)),
                Owner::Awaiting(_) | Owner::Nobody => None,
            };
            prop_assert_eq!(world.person_of(one), theirs, "{}", one.id);
        }
    }

    #[test]
    fn deeds_messages_undone_deeds_are_as_if_never_done((said, order) in shuffled(), deeds in deeds(), last in 0..64_usize) {
        let mut world = World::new();
        let mut people = People::default();
        for (n, one) in order.iter().enumerate() {
            let before: Vec<_> = order[..n].iter().collect();
            for (_, deed) in deeds.iter().filter(|(at, _)| *at == n) {
                people.act(&mut world, &before, *deed);
            }
            world.say(one);
        }
        let definition = Definition::of(&said);
        if let Some(held) = people.held(&world, &said) {
            prop_assert_eq!(world.grouping(&said), definition.grouping(WINDOW, &held));
        }
        people.undo_all(&mut world, last);
        prop_assert_eq!(world.grouping(&said), definition.grouping(WINDOW, &Held::default()));
    }

    #[test]
    fn the_events_alone_give_the_same_state_also_when_memory_is_let_go(
        (_, order) in shuffled(), deeds in deeds(), flushes in proptest::collection::vec(any::<(bool, bool, bool)>(), MOST * 2)
    ) {
        let store = Arc::new(Store::default());
        let mut world = World::before(store.clone());
        let mut people = People::default();
        for (n, one) in order.iter().enumerate() {
            let before: Vec<_> = order[..n].iter().collect();
            for (_, deed) in deeds.iter().filter(|(at, _)| *at == n) {
                people.act(&mut world, &before, *deed);
            }
            world.say(one);
            let (flush, stored, evict) = flushes[n];
            store.flush(&mut world.state, flush, stored, evict);
        }
        let mut again = Threading::open(Arc::new(NoBacking));
        for (n, event) in world.events.iter().enumerate() {
            again.apply(Own { partition: 0, own_seq: n as u64 + 1 }, event);
        }
        prop_assert_eq!(digest(&mut world.state), digest(&mut again));
    }
}
