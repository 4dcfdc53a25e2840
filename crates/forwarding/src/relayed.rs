//! The answer of another process on its way: when that breaks, the caller is told that it may ask again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;

use crate::place::Place;

/// The status of a response that has no body.
const STATUS: &str = "grpc-status";

/// The trailers that end a stream with a status.
pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    // It fails for texts that no header takes; ours are plain.
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(STATUS, http::HeaderValue::from(status.code() as i32));
    }
    Frame::trailers(trailers)
}

/// A body of another process.
struct Relayed {
    body: Incoming,
    place: Place,
    /// Has the caller got a status?
    told: bool,
}

/// An answer of another process, for the caller.
pub(crate) fn relayed(response: Response<Incoming>, place: Place) -> Response<Body> {
    if response.status() != http::StatusCode::OK {
        let why = format!("it says {}", response.status());
        return place.unreachable(&why).into_http();
    }
    let told = response.headers().contains_key(STATUS);
    response.map(|body| Body::new(Relayed { body, place, told }))
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.told {
            // Nothing follows a status.
            return Poll::Ready(None);
        }
        let why = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                this.told = frame.is_trailers();
                return Poll::Ready(Some(Ok(frame)));
            }
            Some(Err(error)) => error.to_string(),
            None => "it ends without a status".to_owned(),
        };
        this.told = true;
        Poll::Ready(Some(Ok(trailers(&this.place.unreachable(&why)))))
    }

    fn is_end_stream(&self) -> bool {
        self.told
    }
}
