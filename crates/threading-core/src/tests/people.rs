//! People who merge, link and undo in a world, and what they hold together at the moment.

use std::collections::BTreeMap;

use rejoinder_model::{HandleKey, PersonId, ThreadId};

use super::drawn::Deed;
use super::oracle::{Held, Sets};
use super::world::{Said, WORKSPACE, World};
use crate::command::{Command, Done};

/// A deed that can be undone.
#[derive(Clone, Debug)]
enum Standing {
    /// A thread that was merged, and a message of each base thread that the link joins.
    Threads {
        from: ThreadId,
        messages: (String, String),
    },
    Persons {
        into: PersonId,
        from: PersonId,
    },
    Handle {
        channel: String,
        who: String,
    },
}

/// Who they are, by an account of our own: whom each handle is, which persons are merged.
#[derive(Default)]
pub(super) struct People {
    standing: Vec<Standing>,
    home: BTreeMap<String, PersonId>,
}

impl People {
    pub(super) fn act(&mut self, world: &mut World, said: &[&Said], deed: Deed) {
        let pick = |n: usize| said.get(n % said.len().max(1)).copied();
        match deed {
            Deed::MergeThreads(a, b) => {
                let (Some(a), Some(b)) = (pick(a), pick(b)) else { return };
                let (Some(into), Some(from)) = (world.thread_of(a), world.thread_of(b)) else { return };
                if into == from {
                    return;
                }
                let messages = (world.message_of_base(into), world.message_of_base(from));
                world.command(&Command::MergeThreads { into, from }).expect("two threads merge");
                self.standing.push(Standing::Threads { from: into.max(from), messages });
            }
            Deed::MergePersons(a, b) => {
                let (Some(into), Some(from)) = (pick(a), pick(b)) else { return };
                let (Some(into), Some(from)) = (self.person(world, into), self.person(world, from)) else { return };
                if into == from {
                    return;
                }
                world.command(&Command::MergePersons { into, from }).expect("two persons merge");
                self.standing.push(Standing::Persons { into, from });
            }
            Deed::LinkHandle(a, b) => {
                let (Some(to), Some(handle)) = (pick(a), pick(b)) else { return };
                let who = if handle.by == "us" { handle.to.clone() } else { Some(handle.by.clone()) };
                let (Some(person), Some(who)) = (self.person(world, to), who) else { return };
                let channel = handle.channel.clone();
                let command = Command::LinkHandle { person, channel: channel.clone(), id: who.clone() };
                let key = HandleKey::new(WORKSPACE, &channel, &who);
                if world.state.person_of(Some(key)) == person.0 || world.command(&command).is_err() {
                    return;
                }
                self.home.insert(handle.handle(&who), person);
                self.standing.push(Standing::Handle { channel, who });
            }
            Deed::Undo(n) => self.undo(world, n),
            Deed::Edit(n, version) => pick(n).into_iter().for_each(|said| world.edit(said, version)),
            Deed::Delete(n) => pick(n).into_iter().for_each(|said| world.delete(said)),
        }
    }

    /// The person of a customer who wrote.
    fn person(&mut self, world: &World, said: &Said) -> Option<PersonId> {
        let key = HandleKey::new(WORKSPACE, &said.channel, &said.by);
        let person = PersonId::from_wire(world.state.person_of(Some(key)))?;
        Some(person)
    }

    fn undo(&mut self, world: &mut World, n: usize) {
        if self.standing.is_empty() {
            return;
        }
        match self.standing.remove(n % self.standing.len()) {
            Standing::Threads { from, .. } => {
                // No thread has the link when both sides turned out to be nobody's.
                if let Some(thread) = world.thread_with_merge(from) {
                    world.command(&Command::UnmergeThreads { thread, from }).expect("a merge can be undone");
                }
            }
            Standing::Persons { into, from } => {
                world.command(&Command::UnmergePersons { person: into, from }).expect("a merge can be undone");
            }
            Standing::Handle { channel, who } => {
                let key = HandleKey::new(WORKSPACE, &channel, &who);
                let person = PersonId(world.state.person_of(Some(key)));
                let command = Command::UnlinkHandle { person, channel: channel.clone(), id: who.clone() };
                // A person of one handle has nothing to part with.
                if let Ok(Done::Person(own)) = world.command(&command) {
                    self.home.insert(format!("{channel} {who}"), own);
                }
            }
        }
    }

    pub(super) fn undo_all(&mut self, world: &mut World, mut n: usize) {
        while !self.standing.is_empty() {
            self.undo(world, n);
            n = n.wrapping_mul(31).wrapping_add(7);
        }
    }

    /// What is held together now; `None` when it hangs on messages that are in no thread.
    pub(super) fn held(&self, world: &World, said: &[Said]) -> Option<Held> {
        let mut held = Held::default();
        let mut persons = Sets::default();
        for standing in &self.standing {
            match standing {
                Standing::Threads { messages: (a, b), .. } => held.merged.push((a.clone(), b.clone())),
                Standing::Persons { into, from } => persons.join(&into.to_string(), &from.to_string()),
                Standing::Handle { .. } => {}
            }
        }
        let nowhere = |id: &str| said.iter().any(|said| said.id == id && world.thread_of(said).is_none());
        if held.merged.iter().any(|(a, b)| nowhere(a) || nowhere(b)) {
            return None;
        }
        for said in said {
            for who in [Some(&said.by), said.to.as_ref()].into_iter().flatten().filter(|who| *who != "us") {
                let handle = said.handle(who);
                let home = self.home.get(&handle).copied().or_else(|| world.first_person(&said.channel, who));
                if let Some(home) = home {
                    held.persons.insert(handle, persons.root(&home.to_string()));
                }
            }
        }
        Some(held)
    }
}
