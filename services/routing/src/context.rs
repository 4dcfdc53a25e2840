//! What an agent is to know about an offer, asked of the services that know it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rejoinder_api::routing::work_response;
use tonic::Status;

/// An answer on its way.
pub type Asked = Pin<Box<dyn Future<Output = Result<work_response::Context, Status>> + Send>>;

/// What an agent's desktop wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Where the offer was made.
    pub workspace: String,
    /// Of what it was made.
    pub thread_id: String,
    /// Where the offer stands: what led to it is in the answer. Empty: as it is now.
    pub wait_for: String,
}

/// Asks for what is known of a thread: its newest messages of threading and its running clocks of
/// sla-timer, by the handlers that answer everybody else.
pub type AskContext = Arc<dyn Fn(About) -> Asked + Send + Sync>;

/// Nobody to ask: answers with nothing.
#[must_use]
pub fn no_context() -> AskContext {
    Arc::new(|about| {
        let context = work_response::Context { thread_id: about.thread_id, ..work_response::Context::default() };
        Box::pin(async move { Ok(context) })
    })
}
