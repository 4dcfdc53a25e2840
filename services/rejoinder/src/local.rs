//! The services over a stopped data directory, in this process: reading commands ask them as they would
//! ask a server. Nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use rejoinder_forwarding::Peers;
use rejoinder_ingest::Admission;
use rejoinder_model::Service;
use rejoinder_runtime::{Clock, Options as LaneOptions, SystemClock, Workers};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::config::Config;
use crate::inside::{Inside, Over};
use crate::{backend, data_dir, grpc};

/// Bytes that may wait on the way between the two ends.
const PIPE_BYTES: usize = 1 << 20;
/// Bytes of questions that may wait in a lane.
const QUEUE_BYTES: usize = 16 << 20;

/// The services of a stopped directory; they end with it.
pub(crate) struct Local {
    workers: Option<Workers>,
    _stand_in: Option<TempDir>,
}

impl Local {
    /// Opens a log that nobody writes, or as it stands, and connects to what is in it.
    ///
    /// # Errors
    /// When it is no data directory, or damaged.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<(Self, Channel)> {
        let log = tokio::task::block_in_place(|| backend::open_read_only(config))?;
        let (store, stand_in) = data_dir::stored(&config.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = LaneOptions { follow_only: true, ..LaneOptions::default() };
        let over = Over {
            options,
            queue_bytes: QUEUE_BYTES,
            workers: 1,
            memory: None,
            services: Service::ALL.to_vec(),
            group: None,
        };
        let (inside, lanes) = Inside::open(log.clone(), &store, clock, &over)?;
        let workers = Workers::start(lanes, &log).context("cannot start a thread")?;
        let admission = Arc::new(Admission::new(None, &BTreeMap::new(), 0));
        let peers = Peers::alone(log.partitions());
        let (router, _) = grpc::router(peers, Arc::new(inside), admission).await?;
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(router.serve_with_incoming(tokio_stream::once(std::io::Result::Ok(far))));
        let mut near = Some(near);
        let connector = tower::service_fn(move |_| {
            let near = near.take().map(TokioIo::new);
            async move { near.ok_or_else(|| std::io::Error::other("the services of the directory have ended")) }
        });
        let channel = Endpoint::from_static("http://directory").connect_with_connector(connector).await?;
        Ok((Self { workers: Some(workers), _stand_in: stand_in }, channel))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.stop();
        }
    }
}
