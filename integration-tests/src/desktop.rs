//! An agent's desktop for tests: a stream of AgentService, said to and looked through.

use std::collections::BTreeMap;
use std::time::Duration;

use rejoinder_api::routing::work_request::{
    AcceptOffer, ChangePresence, DeclineOffer, FinishItem, Hello, Request as Up,
};
use rejoinder_api::routing::work_response::{Answer, Context, Response as Down, Welcome};
use rejoinder_api::routing::{Offer, Presence, WorkRequest, WorkResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::floor::line::Line;

/// Longer than anything takes that happens at all.
pub const SOON: Duration = Duration::from_secs(30);

/// A desktop. Its stream ends when it is dropped.
pub struct Desktop {
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
    /// What it was told first.
    pub welcome: Welcome,
    told: Vec<Down>,
    /// Where the answers stand, by request.
    positions: BTreeMap<String, String>,
    number: u64,
}

impl Desktop {
    /// Opens a stream for an agent who is available.
    ///
    /// # Errors
    /// As the server says.
    ///
    /// # Panics
    /// When the first response is no welcome.
    pub async fn open(line: &Line, agent: &str, with_context: bool) -> Result<Self, Status> {
        let (up, requests) = mpsc::channel(64);
        let hello = Hello { agent_id: agent.into(), presence: Presence::Available as i32, with_context };
        let hello = WorkRequest { request_id: String::new(), request: Some(Up::Hello(hello)) };
        up.send(hello).await.expect("nobody has closed it");
        let mut down = line.agents().work(ReceiverStream::new(requests)).await?.into_inner();
        let first = down.message().await?.and_then(|first| first.response);
        let Some(Down::Welcome(welcome)) = first else { panic!("the first is a welcome: {first:?}") };
        let told = welcome.offers.iter().cloned().map(Down::Offer).collect();
        Ok(Self { up, down, welcome, told, positions: BTreeMap::new(), number: 0 })
    }

    /// Says something; answers with the request's id.
    pub async fn say(&mut self, request: Up) -> String {
        self.number += 1;
        let request_id = self.number.to_string();
        // A stream that has ended says so when it is read.
        let _ = self.up.send(WorkRequest { request_id: request_id.clone(), request: Some(request) }).await;
        request_id
    }

    /// The next response that is one of those looked for; others are kept.
    ///
    /// # Errors
    /// How the stream ended.
    ///
    /// # Panics
    /// When none comes.
    pub async fn look<R>(&mut self, wanted: impl Fn(&Down) -> Option<R>) -> Result<R, Status> {
        let look = async {
            loop {
                if let Some((at, found)) = self.told.iter().enumerate().find_map(|(at, told)| Some((at, wanted(told)?)))
                {
                    self.told.remove(at);
                    return Ok(found);
                }
                let ended = || Status::cancelled("the stream ended without a word");
                let WorkResponse { position, response } = self.down.message().await?.ok_or_else(ended)?;
                if let Some(Down::Answer(answer)) = &response {
                    self.positions.insert(answer.request_id.clone(), position);
                }
                self.told.extend(response);
            }
        };
        tokio::time::timeout(SOON, look).await.expect("it comes soon")
    }

    /// The next offer.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn offer(&mut self) -> Offer {
        let offer = |down: &Down| if let Down::Offer(offer) = down { Some(offer.clone()) } else { None };
        self.look(offer).await.expect("the stream goes on")
    }

    /// The next context.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn context(&mut self) -> Context {
        let context = |down: &Down| if let Down::Context(context) = down { Some(context.clone()) } else { None };
        self.look(context).await.expect("the stream goes on")
    }

    /// Says something and waits for the answer.
    ///
    /// # Errors
    /// How the stream ended.
    pub async fn ask(&mut self, request: Up) -> Result<Answer, Status> {
        let id = self.say(request).await;
        let answer = |down: &Down| {
            let Down::Answer(answer) = down else { return None };
            (answer.request_id == id).then(|| answer.clone())
        };
        self.look(answer).await
    }

    /// Takes an offer.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn accept(&mut self, offer: &Offer) -> Answer {
        let offer_id = offer.offer_id.clone();
        self.ask(Up::Accept(AcceptOffer { offer_id })).await.expect("the stream goes on")
    }

    /// Takes an offer, and answers with the position from which on it is theirs.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn accept_at(&mut self, offer: &Offer) -> String {
        let answer = self.accept(offer).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        self.positions.remove(&answer.request_id).expect("an answer has a position")
    }

    /// Leaves an offer.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn decline(&mut self, offer: &Offer) -> Answer {
        let (offer_id, reason) = (offer.offer_id.clone(), String::new());
        self.ask(Up::Decline(DeclineOffer { offer_id, reason })).await.expect("the stream goes on")
    }

    /// Is through with an item.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn finish(&mut self, item_id: &str) -> Answer {
        self.ask(Up::Finish(FinishItem { item_id: item_id.to_owned() })).await.expect("the stream goes on")
    }

    /// A change of presence.
    #[must_use]
    pub fn presence(presence: Presence) -> Up {
        Up::Presence(ChangePresence { presence: presence as i32 })
    }

    /// The status with which the stream ends.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(mut self) -> Status {
        self.look(|_| None::<()>).await.expect_err("nothing is looked for")
    }
}
