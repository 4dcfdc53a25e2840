//! Sessions that another process held: whoever takes a lane over ends them, once for each epoch.
//!
//! The streams of the owner before are gone, and their agents would be offered work that they do not see.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_model::{AgentKey, Service};
use rejoinder_routing_core::{Command, Routing, Session};
use rejoinder_runtime::Phase;
use rejoinder_service_kit::{Owner, Owners, refuse};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::agent_service::Agents;
use crate::command::{Call, command};

/// Agents looked at in one question.
const SWEEP: usize = 500;
/// Between a lane's answer and its status that says so.
const MOMENT: Duration = Duration::from_millis(2);
/// How often that is looked at.
const LOOKS: u32 = 100;
/// Until a lane that could not decide is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// By partition, the epoch before which no session is left.
pub(crate) struct OldSessions(Vec<Mutex<Option<u64>>>);

impl OldSessions {
    pub(crate) fn of(partitions: u16) -> Self {
        Self((0..partitions).map(|_| Mutex::default()).collect())
    }
}

impl Agents {
    /// Ends the sessions of streams that another process held, in each partition that comes to this one, for
    /// as long as it runs.
    pub async fn end_old_sessions(self, owners: Arc<dyn Owners>) {
        let mut changed = owners.changed();
        loop {
            changed.mark_unchanged();
            let mine = |partition: &u16| owners.owner(Service::Routing, *partition) == Owner::Here;
            let mut beginning = JoinSet::new();
            for partition in (0..self.lanes.log().partitions()).filter(mine) {
                let agents = self.clone();
                beginning.spawn(async move { agents.begin(partition).await });
            }
            let mut failed = false;
            while let Some(began) = beginning.join_next().await {
                let Ok(Err(status)) = began else { continue };
                tracing::warn!(%status, "sessions of agents at the owner before are not ended yet");
                failed = true;
            }
            tokio::select! {
                moved = changed.changed() => if moved.is_err() && !failed { return },
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
        }
    }

    /// The epoch in which this process owns the lane of a partition.
    pub(crate) fn epoch(&self, partition: u16) -> Option<u64> {
        let status = self.lanes.status(partition).filter(|status| status.phase == Phase::Live)?;
        status.fold.lane(Service::Routing).epoch
    }

    /// Ends the sessions of the epochs before, once for each epoch, and says which one it is now. No stream
    /// is taken before that.
    ///
    /// # Errors
    /// UNAVAILABLE when the lane cannot decide.
    pub async fn begin(&self, partition: u16) -> Result<u64, Status> {
        let Some(begun) = self.sessions.0.get(usize::from(partition)) else {
            return Err(Status::internal(format!("partition {partition} does not exist")));
        };
        // Who comes meanwhile waits.
        let mut begun = begun.lock().await;
        let epoch = self.own(partition).await?;
        if *begun != Some(epoch) {
            self.end_sessions(partition).await?;
            *begun = Some(epoch);
        }
        Ok(epoch)
    }

    /// Waits until the lane of a partition is this process's.
    async fn own(&self, partition: u16) -> Result<u64, Status> {
        for _ in 0..LOOKS {
            if let Some(epoch) = self.epoch(partition) {
                return Ok(epoch);
            }
            // A lane that claims answers when it is live.
            self.lanes.ask_lane(partition, |_| ()).await?;
            tokio::time::sleep(MOMENT).await;
        }
        Err(refuse::unavailable(format!("routing of partition {partition} has no owner here"), 500))
    }

    async fn end_sessions(&self, partition: u16) -> Result<(), Status> {
        let mut from = AgentKey(0);
        loop {
            let question = move |state: &Routing| {
                let page = state.agents.page(&from, SWEEP);
                let next = page.last().map(|(key, _)| AgentKey(key.0.wrapping_add(1)));
                let open = page.into_iter().filter(|(_, agent)| agent.session != 0);
                let open = open.map(|(_, a)| (a.workspace.clone(), a.id.clone(), a.session));
                (open.collect::<Vec<_>>(), next)
            };
            let ((open, next), _) = self.lanes.ask_lane(partition, question).await?;
            let mut ending = JoinSet::new();
            for (workspace, agent, session) in open {
                let lanes = self.lanes.clone();
                let lost = Command::Disconnect(Session { agent, session });
                ending.spawn(async move { command(&lanes, Call::of(&workspace), lost).await });
            }
            while let Some(ended) = ending.join_next().await {
                match ended {
                    Ok(Err(status)) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                        return Err(status);
                    }
                    // What was refused had ended before.
                    _ => {}
                }
            }
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}
