//! Customers and connectors: what is sent, sent again, and sent late.

use rejoinder_ingest::Publish;
use rejoinder_ingest_core::{Outcome, Revision};
use rejoinder_model::{DAY_MS, MINUTE_MS, Millis};

use super::{Answer, Clients, Question, any, tell};
use crate::client::Random;
use crate::simulation::desk::Desk;
use crate::simulation::draft::{Draft, question};
use crate::simulation::promises::Promise;
use crate::simulation::{Plant, Wrong};

/// Clocks take no message for older or newer than this by its receipt.
const CLOCKS_BELIEVE_MS: (Millis, Millis) = (7 * DAY_MS, 5 * MINUTE_MS);

impl Clients {
    /// Publishes a batch of drafts, new ones and ones that were sent before.
    pub(in crate::simulation) fn publish(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let count = self.shops[shop].drafts.len() as u64;
        let size = 1 + random.below(8);
        let drafts = (0..size).map(|_| usize::try_from(random.below(count)).unwrap_or_default()).collect();
        self.publish_these(shop, drafts, desk, now);
    }

    /// A customer writes; now and then the connector is slow to say so.
    pub(in crate::simulation) fn write(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let at = &self.shops[shop];
        let draft = question(random, &at.name, at.drafts.len(), now);
        self.say(random, shop, draft, desk, now);
    }

    /// Something new is said, and mostly published at once.
    pub(super) fn say(&mut self, random: &mut Random, shop: usize, draft: Draft, desk: &Desk, now: Millis) {
        self.shops[shop].drafts.push(draft);
        let newest = self.shops[shop].drafts.len() - 1;
        if random.below(4) > 0 {
            self.publish_these(shop, vec![newest], desk, now);
        }
    }

    /// Publishes a certain message at once; answers with its number.
    pub(in crate::simulation) fn deliver(&mut self, shop: usize, draft: Draft, desk: &Desk, now: Millis) -> usize {
        self.shops[shop].drafts.push(draft);
        let newest = self.shops[shop].drafts.len() - 1;
        self.publish_these(shop, vec![newest], desk, now);
        newest
    }

    /// How much was drawn and said in a workspace so far.
    pub(in crate::simulation) fn said(&self, shop: usize) -> usize {
        self.shops[shop].drafts.len()
    }

    /// A message by its number.
    pub(in crate::simulation) fn draft(&self, shop: usize, number: usize) -> Draft {
        self.shops[shop].drafts[number].clone()
    }

    /// Publishes again what was never answered, and what was kept back; `false` when all was.
    pub(in crate::simulation) fn publish_unanswered(&mut self, shop: usize, desk: &Desk, now: Millis) -> bool {
        let waits = |draft: &Draft| (draft.sent || draft.live) && !draft.acknowledged;
        let drafts = &self.shops[shop].drafts;
        let drafts: Vec<usize> = (0..drafts.len()).filter(|n| waits(&drafts[*n])).collect();
        let any = !drafts.is_empty();
        if any {
            self.publish_these(shop, drafts, desk, now);
        }
        any
    }

    fn publish_these(&mut self, shop: usize, drafts: Vec<usize>, desk: &Desk, now: Millis) {
        let at = &mut self.shops[shop];
        let name = at.name.clone();
        let arrival = |draft: &usize| {
            let mut arrival = at.drafts[*draft].arrival.clone();
            let (from, to) = (now - CLOCKS_BELIEVE_MS.0, now + CLOCKS_BELIEVE_MS.1);
            arrival.received.received_at = now;
            arrival.received.clock_time = arrival.received.event_time.clamp(from, to);
            arrival
        };
        let arrivals: Vec<_> = drafts.iter().map(arrival).collect();
        drafts.iter().for_each(|draft| at.drafts[*draft].sent = true);
        let bytes = arrivals.len() * 256;
        let (number, answers) = self.ask(desk, Question::Batch { shop, drafts });
        let reply = move |published: rejoinder_ingest::Published| {
            tell(&answers, number, Answer::Published(published.map(|(outcomes, _)| outcomes)));
        };
        desk.ingest.push(Publish::new(name, arrivals, bytes, reply));
    }

    /// A planted misunderstanding.
    pub(super) fn take_for_refused(&mut self, shop: usize, drafts: &[usize]) {
        if self.plant == Plant::LostIsRefused {
            let messages = drafts.iter().map(|draft| &self.shops[shop].drafts[*draft]);
            let messages = messages.filter(|draft| draft.arrival.revision.is_none());
            let refused: Vec<Promise> = messages.map(|draft| Promise::Refused { key: draft.key }).collect();
            refused.into_iter().for_each(|promise| self.promise(shop, promise));
        }
    }

    pub(super) fn learn(&mut self, shop: usize, draft: usize, outcome: Outcome) -> Result<(), Wrong> {
        let at = &mut self.shops[shop];
        let draft = &mut at.drafts[draft];
        let key = draft.key;
        draft.acknowledged = true;
        let promise = match (draft.arrival.revision, outcome) {
            (None, Outcome::Accepted(id)) => {
                draft.interaction = Some(id);
                Promise::Stands { key, id }
            }
            (None, Outcome::Duplicate(Some(id))) => {
                self.duplicates += 1;
                draft.interaction = Some(id);
                Promise::Stands { key, id }
            }
            (Some(Revision::Edit { version }), Outcome::Revised | Outcome::Duplicate(None)) => {
                Promise::Edited { key, version }
            }
            (Some(Revision::Delete), Outcome::Revised | Outcome::Duplicate(None)) => Promise::Deleted { key },
            (_, Outcome::UnknownWorkspace) if !at.exists => Promise::Refused { key },
            (revision, outcome) => return Err(format!("{revision:?} of {key:?} is answered {outcome:?}")),
        };
        self.promise(shop, promise);
        Ok(())
    }

    /// A message of a customer in a thread, by what the clients know; any of them where they know none.
    pub(super) fn to_answer(&self, random: &mut Random, shop: usize, thread: u64) -> Option<Draft> {
        let at = &self.shops[shop];
        let asked = |draft: &&Draft| draft.interaction.is_some() && draft.is_question();
        let seen = at.threads.iter().find(|seen| seen.id.0 == thread);
        let within = |draft: &&Draft| {
            let messages = seen.iter().flat_map(|seen| &seen.messages);
            draft.interaction.is_some_and(|id| messages.into_iter().any(|message| *message == id.0))
        };
        let of_thread: Vec<&Draft> = at.drafts.iter().filter(asked).filter(within).collect();
        let of_shop: Vec<&Draft> = at.drafts.iter().filter(asked).collect();
        any(random, if of_thread.is_empty() { &of_shop } else { &of_thread }).cloned()
    }
}
