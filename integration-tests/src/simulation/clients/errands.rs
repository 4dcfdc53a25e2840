//! Commands of agents and on their behalf: sent, sent again, and answered alike.

use rejoinder_machine::Context;
use rejoinder_model::{DAY_MS, MessageKey, Millis, Position, Service, WorkItemId};
use rejoinder_routing_core::record::Phase;
use rejoinder_routing_core::{Asked, Command, Done, Refusal, Routing, decide_command};
use rejoinder_runtime::Decide;
use rejoinder_wire::event::{Event, OfferAccepted, WorkItemAssigned, event::Body, work_item_assigned};

use super::{Answer, Clients, Question, RETRY_FOR_MS, any, tell};
use crate::client::Random;
use crate::simulation::desk::Desk;
use crate::simulation::plant::Planted;
use crate::simulation::promises::{Outcome, Promise};
use crate::simulation::{Plant, Wrong};

/// A command of an agent, or on its behalf.
pub(super) struct Errand {
    command: Command,
    etag: u64,
    first_sent: Millis,
    pub(super) waiting: bool,
    /// What it was answered and when it was decided, if it is to be the same again.
    answer: Option<(Done, Millis)>,
    closed: bool,
}

/// What became of a command.
pub(super) struct Worked {
    pub(super) done: Result<Done, Refusal>,
    pub(super) wrote: bool,
    decided_at: Millis,
}

impl Clients {
    /// Sends a command once more: its outcome is not known, or it is and the client does not believe it.
    pub(super) fn repeat(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) -> bool {
        let errands = &self.shops[shop].errands;
        let again = |errand: &Errand| {
            !errand.waiting && now < errand.first_sent + RETRY_FOR_MS && (!errand.closed || errand.answer.is_some())
        };
        let these: Vec<usize> = (0..errands.len()).filter(|n| again(&errands[*n])).collect();
        let Some(errand) = any(random, &these) else { return false };
        self.send(shop, errand, desk);
        true
    }

    pub(super) fn run(&mut self, shop: usize, command: Command, etag: u64, desk: &Desk, now: Millis) {
        let errands = &mut self.shops[shop].errands;
        errands.push(Errand { command, etag, first_sent: now, waiting: false, answer: None, closed: false });
        let errand = errands.len() - 1;
        self.send(shop, errand, desk);
    }

    fn send(&mut self, shop: usize, errand: usize, desk: &Desk) {
        let at = &mut self.shops[shop];
        at.errands[errand].waiting = true;
        let (name, command, etag) = (at.name.clone(), at.errands[errand].command.clone(), at.errands[errand].etag);
        let question = Question::Errand { shop, errand };
        self.decide(name, command, &request_id(errand), etag, question, desk);
    }

    pub(super) fn decide(
        &mut self,
        name: String,
        command: Command,
        request: &str,
        etag: u64,
        question: Question,
        desk: &Desk,
    ) {
        let (workspace, request_id, plant) = (name.clone(), request.to_owned(), self.plant);
        let (number, answers) = self.ask(desk, question);
        let decision = move |state: &Planted<Routing>, context: &Context, out: &mut Vec<Event>| {
            let asked = Asked { actor: "eve", request_id: &request_id, etag };
            let mut done = decide_command(state, context, &workspace, asked, &command, out);
            if plant == Plant::AcceptedTwice && matches!(done, Err(Refusal::OfferOver { .. })) {
                done = accept_anyway(state, &workspace, &command, out).ok_or(Refusal::Precondition(String::new()));
            }
            Worked { done, wrote: !out.is_empty(), decided_at: context.now }
        };
        let reply = move |done| tell(&answers, number, Answer::Worked(done));
        desk.routing.push(Decide::new(name, decision, reply));
    }

    pub(super) fn worked(&mut self, shop: usize, errand: usize, done: Option<(Worked, Position)>) -> Result<(), Wrong> {
        let at = &mut self.shops[shop];
        let (service, request) = (Service::Routing, MessageKey::new(&at.name, "request", None, &request_id(errand)));
        let errand = &mut at.errands[errand];
        errand.waiting = false;
        let Some((Worked { done: answer, wrote, decided_at }, Position { index, .. })) = done else {
            self.lost += 1;
            return Ok(());
        };
        errand.closed = true;
        let command = errand.command.clone();
        match &errand.answer {
            // A repeat is answered alike and does nothing, as long as requests are remembered.
            Some((before, at)) if decided_at < at + DAY_MS => {
                return match &answer {
                    Ok(now) if now == before && !wrote => Ok(()),
                    _ => {
                        Err(format!("{command:?} was answered {before:?}, and its repeat {answer:?}, writing {wrote}"))
                    }
                };
            }
            Some(_) => return Ok(()),
            None if wrote => errand.answer = answer.as_ref().ok().cloned().map(|done| (done, decided_at)),
            None => {}
        }
        match (&answer, wrote) {
            (Ok(_), true) => self.promise(shop, Promise::Commanded { service, request, index }),
            (Ok(_), false) => {}
            (Err(_), false) => self.promise(shop, Promise::CommandRefused { service, request }),
            (Err(refusal), true) => return Err(format!("{command:?} is refused, {refusal}, and was written")),
        }
        match (command, &answer) {
            (Command::Accept { offer, .. }, Ok(_)) => {
                self.promise(shop, Promise::Ended { offer, outcome: Outcome::Accepted, index });
            }
            (Command::Decline { offer, .. }, Ok(_)) => {
                self.promise(shop, Promise::Ended { offer, outcome: Outcome::Declined, index });
            }
            (Command::Accept { offer, .. }, Err(Refusal::OfferOver { .. })) => {
                self.promise(shop, Promise::TooLate { offer });
            }
            _ => {}
        }
        Ok(())
    }
}

/// A planted fault: an offer that is over is accepted.
fn accept_anyway(state: &Routing, workspace: &str, command: &Command, out: &mut Vec<Event>) -> Option<Done> {
    let Command::Accept { offer, by } = command else { return None };
    let found = state.offers.get(offer)?;
    let item = state.item(found.item).filter(|item| item.phase == Phase::Assigned)?;
    let (id, thread, agent) = (found.item, item.thread, by.agent.clone());
    let accepted = OfferAccepted { offer: offer.0, item: id, thread, agent: agent.clone(), at: item.changed_at };
    let cause = work_item_assigned::Cause::Accepted as i32;
    let assigned = WorkItemAssigned { item: id, thread, agent, cause, ..WorkItemAssigned::default() };
    out.push(rejoinder_machine::event(workspace, Body::OfferAccepted(accepted)));
    out.push(rejoinder_machine::event(workspace, Body::WorkItemAssigned(assigned)));
    Some(Done::Item(WorkItemId(id)))
}

fn request_id(errand: usize) -> String {
    format!("errand-{errand}")
}
