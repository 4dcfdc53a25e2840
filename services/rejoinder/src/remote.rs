//! Whom the command line asks: a running server, or the services over a stopped data directory.

use std::time::Duration;

use anyhow::Context as _;
use rejoinder_api::WORKSPACE;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::config::Config;
use crate::local::Local;

/// A connection that does not answer for so long, twice, is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);

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
        // A stream on which nothing comes must not outlive its server unnoticed.
        let to = to.http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
        let workspace = name(workspace)?;
        let channel = to.connect().await.map_err(|source| Unreachable { endpoint: endpoint.to_owned(), source })?;
        Ok(Self { channel, workspace, _local: None })
    }

    /// # Errors
    /// When the directory is none, in use or damaged.
    pub(crate) async fn open(stopped: &Config, workspace: &str) -> anyhow::Result<Self> {
        let workspace = name(workspace)?;
        let (local, channel) = Local::open(stopped).await?;
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

/// What a server refused, in words. Where the caller is to blame the words say it all; otherwise the kind
/// of failure matters.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all other codes the kind is told")]
pub(crate) fn refused(status: &tonic::Status) -> anyhow::Error {
    match status.code() {
        Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition | Code::Aborted => {
            anyhow::anyhow!("{}", status.message())
        }
        code => anyhow::anyhow!("{code:?}: {}", status.message()),
    }
}

/// Is it the connection, or a server that goes down, rather than a refusal?
pub(crate) fn is_broken(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// Connects again after a break, for as long as patience lasts.
///
/// # Errors
/// As `Remote::connect`.
pub(crate) async fn reconnect(endpoint: &str, workspace: &str, patience: Duration) -> anyhow::Result<Remote> {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(50);
    // Also a server that answers at once may be on its way down or up.
    tokio::time::sleep(pause).await;
    loop {
        match Remote::connect(endpoint, workspace).await {
            Err(error) if error.is::<Unreachable>() && waited < patience => {
                tokio::time::sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            connected => return connected,
        }
    }
}
