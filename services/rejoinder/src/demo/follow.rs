//! Follows the event feed: from the log's start, as events become durable, and in the end up to its end.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use prost::Message as _;
use rejoinder_api::feed::event_feed_service_client::EventFeedServiceClient;
use rejoinder_api::feed::{SubscribeRequest, SubscribeResponse};
use rejoinder_wire::event::Event;
use tokio::sync::watch;
use tonic::Streaming;

use super::agent::until;
use super::facts::Facts;
use crate::remote::{Remote, refused};

/// Facts, shared with the view.
pub(super) type Shared = Arc<Mutex<Facts>>;

/// Looks at the facts.
pub(super) fn look<R>(facts: &Shared, look: impl FnOnce(&mut Facts) -> R) -> R {
    look(&mut facts.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A reader of the feed that knows how far it has read.
pub(super) struct Follower {
    remote: Arc<Remote>,
    facts: Shared,
    /// The frame, and the event of it, that was read last.
    cursor: Option<(String, u32)>,
}

impl Follower {
    pub(super) fn new(remote: Arc<Remote>, facts: Shared) -> Self {
        Self { remote, facts, cursor: None }
    }

    /// Reads until told to stop, and then all that has happened until then.
    pub(super) async fn follow(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut live = self.subscribe(false).await?;
        loop {
            tokio::select! {
                event = live.message() => {
                    self.take(event.map_err(|status| refused(&status))?.context("the feed has ended")?)?;
                }
                () = until(&mut stop) => break,
            }
        }
        drop(live);
        let mut rest = self.subscribe(true).await?;
        while let Some(event) = rest.message().await.map_err(|status| refused(&status))? {
            self.take(event)?;
        }
        look(&self.facts, |facts| facts.audit.frame_ends());
        Ok(())
    }

    async fn subscribe(&self, until_end: bool) -> anyhow::Result<Streaming<SubscribeResponse>> {
        let from = self.cursor.as_ref().map_or("start", |(position, _)| position).to_owned();
        let types = Facts::TYPES.map(ToOwned::to_owned).to_vec();
        let request = self.remote.request(SubscribeRequest { from, types, until_end });
        let answer = EventFeedServiceClient::new(self.remote.channel.clone()).subscribe(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    fn take(&mut self, told: SubscribeResponse) -> anyhow::Result<()> {
        let same_frame = self.cursor.as_ref().filter(|(position, _)| *position == told.position);
        if same_frame.is_some_and(|(_, event)| told.event <= *event) {
            // Read before the stream was opened again.
            return Ok(());
        }
        let next_frame = same_frame.is_none();
        self.cursor = Some((told.position, told.event));
        let event = Event::decode(told.payload.as_slice()).context("an event of the feed")?;
        look(&self.facts, |facts| {
            if next_frame {
                facts.audit.frame_ends();
            }
            if let Some(body) = &event.body {
                facts.event(body);
            }
        });
        Ok(())
    }
}
