//! The processes of a cluster: who owns what, and how to ask them.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, HeaderValue, Request, Response, Uri, Version};
use rejoinder_api::cluster::peer_service_client::PeerServiceClient;
use rejoinder_model::Service;
use rejoinder_service_kit::{Alone, Owner, Owners};
use tonic::body::Body;

use crate::links::Links;
use crate::place::Place;
use crate::relayed::relayed;

/// The metadata key of a call that another process has forwarded: it is not forwarded once more.
pub const FORWARDED: &str = "rejoinder-forwarded";

/// The processes, as this one sees them.
pub struct Peers {
    owners: Arc<dyn Owners>,
    partitions: u16,
    links: Links,
}

impl Peers {
    /// The processes of a log with so many partitions.
    #[must_use]
    pub fn new(owners: Arc<dyn Owners>, partitions: u16) -> Arc<Self> {
        Arc::new(Self { owners, partitions, links: Links::default() })
    }

    /// One process, which owns everything.
    #[must_use]
    pub fn alone(partitions: u16) -> Arc<Self> {
        Self::new(Arc::new(Alone::default()), partitions)
    }

    /// Who owns what.
    pub fn owners(&self) -> &Arc<dyn Owners> {
        &self.owners
    }

    pub(crate) fn partitions(&self) -> u16 {
        self.partitions
    }

    pub(crate) fn owner(&self, place: Place) -> Owner {
        self.owners.owner(place.service, place.partition)
    }

    /// Where a workspace's calls of a service belong.
    pub(crate) fn place(&self, service: Service, workspace: &str) -> Place {
        Place::new(service, workspace, self.partitions)
    }

    /// A client of the owner of a place.
    pub(crate) fn client(self: &Arc<Self>, place: Place, address: String) -> PeerServiceClient<Peer> {
        PeerServiceClient::new(Peer { peers: self.clone(), place, address })
    }

    /// Hands a request to another process as it is, but for the mark that it was forwarded.
    pub(crate) async fn relay(&self, request: Request<Body>, place: Place, address: &str) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let Ok(authority) = address.parse::<Authority>() else {
            return place.unreachable("it has no address that can be read").into_http();
        };
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let to = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build();
        let Ok(to) = to else { return place.unreachable("it has no address that can be read").into_http() };
        parts.uri = to;
        parts.version = Version::HTTP_2;
        parts.headers.insert(FORWARDED, HeaderValue::from_static("1"));
        // They tell of the connection that it came by.
        parts.extensions = Extensions::new();
        let answered = self.links.to(address).send(Request::from_parts(parts, body)).await;
        match answered {
            Ok(response) => relayed(response, place),
            Err(why) => place.unreachable(&why).into_http(),
        }
    }
}

/// Another process, for the clients of `PeerService`.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) peers: Arc<Peers>,
    pub(crate) place: Place,
    pub(crate) address: String,
}

impl tower::Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { peers, place, address } = self.clone();
        Box::pin(async move { Ok(peers.relay(request, place, &address).await) })
    }
}
