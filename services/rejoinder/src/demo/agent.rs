//! An agent of the demo: comes, works at a desktop, loses the connection now and then, comes back, and
//! signs off in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rejoinder_runtime::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::character::Character;
use super::customers::Answers;
use super::desktop::{Desktop, Ended};
use super::plan::Written;
use super::reply::Pen;
use super::tally::Tally;
use crate::remote::{Remote, refused};

/// How long an agent without a connection is away, in milliseconds.
const AWAY: std::ops::Range<u64> = 300..4_000;

/// Who it is, and what is shared by all.
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) character: Character,
    pub(super) random: Rng,
    pub(super) endpoint: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) answers: Answers,
    pub(super) tally: Arc<Tally>,
    /// Replies so far.
    pub(super) replies: u64,
    /// Parked items that the agent has yet to answer, with their threads.
    pub(super) owed: BTreeMap<String, String>,
    /// What is being written; it goes on when the stream is gone.
    pub(super) writing: JoinSet<Written>,
}

impl Agent {
    /// Works until told to stop, and writes to the end what was begun.
    pub(super) async fn work(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        while let Ended::Dropped = self.sit_down(&mut stop).await? {
            self.tally.did("dropped");
            let away = Duration::from_millis(self.random.u64(AWAY));
            tokio::select! {
                () = tokio::time::sleep(away) => {}
                () = until(&mut stop) => break,
            }
        }
        while let Some(written) = self.writing.join_next().await {
            written?.outcome.map_err(|status| refused(&status))?;
        }
        Ok(())
    }

    async fn sit_down(&mut self, stop: &mut watch::Receiver<bool>) -> anyhow::Result<Ended> {
        // A connection of its own, as a desktop has one.
        let remote = Arc::new(Remote::connect(&self.endpoint, "default").await?);
        let (clock, answers, tally) = (self.clock.clone(), self.answers.clone(), self.tally.clone());
        Desktop::open(self, Pen { remote, clock, answers, tally }).await?.work(stop).await
    }
}

/// Waits until told to stop.
pub(super) async fn until(stop: &mut watch::Receiver<bool>) {
    // An error: whoever ends the demo is gone, which is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
