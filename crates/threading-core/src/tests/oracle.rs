//! The definition of the grouping, written down a second time without any order: union-find over
//! the whole set of messages.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Grouping, Kind, Said};

#[derive(Clone, Default)]
pub(super) struct Sets(BTreeMap<String, String>);

impl Sets {
    pub(super) fn root(&mut self, name: &str) -> String {
        let up = self.0.entry(name.to_owned()).or_insert_with(|| name.to_owned()).clone();
        if up == name { up } else { self.root(&up) }
    }

    pub(super) fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.root(a), self.root(b));
        self.0.insert(a, b);
    }
}

/// What people hold together at the moment, beside the rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The human behind a handle, where it is not the handle alone.
    pub(super) persons: BTreeMap<String, String>,
    /// Messages whose threads were merged.
    pub(super) merged: Vec<(String, String)>,
}

/// Whose message it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Customer(String),
    Awaiting(String),
    Nobody,
}

pub(super) struct Definition<'a> {
    all: BTreeMap<&'a str, &'a Said>,
    said: &'a [Said],
}

impl<'a> Definition<'a> {
    /// Of messages with distinct ids.
    pub(super) fn of(said: &'a [Said]) -> Self {
        Self { all: said.iter().map(|said| (said.id.as_str(), said)).collect(), said }
    }

    /// The message that a parent id names: of the same account.
    pub(super) fn named(&self, by: &Said, id: &str) -> Option<&'a Said> {
        self.all.get(id).copied().filter(|other| (&other.channel, &other.account) == (&by.channel, &by.account))
    }

    pub(super) fn owner(&self, said: &Said) -> Owner {
        if said.automatic {
            return Owner::Nobody;
        }
        if said.by != "us" {
            return Owner::Customer(said.handle(&said.by));
        }
        let to = said.to.as_ref().filter(|_| said.kind != Kind::Post).map(|to| Owner::Customer(said.handle(to)));
        match (said.parents.first(), to) {
            (_, Some(to)) if said.kind == Kind::Direct => to,
            (None, to) => to.unwrap_or(Owner::Nobody),
            (Some(parent), _) => match self.named(said, parent) {
                Some(aside) if aside.automatic && aside.by != "us" => Owner::Customer(aside.handle(&aside.by)),
                Some(parent) => self.owner(parent),
                None => Owner::Awaiting(format!("{} {} {parent}", said.channel, said.account)),
            },
        }
    }

    /// The message that an answer of ours is with, whatever its own payload says.
    pub(super) fn answered(&self, said: &Said) -> Option<&'a Said> {
        let open = said.by == "us" && !said.automatic && !(said.kind == Kind::Direct && said.to.is_some());
        said.parents.first().filter(|_| open).and_then(|parent| self.named(said, parent))
    }

    fn place(&self, said: &'a Said) -> &'a Said {
        self.answered(said).map_or(said, |answered| self.place(answered))
    }

    fn conversations(&self) -> Sets {
        let mut conversations = Sets::default();
        for said in self.said.iter().filter(|said| said.kind != Kind::Direct) {
            let place = format!("{} {}", said.channel, said.account);
            let own = format!("m:{place} {}", said.id);
            match &said.conversation {
                Some(given) => conversations.join(&own, &format!("c:{place} {given}")),
                None => said.parents.iter().for_each(|parent| conversations.join(&own, &format!("m:{place} {parent}"))),
            }
        }
        conversations
    }

    pub(super) fn grouping(&self, window: i64, held: &Held) -> Grouping {
        let mut conversations = self.conversations();
        let conversation =
            |sets: &mut Sets, said: &Said| sets.root(&format!("m:{} {} {}", said.channel, said.account, said.id));
        let person = |handle: String| held.persons.get(&handle).cloned().unwrap_or(handle);
        let mut threads = Sets::default();
        let mut lines: BTreeMap<String, Vec<&Said>> = BTreeMap::new();
        let mut nowhere = BTreeSet::new();
        for said in self.said {
            let own = format!("m:{}", said.id);
            let handle = match self.owner(said) {
                Owner::Nobody => {
                    nowhere.insert(said.id.clone());
                    continue;
                }
                Owner::Awaiting(parent) => {
                    threads.join(&own, &format!("w:{parent}"));
                    continue;
                }
                Owner::Customer(handle) => handle,
            };
            let place = self.place(said);
            let line = |said: &Said| format!("{} {} {}", said.channel, said.account, person(handle.clone()));
            if place.kind != Kind::Direct {
                let place = conversation(&mut conversations, place);
                threads.join(&own, &format!("p:{place} {}", person(handle.clone())));
            } else if let Some(answered) = self.answered(said) {
                threads.join(&own, &format!("m:{}", answered.id));
            }
            if said.kind == Kind::Direct && place.kind == Kind::Direct {
                lines.entry(line(said)).or_default().push(said);
            }
            for parent in said.parents.iter().filter_map(|parent| self.named(said, parent)) {
                let theirs = self.owner(parent) == Owner::Customer(handle.clone());
                let follows = said.kind == Kind::Direct && (said.by != "us" || said.to.is_some());
                if theirs && follows {
                    threads.join(&own, &format!("m:{}", parent.id));
                }
            }
        }
        for line in lines.values_mut() {
            line.sort_by_key(|said| said.time);
            for pair in line.windows(2).filter(|pair| pair[1].time - pair[0].time <= window) {
                threads.join(&format!("m:{}", pair[0].id), &format!("m:{}", pair[1].id));
            }
        }
        for (a, b) in &held.merged {
            threads.join(&format!("m:{a}"), &format!("m:{b}"));
        }
        let mut grouping = Grouping { nowhere, ..Grouping::default() };
        let mut by_thread: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut by_conversation: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for said in self.said {
            if !grouping.nowhere.contains(&said.id) {
                by_thread.entry(threads.root(&format!("m:{}", said.id))).or_default().insert(said.id.clone());
            }
            if said.kind != Kind::Direct {
                by_conversation.entry(conversation(&mut conversations, said)).or_default().insert(said.id.clone());
            }
        }
        grouping.threads = by_thread.into_values().collect();
        grouping.conversations = by_conversation.into_values().collect();
        grouping
    }
}
