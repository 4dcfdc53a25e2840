//! A stream that this process serves as the owner: it ends when the ownership goes, so that its caller goes
//! on at the next owner.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use rejoinder_service_kit::{Owner, Owners};
use tonic::Status;
use tonic::body::Body;

use crate::place::Place;
use crate::relayed::trailers;

/// Resolves when a place is not this process's any more.
type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

fn gone(owners: Arc<dyn Owners>, place: Place) -> Gone {
    Box::pin(async move {
        let mut changed = owners.changed();
        while owners.owner(place.service, place.partition) == Owner::Here {
            if changed.changed().await.is_err() {
                std::future::pending().await
            }
        }
    })
}

struct Kept {
    body: Body,
    gone: Gone,
    place: Place,
    over: bool,
}

/// A stream of this process, for as long as it owns its place.
pub(crate) async fn kept<E>(
    answer: impl Future<Output = Result<Response<Body>, E>>,
    owners: Arc<dyn Owners>,
    place: Place,
) -> Result<Response<Body>, E> {
    let mut gone = gone(owners, place);
    let answered = tokio::select! {
        answered = answer => answered?,
        () = &mut gone => return Ok(place.moved().into_http()),
    };
    Ok(answered.map(|body| Body::new(Kept { body, gone, place, over: false })))
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if this.gone.as_mut().poll(cx).is_ready() {
            this.over = true;
            // Whoever writes into it learns that nobody reads.
            this.body = Body::empty();
            return Poll::Ready(Some(Ok(trailers(&this.place.moved()))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }
}
