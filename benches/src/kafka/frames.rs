//! Bare frames: what the log on Kafka carries when services decide nothing. Each of them is a commit, done
//! when its own writer has read it back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rejoinder_model::Service;

use super::desk::Desk;
use super::{Broker, Meter, Outcome};
use crate::clock;
use crate::latency::Latencies;

/// Partitions of a log, as a new one has them.
pub(crate) const PARTITIONS: u16 = 16;
/// How long a look for the end may wait.
const LOOK: Duration = Duration::from_millis(50);

/// How frames are written.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Lanes that write, each in a partition of its own.
    pub(crate) writers: u16,
    /// Frames of a lane that are not read back yet.
    pub(crate) under_way: usize,
    pub(crate) events_a_frame: u32,
}

/// As many frames as the log takes; how many bytes each has.
pub(crate) fn writers(broker: &Broker, shape: Shape, length: Duration) -> anyhow::Result<(Outcome, usize)> {
    let topic = broker.fresh_name("frames");
    let mut desk = Desk::open(broker, &topic, PARTITIONS, Service::Ingest, shape.events_a_frame)?;
    desk.claim()?;
    let mut sent: Vec<VecDeque<Instant>> = vec![VecDeque::new(); usize::from(shape.writers)];
    let mut meter = Meter::new(length);
    for (partition, sent) in (0_u16..).zip(&mut sent) {
        for _ in 0..shape.under_way {
            sent.push_back(clock::now());
            desk.write(partition, 0)?;
        }
    }
    while !meter.is_over() {
        let Some(partition) = desk.wait(LOOK)? else { continue };
        for _ in desk.read(partition)? {
            let sent = &mut sent[usize::from(partition)];
            if let Some(began) = sent.pop_front() {
                meter.ends(began);
            }
            sent.push_back(clock::now());
            desk.write(partition, 0)?;
        }
    }
    Ok((meter.outcome(), desk.frame_bytes()))
}

/// A service takes a lane over by a claim, again and again: from when it claims until it reads that back.
/// The backend is open already, as a process that stands by has it.
pub(crate) fn take_overs(broker: &Broker, count: usize) -> anyhow::Result<Latencies> {
    let topic = broker.fresh_name("claims");
    let mut desk = Desk::open(broker, &topic, 1, Service::Ingest, 1)?;
    // The first one also waits for the producer to get its number from the broker, as it does once a process.
    desk.claim()?;
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let began = clock::now();
        desk.claim()?;
        latencies.add(began.elapsed());
    }
    Ok(latencies)
}

/// Three services, each with a log of its own as in processes of their own: the first one accepts, the
/// second sees that and writes, the third sees that, writes and reads back. Without a pace each partition
/// has one on its way; with one each partition gets a frame so often, and latencies count from when it was
/// to be written.
pub(crate) fn hops(
    broker: &Broker,
    partitions: u16,
    pace: Option<Duration>,
    length: Duration,
) -> anyhow::Result<Outcome> {
    let topic = broker.fresh_name("hops");
    let open = |service| Desk::open(broker, &topic, partitions, service, 1);
    let mut first = open(Service::Ingest)?;
    let mut second = open(Service::Threading)?;
    let mut third = open(Service::Routing)?;
    first.claim()?;
    second.claim()?;
    third.claim()?;
    let is_over = AtomicBool::new(false);
    let (arrived, arrivals) = mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| follow(&mut second, Service::Threading, Service::Ingest, None, &is_over));
        let third = scope.spawn(|| follow(&mut third, Service::Routing, Service::Threading, Some(arrived), &is_over));
        let outcome = accept(&mut first, partitions, pace, &arrivals, Meter::new(length));
        is_over.store(true, Ordering::Release);
        for follower in [second, third] {
            follower.join().map_err(|_| anyhow::anyhow!("a service panicked"))??;
        }
        outcome
    })
}

/// Sees frames of the service before, and writes one for each.
fn follow(
    desk: &mut Desk,
    own: Service,
    upstream: Service,
    arrived: Option<Sender<u16>>,
    is_over: &AtomicBool,
) -> anyhow::Result<()> {
    while !is_over.load(Ordering::Acquire) {
        let Some(partition) = desk.wait(LOOK)? else { continue };
        for seen in desk.read(partition)? {
            if seen.service == upstream {
                desk.write(partition, seen.index + 1)?;
            } else if seen.service == own
                && let Some(arrived) = &arrived
            {
                // The first one may have ended.
                let _ = arrived.send(partition);
            }
        }
    }
    Ok(())
}

fn accept(
    desk: &mut Desk,
    partitions: u16,
    pace: Option<Duration>,
    arrivals: &Receiver<u16>,
    mut meter: Meter,
) -> anyhow::Result<Outcome> {
    let start = clock::now();
    // When the next frame of a partition is due; the partitions take turns within a pace.
    let mut due: Vec<Instant> = (0..u32::from(partitions))
        .map(|partition| start + pace.unwrap_or_default() * partition / u32::from(partitions))
        .collect();
    let mut sent: Vec<VecDeque<Instant>> = vec![VecDeque::new(); usize::from(partitions)];
    while !meter.is_over() {
        let now = clock::now();
        for partition in 0..partitions {
            let (due, sent) = (&mut due[usize::from(partition)], &mut sent[usize::from(partition)]);
            let is_due = if pace.is_some() { *due <= now } else { sent.is_empty() };
            if is_due {
                sent.push_back(if pace.is_some() { *due } else { now });
                *due += pace.unwrap_or_default();
                desk.write(partition, 0)?;
            }
        }
        let next = due.iter().min().copied().filter(|_| pace.is_some()).unwrap_or_else(|| meter.until());
        match arrivals.recv_timeout(next.saturating_duration_since(clock::now())) {
            Ok(partition) => {
                if let Some(began) = sent[usize::from(partition)].pop_front() {
                    meter.ends(began);
                }
                desk.read(partition)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // A follower failed, and says why.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(meter.outcome())
}
