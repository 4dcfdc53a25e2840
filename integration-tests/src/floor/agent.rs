//! An agent at a desktop: takes offers, leaves them, answers customers, loses the connection, comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{
    AcceptOffer, ChangePresence, DeclineOffer, FinishItem, Hello, ParkItem, ReleaseItem, Request as Up,
};
use rejoinder_api::routing::work_response::{Answer, Response as Down};
use rejoinder_api::routing::{Offer, Presence, WorkRequest};
use rejoinder_api::threading::{ListMessagesRequest, ResolveThreadRequest, thread::Disposition};
use rejoinder_model::Position;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::line::{Line, Meaning, meaning};
use super::memory::Promise;
use super::{Shared, connector};
use crate::client::Random;

/// What an agent has said on a stream, by request id.
#[derive(Clone)]
enum Said {
    Accept(Box<Offer>),
    Decline(String),
    Did(String, &'static [&'static str]),
    Present(i32),
}

/// How a stream ended.
enum Ended {
    Gone,
    Dropped,
}

/// Works at a server until it is gone.
pub(crate) async fn life(shared: Arc<Shared>, line: Line, number: u64, mut random: Random) {
    while let Ended::Dropped = session(&shared, &line, number, &mut random).await {
        // The desktop comes back after a while.
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
    }
}

struct Desktop<'a> {
    shared: &'a Arc<Shared>,
    line: &'a Line,
    agent: String,
    up: mpsc::Sender<WorkRequest>,
    said: BTreeMap<String, Said>,
    random: &'a mut Random,
    number: u64,
}

async fn session(shared: &Arc<Shared>, line: &Line, number: u64, random: &mut Random) -> Ended {
    let (up, requests) = mpsc::channel(64);
    let agent = format!("a{number}");
    let hello =
        Hello { agent_id: agent.clone(), presence: Presence::Available as i32, with_context: random.below(2) == 0 };
    let hello = WorkRequest { request_id: String::new(), request: Some(Up::Hello(hello)) };
    if up.send(hello).await.is_err() {
        return Ended::Gone;
    }
    let mut down = match line.agents().work(ReceiverStream::new(requests)).await {
        Ok(down) => down.into_inner(),
        Err(_) => return Ended::Gone,
    };
    let mut desktop = Desktop { shared, line, agent, up, said: BTreeMap::new(), random, number: 0 };
    loop {
        let told = match down.message().await {
            Ok(Some(told)) => told,
            Ok(None) => return Ended::Dropped,
            Err(status) => return desktop.ended(&status),
        };
        let position = told.position.parse::<Position>().ok();
        match told.response {
            Some(Down::Welcome(welcome)) => {
                for offer in welcome.offers {
                    desktop.offered(offer).await;
                }
                for item in welcome.items.into_iter().filter(|item| item.phase() == Phase::Assigned) {
                    desktop.work_on(item.item_id, item.thread_id);
                }
            }
            Some(Down::Offer(offer)) => {
                let drops = desktop.random.below(40) == 0;
                desktop.offered(offer).await;
                if drops {
                    return Ended::Dropped;
                }
            }
            Some(Down::PresenceChanged(changed)) if changed.presence != Presence::Available as i32 => {
                desktop.return_soon();
            }
            Some(Down::Answer(answer)) => desktop.answered(&answer, position),
            _ => {}
        }
    }
}

