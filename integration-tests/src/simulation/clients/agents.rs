//! Agents at their desktops: they come and go, take what is offered or not, answer, and repeat themselves.

use rejoinder_model::{Millis, OfferId, Position, WorkItemId};
use rejoinder_routing_core::record::Phase;
use rejoinder_routing_core::{Command, Done, Refusal, Routing, Session};
use rejoinder_runtime::Ask;
use rejoinder_wire::event::Presence;

use super::errands::Worked;
use super::{Answer, Clients, Question, any, tell};
use crate::client::Random;
use crate::simulation::Wrong;
use crate::simulation::desk::Desk;
use crate::simulation::draft::answer_to;
use crate::simulation::plant::Planted;
use crate::simulation::promises::{Held, Promise, View, held_by};

/// An agent, and what its desktop shows.
#[derive(Default)]
pub(super) struct Agent {
    pub(super) id: String,
    /// 0: no stream.
    session: u64,
    /// The desk that its stream leads to.
    desk: u64,
    pub(super) connects: bool,
    /// It has said that it is here, since its stream opened.
    is_here: bool,
    held: Vec<Held>,
    /// Sessions whose streams are gone, and nobody has said so.
    gone: Vec<u64>,
}

impl Agent {
    pub(super) fn lose_desk(&mut self, desk: u64) {
        if self.session != 0 && self.desk == desk {
            self.vanish();
        }
    }

    /// The stream is gone.
    fn vanish(&mut self) {
        let session = std::mem::take(&mut self.session);
        self.gone.extend((session != 0).then_some(session));
        self.is_here = false;
    }

    fn speaks(&self) -> Session {
        Session { agent: self.id.clone(), session: self.session }
    }
}

/// What a look at an agent's work shows.
#[derive(Clone)]
pub(super) struct Sight {
    held: Vec<Held>,
    /// Some items of the workspace with their etags, whoever has them.
    others: Vec<(u64, u64)>,
}

/// The agents of a workspace.
pub(super) fn team(random: &mut Random, exists: bool) -> Vec<Agent> {
    let size = if exists { 2 + random.below(3) } else { 1 };
    let names = ["ann", "bob", "cid", "dee"].into_iter().take(usize::try_from(size).unwrap_or_default());
    names.map(|id| Agent { id: id.to_owned(), ..Agent::default() }).collect()
}

impl Clients {
    /// An agent does something.
    pub(in crate::simulation) fn work(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        if random.below(6) == 0 && self.repeat(random, shop, desk, now) {
            return;
        }
        let at = &self.shops[shop];
        let agent = usize::try_from(random.below(at.agents.len() as u64)).unwrap_or_default();
        let who = &at.agents[agent];
        match who.session {
            0 if !who.connects && random.below(4) > 0 => self.connect(shop, agent, desk),
            // A desktop that does not know that its stream is gone, or a colleague on its behalf.
            0 => {
                let session = any(random, &who.gone).unwrap_or_default();
                let by = Session { agent: who.id.clone(), session };
                let presence = [Presence::Available, Presence::Away, Presence::Offline];
                if let Some(presence) = any(random, &presence) {
                    self.run(shop, Command::SetPresence { by, presence }, 0, desk, now);
                }
            }
            _ if !who.is_here => {
                let by = who.speaks();
                self.shops[shop].agents[agent].is_here = true;
                self.run(shop, Command::SetPresence { by, presence: Presence::Available }, 0, desk, now);
            }
            _ => self.act(random, shop, agent, desk, now),
        }
    }

    /// Somebody in the flow of work: by what the desktop shows, which may be old.
    fn act(&mut self, random: &mut Random, shop: usize, agent: usize, desk: &Desk, now: Millis) {
        let at = &self.shops[shop];
        let who = &at.agents[agent];
        let by = who.speaks();
        let of = |phase: Phase| who.held.iter().copied().filter(|held| held.phase == phase).collect::<Vec<Held>>();
        let offered = any(random, &of(Phase::Offered)).map(|held| OfferId(held.offer));
        let held = any(random, &[of(Phase::Assigned), of(Phase::Assigned), of(Phase::Wrapping)].concat());
        let item = held.map(|held| WorkItemId(held.item));
        match (random.below(34), offered, item) {
            (0..=9, Some(offer), _) => self.run(shop, Command::Accept { by, offer }, 0, desk, now),
            (10..=12, Some(offer), _) => {
                self.run(shop, Command::Decline { by, offer, reason: "no".into() }, 0, desk, now);
            }
            (13..=19, _, Some(_)) => self.answer(random, shop, held.map_or(0, |held| held.thread), desk, now),
            (20 | 21, _, Some(item)) => self.run(shop, Command::Park { by, item }, 0, desk, now),
            (22, _, Some(item)) => self.run(shop, Command::Release { by, item }, 0, desk, now),
            (23..=25, _, Some(item)) => self.run(shop, Command::Finish { by, item }, 0, desk, now),
            (26, ..) => self.shops[shop].agents[agent].vanish(),
            (27, ..) => {
                let presence = [Presence::Away, Presence::Available, Presence::Available, Presence::Offline];
                let presence = any(random, &presence).unwrap_or(Presence::Available);
                self.shops[shop].agents[agent].is_here = presence == Presence::Available;
                self.run(shop, Command::SetPresence { by, presence }, 0, desk, now);
            }
            (28 | 29, ..) => self.meddle(random, shop, by.agent, desk, now),
            _ => self.look_at_work(shop, agent, desk),
        }
    }

