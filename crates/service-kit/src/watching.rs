//! Watching a workspace: what a service's events tell its users, as it becomes durable.

use rejoinder_model::Position;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::lanes::Lanes;
use crate::refuse;
use crate::tail::{LogNews, Tail, TailEvent};

/// Changes that may wait for a slow reader.
const MAX_WAITING: usize = 256;

/// What the events of the lanes' service say after a position, as `told` puts them; empty: from now on.
///
/// # Errors
/// INVALID_ARGUMENT when the position is none of the workspace's partition.
pub fn watch<S: 'static, T: Send + 'static>(
    lanes: &Lanes<S>,
    news: &LogNews,
    workspace: &str,
    after: &str,
    told: impl Fn(&TailEvent) -> Option<T> + Send + 'static,
) -> Result<ReceiverStream<Result<T, Status>>, Status> {
    let (partition, service) = (lanes.partition(workspace), lanes.service());
    let end = lanes.log().end(partition);
    let from = if after.is_empty() {
        end
    } else {
        let wrong = |what: String| refuse::invalid("POSITION_INVALID", "after", what);
        let after: Position = after.parse().map_err(wrong)?;
        if after.partition != partition || after.index >= end {
            let what = format!("{after} is not in the workspace's partition, which ends at {partition}/{end}");
            return Err(wrong(what));
        }
        after.index + 1
    };
    let known = lanes.statuses().get(usize::from(partition)).map(|status| status.fold).unwrap_or_default();
    let mut tail = Tail::new(lanes.log().clone(), news.clone(), partition, from, known).only(service);
    let (to, changes) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        loop {
            let events = tokio::select! {
                events = tail.next(true) => events,
                () = to.closed() => return,
            };
            let events = match events {
                Ok(events) => events.unwrap_or_default(),
                Err(status) => {
                    // The watcher may be gone as well.
                    let _ = to.send(Err(status)).await;
                    return;
                }
            };
            for event in &events {
                let Some(told) = told(event) else { continue };
                if to.send(Ok(told)).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(ReceiverStream::new(changes))
}
