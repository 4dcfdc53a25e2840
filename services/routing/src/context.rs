//! What an agent is to know about an offer, asked of the services that know it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rejoinder_api::routing::work_response;
use tonic::Status;

/// An answer on its way.
pub type Asked = Pin<Box<dyn Future<Output = Result<work_response::Context, Status>> + Send>>;

/// Asks for what is known of a thread (workspace, thread id): its newest messages of threading and its
/// running clocks of sla-timer, by the handlers that answer everybody else.
pub type AskContext = Arc<dyn Fn(String, String) -> Asked + Send + Sync>;

/// Nobody to ask: answers with nothing.
#[must_use]
pub fn no_context() -> AskContext {
    Arc::new(|_, thread_id| {
        Box::pin(async move { Ok(work_response::Context { thread_id, ..work_response::Context::default() }) })
    })
}
