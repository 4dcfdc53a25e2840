//! The lanes of one service, as its gRPC handlers see them: by workspace, with answers to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use rejoinder_event_log::EventLog;
use rejoinder_machine::{Context, Job};
use rejoinder_model::{Millis, Position, Service, partition_of};
use rejoinder_runtime::{Ask, Decide, JobQueue, Phase, Status as LaneStatus};
use rejoinder_wire::event::Event;
use tokio::sync::oneshot;
use tonic::Status;

use crate::{LogNews, refuse};

/// One lane: its queue, and how it is.
struct Lane<S> {
    jobs: Arc<JobQueue<S>>,
    status: Arc<Mutex<LaneStatus>>,
}

/// Lanes whose answers others wait for.
pub trait Upstream: Send + Sync {
    /// Waits until all below `index` of a workspace's partition is considered by this service and those
    /// before it, and says below which index all that they wrote about that stands.
    fn considered<'a>(
        &'a self,
        workspace: &'a str,
        index: u64,
    ) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send + 'a>>;
}

impl<S: 'static> Upstream for Lanes<S> {
    fn considered<'a>(
        &'a self,
        workspace: &'a str,
        index: u64,
    ) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send + 'a>> {
        Box::pin(async move {
            let ((), as_of) = self.ask_from(workspace, index, |_, _| ()).await?;
            Ok(index.max(as_of.index + 1))
        })
    }
}

/// The lanes of one service, partition by partition.
pub struct Lanes<S> {
    log: Arc<dyn EventLog>,
    news: LogNews,
    service: Service,
    lanes: Vec<Lane<S>>,
    /// Who answers before this service has something to answer.
    upstream: Option<Arc<dyn Upstream>>,
}

