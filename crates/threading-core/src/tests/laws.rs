//! Any permutation and duplication of messages gives the same grouping; merge, any messages,
//! unmerge gives the grouping as if never merged; a replay of the events gives the same state.

use std::sync::Arc;

use proptest::prelude::*;
use rejoinder_machine::{Change, NoBacking, Own, State, TableOps, TableVisitor};
use rejoinder_model::DAY_MS;

use super::oracle;
use super::world::{Said, World};
use crate::command::Command;
use crate::state::Threading;

const START: i64 = 1_700_000_000_000;
const WINDOW: i64 = 7 * DAY_MS;

/// Messages with distinct ids that answer each other, or others that never come.
fn messages() -> impl Strategy<Value = Vec<Said>> {
    let one = (0..4_u8, 0..12_usize, 0..60_i64, any::<bool>(), 0..6_u8, 0..3_usize, 0..8_u8);
    proptest::collection::vec(one, 1..14).prop_map(|drawn| {
        let said =
            drawn.into_iter().enumerate().map(|(n, (who, parent, time, direct, conversation, second, automatic))| {
                let by = ["a", "b", "us", "c"][usize::from(who)].to_owned();
                let time = START + time * DAY_MS / 2;
                let automatic = automatic == 0 && by != "us";
                if direct {
                    let to = if by == "us" { Some(["a", "b", "c"][second].to_owned()) } else { None };
                    let id = format!("d{n}");
                    return Said { id, by, time, parents: vec![], conversation: None, direct, to, automatic };
                }
                // Parents come before in number, so that there is no cycle; p9x never comes.
                let mut parents = Vec::new();
                if parent < n {
                    parents.push(format!("p{parent}"));
                } else if parent > 9 {
                    parents.push(format!("p9{parent}"));
                }
                if second == 0 && n > 1 && !parents.is_empty() {
                    parents.push(format!("p{}", n - 1));
                }
                let conversation = (conversation < 2).then(|| format!("c{conversation}"));
                Said { id: format!("p{n}"), by, time, parents, conversation, direct, to: None, automatic }
            });
        let mut said: Vec<Said> = said.collect();
        // A parent drawn as a direct message was never posted: it stays awaited.
        let ids: Vec<String> = said.iter().map(|said| said.id.clone()).collect();
        for said in &mut said {
            said.parents.dedup();
            let _ = &ids;
        }
        said
    })
}

fn shuffled() -> impl Strategy<Value = (Vec<Said>, Vec<Said>)> {
    messages().prop_flat_map(|said| {
        let twice = said.iter().chain(&said).cloned().collect::<Vec<_>>();
        (Just(said), Just(twice).prop_shuffle())
    })
}

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
    fn any_order_and_any_duplicates_give_the_defined_grouping((said, order) in shuffled()) {
        let world = World::of(&order);
        prop_assert_eq!(world.grouping(&said), oracle::grouping(&said, WINDOW));
    }

    #[test]
    fn merge_messages_unmerge_is_as_if_never_merged((said, order) in shuffled(), at in 0..28_usize, persons in any::<bool>()) {
        let (before, after) = order.split_at(at.min(order.len()));
        let mut world = World::of(before);
        let threads: Vec<_> = before.iter().filter_map(|said| world.thread_of(said)).collect();
        let people: Vec<_> = before.iter().filter_map(|said| world.person_of(said)).collect();
        let mut undo = None;
        if persons {
            if let (Some(into), Some(from)) = (people.first(), people.iter().find(|p| Some(*p) != people.first())) {
                world.command(&Command::MergePersons { into: *into, from: *from }).expect("two persons merge");
                undo = Some(Command::UnmergePersons { person: *into, from: *from });
            }
        } else if let (Some(a), Some(b)) = (threads.first(), threads.iter().find(|t| Some(*t) != threads.first())) {
            world.command(&Command::MergeThreads { into: *a, from: *b }).expect("two threads merge");
            undo = Some(Command::UnmergeThreads { thread: *a, from: *a.max(b) });
        }
        for said in after {
            world.say(said);
        }
        if let Some(undo) = undo {
            // The thread may be gone since: dissolved by the company's own post.
            let _ = world.command(&undo);
        }
        prop_assert_eq!(world.grouping(&said), oracle::grouping(&said, WINDOW));
    }

    #[test]
    fn the_events_alone_give_the_same_state((_, order) in shuffled()) {
        let mut world = World::of(&order);
        let mut again = Threading::open(Arc::new(NoBacking));
        for (n, event) in world.events.iter().enumerate() {
            again.apply(Own { partition: 0, own_seq: n as u64 + 1 }, event);
        }
        prop_assert_eq!(digest(&mut world.state), digest(&mut again));
    }
}