impl Desktop<'_> {
    fn ended(&self, status: &tonic::Status) -> Ended {
        match (meaning(status), status.code()) {
            // Another stream speaks for the agent, the policy dropped it, or it did not read on.
            (Meaning::Refused, Code::Aborted) | (Meaning::Unknown, _) => Ended::Dropped,
            (Meaning::Refused, Code::FailedPrecondition) => Ended::Dropped,
            (Meaning::Gone, _) => Ended::Gone,
            _ => {
                self.shared.broken(format!("the stream of {} ended: {status:?}", self.agent));
                Ended::Gone
            }
        }
    }

    fn note(&mut self, said: Said) -> String {
        self.number += 1;
        let id = self.number.to_string();
        self.said.insert(id.clone(), said);
        id
    }

    async fn say(&mut self, said: Said, request: Up) {
        let request_id = self.note(said);
        // The stream may have ended.
        let _ = self.up.send(WorkRequest { request_id, request: Some(request) }).await;
    }

    fn say_later(&mut self, said: Said, request: Up, after: Duration) {
        let request_id = self.note(said);
        let up = self.up.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = up.send(WorkRequest { request_id, request: Some(request) }).await;
        });
    }

    fn return_soon(&mut self) {
        let presence = Presence::Available as i32;
        let after = Duration::from_millis(20 + self.random.below(200));
        self.say_later(Said::Present(presence), Up::Presence(ChangePresence { presence }), after);
    }

    async fn offered(&mut self, offer: Offer) {
        let (offer_id, agent) = (offer.offer_id.clone(), self.agent.clone());
        self.shared.promise(Promise::Told { offer: offer_id.clone(), item: offer.item_id.clone(), agent });
        let accept = Up::Accept(AcceptOffer { offer_id: offer_id.clone() });
        let decline = Up::Decline(DeclineOffer { offer_id: offer_id.clone(), reason: "not mine".into() });
        match self.random.below(100) {
            0..12 => self.say(Said::Decline(offer_id), decline).await,
            // Time runs out.
            12..20 => {}
            20..24 => {
                self.say(Said::Accept(Box::new(offer.clone())), accept.clone()).await;
                self.say(Said::Accept(Box::new(offer)), accept).await;
            }
            24..28 => {
                self.say(Said::Decline(offer_id), decline).await;
                self.say(Said::Accept(Box::new(offer)), accept).await;
            }
            // About when the offer ends by itself.
            28..36 => {
                let after = Duration::from_millis(900 + self.random.below(250));
                self.say_later(Said::Accept(Box::new(offer)), accept, after);
            }
            _ => self.say(Said::Accept(Box::new(offer)), accept).await,
        }
    }

    fn answered(&mut self, answer: &Answer, position: Option<Position>) {
        let Some(said) = self.said.remove(&answer.request_id) else { return };
        let (agent, over) = (self.agent.clone(), answer.reason == "OFFER_OVER");
        let promise = match (said, position, answer.code) {
            (Said::Accept(offer), Some(by), 0) => {
                self.work_on(offer.item_id, offer.thread_id);
                Promise::Accepted { offer: offer.offer_id, agent, by }
            }
            (Said::Decline(offer), Some(by), 0) => Promise::Declined { offer, agent, by },
            (Said::Did(item, what), Some(by), 0) => Promise::Did { item, what, agent, by },
            (Said::Present(presence), Some(by), 0) => Promise::Present { agent, presence, by },
            (Said::Accept(offer), _, _) if over => Promise::TooLate { offer: offer.offer_id },
            // What was told of exists; what was asked for may be over, or the stream is.
            (_, _, code) => {
                let known = [Code::Aborted, Code::FailedPrecondition, Code::Unavailable, Code::ResourceExhausted];
                if !known.map(i32::from).contains(&code) {
                    self.shared.broken(format!("{agent} was answered {answer:?}"));
                }
                return;
            }
        };
        self.shared.promise(promise);
    }

    /// What an agent does with an item: mostly an answer.
    fn work_on(&mut self, item_id: String, thread_id: String) {
        let item = item_id.clone();
        let (said, request) = match self.random.below(100) {
            0..60 => (None, None),
            60..75 => (Some(&["wrapping"][..]), Some(Up::Finish(FinishItem { item_id }))),
            75..85 => (Some(&["parked"][..]), Some(Up::Park(ParkItem { item_id }))),
            // One that was answered waits for its customer.
            _ => (Some(&["queued", "parked"][..]), Some(Up::Release(ReleaseItem { item_id }))),
        };
        let resolves = self.random.below(10) == 0;
        let (shared, line) = (self.shared.clone(), self.line.clone());
        let said = said.zip(request);
        match said {
            None => {
                tokio::spawn(async move { reply(&shared, &line, thread_id, resolves).await });
            }
            Some((what, request)) => {
                let after = Duration::from_millis(self.random.below(30));
                self.say_later(Said::Did(item, what), request, after);
            }
        }
    }
}

/// Answers the newest message of a customer in a thread, and perhaps settles it.
async fn reply(shared: &Shared, line: &Line, thread_id: String, resolves: bool) -> Option<()> {
    let list = ListMessagesRequest {
        thread_id: thread_id.clone(),
        page_size: 20,
        newest_first: true,
        ..ListMessagesRequest::default()
    };
    let messages = line.threads().list_messages(list).await.ok()?.into_inner().messages;
    let question = messages.into_iter().find(|message| !message.outbound)?.external_id;
    let number = {
        let mut memory = shared.memory();
        memory.numbers.0 += 1;
        memory.numbers.0
    };
    connector::publish(shared, line, connector::answer(&format!("r{number}"), &question)).await.ok()?;
    if resolves {
        let disposition = Disposition::Answered as i32;
        let resolve = ResolveThreadRequest { thread_id, disposition, ..ResolveThreadRequest::default() };
        // It may be settled, or the server gone.
        let _ = line.threads().resolve_thread(resolve).await;
    }
    Some(())
}
