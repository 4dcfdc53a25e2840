//! AdminService: the system's own state.

use std::sync::Arc;

use rejoinder_api::admin::admin_service_server::AdminService;
use rejoinder_api::admin::{
    AcceptClockRequest, AcceptClockResponse, GetStatusRequest, GetStatusResponse, Lane, ListQuarantineRequest,
    ListQuarantineResponse, Quarantined, RetryQuarantinedRequest, RetryQuarantinedResponse, SkipQuarantinedRequest,
    SkipQuarantinedResponse,
};
use rejoinder_event_log::EventLog as _;
use rejoinder_model::{Position, Service};
use rejoinder_runtime::Phase;
use rejoinder_service_kit::{page, refuse, timestamp, workspace};
use rejoinder_threading::Quarantine;
use rejoinder_threading_core::record::SetAside;
use tonic::{Request, Response, Status};

use crate::inside::Inside;

/// The service over the inside of this process.
pub(crate) struct Administration {
    inside: Arc<Inside>,
    quarantine: Quarantine,
}

impl Administration {
    pub(crate) fn new(inside: Arc<Inside>) -> Self {
        let quarantine = Quarantine::new(inside.threading.clone());
        Self { inside, quarantine }
    }

    /// The number in an id, which names the workspace's partition too.
    fn number(&self, workspace: &str, id: &str) -> Result<u64, Status> {
        let wrong = |what: String| refuse::invalid("ID_INVALID", "quarantine_id", what);
        let id: Position = id.parse().map_err(wrong)?;
        let here = self.inside.threading.partition(workspace) == id.partition;
        if here { Ok(id.index) } else { Err(refuse::not_found("quarantine", &id.to_string())) }
    }
}

#[tonic::async_trait]
impl AdminService for Administration {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let lane = |(service, partition, status): (Service, u16, rejoinder_runtime::Status)| {
            let (phase, failure) = match &status.phase {
                Phase::Warm => ("warm", String::new()),
                Phase::Claiming => ("claiming", String::new()),
                Phase::Live => ("live", String::new()),
                Phase::Stopped(failure) => ("stopped", failure.to_string()),
            };
            Lane {
                service: service.name().to_owned(),
                partition: u32::from(partition),
                phase: phase.to_owned(),
                failure,
                log_end: self.inside.log.end(partition),
                read: status.fold.next_index,
                considered: status.considered,
                next_own_seq: status.fold.lane(service).next_own_seq,
                void_records: status.fold.void,
            }
        };
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log_id: format!("{:032x}", self.inside.log.id()),
            started_at: Some(timestamp(self.inside.started_at)),
            lanes: self.inside.lanes().into_iter().map(lane).collect(),
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
        let page = page(request.page_size, &request.page_token)?;
        self.inside.must_exist(&name).await?;
        let mut listed = self.quarantine.list(&name, page.from).await?;
        let next = listed.get(page.size).map(|(number, _)| number.to_string());
        listed.truncate(page.size);
        let partition = self.inside.threading.partition(&name);
        let told = |(number, set_aside): (u64, Arc<SetAside>)| Quarantined {
            quarantine_id: format!("{partition}/{number}"),
            service: Service::Threading.name().to_owned(),
            workspace: set_aside.workspace.clone(),
            source: Position { partition, index: set_aside.place.index }.to_string(),
            source_event: set_aside.place.event,
            reason: set_aside.reason.clone(),
            at: Some(timestamp(set_aside.at)),
        };
        let quarantined = listed.into_iter().map(told).collect();
        Ok(Response::new(ListQuarantineResponse { quarantined, next_page_token: next.unwrap_or_default() }))
    }

    async fn retry_quarantined(
        &self,
        request: Request<RetryQuarantinedRequest>,
    ) -> Result<Response<RetryQuarantinedResponse>, Status> {
        let name = workspace(request.metadata())?;
        self.inside.must_exist(&name).await?;
        let number = self.number(&name, &request.into_inner().quarantine_id)?;
        let as_of = self.quarantine.retry(&name, number).await?;
        Ok(Response::new(RetryQuarantinedResponse { as_of }))
    }

    async fn skip_quarantined(
        &self,
        request: Request<SkipQuarantinedRequest>,
    ) -> Result<Response<SkipQuarantinedResponse>, Status> {
        let name = workspace(request.metadata())?;
        self.inside.must_exist(&name).await?;
        let number = self.number(&name, &request.into_inner().quarantine_id)?;
        let as_of = self.quarantine.skip(&name, number).await?;
        Ok(Response::new(SkipQuarantinedResponse { as_of }))
    }

    async fn accept_clock(&self, _: Request<AcceptClockRequest>) -> Result<Response<AcceptClockResponse>, Status> {
        self.inside.clock.accept();
        Ok(Response::new(AcceptClockResponse {}))
    }
}
