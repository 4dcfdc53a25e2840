//! Waiting until another service has considered a position, in whatever process that is.

use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use rejoinder_api::cluster::AwaitConsideredRequest;
use rejoinder_model::Service;
use rejoinder_service_kit::{Owner, Upstream};
use tonic::Status;

use crate::peers::Peers;

/// A service that others wait for: by its lanes here, or by the owner of the partition once it is told of
/// the other processes.
pub struct UpstreamAnywhere {
    service: Service,
    here: Arc<dyn Upstream>,
    /// Known after the lanes, since the lanes say who owns what.
    peers: OnceLock<Weak<Peers>>,
}

impl UpstreamAnywhere {
    /// A service with its lanes of this process.
    pub fn new(service: Service, here: Arc<dyn Upstream>) -> Self {
        Self { service, here, peers: OnceLock::new() }
    }

    /// Tells it of the other processes, once.
    pub fn connect(&self, peers: &Arc<Peers>) {
        // Who comes second tells the same.
        let _ = self.peers.set(Arc::downgrade(peers));
    }
}

impl Upstream for UpstreamAnywhere {
    fn considered<'a>(
        &'a self,
        workspace: &'a str,
        index: u64,
    ) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send + 'a>> {
        // Without others this process is all.
        let Some(peers) = self.peers.get().and_then(Weak::upgrade) else {
            return self.here.considered(workspace, index);
        };
        let place = peers.place(self.service, workspace);
        match peers.owner(place) {
            Owner::Here => self.here.considered(workspace, index),
            Owner::At(address) => Box::pin(async move {
                let (service, workspace) = (self.service.name().to_owned(), workspace.to_owned());
                let request = AwaitConsideredRequest { service, workspace, index };
                Ok(peers.client(place, address).await_considered(request).await?.into_inner().index)
            }),
            Owner::Nobody => Box::pin(std::future::ready(Err(place.nobodys()))),
        }
    }
}