    fn answer(&mut self, random: &mut Random, shop: usize, thread: u64, desk: &Desk, now: Millis) {
        let Some(asked) = self.to_answer(random, shop, thread) else { return };
        let at = &self.shops[shop];
        let reply = answer_to(random, &at.name, &asked, at.drafts.len(), now);
        self.say(random, shop, reply, desk, now);
    }

    /// Somebody moves an item, or takes it by hand, whoever has it.
    fn meddle(&mut self, random: &mut Random, shop: usize, agent: String, desk: &Desk, now: Millis) {
        let at = &self.shops[shop];
        let Some((item, seen)) = any(random, &at.items) else { return };
        let (item, etag) = (WorkItemId(item), if random.below(3) == 0 { seen } else { 0 });
        let command = if random.below(2) == 0 {
            Command::Take { item, agent }
        } else {
            let queue = any(random, &["", "default", "second"]).unwrap_or_default().to_owned();
            let agent = if random.below(2) == 0 { at.agents[0].id.clone() } else { String::new() };
            Command::Transfer { item, queue, agent }
        };
        self.run(shop, command, etag, desk, now);
    }

    /// An agent opens a stream.
    pub(in crate::simulation) fn connect(&mut self, shop: usize, agent: usize, desk: &Desk) {
        let at = &mut self.shops[shop];
        at.agents[agent].connects = true;
        let (name, command) = (at.name.clone(), Command::Connect { agent: at.agents[agent].id.clone() });
        self.decide(name, command, "", 0, Question::Connect { shop, agent }, desk);
    }

    /// The shell has noticed that a stream is gone.
    pub(in crate::simulation) fn notice(&mut self, random: &mut Random, shop: usize, desk: &Desk) {
        let at = &mut self.shops[shop];
        let agent = usize::try_from(random.below(at.agents.len() as u64)).unwrap_or_default();
        let Some(session) = at.agents[agent].gone.pop() else { return };
        let by = Session { agent: at.agents[agent].id.clone(), session };
        let name = at.name.clone();
        self.decide(name, Command::Disconnect(by), "", 0, Question::Gone, desk);
    }

    fn look_at_work(&mut self, shop: usize, agent: usize, desk: &Desk) {
        let name = self.shops[shop].name.clone();
        let (workspace, id) = (name.clone(), self.shops[shop].agents[agent].id.clone());
        let (number, answers) = self.ask(desk, Question::Work { shop, agent });
        let question = move |state: &Planted<Routing>| {
            let items = state.items.page(&WorkItemId(0), 10_000).into_iter();
            let others = items.filter(|(_, item)| item.workspace == workspace && !item.phase.is_final());
            let others = others.map(|(id, item)| (id.0, item.version)).collect();
            Sight { held: held_by(state, &workspace, &id), others }
        };
        let reply = move |shown| tell(&answers, number, Answer::Work(shown));
        desk.routing.push(Ask::new(name, question, reply));
    }

    pub(super) fn see_work(&mut self, shop: usize, agent: usize, sight: Sight, as_of: Position) {
        let at = &mut self.shops[shop];
        let Sight { held, others } = sight;
        at.items = others;
        at.agents[agent].held.clone_from(&held);
        let agent = at.agents[agent].id.clone();
        self.shown(shop, as_of, View::Work { agent, held });
    }

    pub(super) fn connected(
        &mut self,
        shop: usize,
        agent: usize,
        desk: u64,
        done: Option<(Worked, Position)>,
    ) -> Result<(), Wrong> {
        let who = &mut self.shops[shop].agents[agent];
        who.connects = false;
        match done {
            None => self.lost += 1,
            Some((Worked { done: Ok(Done::Session(session)), wrote: true, .. }, Position { index, .. })) => {
                who.vanish();
                (who.session, who.desk) = (session, desk);
                self.promise(shop, Promise::Speaks { session, index });
            }
            // The policy does not name it now.
            Some((Worked { done: Err(Refusal::NotFound { kind: "agent", .. }), wrote: false, .. }, _)) => {}
            Some((Worked { done, .. }, _)) => return Err(format!("{} connects and is answered {done:?}", who.id)),
        }
        Ok(())
    }
}
