//! What people split stays apart; everything else is as defined.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rejoinder_model::DAY_MS;

use super::drawn::{MOST, shuffled};
use super::oracle::{Definition, Held, Owner};
use super::world::{Kind, Said, World};
use crate::command::Command;

/// Messages that people split off, by the number of the split, and what was said with them since.
#[derive(Default)]
struct Apart(BTreeMap<String, usize>);

impl Apart {
    /// Some messages of the thread of one are split off; `false` when that is refused.
    fn split(&mut self, world: &mut World, said: &[Said], which: usize, mask: u64, number: usize) -> bool {
        let Some(thread) = said.get(which % said.len().max(1)).and_then(|said| world.thread_of(said)) else {
            return false;
        };
        let members = world.state.threads.get(&thread).expect("alive").messages.clone();
        let chosen = members.iter().enumerate().filter(|(n, _)| mask >> (n % 64) & 1 == 1).map(|(_, member)| member);
        let chosen: Vec<_> = chosen.collect();
        let messages = chosen.iter().map(|member| member.interaction).collect();
        if world.command(&Command::SplitThread { thread, messages }).is_err() {
            return false;
        }
        self.0.extend(chosen.iter().map(|member| (world.id_of(member.key), number)));
        true
    }

    /// A message comes: it is apart with what it answers, and what waited for it with it.
    fn say(&mut self, so_far: &[Said], said: &Said) {
        let definition = Definition::of(so_far);
        let present = |id: &String| definition.named(said, id);
        let theirs = |parent: &&Said| definition.owner(parent) == Owner::Customer(said.handle(&said.by));
        let parent = if said.by == "us" {
            said.parents.first().and_then(present)
        } else {
            said.parents.iter().filter_map(present).find(theirs)
        };
        let Some(number) = parent.and_then(|parent| self.0.get(&parent.id)).copied() else { return };
        let mut with = vec![said.id.clone()];
        while let Some(id) = with.pop() {
            let waits = |other: &&Said| definition.answered(other).is_some_and(|answered| answered.id == id);
            let waited = so_far.iter().filter(waits);
            with.extend(waited.map(|other| other.id.clone()));
            self.0.insert(id, number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_000), ..ProptestConfig::default() })]

    #[test]
    fn split_messages_stay_apart_and_all_else_is_as_defined(
        (said, order) in shuffled(), splits in proptest::collection::vec((0..MOST * 2, 0..MOST, any::<u64>()), 0..5)
    ) {
        // Posts whose conversations their links alone tell: the definition has no more to say of splits.
        let posts = |said: Vec<Said>| said.into_iter().filter(|said| said.kind == Kind::Post).map(|said| Said { conversation: None, ..said });
        let (said, order): (Vec<Said>, Vec<Said>) = (posts(said).collect(), posts(order).collect());
        let (mut world, mut apart, mut so_far) = (World::new(), Apart::default(), Vec::<Said>::new());
        for (n, one) in order.iter().enumerate() {
            for (number, (_, which, mask)) in splits.iter().enumerate().filter(|(_, (at, ..))| *at == n) {
                apart.split(&mut world, &so_far, *which, *mask, number);
            }
            world.say(one);
            if !so_far.contains(one) {
                so_far.push(one.clone());
                apart.say(&so_far, one);
            }
        }
        let mut defined = Definition::of(&said).grouping(7 * DAY_MS, &Held::default());
        let mut threads: BTreeSet<BTreeSet<String>> = BTreeSet::new();
        for thread in defined.threads {
            threads.insert(thread.into_iter().filter(|id| !apart.0.contains_key(id)).collect());
        }
        let mut splits: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (id, number) in apart.0 {
            splits.entry(number).or_default().insert(id);
        }
        threads.extend(splits.into_values());
        threads.remove(&BTreeSet::new());
        defined.threads = threads;
        prop_assert_eq!(world.grouping(&said), defined);
    }

    #[test]
    fn no_message_puts_a_split_back((_, order) in shuffled(), at in 0..MOST, which in 0..MOST, mask in any::<u64>()) {
        let (before, after) = order.split_at(at.min(order.len()));
        let (mut world, mut apart) = (World::of(before), Apart::default());
        if apart.split(&mut world, before, which, mask, 0) {
            let thread = |world: &World, said: &Said| world.thread_of(said);
            let (moved, rest): (Vec<_>, Vec<_>) = before.iter().partition(|said| apart.0.contains_key(&said.id));
            let old = world.state.threads.get(&thread(&world, moved[0]).expect("apart")).expect("alive").split_from;
            let stayed: Vec<_> = rest.into_iter().filter(|said| thread(&world, said).is_some_and(|id| id.0 == old)).collect();
            for said in after {
                world.say(said);
            }
            let threads: BTreeSet<_> = moved.iter().map(|said| thread(&world, said)).collect();
            prop_assert_eq!(threads.len(), 1, "they are together");
            prop_assert!(stayed.iter().all(|said| !threads.contains(&thread(&world, said))), "and apart from the others");
        }
    }
}
