//! A service with nothing in it: it claims its lanes, writes frames and reads them back, by the rules of
//! the log and through its real backend.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rejoinder_event_log::{EventLog as _, FrameBuilder, PartitionFold, RecordView, Verdict, record};
use rejoinder_event_log_kafka::{KafkaLog, Options};
use rejoinder_model::Service;
use rejoinder_wire::event::content::{Body as ContentBody, Plain};
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{Content, Event, InteractionReceived, MessageRef};
use rejoinder_wire::log::{Claim, Header};

use super::{Broker, PATIENCE};
use crate::clock;

/// How many bytes are read at a time.
const READ_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Lane {
    fold: PartitionFold,
    considered: u64,
    next_frame_no: u64,
    next_own_seq: u64,
}

/// One service in all partitions, as a process of its own has it.
pub(crate) struct Desk {
    service: Service,
    log: Arc<KafkaLog>,
    woken: Receiver<u16>,
    lanes: Vec<Lane>,
    frame: FrameBuilder,
    event: Event,
    events_a_frame: u32,
}

/// A frame that counts.
pub(crate) struct Seen {
    pub(crate) service: Service,
    pub(crate) index: u64,
}

impl Desk {
    pub(crate) fn open(
        broker: &Broker,
        topic: &str,
        partitions: u16,
        service: Service,
        events_a_frame: u32,
    ) -> anyhow::Result<Self> {
        let options = Options { partitions, replication: 1, ..Options::new(broker.address(), topic) };
        let log = KafkaLog::open(options)?;
        let (wake, woken) = mpsc::channel();
        log.watch(Arc::new(move |partition| {
            // Whoever does not listen any more has ended.
            let _ = wake.send(partition);
        }));
        let lanes = (0..partitions).map(|_| Lane::default()).collect();
        Ok(Self { service, log, woken, lanes, frame: FrameBuilder::default(), event: message(), events_a_frame })
    }

    /// Takes every lane of the service over, and waits until the log says so.
    pub(crate) fn claim(&mut self) -> anyhow::Result<()> {
        let service = self.service;
        let epochs: Vec<Option<u64>> = self.lanes.iter().map(|lane| lane.fold.lane(service).epoch).collect();
        for (partition, epoch) in (0_u16..).zip(&epochs) {
            let (prev_epoch, lane_is_new) = (epoch.unwrap_or_default(), epoch.is_none());
            let claim = Claim { prev_epoch, lane_is_new, nonce: u64::from(partition) + 1, ..Claim::default() };
            self.log.append(partition, record::claim(service, claim, clock::wall_ms()))?;
        }
        let deadline = clock::now() + PATIENCE;
        let is_old = |(lane, epoch): (&Lane, &Option<u64>)| lane.fold.lane(service).epoch == *epoch;
        while self.lanes.iter().zip(&epochs).any(is_old) {
            ensure!(clock::now() < deadline, "the claims of {} are not read back", service.name());
            if let Some(partition) = self.wait(Duration::from_millis(100))? {
                self.read(partition)?;
            }
        }
        for lane in &mut self.lanes {
            (lane.next_frame_no, lane.next_own_seq) = (1, lane.fold.lane(service).next_own_seq);
        }
        Ok(())
    }

    /// Appends one frame that says how far it considered the partition.
    pub(crate) fn write(&mut self, partition: u16, considered: u64) -> anyhow::Result<()> {
        let lane = self.lanes.get_mut(usize::from(partition)).context("no such partition")?;
        (0..self.events_a_frame).for_each(|_| self.frame.push(&self.event));
        lane.considered = considered.max(lane.considered);
        let header = Header {
            service: self.service.number(),
            epoch: lane.fold.lane(self.service).epoch.unwrap_or_default(),
            frame_no: lane.next_frame_no,
            first_own_seq: lane.next_own_seq,
            consumed_index: lane.considered,
            record_time: clock::wall_ms(),
            ..Header::default()
        };
        lane.next_frame_no += 1;
        lane.next_own_seq += u64::from(self.frame.count());
        Ok(self.log.append(partition, self.frame.finish(&header))?)
    }

    /// Bytes of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        let mut frame = FrameBuilder::default();
        (0..self.events_a_frame).for_each(|_| frame.push(&self.event));
        frame.finish(&Header { epoch: 1 << 20, frame_no: 1 << 20, record_time: 1 << 40, ..Header::default() }).len()
    }

    /// A partition that has something new.
    pub(crate) fn wait(&self, patience: Duration) -> anyhow::Result<Option<u16>> {
        match self.woken.recv_timeout(patience) {
            Ok(partition) => Ok(Some(partition)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the log has ended"),
        }
    }

    /// Reads a partition to its end. Every frame has to count: nothing here is deposed or lost.
    pub(crate) fn read(&mut self, partition: u16) -> anyhow::Result<Vec<Seen>> {
        let lane = self.lanes.get_mut(usize::from(partition)).context("no such partition")?;
        let mut seen = Vec::new();
        for stored in self.log.read(partition, lane.fold.next_index, READ_BYTES)? {
            let record = RecordView::verify(&stored.bytes)?;
            match lane.fold.fold(stored.index, record.service, &record.header) {
                Verdict::Counted => seen.push(Seen { service: record.service, index: stored.index }),
                Verdict::ClaimCounted => {}
                verdict @ (Verdict::ClaimVoid | Verdict::Repeat | Verdict::Void) => {
                    anyhow::bail!("{partition}/{} is {verdict:?}", stored.index)
                }
            }
        }
        Ok(seen)
    }
}

/// A customer's message of usual length.
fn message() -> Event {
    let text = "My order has not arrived yet and the tracking page says nothing since Monday. Can you have a look?";
    let plain = Plain { text: text.into(), author_name: "Ada Example".into(), ..Plain::default() };
    let received = InteractionReceived {
        message: Some(MessageRef {
            channel: "x".into(),
            account: "acme".into(),
            external_id: "1790000000000000001".into(),
            global_ids: true,
        }),
        author_id: Some("1234567890".into()),
        event_time: 1_790_000_000_000,
        received_at: 1_790_000_000_500,
        clock_time: 1_790_000_000_000,
        content: Some(Content { body: Some(ContentBody::Plain(plain)) }),
        ..InteractionReceived::default()
    };
    Event {
        workspace: "company-1".into(),
        body: Some(Body::InteractionReceived(Box::new(received))),
        ..Event::default()
    }
}
