//! Supervisors hear alarms and say that they have.

use rejoinder_model::{AlarmId, MessageKey, Millis, Position, Service};
use rejoinder_runtime::Decide;
use rejoinder_sla_core::{Asked, Refusal, SlaTimer, acknowledge};

use super::{Answer, Clients, Question, RETRY_FOR_MS, any, tell};
use crate::client::Random;
use crate::simulation::Wrong;
use crate::simulation::desk::Desk;
use crate::simulation::plant::Planted;
use crate::simulation::promises::Promise;

/// An acknowledgement.
pub(super) struct Nod {
    alarm: AlarmId,
    /// 0: whatever the alarm is like by now.
    etag: u64,
    first_sent: Millis,
    pub(super) waiting: bool,
    /// It is answered, and once more is nothing new.
    done: Option<bool>,
}

/// What became of it, and whether anything was written.
pub(super) type Nodded = (Result<AlarmId, Refusal>, bool);

impl Clients {
    /// Acknowledges an alarm that was seen, for the first time or again.
    pub(in crate::simulation) fn nod(&mut self, random: &mut Random, shop: usize, desk: &Desk, now: Millis) {
        let at = &mut self.shops[shop];
        let again = |nod: &Nod| !nod.waiting && nod.done != Some(false) && now < nod.first_sent + RETRY_FOR_MS;
        let nod = if random.below(3) == 0 { at.nods.iter().position(again) } else { None };
        let Some(nod) = nod.or_else(|| {
            let rings = any(random, &at.alarms)?;
            let etag = if random.below(2) == 0 { rings.version } else { 0 };
            at.nods.push(Nod { alarm: rings.alarm, etag, first_sent: now, waiting: false, done: None });
            Some(at.nods.len() - 1)
        }) else {
            return;
        };
        let Nod { alarm, etag, .. } = at.nods[nod];
        at.nods[nod].waiting = true;
        let name = at.name.clone();
        let (workspace, request_id) = (name.clone(), request_id(nod));
        let (number, answers) = self.ask(desk, Question::Nod { shop, nod });
        let decision = move |state: &Planted<SlaTimer>, context: &_, out: &mut Vec<_>| {
            let asked = Asked { actor: "eve", request_id: &request_id, etag };
            let done = acknowledge(state, context, &workspace, asked, alarm, out);
            (done, !out.is_empty())
        };
        let reply = move |done| tell(&answers, number, Answer::Nodded(done));
        desk.sla.push(Decide::new(name, decision, reply));
    }

    pub(super) fn nodded(&mut self, shop: usize, nod: usize, done: Option<(Nodded, Position)>) -> Result<(), Wrong> {
        let at = &mut self.shops[shop];
        let (service, request) = (Service::SlaTimer, MessageKey::new(&at.name, "request", None, &request_id(nod)));
        let asked = &mut at.nods[nod];
        asked.waiting = false;
        let Some(((answer, wrote), Position { index, .. })) = done else {
            self.lost += 1;
            return Ok(());
        };
        let before = asked.done.replace(answer.is_ok());
        match answer {
            Ok(alarm) if alarm == asked.alarm && (!wrote || before != Some(true)) => {
                self.promise(shop, Promise::Commanded { service, request, index });
                Ok(())
            }
            Err(_) if before != Some(true) => {
                self.promise(shop, Promise::CommandRefused { service, request });
                Ok(())
            }
            answer => Err(format!("alarm {} is acknowledged again, and the answer is {answer:?}", asked.alarm)),
        }
    }
}

fn request_id(nod: usize) -> String {
    format!("nod-{nod}")
}
