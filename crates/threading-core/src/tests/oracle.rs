//! The definition of the grouping, written down a second time without any order: union-find over
//! the whole set of messages.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Grouping, Said};

#[derive(Default)]
struct Sets(BTreeMap<String, String>);

impl Sets {
    fn root(&mut self, name: &str) -> String {
        let up = self.0.entry(name.to_owned()).or_insert_with(|| name.to_owned()).clone();
        if up == name { up } else { self.root(&up) }
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.root(a), self.root(b));
        self.0.insert(a, b);
    }
}

enum Owner {
    Customer(String),
    Awaiting(String),
    Nobody,
}

fn owner(said: &Said, all: &BTreeMap<&str, &Said>) -> Owner {
    if said.automatic {
        return Owner::Nobody;
    }
    if said.by != "us" {
        return Owner::Customer(said.by.clone());
    }
    let to = || said.to.clone().map_or(Owner::Nobody, Owner::Customer);
    match said.parents.first() {
        None => to(),
        Some(parent) => match all.get(parent.as_str()) {
            Some(parent) => owner(parent, all),
            None if said.direct => to(),
            None => Owner::Awaiting(parent.clone()),
        },
    }
}

/// The grouping of a set of messages with distinct ids.
pub(super) fn grouping(said: &[Said], window: i64) -> Grouping {
    let all: BTreeMap<&str, &Said> = said.iter().map(|said| (said.id.as_str(), said)).collect();
    let mut conversations = Sets::default();
    for said in said.iter().filter(|said| !said.direct) {
        let own = format!("m:{}", said.id);
        match &said.conversation {
            Some(given) => conversations.join(&own, &format!("c:{given}")),
            None => said.parents.iter().for_each(|parent| conversations.join(&own, &format!("m:{parent}"))),
        }
    }
    let mut threads = Sets::default();
    let mut lines: BTreeMap<String, Vec<&Said>> = BTreeMap::new();
    let mut nowhere = BTreeSet::new();
    for said in said {
        let own = format!("m:{}", said.id);
        match owner(said, &all) {
            Owner::Nobody => {
                nowhere.insert(said.id.clone());
            }
            Owner::Awaiting(parent) => threads.join(&own, &format!("w:{parent}")),
            Owner::Customer(who) if said.direct => lines.entry(who).or_default().push(said),
            Owner::Customer(who) => {
                // An answer is where the answered message is, whatever its own payload says.
                let mut place = said;
                while place.by == "us" {
                    place = all[place.parents[0].as_str()];
                }
                let conversation = conversations.root(&format!("m:{}", place.id));
                threads.join(&own, &format!("p:{conversation}:{who}"));
            }
        }
    }
    for line in lines.values_mut() {
        line.sort_by_key(|said| said.time);
        for pair in line.windows(2).filter(|pair| pair[1].time - pair[0].time <= window) {
            threads.join(&format!("m:{}", pair[0].id), &format!("m:{}", pair[1].id));
        }
    }
    let mut grouping = Grouping { nowhere, ..Grouping::default() };
    let mut by_thread: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut by_conversation: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for said in said {
        let own = format!("m:{}", said.id);
        if !grouping.nowhere.contains(&said.id) {
            by_thread.entry(threads.root(&own)).or_default().insert(said.id.clone());
        }
        if !said.direct {
            by_conversation.entry(conversations.root(&own)).or_default().insert(said.id.clone());
        }
    }
    grouping.threads = by_thread.into_values().collect();
    grouping.conversations = by_conversation.into_values().collect();
    grouping
}
