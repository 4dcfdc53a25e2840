//! A running server, as the command line sees it.

use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::WORKSPACE;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

/// Nobody answers.
#[derive(Debug, thiserror::Error)]
#[error("nothing answers at {endpoint}: start a server with `rejoinder up`, or name another with --endpoint")]
pub(crate) struct Unreachable {
    endpoint: String,
    source: tonic::transport::Error,
}

/// A server, and the workspace that calls are for.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) channel: Channel,
    workspace: AsciiMetadataValue,
}

impl Remote {
    /// # Errors
    /// `Unreachable` when nobody answers.
    pub(crate) async fn connect(endpoint: &str, workspace: &str) -> anyhow::Result<Self> {
        let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let to = Endpoint::from_shared(url).with_context(|| format!("{endpoint:?} is no HOST:PORT"))?;
        let to = to.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        let workspace = workspace.parse().with_context(|| format!("{workspace:?} is no name of a workspace"))?;
        let channel = to.connect().await.map_err(|source| Unreachable { endpoint: endpoint.to_owned(), source })?;
        Ok(Self { channel, workspace })
    }

    /// A call in the workspace.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(WORKSPACE, self.workspace.clone());
        request
    }
}

/// What a server refused, in words.
pub(crate) fn refused(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{:?}: {}", status.code(), status.message())
}
