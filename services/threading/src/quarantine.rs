//! Inputs of threading that were set aside: listed, decided on again, given up.

use std::sync::Arc;

use rejoinder_service_kit::{Lanes, refuse};
use rejoinder_threading_core::record::SetAside;
use rejoinder_threading_core::{Threading, quarantine};
use tonic::Status;

use crate::content;

/// The most that are listed.
const MAX_LISTED: usize = 1_000;

/// The quarantine of a workspace's partition.
#[derive(Clone)]
pub struct Quarantine {
    lanes: Arc<Lanes<Threading>>,
}

impl Quarantine {
    /// The quarantine of these lanes.
    pub fn new(lanes: Arc<Lanes<Threading>>) -> Self {
        Self { lanes }
    }

    /// What a workspace has set aside, from a number on, the oldest first.
    ///
    /// # Errors
    /// As `Lanes::ask`.
    pub async fn list(&self, workspace: &str, from: u64) -> Result<Vec<(u64, Arc<SetAside>)>, Status> {
        let of = workspace.to_owned();
        let question = move |state: &Threading| {
            let page = state.quarantine.page(&from, MAX_LISTED);
            page.into_iter().filter(|(_, set_aside)| set_aside.workspace == of).collect()
        };
        Ok(self.lanes.ask(workspace, "", question).await?.0)
    }

    async fn find(&self, workspace: &str, number: u64) -> Result<Arc<SetAside>, Status> {
        let of = workspace.to_owned();
        let question = move |state: &Threading| state.quarantine.get(&number).filter(|found| found.workspace == of);
        let (found, _) = self.lanes.ask(workspace, "", question).await?;
        found.ok_or_else(|| refuse::not_found("quarantine", &number.to_string()))
    }

    /// Decides again on an input; answers with where that stands.
    ///
    /// # Errors
    /// NOT_FOUND, or FAILED_PRECONDITION when it fails again.
    pub async fn retry(&self, workspace: &str, number: u64) -> Result<String, Status> {
        let set_aside = self.find(workspace, number).await?;
        let (partition, place) = (self.lanes.partition(workspace), set_aside.place);
        let mut events =
            tokio::task::block_in_place(|| content::events(&**self.lanes.log(), partition, [place].into_iter()))?;
        let input = events.remove(&(place.index, place.event)).unwrap_or_default();
        let decision = move |state: &Threading, context: &_, out: &mut Vec<_>| {
            let start = out.len();
            let retried = quarantine::retry(state, context, number, &input, out);
            if retried.is_err() {
                out.truncate(start);
            }
            retried
        };
        let (retried, as_of) = self.lanes.decide(workspace, decision).await?;
        retried.map_err(|failure| refuse::precondition(format!("it failed again: {failure}")))?;
        Ok(as_of.to_string())
    }

    /// Gives an input up; answers with where that stands.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub async fn skip(&self, workspace: &str, number: u64) -> Result<String, Status> {
        self.find(workspace, number).await?;
        let decision = move |state: &Threading, _: &_, out: &mut Vec<_>| quarantine::skip(state, number, out);
        let ((), as_of) = self.lanes.decide(workspace, decision).await?;
        Ok(as_of.to_string())
    }
}
