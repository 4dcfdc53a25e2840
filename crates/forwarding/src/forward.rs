//! What stands before the services of a process: it lets in what is theirs and hands on what is another's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use rejoinder_service_kit::Owner;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::kept::kept;
use crate::peers::{FORWARDED, Peers};
use crate::place::{self, Place};

/// Puts `Forwarding` before the services of a server.
#[derive(Clone)]
pub struct ForwardingLayer {
    peers: Arc<Peers>,
}

impl ForwardingLayer {
    /// For these processes.
    #[must_use]
    pub fn new(peers: Arc<Peers>) -> Self {
        Self { peers }
    }
}

impl<S> Layer<S> for ForwardingLayer {
    type Service = Forwarding<S>;

    fn layer(&self, here: S) -> Forwarding<S> {
        Forwarding::new(self.peers.clone(), here)
    }
}

/// The services of all processes: those of this one, and by forwarding those of the others. Clients can be
/// made over it as over a channel.
#[derive(Clone)]
pub struct Forwarding<S> {
    peers: Arc<Peers>,
    here: S,
}

impl<S> Forwarding<S> {
    /// Before the services of this process.
    pub fn new(peers: Arc<Peers>, here: S) -> Self {
        Self { peers, here }
    }
}

/// Where a call goes.
enum Way {
    Here,
    /// Here, as long as the place is this process's.
    Kept(Place),
    To(Place, String),
    Nowhere(Status),
}

fn way<B>(peers: &Peers, request: &Request<B>) -> Way {
    let path = request.uri().path();
    let place = match Place::of(path, request.headers(), peers.partitions()) {
        Ok(Some(place)) => place,
        Ok(None) => return Way::Here,
        Err(refused) => return Way::Nowhere(refused),
    };
    match peers.owner(place) {
        Owner::Here if place::streams(path) => Way::Kept(place),
        Owner::Here => Way::Here,
        // Who forwarded it saw this process as the owner: one of both is about to learn better.
        _ if request.headers().contains_key(FORWARDED) => Way::Nowhere(place.moved()),
        Owner::At(address) => Way::To(place, address),
        Owner::Nobody => Way::Nowhere(place.nobodys()),
    }
}

impl<S> Service<Request<Body>> for Forwarding<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.here.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match way(&self.peers, &request) {
            Way::Here => Box::pin(self.here.call(request)),
            Way::Kept(place) => Box::pin(kept(self.here.call(request), self.peers.owners().clone(), place)),
            Way::To(place, address) => {
                let peers = self.peers.clone();
                Box::pin(async move { Ok(peers.relay(request, place, &address).await) })
            }
            Way::Nowhere(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}
