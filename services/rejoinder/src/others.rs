//! What this process asks of services that may run elsewhere, over the same way as its users: here by
//! their handlers, elsewhere by their owner.

use rejoinder_api::WORKSPACE;
use rejoinder_api::ingest::ListPolicyVersionsRequest;
use rejoinder_api::ingest::policy_service_client::PolicyServiceClient;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::threading::GetThreadRequest;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_forwarding::Forwarding;
use tonic::service::Routes;
use tonic::{Code, Request, Status};

/// The services that are asked.
#[derive(Clone)]
pub(crate) struct Others {
    pub(crate) threads: ThreadServiceClient<Forwarding<Routes>>,
    pub(crate) clocks: ClockServiceClient<Forwarding<Routes>>,
    policies: PolicyServiceClient<Forwarding<Routes>>,
}

impl Others {
    pub(crate) fn over(services: Forwarding<Routes>) -> Self {
        Self {
            threads: ThreadServiceClient::new(services.clone()),
            clocks: ClockServiceClient::new(services.clone()),
            policies: PolicyServiceClient::new(services),
        }
    }

    /// # Errors
    /// NOT_FOUND when ingest knows no such workspace, UNAVAILABLE when it cannot be asked.
    pub(crate) async fn must_exist(&self, workspace: &str) -> Result<(), Status> {
        let request = ListPolicyVersionsRequest { page_size: 1, ..ListPolicyVersionsRequest::default() };
        self.policies.clone().list_policy_versions(of(workspace, request)?).await.map(|_| ())
    }

    /// The state of a thread, or of the one that it was merged into; `None`: there is no such thread.
    ///
    /// # Errors
    /// UNAVAILABLE when threading cannot be asked.
    pub(crate) async fn thread_state(&self, workspace: &str, thread_id: String) -> Result<Option<i32>, Status> {
        let request = GetThreadRequest { thread_id, wait_for: String::new() };
        match self.threads.clone().get_thread(of(workspace, request)?).await {
            Ok(found) => Ok(found.into_inner().thread.map(|thread| thread.state)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }
}

/// A question in a workspace.
pub(crate) fn of<T>(workspace: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let name = workspace.parse().map_err(|_| Status::internal("a workspace whose name is none"))?;
    request.metadata_mut().insert(WORKSPACE, name);
    Ok(request)
}
