//! The office: it gives a workspace its policy, and tends threads.

use rejoinder_ingest_core::{NewPolicy, publish_policy};
use rejoinder_model::{MessageKey, Millis, Position, Service};
use rejoinder_runtime::Decide;
use rejoinder_threading_core::{Asked, Command, Threading, decide_command};

use super::{Answer, Clients, Question, RETRY_FOR_MS, tell};
use crate::client::Random;
use crate::simulation::desk::Desk;
use crate::simulation::house;
use crate::simulation::order::command_on;
use crate::simulation::plant::Planted;
use crate::simulation::promises::Promise;

/// A command on threads.
pub(super) struct Order {
    command: Command,
    first_sent: Millis,
    pub(super) waiting: bool,
    closed: bool,
}

impl Clients {
    /// Gives a workspace its policy, or another one.
    pub(in crate::simulation) fn publish_policy(&mut self, random: &mut Random, shop: usize, desk: &Desk) {
        let agents: Vec<String> = self.shops[shop].agents.iter().map(|agent| agent.id.clone()).collect();
        let new = house::rules(random, &agents);
        self.publish_this_policy(shop, desk, new);
    }

    /// Gives a workspace a certain policy.
    pub(in crate::simulation) fn publish_this_policy(&mut self, shop: usize, desk: &Desk, new: NewPolicy) {
        let (number, answers) = self.ask(desk, Question::Policy);
        let name = self.shops[shop].name.clone();
        let workspace = name.clone();
        let decision = move |state: &_, context: &_, out: &mut _| {
            let new = NewPolicy { request_id: format!("policy-{number}"), ..new };
            publish_policy(state, context, &workspace, new, out).is_ok()
        };
        let reply = move |done: Option<(bool, Position)>| {
            tell(&answers, number, Answer::Policy(done.map(|(published, _)| published)));
        };
        desk.ingest.push(Decide::new(name, decision, reply));
    }

    /// Gives a command, a new one or one whose outcome is not known.
    pub(in crate::simulation) fn command(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let at = &mut self.shops[shop];
        let again = |order: &Order| !order.waiting && !order.closed && now < order.first_sent + RETRY_FOR_MS;
        let order = if random.below(2) == 0 { at.orders.iter().position(again) } else { None };
        match order {
            Some(order) => self.send_order(shop, order, desk),
            None => {
                let command = command_on(random, &at.threads, at.regroups, now);
                command.into_iter().for_each(|command| self.order(shop, command, desk, now));
            }
        }
    }

    /// Gives a certain command.
    pub(in crate::simulation) fn order(&mut self, shop: usize, command: Command, desk: &Desk, now: Millis) {
        let orders = &mut self.shops[shop].orders;
        orders.push(Order { command, first_sent: now, waiting: false, closed: false });
        let order = orders.len() - 1;
        self.send_order(shop, order, desk);
    }

    fn send_order(&mut self, shop: usize, order: usize, desk: &Desk) {
        let at = &mut self.shops[shop];
        at.orders[order].waiting = true;
        let (name, command) = (at.name.clone(), at.orders[order].command.clone());
        let (workspace, request_id) = (name.clone(), request_id(order));
        let (number, answers) = self.ask(desk, Question::Order { shop, order });
        let decision = move |state: &Planted<Threading>, context: &_, out: &mut Vec<_>| {
            let asked = Asked { request_id: &request_id, ..Asked::default() };
            decide_command(state, context, &workspace, asked, &command, out).is_ok()
        };
        let reply = move |done| tell(&answers, number, Answer::Commanded(done));
        desk.threading.push(Decide::new(name, decision, reply));
    }

    pub(super) fn ordered(&mut self, shop: usize, order: usize, done: Option<(bool, Position)>) {
        let at = &mut self.shops[shop];
        at.orders[order].waiting = false;
        at.orders[order].closed = done.is_some();
        let Some((accepted, Position { index, .. })) = done else {
            self.lost += 1;
            return;
        };
        let service = Service::Threading;
        let request = MessageKey::new(&at.name, "request", None, &request_id(order));
        let done = Promise::Commanded { service, request, index };
        self.promise(shop, if accepted { done } else { Promise::CommandRefused { service, request } });
    }
}

fn request_id(order: usize) -> String {
    format!("order-{order}")
}
