//! Connections to other processes: one HTTP/2 connection each, made when it is needed.
//!
//! Whoever comes while a connection is tried shares its outcome: calls for a machine that is gone fail
//! after one time-out, and not each after those before it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::body::Body;

/// Bytes of one stream that may wait for whoever reads it.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of all streams of a connection that may wait. Every stream that is not read holds its part, and
/// stops nobody else before so many do: hundreds here.
pub const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Connections that are kept. A cluster has fewer processes; addresses change as they come and go.
const MAX_LINKS: usize = 64;
/// How long a process may take to be reached.
const CONNECT: Duration = Duration::from_secs(1);
/// After that failed nobody tries again for so long.
const PAUSE: Duration = Duration::from_millis(250);
/// A connection that is asked so often whether it is there,
const KEEPALIVE: Duration = Duration::from_secs(5);
/// and does not answer for so long, is broken.
const SILENCE: Duration = Duration::from_secs(3);

type Sender = SendRequest<Body>;

/// The connections of a process, those used last first.
#[derive(Default)]
pub(crate) struct Links(Mutex<Vec<Arc<Link>>>);

impl Links {
    /// The connection to an address.
    pub(crate) fn to(&self, address: &str) -> Arc<Link> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = links.iter().position(|link| link.address == address);
        let link = known.map_or_else(|| Arc::new(Link::new(address)), |at| links.remove(at));
        links.insert(0, link.clone());
        links.truncate(MAX_LINKS);
        link
    }
}

/// A connection to one address.
pub(crate) struct Link {
    address: String,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    sender: Option<Sender>,
    /// Connections that were made.
    made: u64,
    /// When it was last not reached, and why.
    failed: Option<(Instant, String)>,
}

impl Link {
    fn new(address: &str) -> Self {
        Self { address: address.to_owned(), state: tokio::sync::Mutex::default() }
    }

    /// Sends a request; an answer or, in words, why there is none.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, String> {
        // The connection may have ended unnoticed: what was not sent is sent on a new one, once.
        for _ in 0..2 {
            let (mut sender, made) = self.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        self.is_over(made).await;
                    }
                    None => return Err(error.into_error().to_string()),
                },
            }
        }
        Err("the connection ends at once".to_owned())
    }

    /// A connection takes nothing more: it may be so before it is closed.
    async fn is_over(&self, made: u64) {
        let mut state = self.state.lock().await;
        if state.made == made {
            state.sender = None;
        }
    }

    async fn sender(&self) -> Result<(Sender, u64), String> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), state.made));
        }
        if let Some((at, why)) = &state.failed
            && (*at >= asked || at.elapsed() < PAUSE)
        {
            return Err(why.clone());
        }
        let connected = match timeout(CONNECT, connect(&self.address)).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err("it cannot be reached in time".to_owned()),
        };
        match connected {
            Ok(sender) => {
                *state = State { sender: Some(sender.clone()), made: state.made + 1, failed: None };
                Ok((sender, state.made))
            }
            Err(why) => {
                tracing::warn!(address = self.address, why, "a process cannot be reached");
                *state = State { sender: None, made: state.made, failed: Some((Instant::now(), why.clone())) };
                Err(why)
            }
        }
    }
}

async fn connect(address: &str) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(SILENCE)
        .keep_alive_while_idle(true);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let address = address.to_owned();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(address, %error, "a connection to another process broke");
        }
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_bounded_and_those_used_last_stay() {
        let links = Links::default();
        let first = links.to("a:1");
        for n in 0..MAX_LINKS - 1 {
            links.to(&format!("b:{n}"));
        }
        assert!(Arc::ptr_eq(&first, &links.to("a:1")));
        links.to("c:1");
        assert!(Arc::ptr_eq(&first, &links.to("a:1")), "it was used");
        assert_eq!(links.0.lock().unwrap().len(), MAX_LINKS);
        assert!(links.0.lock().unwrap().iter().all(|link| link.address != "b:0"), "the one not used for longest");
    }
}
