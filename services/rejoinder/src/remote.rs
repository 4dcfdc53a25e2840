//! Whom the command line asks: a running server, or the services over a stopped data directory.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::WORKSPACE;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

use crate::local::Local;

/// Nobody answers.
#[derive(Debug, thiserror::Error)]
#[error("nothing answers at {endpoint}: start a server with `rejoinder up`, or name another with --endpoint")]
pub(crate) struct Unreachable {
    endpoint: String,
    source: tonic::transport::Error,
}

/// Who answers, and the workspace that calls are for.
pub(crate) struct Remote {
    pub(crate) channel: Channel,
    workspace: AsciiMetadataValue,
    /// Lives as long as somebody may ask.
    _local: Option<Local>,
}

impl Remote {
    /// # Errors
    /// `Unreachable` when nobody answers.
    pub(crate) async fn connect(endpoint: &str, workspace: &str) -> anyhow::Result<Self> {
        let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let to = Endpoint::from_shared(url).with_context(|| format!("{endpoint:?} is no HOST:PORT"))?;
        let to = to.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        let workspace = name(workspace)?;
        let channel = to.connect().await.map_err(|source| Unreachable { endpoint: endpoint.to_owned(), source })?;
        Ok(Self { channel, workspace, _local: None })
    }

    /// # Errors
    /// When the directory is none, in use or damaged.
    pub(crate) async fn open(data_dir: &Path, workspace: &str) -> anyhow::Result<Self> {
        let workspace = name(workspace)?;
        let (local, channel) = Local::open(data_dir).await?;
        Ok(Self { channel, workspace, _local: Some(local) })
    }

    /// A call in the workspace.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(WORKSPACE, self.workspace.clone());
        request
    }
}

fn name(workspace: &str) -> anyhow::Result<AsciiMetadataValue> {
    workspace.parse().with_context(|| format!("{workspace:?} is no name of a workspace"))
}

/// What a server refused, in words.
pub(crate) fn refused(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{:?}: {}", status.code(), status.message())
}
