//! What a service has set aside, in whatever process that is.

use std::sync::Arc;

use rejoinder_api::cluster::{self, ListSetAsideRequest, RetrySetAsideRequest, SkipSetAsideRequest};
use rejoinder_event_log::EventLog;
use rejoinder_machine::quarantine::SetAside;
use rejoinder_model::{Position, Service};
use rejoinder_service_kit::{LogNews, Owner, Quarantine, events_at, millis, timestamp};
use rejoinder_wire::event::Event;
use tonic::Status;

use crate::peers::Peers;
use crate::place::Place;

/// What one service has set aside: by its lanes here, or by the owner of the partition.
pub struct QuarantineAnywhere {
    peers: Arc<Peers>,
    here: Arc<dyn Quarantine>,
    /// Inputs stand in the log, which every process reads.
    log: Arc<dyn EventLog>,
    news: LogNews,
}

/// Who answers.
enum Who<'a> {
    Here(&'a dyn Quarantine),
    At(String),
}

impl QuarantineAnywhere {
    /// Of a service with its lanes of this process.
    pub fn new(peers: Arc<Peers>, here: Arc<dyn Quarantine>, log: Arc<dyn EventLog>, news: LogNews) -> Self {
        Self { peers, here, log, news }
    }

    fn who(&self, place: Place) -> Result<Who<'_>, Status> {
        match self.peers.owner(place) {
            Owner::Here => Ok(Who::Here(&*self.here)),
            Owner::At(address) => Ok(Who::At(address)),
            Owner::Nobody => Err(place.nobodys()),
        }
    }

    fn place(&self, workspace: &str) -> Place {
        self.peers.place(self.of(), workspace)
    }

    fn name(&self) -> String {
        self.of().name().to_owned()
    }
}

/// For another process.
pub(crate) fn told((number, set_aside): (u64, Arc<SetAside>)) -> cluster::SetAside {
    let (index, event, own_seq) = (set_aside.index, set_aside.event, set_aside.own_seq);
    let (reason, at) = (set_aside.reason.clone(), Some(timestamp(set_aside.at)));
    cluster::SetAside { number, index, event, own_seq, reason, at }
}

fn heard(workspace: &str, told: cluster::SetAside) -> (u64, Arc<SetAside>) {
    let cluster::SetAside { number, index, event, own_seq, reason, at } = told;
    let (workspace, at) = (workspace.to_owned(), at.as_ref().map(millis).unwrap_or_default());
    (number, Arc::new(SetAside { workspace, index, event, own_seq, reason, at }))
}

#[tonic::async_trait]
impl Quarantine for QuarantineAnywhere {
    fn of(&self) -> Service {
        self.here.of()
    }

    async fn list(&self, workspace: &str, from: u64, limit: usize) -> Result<Vec<(u64, Arc<SetAside>)>, Status> {
        let place = self.place(workspace);
        let address = match self.who(place)? {
            Who::Here(here) => return here.list(workspace, from, limit).await,
            Who::At(address) => address,
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = ListSetAsideRequest { service: self.name(), workspace: workspace.to_owned(), from, limit };
        let listed = self.peers.client(place, address).list_set_aside(request).await?.into_inner();
        Ok(listed.set_aside.into_iter().map(|told| heard(workspace, told)).collect())
    }

    async fn count(&self, partition: u16) -> Result<u64, Status> {
        let place = Place { service: self.of(), partition };
        match self.who(place)? {
            Who::Here(here) => here.count(partition).await,
            Who::At(_) => Err(place.counted_elsewhere()),
        }
    }

    async fn input(&self, workspace: &str, number: u64) -> Result<Option<Event>, Status> {
        let place = self.place(workspace);
        if let Who::Here(here) = self.who(place)? {
            return here.input(workspace, number).await;
        }
        let found = self.list(workspace, number, 1).await?;
        let Some((_, found)) = found.into_iter().find(|(found, _)| *found == number) else { return Ok(None) };
        if !self.news.reached(&*self.log, place.partition, found.index).await {
            return Err(place.ahead(found.index));
        }
        let at = (found.index, found.event);
        let mut events = tokio::task::block_in_place(|| events_at(&*self.log, place.partition, [at]))?;
        Ok(events.remove(&at))
    }

    async fn retry(&self, workspace: &str, number: u64, input: Event) -> Result<Position, Status> {
        let place = self.place(workspace);
        let address = match self.who(place)? {
            Who::Here(here) => return here.retry(workspace, number, input).await,
            Who::At(address) => address,
        };
        // The owner reads the input itself: the log has it.
        let request = RetrySetAsideRequest { service: self.name(), workspace: workspace.to_owned(), number };
        let retried = self.peers.client(place, address).retry_set_aside(request).await?.into_inner();
        Ok(Position { partition: place.partition, index: retried.index })
    }

    async fn skip(&self, workspace: &str, number: u64) -> Result<Position, Status> {
        let place = self.place(workspace);
        let address = match self.who(place)? {
            Who::Here(here) => return here.skip(workspace, number).await,
            Who::At(address) => address,
        };
        let request = SkipSetAsideRequest { service: self.name(), workspace: workspace.to_owned(), number };
        let skipped = self.peers.client(place, address).skip_set_aside(request).await?.into_inner();
        Ok(Position { partition: place.partition, index: skipped.index })
    }
}
