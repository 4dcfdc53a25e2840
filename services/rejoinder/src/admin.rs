//! AdminService: the system's own state.

use std::sync::Arc;

use rejoinder_api::admin::admin_service_server::AdminService;
use rejoinder_api::admin::{
    AcceptClockRequest, AcceptClockResponse, GetStatusRequest, GetStatusResponse, Lane, ListQuarantineRequest,
    ListQuarantineResponse, Quarantined, RetryQuarantinedRequest, RetryQuarantinedResponse, SkipQuarantinedRequest,
    SkipQuarantinedResponse,
};
use rejoinder_machine::quarantine::SetAside;
use rejoinder_model::{Position, Service, ThreadId};
use rejoinder_runtime::Phase;
use rejoinder_service_kit::{Found, Owner, Owners, Quarantines, page, refuse, timestamp, workspace};
use rejoinder_wire::event::{Event, event::Body};
use tonic::{Request, Response, Status};

use crate::inside::Inside;
use crate::others::Others;

/// The service over the inside of this process.
pub(crate) struct Administration {
    inside: Arc<Inside>,
    quarantines: Quarantines,
    others: Others,
    owners: Arc<dyn Owners>,
}

impl Administration {
    /// Over what the services have set aside, wherever they are.
    pub(crate) fn new(inside: Arc<Inside>, quarantines: Quarantines, others: Others, owners: Arc<dyn Owners>) -> Self {
        Self { inside, quarantines, others, owners }
    }

    /// Every lane of every service, as far as this process knows.
    fn lanes(&self) -> Vec<Lane> {
        let partitions = 0..self.inside.log.partitions();
        let of = |service: Service| partitions.clone().map(move |partition| self.lane(service, partition));
        Service::ALL.into_iter().flat_map(of).collect()
    }

    fn lane(&self, service: Service, partition: u16) -> Lane {
        let here = self.inside.status(service, partition);
        let (phase, failure) = match here.as_ref().map(|status| &status.phase) {
            None => ("elsewhere", String::new()),
            Some(Phase::Warm) if !self.inside.holds(service, partition) => ("standby", String::new()),
            Some(Phase::Warm) => ("warm", String::new()),
            Some(Phase::Claiming) => ("claiming", String::new()),
            Some(Phase::Live) => ("live", String::new()),
            Some(Phase::Stopped(failure)) => ("stopped", failure.to_string()),
        };
        let fold = match &here {
            Some(status) => status.fold,
            None => self.inside.fold(partition).unwrap_or_default(),
        };
        let considered = here.as_ref().map_or(fold.lane(service).consumed.index, |status| status.considered);
        let owner = match self.owners.owner(service, partition) {
            Owner::Here => "here".to_owned(),
            Owner::At(address) => address,
            Owner::Nobody => String::new(),
        };
        Lane {
            service: service.name().to_owned(),
            partition: u32::from(partition),
            phase: phase.to_owned(),
            failure,
            log_end: self.inside.log.end(partition),
            read: fold.next_index,
            considered,
            next_own_seq: fold.lane(service).next_own_seq,
            void_records: fold.void,
            owner,
        }
    }

    async fn find(&self, workspace: &str, id: &str) -> Result<Found, Status> {
        self.others.must_exist(workspace).await?;
        self.quarantines.find(workspace, self.inside.threading.partition(workspace), id).await
    }

    /// Routing and clocks go by the newest state of a thread that they heard of. That it was in another
    /// one before is not let in any more: it would take the newer one back.
    async fn must_be_news(&self, workspace: &str, input: &Event) -> Result<(), Status> {
        let Some(Body::ThreadStateChanged(changed)) = &input.body else { return Ok(()) };
        let thread = ThreadId(changed.thread).to_string();
        let stands = self.others.thread_state(workspace, thread.clone()).await? == Some(changed.to);
        let over = || refuse::precondition(format!("thread {thread} is not in that state any more: skip the input"));
        if stands { Ok(()) } else { Err(over()) }
    }
}

#[tonic::async_trait]
impl AdminService for Administration {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log_id: format!("{:032x}", self.inside.log.id()),
            started_at: Some(timestamp(self.inside.started_at)),
            lanes: self.lanes(),
            clock_jumped: !self.inside.clock.is_trusted(),
            free_bytes: self.inside.log.free_bytes(),
        }))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let size = page(request.page_size, "")?.size;
        self.others.must_exist(&name).await?;
        let partition = self.inside.threading.partition(&name);
        let told = |(service, number, set_aside): (Service, u64, Arc<SetAside>)| Quarantined {
            quarantine_id: format!("{}/{partition}/{number}", service.name()),
            service: service.name().to_owned(),
            workspace: set_aside.workspace.clone(),
            source: Position { partition, index: set_aside.index }.to_string(),
            source_event: set_aside.event,
            reason: set_aside.reason.clone(),
            at: Some(timestamp(set_aside.at)),
        };
        let (listed, next_page_token) = self.quarantines.page(&name, size, &request.page_token).await?;
        let quarantined = listed.into_iter().map(told).collect();
        Ok(Response::new(ListQuarantineResponse { quarantined, next_page_token }))
    }

    async fn retry_quarantined(
        &self,
        request: Request<RetryQuarantinedRequest>,
    ) -> Result<Response<RetryQuarantinedResponse>, Status> {
        let name = workspace(request.metadata())?;
        let Found { quarantine, number, input } = self.find(&name, &request.into_inner().quarantine_id).await?;
        self.must_be_news(&name, &input).await?;
        let as_of = quarantine.retry(&name, number, input).await?.to_string();
        Ok(Response::new(RetryQuarantinedResponse { as_of }))
    }

    async fn skip_quarantined(
        &self,
        request: Request<SkipQuarantinedRequest>,
    ) -> Result<Response<SkipQuarantinedResponse>, Status> {
        let name = workspace(request.metadata())?;
        let Found { quarantine, number, .. } = self.find(&name, &request.into_inner().quarantine_id).await?;
        let as_of = quarantine.skip(&name, number).await?.to_string();
        Ok(Response::new(SkipQuarantinedResponse { as_of }))
    }

    async fn accept_clock(&self, _: Request<AcceptClockRequest>) -> Result<Response<AcceptClockResponse>, Status> {
        self.inside.clock.accept();
        Ok(Response::new(AcceptClockResponse {}))
    }
}

#[cfg(test)]
mod tests;
