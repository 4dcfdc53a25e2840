//! AdminService: the system's own state.

use std::sync::Arc;

use rejoinder_api::admin::admin_service_server::AdminService;
use rejoinder_api::admin::{
    AcceptClockRequest, AcceptClockResponse, GetStatusRequest, GetStatusResponse, Lane, ListQuarantineRequest,
    ListQuarantineResponse, RetryQuarantinedRequest, RetryQuarantinedResponse, SkipQuarantinedRequest,
    SkipQuarantinedResponse,
};
use rejoinder_event_log::EventLog as _;
use rejoinder_runtime::Phase;
use rejoinder_service_kit::timestamp;
use tonic::{Request, Response, Status};

use crate::server::Inside;

/// The service over the inside of this process.
pub(crate) struct Administration {
    inside: Arc<Inside>,
}

impl Administration {
    pub(crate) fn new(inside: Arc<Inside>) -> Self {
        Self { inside }
    }
}

#[tonic::async_trait]
impl AdminService for Administration {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let lane = |(service, partition, status): (rejoinder_model::Service, u16, rejoinder_runtime::Status)| {
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
        _: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        Err(Status::unimplemented("not wired yet"))
    }

    async fn retry_quarantined(
        &self,
        _: Request<RetryQuarantinedRequest>,
    ) -> Result<Response<RetryQuarantinedResponse>, Status> {
        Err(Status::unimplemented("not wired yet"))
    }

    async fn skip_quarantined(
        &self,
        _: Request<SkipQuarantinedRequest>,
    ) -> Result<Response<SkipQuarantinedResponse>, Status> {
        Err(Status::unimplemented("not wired yet"))
    }

    async fn accept_clock(&self, _: Request<AcceptClockRequest>) -> Result<Response<AcceptClockResponse>, Status> {
        self.inside.clock.accept();
        Ok(Response::new(AcceptClockResponse {}))
    }
}
