//! PeerService: what this process answers to the others, of what it owns.

use std::sync::Arc;

use rejoinder_api::cluster::peer_service_server::PeerService;
use rejoinder_api::cluster::{
    AwaitConsideredRequest, AwaitConsideredResponse, ListSetAsideRequest, ListSetAsideResponse, RetrySetAsideRequest,
    RetrySetAsideResponse, SkipSetAsideRequest, SkipSetAsideResponse,
};
use rejoinder_event_log::EventLog;
use rejoinder_model::Service;
use rejoinder_service_kit::{LogNews, Owner, Quarantine, Upstream, refuse};
use tonic::{Request, Response, Status};

use crate::peers::Peers;
use crate::place::Place;
use crate::set_aside::told;

/// The most that is listed at once: a page of the largest size, and one to know that there is more.
const MAX_LISTED: usize = 1_001;

/// The service over the lanes of this process.
pub struct PeerAnswers {
    peers: Arc<Peers>,
    log: Arc<dyn EventLog>,
    news: LogNews,
    upstreams: Vec<(Service, Arc<dyn Upstream>)>,
    quarantines: Vec<Arc<dyn Quarantine>>,
}

impl PeerAnswers {
    /// Over the lanes of the services that run here.
    pub fn new(
        peers: Arc<Peers>,
        log: Arc<dyn EventLog>,
        news: LogNews,
        upstreams: Vec<(Service, Arc<dyn Upstream>)>,
        quarantines: Vec<Arc<dyn Quarantine>>,
    ) -> Self {
        Self { peers, log, news, upstreams, quarantines }
    }

    /// The place that is asked of, if it is this process's.
    fn place(&self, service: &str, workspace: &str) -> Result<Place, Status> {
        let service = Service::ALL.into_iter().find(|known| known.name() == service);
        let service = service.ok_or_else(|| refuse::invalid("INVALID", "service", "there is no such service"))?;
        let place = self.peers.place(service, workspace);
        if self.peers.owner(place) == Owner::Here { Ok(place) } else { Err(place.moved()) }
    }

    fn quarantine(&self, service: &str, workspace: &str) -> Result<&dyn Quarantine, Status> {
        let place = self.place(service, workspace)?;
        let found = self.quarantines.iter().find(|quarantine| quarantine.of() == place.service);
        found.map(|found| &**found).ok_or_else(|| place.nobodys())
    }
}

#[tonic::async_trait]
impl PeerService for PeerAnswers {
    async fn await_considered(
        &self,
        request: Request<AwaitConsideredRequest>,
    ) -> Result<Response<AwaitConsideredResponse>, Status> {
        let AwaitConsideredRequest { service, workspace, index } = request.into_inner();
        let place = self.place(&service, &workspace)?;
        let found = self.upstreams.iter().find(|(service, _)| *service == place.service);
        let (_, upstream) = found.ok_or_else(|| place.nobodys())?;
        // Nobody waits for what is not there.
        if let Some(last) = index.checked_sub(1)
            && !self.news.reached(&*self.log, place.partition, last).await
        {
            return Err(place.ahead(last));
        }
        let index = upstream.considered(&workspace, index).await?;
        Ok(Response::new(AwaitConsideredResponse { index }))
    }

    async fn list_set_aside(
        &self,
        request: Request<ListSetAsideRequest>,
    ) -> Result<Response<ListSetAsideResponse>, Status> {
        let ListSetAsideRequest { service, workspace, from, limit } = request.into_inner();
        let limit = usize::try_from(limit).unwrap_or(MAX_LISTED).min(MAX_LISTED);
        let listed = self.quarantine(&service, &workspace)?.list(&workspace, from, limit).await?;
        Ok(Response::new(ListSetAsideResponse { set_aside: listed.into_iter().map(told).collect() }))
    }

    async fn retry_set_aside(
        &self,
        request: Request<RetrySetAsideRequest>,
    ) -> Result<Response<RetrySetAsideResponse>, Status> {
        let RetrySetAsideRequest { service, workspace, number } = request.into_inner();
        let quarantine = self.quarantine(&service, &workspace)?;
        let input = quarantine.input(&workspace, number).await?;
        let input = input.ok_or_else(|| refuse::not_found("quarantine", &format!("{service}/{number}")))?;
        let index = quarantine.retry(&workspace, number, input).await?.index;
        Ok(Response::new(RetrySetAsideResponse { index }))
    }

    async fn skip_set_aside(
        &self,
        request: Request<SkipSetAsideRequest>,
    ) -> Result<Response<SkipSetAsideResponse>, Status> {
        let SkipSetAsideRequest { service, workspace, number } = request.into_inner();
        let index = self.quarantine(&service, &workspace)?.skip(&workspace, number).await?.index;
        Ok(Response::new(SkipSetAsideResponse { index }))
    }
}
