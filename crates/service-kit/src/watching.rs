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

/// Where a watcher goes on behind an event: `PARTITION/INDEX/EVENT`, since a position may hold many.
#[must_use]
pub fn cursor(event: &TailEvent) -> String {
    format!("{}/{}", event.position, event.event)
}

/// A position, and how many of the events there lie behind the watcher.
fn parse(after: &str) -> Result<(Position, u64), String> {
    match after.rsplit_once('/') {
        Some((position, event)) if position.contains('/') => {
            let event: u32 = event.parse().map_err(|_| format!("{after:?} is no cursor of a change"))?;
            Ok((position.parse()?, u64::from(event) + 1))
        }
        _ => Ok((after.parse()?, u64::MAX)),
    }
}

/// What the events of the lanes' service say after a position or a change's cursor, as `told` puts them;
/// empty: from now on. Waits a moment for the log to have the position.
///
/// # Errors
/// INVALID_ARGUMENT when the position is none of the workspace's partition.
pub async fn watch<S: 'static, T: Send + 'static>(
    lanes: &Lanes<S>,
    news: &LogNews,
    workspace: &str,
    after: &str,
    told: impl Fn(&TailEvent) -> Option<T> + Send + 'static,
) -> Result<ReceiverStream<Result<T, Status>>, Status> {
    let (partition, service) = (lanes.partition(workspace), lanes.service());
    // Before the end is looked at: who begins there need not fold what lies before.
    let known = lanes.status(partition).map(|status| status.fold).unwrap_or_default();
    let (from, behind) = if after.is_empty() {
        (lanes.log().end(partition), 0)
    } else {
        let wrong = |what: String| refuse::invalid("POSITION_INVALID", "after", what);
        let (after, behind) = parse(after).map_err(wrong)?;
        if after.partition != partition || !news.reached(&**lanes.log(), partition, after.index).await {
            let end = lanes.log().end(partition);
            let what = format!("{after} is not in the workspace's partition, which ends at {partition}/{end}");
            return Err(wrong(what));
        }
        (after.index, behind)
    };
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
                if event.position.index == from && u64::from(event.event) < behind {
                    continue;
                }
                let Some(told) = told(event) else { continue };
                if to.send(Ok(told)).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(ReceiverStream::new(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_behind_as_a_whole_and_a_cursor_as_far_as_it_says() {
        let at = |partition, index| Position { partition, index };
        assert_eq!(parse("3/17"), Ok((at(3, 17), u64::MAX)));
        assert_eq!(parse("3/17/0"), Ok((at(3, 17), 1)));
        assert_eq!(parse("3/17/4"), Ok((at(3, 17), 5)));
        for wrong in ["", "3", "3/17/x", "3/17/4/1", "x/1/1", "/"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
