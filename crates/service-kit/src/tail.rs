//! The log's tail for readers at the edge: counted events from a position on, as they become durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rejoinder_event_log::{EventLog, PartitionFold, RecordView, Verdict};
use rejoinder_model::{Millis, Position, Service};
use tokio::sync::Notify;
use tonic::Status;

use crate::refuse;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// So many records at the end of the log are in memory, unless the process has just started.
const IN_MEMORY: u64 = 7;

/// How long somebody may be ahead of this process: they may have a position from one that has read further.
const AHEAD: Duration = Duration::from_secs(1);

/// Tells waiting readers that their partition has moved, or that nobody will tell them any more.
#[derive(Clone)]
pub struct LogNews(Arc<News>);

struct News {
    /// By partition: a reader is not woken for what others read.
    moved: Vec<Notify>,
    ended: AtomicBool,
}

impl LogNews {
    /// News of a log; one for all readers of a process.
    #[must_use]
    pub fn of(log: &dyn EventLog) -> Self {
        let moved = (0..log.partitions()).map(|_| Notify::new()).collect();
        let news = Arc::new(News { moved, ended: AtomicBool::new(false) });
        let watcher = news.clone();
        log.watch(Arc::new(move |partition| {
            if let Some(moved) = watcher.moved.get(usize::from(partition)) {
                moved.notify_waiters();
            }
        }));
        Self(news)
    }

    /// Is there a record at `index`? Waits for it, for a second at most.
    pub async fn reached(&self, log: &dyn EventLog, partition: u16, index: u64) -> bool {
        let is_there = || log.end(partition) > index;
        if is_there() {
            return true;
        }
        let Some(moved) = self.0.moved.get(usize::from(partition)) else { return false };
        let arrival = async {
            loop {
                // Armed before the look, so that no news is missed between both.
                let moved = moved.notified();
                if is_there() || self.0.ended.load(Ordering::Acquire) {
                    return;
                }
                moved.await;
            }
        };
        // However it ends: what is there counts.
        let _ = tokio::time::timeout(AHEAD, arrival).await;
        is_there()
    }

    /// Ends all readers that wait: the server stops, and they can go on elsewhere or later.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.moved.iter().for_each(Notify::notify_waiters);
    }
}

/// An event of a counted frame.
#[derive(Clone, Debug)]
pub struct TailEvent {
    /// Of the frame.
    pub position: Position,
    /// Number of the event in the frame.
    pub event: u32,
    /// Its owner.
    pub service: Service,
    /// Its number in its lane.
    pub own_seq: u64,
    /// Of the frame.
    pub record_time: Millis,
    /// `rejoinder.event.v1.Event`.
    pub bytes: Bytes,
}

/// A reader of one partition.
pub struct Tail {
    log: Arc<dyn EventLog>,
    news: LogNews,
    partition: u16,
    fold: PartitionFold,
    from: u64,
    only: Option<Service>,
}

impl Tail {
    /// A reader of the events from the record `from` on.
    ///
    /// Which frames count is known by folding: from `known` on, or from the beginning when `from`
    /// lies before that.
    pub fn new(log: Arc<dyn EventLog>, news: LogNews, partition: u16, from: u64, known: PartitionFold) -> Self {
        let fold = if known.next_index <= from { known } else { PartitionFold::default() };
        Self { log, news, partition, fold, from, only: None }
    }

    /// Reads the events of one service only; those of others are not looked at.
    #[must_use]
    pub fn only(mut self, service: Service) -> Self {
        self.only = Some(service);
        self
    }

    /// The next events; waits for them, or returns `None` at the log's end if it is not to wait.
    ///
    /// # Errors
    /// DATA_LOSS when the log cannot be read, UNAVAILABLE when the server stops.
    pub async fn next(&mut self, wait: bool) -> Result<Option<Vec<TailEvent>>, Status> {
        loop {
            let news = self.news.clone();
            let Some(moved) = news.0.moved.get(usize::from(self.partition)) else {
                return Err(Status::internal(format!("partition {} does not exist", self.partition)));
            };
            // Armed before the look, so that no news is missed between both.
            let moved = moved.notified();
            let before = self.fold.next_index;
            let left = self.log.end(self.partition).saturating_sub(before);
            let events = if left <= IN_MEMORY { self.read()? } else { tokio::task::block_in_place(|| self.read())? };
            if !events.is_empty() {
                return Ok(Some(events));
            }
            if self.fold.next_index > before {
                continue;
            }
            if !wait {
                return Ok(None);
            }
            if news.0.ended.load(Ordering::Acquire) {
                return Err(refuse::unavailable("the server stops: go on after the last position", 1_000));
            }
            moved.await;
        }
    }

    fn read(&mut self) -> Result<Vec<TailEvent>, Status> {
        let mut out = Vec::new();
        let records = self.log.read(self.partition, self.fold.next_index, READ_BYTES);
        for stored in records.map_err(|error| Status::data_loss(error.to_string()))? {
            let position = Position { partition: self.partition, index: stored.index };
            let damaged = |damage| Status::data_loss(format!("the log is damaged at {position}: {damage}"));
            let peeked = RecordView::peek(&stored.bytes).map_err(damaged)?;
            let wanted = stored.index >= self.from && self.only.is_none_or(|only| only == peeked.service);
            let view = if wanted { RecordView::verify(&stored.bytes).map_err(damaged)? } else { peeked };
            let counted = self.fold.fold(stored.index, view.service, &view.header) == Verdict::Counted;
            if !counted || !wanted {
                continue;
            }
            for (number, bytes) in view.events().map_err(damaged)?.into_iter().enumerate() {
                let event = u32::try_from(number).unwrap_or(u32::MAX);
                let own_seq = view.header.first_own_seq + u64::from(event);
                let (service, record_time) = (view.service, view.header.record_time);
                out.push(TailEvent { position, event, service, own_seq, record_time, bytes });
            }
        }
        Ok(out)
    }
}
