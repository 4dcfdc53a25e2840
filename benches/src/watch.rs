//! When messages become readable: WatchThreads of every workspace sees them placed.

use std::collections::HashMap;
use std::time::Instant;

use rejoinder_api::threading::WatchThreadsRequest;
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::watch_threads_response::Change;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::clock;
use crate::server::of;

/// Watchers at work.
pub(crate) struct Watching(Vec<JoinHandle<Result<HashMap<String, Instant>, tonic::Status>>>);

impl Watching {
    /// Watches workspaces from now on, each until it has seen `messages` placed.
    pub(crate) async fn start(channel: &Channel, workspaces: &[String], messages: usize) -> anyhow::Result<Self> {
        let mut watching = Vec::new();
        for name in workspaces {
            let mut client = ThreadServiceClient::new(channel.clone());
            let mut changes = client.watch_threads(of(name, WatchThreadsRequest::default())?).await?.into_inner();
            watching.push(tokio::spawn(async move {
                let mut seen = HashMap::new();
                while seen.len() < messages
                    && let Some(change) = changes.message().await?
                {
                    if let Some(Change::Placed(placed)) = change.change {
                        seen.insert(placed.interaction_id, clock::now());
                    }
                }
                Ok(seen)
            }));
        }
        Ok(Self(watching))
    }

    /// What was seen, and when.
    pub(crate) async fn seen(self) -> anyhow::Result<HashMap<String, Instant>> {
        let mut all = HashMap::new();
        for watching in self.0 {
            all.extend(watching.await??);
        }
        Ok(all)
    }
}
