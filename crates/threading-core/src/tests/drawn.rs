//! Messages and commands as chance draws them.

use proptest::prelude::*;
use rejoinder_model::DAY_MS;

use super::world::{Kind, Said};

const START: i64 = 1_700_000_000_000;
/// The most messages of one case.
pub(super) const MOST: usize = 30;

/// Messages with distinct ids that answer each other, or others that never come: two channels with
/// replies and two without, two accounts, three customers, automatic and quiet ones.
fn messages() -> impl Strategy<Value = Vec<(Said, [u16; 2])>> {
    let place = (0..5_u8, any::<bool>());
    let who = (0..5_u8, 0..4_usize, 0..8_u8, any::<bool>());
    let links = (0..MOST + 4, 0..MOST + 4, 0..3_u8, 0..6_u8);
    let comes = [any::<u16>(), any::<u16>()];
    proptest::collection::vec((place, who, links, 0..60_i64, comes), 1..MOST).prop_map(|drawn| {
        let mut all: Vec<(Said, [u16; 2])> = Vec::new();
        for (n, ((place, other), (by, to, odd, quiet), (parent, second, parents, conversation), time, comes)) in
            drawn.into_iter().enumerate()
        {
            let (kind, channel) = match place {
                0 | 1 => (Kind::Post, "x"),
                2 => (Kind::Mail, "mail"),
                3 => (Kind::Direct, "dm"),
                _ => (Kind::Direct, "x"),
            };
            let by = ["a", "b", "c", "us", "us"][usize::from(by)];
            let mut said = Said {
                id: format!("m{n}"),
                by: by.into(),
                time: START + time * DAY_MS / 2,
                kind,
                channel: channel.into(),
                account: if other && conversation == 5 { "other" } else { "acme" }.into(),
                to: (by == "us").then(|| ["a", "b", "c"].get(to)).flatten().map(ToString::to_string),
                automatic: odd == 0 && channel != "x",
                quiet,
                ..Said::default()
            };
            // What is answered comes before in number, so that there is no cycle; gone ones never come.
            for parent in [parent, second].into_iter().take(usize::from(parents)) {
                match all.get(parent % (n + 2)) {
                    // A post does not answer a direct message.
                    Some((named, _)) if kind != Kind::Direct && named.kind == Kind::Direct => {}
                    Some((named, _)) => said.parents.push(named.id.clone()),
                    None => said.parents.push(format!("gone{}", parent % 3)),
                }
            }
            said.parents.dedup();
            if kind != Kind::Direct && conversation < 2 {
                said.conversation = Some(format!("c{conversation}"));
            }
            all.push((said, comes));
        }
        all
    })
}

/// Messages, and as they come: in any order, some of them twice.
pub(super) fn shuffled() -> impl Strategy<Value = (Vec<Said>, Vec<Said>)> {
    messages().prop_map(|drawn| {
        let once = drawn.iter().map(|(said, [at, _])| (*at, said));
        let again = drawn.iter().filter(|(_, [_, at])| at % 3 == 0).map(|(said, [_, at])| (*at, said));
        let mut order: Vec<(u16, &Said)> = once.chain(again).collect();
        order.sort_by_key(|(at, _)| *at);
        let order = order.into_iter().map(|(_, said)| said.clone()).collect();
        (drawn.iter().map(|(said, _)| said.clone()).collect(), order)
    })
}

/// What people do between messages. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    MergeThreads(usize, usize),
    MergePersons(usize, usize),
    LinkHandle(usize, usize),
    /// One of the above is undone.
    Undo(usize),
    /// Something is edited, in this version.
    Edit(usize, i64),
    /// Something is deleted.
    Delete(usize),
}

/// Deeds, and before which message each is done.
pub(super) fn deeds() -> impl Strategy<Value = Vec<(usize, Deed)>> {
    let any = || 0..MOST * 2;
    let deed = prop_oneof![
        3 => (any(), any()).prop_map(|(a, b)| Deed::MergeThreads(a, b)),
        3 => (any(), any()).prop_map(|(a, b)| Deed::MergePersons(a, b)),
        2 => (any(), any()).prop_map(|(a, b)| Deed::LinkHandle(a, b)),
        3 => any().prop_map(Deed::Undo),
        1 => (any(), 0..4_i64).prop_map(|(at, version)| Deed::Edit(at, version)),
        1 => any().prop_map(Deed::Delete),
    ];
    proptest::collection::vec((0..MOST + 12, deed), 0..12)
}