impl<S: 'static> Lanes<S> {
    /// Lanes in the order of their partitions.
    pub fn new(
        log: Arc<dyn EventLog>,
        service: Service,
        lanes: impl IntoIterator<Item = (Arc<JobQueue<S>>, Arc<Mutex<LaneStatus>>)>,
    ) -> Self {
        let lanes = lanes.into_iter().map(|(jobs, status)| Lane { jobs, status }).collect();
        let news = LogNews::of(&*log);
        Self { log, news, service, lanes, upstream: None }
    }

    /// Lanes whose inputs another service writes: who waits for a position waits for what that one had
    /// to say about it.
    #[must_use]
    pub fn behind(mut self, upstream: Arc<dyn Upstream>) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// The log that they write.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The service.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The partition of a workspace.
    pub fn partition(&self, workspace: &str) -> u16 {
        partition_of(workspace, self.log.partitions())
    }

    /// How each lane is, by partition.
    pub fn statuses(&self) -> Vec<LaneStatus> {
        self.lanes.iter().map(|lane| lane.status.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Has a lane look whether it is still, or now, to decide.
    pub fn wake(&self, partition: u16) {
        if let Some(lane) = self.lanes.get(usize::from(partition)) {
            lane.jobs.wake();
        }
    }

    /// How one lane is, if it is here.
    pub fn status(&self, partition: u16) -> Option<LaneStatus> {
        let lane = self.lanes.get(usize::from(partition))?;
        Some(lane.status.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Queues a job with the workspace's lane.
    ///
    /// # Errors
    /// UNAVAILABLE while the lane has stopped, RESOURCE_EXHAUSTED when its queue is full.
    pub fn push(&self, job: Box<dyn Job<S>>) -> Result<(), Status> {
        self.push_to(self.partition(job.workspace()), job)
    }

    fn push_to(&self, partition: u16, job: Box<dyn Job<S>>) -> Result<(), Status> {
        let service = self.service.name();
        let Some(lane) = self.lanes.get(usize::from(partition)) else {
            return Err(refuse::unavailable(format!("{service} of partition {partition} runs elsewhere"), 1_000));
        };
        let phase = lane.status.lock().unwrap_or_else(PoisonError::into_inner).phase.clone();
        if let Phase::Stopped(failure) = phase {
            let what = format!("{service} of partition {partition} has stopped: {failure}");
            return Err(refuse::unavailable(what, 5_000));
        }
        lane.jobs.push(job).map_err(|refused| {
            let what = format!("{service} of partition {partition} has no room for more work of this workspace");
            refuse::exhausted(what, refused.retry_after_ms)
        })
    }

    /// Asks the state, once all up to `wait_for` was considered, here and by the services before this one;
    /// answers with the position it holds for.
    ///
    /// # Errors
    /// As `push`, and UNAVAILABLE when the lane cannot answer now.
    pub async fn ask<R: Send + 'static>(
        &self,
        workspace: &str,
        wait_for: &str,
        question: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        self.ask_now(workspace, wait_for, |state, _| question(state)).await
    }

    /// The same for a question that the time matters to: what decisions take for now, and over a log that
    /// nobody writes any more the time at its end.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn ask_now<R: Send + 'static>(
        &self,
        workspace: &str,
        wait_for: &str,
        question: impl FnOnce(&S, Millis) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let index = self.wait_for(workspace, wait_for).await?;
        self.ask_from(workspace, index, question).await
    }

    async fn ask_from<R: Send + 'static>(
        &self,
        workspace: &str,
        index: u64,
        question: impl FnOnce(&S, Millis) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let not_before = match &self.upstream {
            Some(upstream) if index > 0 => upstream.considered(workspace, index).await?,
            _ => index,
        };
        let (reply, answer) = oneshot::channel();
        let look = |state: &S, context: &Context, _: &mut Vec<Event>| question(state, context.now);
        let ask = Decide::new(workspace.to_owned(), look, |answer| {
            // Who asked may be gone.
            let _ = reply.send(answer);
        });
        self.push(Box::new(ask.not_before(not_before)))?;
        self.answer(answer).await
    }

    /// Asks the state of one partition, whatever workspaces live there.
    ///
    /// # Errors
    /// As `push`, and UNAVAILABLE when the lane cannot answer now.
    pub async fn ask_lane<R: Send + 'static>(
        &self,
        partition: u16,
        question: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::new(String::new(), question, |answer| {
            // Who asked may be gone.
            let _ = reply.send(answer);
        });
        self.push_to(partition, Box::new(ask))?;
        self.answer(answer).await
    }

    /// Lets the lane decide, and waits until that is durable.
    ///
    /// # Errors
    /// As `push`, and UNAVAILABLE when the outcome is not known.
    pub async fn decide<R: Send + 'static>(
        &self,
        workspace: &str,
        decision: impl FnOnce(&S, &Context, &mut Vec<Event>) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let (reply, answer) = oneshot::channel();
        let decide = Decide::new(workspace.to_owned(), decision, |answer| {
            // Who asked may be gone; what was decided stays.
            let _ = reply.send(answer);
        });
        self.push(Box::new(decide))?;
        self.answer(answer).await
    }

    async fn answer<R>(&self, answer: oneshot::Receiver<Option<(R, Position)>>) -> Result<(R, Position), Status> {
        let unknown = || {
            let what =
                format!("the outcome is not known: {} lost its partition or stops; ask again", self.service.name());
            refuse::unavailable(what, 500)
        };
        answer.await.ok().flatten().ok_or_else(unknown)
    }

    /// The first index that need not be considered for an answer to hold for `position`. Waits a moment
    /// for the log to have it.
    async fn wait_for(&self, workspace: &str, position: &str) -> Result<u64, Status> {
        if position.is_empty() {
            return Ok(0);
        }
        let wrong = |message: String| refuse::invalid("POSITION_INVALID", "wait_for", message);
        let position: Position = position.parse().map_err(wrong)?;
        let partition = self.partition(workspace);
        if position.partition != partition {
            return Err(wrong(format!("the workspace lives in partition {partition}")));
        }
        if !self.news.reached(&*self.log, partition, position.index).await {
            let end = self.log.end(partition);
            return Err(wrong(format!("{position} is not in the log, which ends at {partition}/{end}")));
        }
        Ok(position.index + 1)
    }
}
