//! The desk: hands what routing has committed to the streams of the agents whom it concerns.
//!
//! One reader a partition follows the log's tail: an offer is told once it is durable, never before.
//! A stream that does not keep up is let go; its agent is then one without a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message as _;
use rejoinder_model::{Position, Service, partition_of};
use rejoinder_routing_core::Routing;
use rejoinder_service_kit::{Lanes, LogNews, Tail, refuse};
use rejoinder_wire::event::{Event, event::Body};
use tokio::sync::mpsc;
use tonic::{Code, Status};

/// Events that may wait for a stream.
const MAX_WAITING: usize = 1_024;
/// Until a log that could not be read is read again.
const AGAIN: Duration = Duration::from_secs(1);

/// An event, and where it stands.
pub(crate) type News = (Position, Arc<Event>);
/// News for a stream, or why there will be none.
type Told = Result<News, Status>;

type Streams = HashMap<(String, String), Vec<(u64, mpsc::Sender<Told>)>>;

/// Streams by workspace and agent.
#[derive(Default)]
pub(crate) struct Desk {
    streams: Mutex<(u64, Streams)>,
}

/// A stream's place at the desk; it leaves when dropped.
pub(crate) struct Place {
    desk: Arc<Desk>,
    key: (String, String),
    number: u64,
    pub(crate) news: mpsc::Receiver<Told>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.desk.lock();
        if let Some(of_agent) = streams.1.get_mut(&self.key) {
            of_agent.retain(|(number, _)| *number != self.number);
            if of_agent.is_empty() {
                streams.1.remove(&self.key);
            }
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, (u64, Streams)> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a stream of an agent.
    pub(crate) fn sit(self: &Arc<Self>, workspace: &str, agent: &str) -> Place {
        let (to, news) = mpsc::channel(MAX_WAITING);
        let key = (workspace.to_owned(), agent.to_owned());
        let mut streams = self.lock();
        streams.0 += 1;
        let number = streams.0;
        streams.1.entry(key.clone()).or_default().push((number, to));
        drop(streams);
        Place { desk: self.clone(), key, number, news }
    }

    fn tell(&self, position: Position, event: Event) {
        let Some(agent) = event.body.as_ref().and_then(concerned) else { return };
        let mut streams = self.lock();
        let key = (event.workspace.clone(), agent.to_owned());
        let Some(of_agent) = streams.1.get_mut(&key) else { return };
        let event = Arc::new(event);
        // Who does not read on is let go: the channel ends.
        of_agent.retain(|(_, to)| to.try_send(Ok((position, event.clone()))).is_ok());
    }

    /// Follows the log of a partition from its end on.
    pub(crate) fn follow(self: &Arc<Self>, lanes: &Arc<Lanes<Routing>>, news: &LogNews, partition: u16) {
        let (desk, lanes, news) = (self.clone(), lanes.clone(), news.clone());
        let mut tail = at_end(&lanes, &news, partition);
        tokio::spawn(async move {
            loop {
                match tail.next(true).await {
                    Ok(events) => {
                        for event in events.unwrap_or_default() {
                            // What cannot be read here stops the lane too, which says so.
                            let Ok(decoded) = Event::decode(event.bytes) else { continue };
                            desk.tell(event.position, decoded);
                        }
                    }
                    // The server stops, and its streams with it.
                    Err(status) if status.code() == Code::Unavailable => return,
                    Err(status) => {
                        tracing::error!(partition, %status, "what happens cannot be told to agents");
                        tokio::time::sleep(AGAIN).await;
                        tail = at_end(&lanes, &news, partition);
                        // Whoever sat down before this end may have missed something.
                        desk.let_go(partition, lanes.log().partitions());
                    }
                }
            }
        });
    }

    /// Ends the streams of a partition.
    fn let_go(&self, partition: u16, partitions: u16) {
        self.lock().1.retain(|(workspace, _), of_agent| {
            let stays = partition_of(workspace, partitions) != partition;
            if !stays {
                let why = refuse::unavailable("what happened could not be read: open the stream again", 500);
                // Who does not read on is let go anyway.
                of_agent.iter().for_each(|(_, to)| drop(to.try_send(Err(why.clone()))));
            }
            stays
        });
    }
}

/// A reader of what routing writes from now on.
fn at_end(lanes: &Lanes<Routing>, news: &LogNews, partition: u16) -> Tail {
    // Before the end is looked at: then nothing before it is folded once more.
    let known = lanes.status(partition).map(|status| status.fold).unwrap_or_default();
    let end = lanes.log().end(partition);
    Tail::new(lanes.log().clone(), news.clone(), partition, end, known).only(Service::Routing)
}

/// The agent whom an event is told to.
fn concerned(body: &Body) -> Option<&str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no agent")]
    let agent = match body {
        Body::OfferMade(made) => &made.agent,
        Body::OfferAccepted(ended) => &ended.agent,
        Body::OfferDeclined(ended) => &ended.agent,
        Body::OfferTimedOut(ended) => &ended.agent,
        Body::OfferRevoked(ended) => &ended.agent,
        Body::AgentLoadChanged(changed) => &changed.agent,
        Body::AgentPresenceChanged(changed) => &changed.agent,
        Body::WorkItemAssigned(assigned) => &assigned.agent,
        Body::WorkItemAnswered(answered) => &answered.agent,
        Body::WorkItemParked(parked) => &parked.from_agent,
        Body::WorkItemWoken(woken) => &woken.agent,
        Body::WorkItemWrapping(wrapping) => &wrapping.agent,
        Body::WorkItemDone(done) => &done.agent,
        Body::WorkItemCancelled(cancelled) => &cancelled.agent,
        Body::WorkItemQueued(queued) => &queued.from_agent,
        _ => return None,
    };
    (!agent.is_empty()).then_some(agent)
}
