//! The promises of answers, against the log.

use std::str::FromStr;

use rejoinder_model::{AlarmId, OfferId, WorkItemId};

use super::books::Books;
use super::items::Outcome;
use crate::floor::memory::{Memory, Promise};

fn number<T: FromStr>(text: &str, of: impl Fn(T) -> u64) -> u64 {
    text.parse().map(of).unwrap_or_default()
}

/// What the log does not keep of what the people of a workspace were told.
pub(super) fn findings(books: &Books, workspace: &str, memory: &Memory) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, acknowledged) in &memory.messages {
        let stored = books.messages.get(&(workspace.to_owned(), id.clone())).map(ToString::to_string);
        if acknowledged.is_some() && stored != *acknowledged {
            findings.push(format!("{id} was acknowledged as {acknowledged:?}, and is {stored:?}"));
        }
    }
    let broken = |promise: &&Promise| !kept(books, workspace, promise);
    findings.extend(memory.promises.iter().filter(broken).map(|promise| format!("not kept: {promise:?}")));
    findings.extend(rung(books, workspace, memory));
    findings
}

fn kept(books: &Books, workspace: &str, promise: &Promise) -> bool {
    let offer = |id: &str| books.items.offers.get(&number(id, |id: OfferId| id.0));
    let ended = |id: &str, agent: &str, how: Outcome, upto: u64| {
        let found = offer(id).filter(|offer| offer.agent == agent).and_then(|offer| offer.outcome);
        found.is_some_and(|(outcome, at)| outcome == how && at <= upto)
    };
    match promise {
        Promise::Told { offer: id, item, agent } => {
            offer(id).is_some_and(|offer| offer.agent == *agent && offer.item == number(item, |id: WorkItemId| id.0))
        }
        Promise::Accepted { offer, agent, by } => ended(offer, agent, Outcome::Accepted, by.index),
        Promise::TooLate { offer: id } => {
            let outcome = offer(id).and_then(|offer| offer.outcome);
            outcome.is_some_and(|(outcome, _)| outcome != Outcome::Accepted)
        }
        Promise::Declined { offer, agent, by } => ended(offer, agent, Outcome::Declined, by.index),
        Promise::Did { item, what, agent, by } => {
            let item = number(item, |id: WorkItemId| id.0);
            what.iter().any(|what| books.items.happened(item, what, agent, by.index))
        }
        Promise::Present { agent, presence, by } => books.items.was(workspace, agent, *presence, by.index),
        Promise::Commanded { request, by } => books.done(workspace, request).is_some_and(|at| at <= by.index),
        Promise::Refused { request } => books.done(workspace, request).is_none(),
        Promise::Seen { alarm, by } => {
            books.clocks.acknowledged(number(alarm, |id: AlarmId| id.0)).is_some_and(|at| at <= by.index)
        }
    }
}

/// The watcher was told all that happened to alarms, in order and each once, as far as it has read.
fn rung(books: &Books, workspace: &str, memory: &Memory) -> Option<String> {
    let all = books.clocks.told.get(workspace).map_or(&[][..], Vec::as_slice);
    let told = memory.rung.iter().map(|(position, alarm, what)| (position.as_str(), alarm.clone(), *what));
    let stands = |(index, alarm, what): &super::clocks::Told| (*index, alarm.to_string(), *what);
    for (n, (position, alarm, what)) in told.enumerate() {
        let index: u64 = position.split('/').nth(1).and_then(|index| index.parse().ok()).unwrap_or_default();
        let stands = all.get(n).map(stands);
        if stands != Some((index, alarm.clone(), what)) {
            return Some(format!("the watcher's change {n} is {position} {alarm} {what}, the log's is {stands:?}"));
        }
    }
    None
}

/// How many changes of alarms the watcher was not told of yet.
pub(super) fn unheard(books: &Books, workspace: &str, memory: &Memory) -> usize {
    books.clocks.told.get(workspace).map_or(0, Vec::len).saturating_sub(memory.rung.len())
}
