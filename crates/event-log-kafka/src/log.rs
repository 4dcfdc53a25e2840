//! Opening, appending, reading.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use rejoinder_event_log::{AppendError, EventLog, LogId, MAX_RECORD_BYTES, ReadError, Ring, StoredRecord, Watcher};

use crate::ahead::Ahead;
use crate::catch_up::CatchUp;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::OpenError;
use crate::metric_definitions::measured;
use crate::topic::{self, PATIENCE, Topic};
use crate::writer::Writer;
use crate::{contact, copies, follower};

/// How long a log that is closed waits for what it took.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// How often a writer that has no room looks for it.
const ROOM_LOOK: Duration = Duration::from_millis(1);

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is, and how it is reached.
    pub cluster: Cluster,
    /// The topic of the log; `TOPIC.meta` beside it holds the log's id.
    pub topic: String,
    /// Number of partitions of a new log; an existing one must have it.
    pub partitions: u16,
    /// Copies of each partition. One copy is for development: a broker keeps what it took in the page
    /// cache, not on the disk, and a power cut takes it.
    pub replication: i32,
    /// Bytes that may wait to become durable.
    pub queue_bytes: usize,
    /// Bytes of the newest records kept in memory, for each partition.
    pub ring_bytes: usize,
    /// Makes the topics unless they are there. Otherwise the log is opened as it stands, with the
    /// partitions that it has.
    pub create: bool,
    /// The id of a new log; random when not given.
    pub id: Option<LogId>,
    /// Records can be read before they are durable, and are compared when they are: for who is alone
    /// with a new log, and starts over when it is interrupted.
    pub deferred: bool,
}

impl Options {
    /// A log of a topic in a cluster, three copies of it.
    pub fn new(cluster: impl Into<Cluster>, topic: &str) -> Self {
        Self {
            cluster: cluster.into(),
            topic: topic.to_owned(),
            partitions: 16,
            replication: 3,
            queue_bytes: 64 << 20,
            ring_bytes: 4 << 20,
            create: true,
            id: None,
            deferred: false,
        }
    }
}

pub(crate) struct Shared {
    id: LogId,
    options: Options,
    connection: Connection,
    rings: Vec<Mutex<Ring>>,
    /// With `deferred`: what is in the rings already and was not read back yet.
    ahead: Ahead,
    watchers: RwLock<Vec<Watcher>>,
    stopped: Arc<OnceLock<String>>,
    closed: AtomicBool,
}

/// The event log in a topic.
pub struct KafkaLog {
    shared: Arc<Shared>,
    writer: Writer,
    catch_up: CatchUp,
    follower: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self, what: String) {
        tracing::error!(what, "the event log stops");
        // The first cause stays.
        let _ = self.stopped.set(what);
    }

    /// The next record of a partition.
    pub(crate) fn take(&self, partition: u16, index: i64, record: Bytes) -> Result<(), String> {
        let Some(ring) = self.rings.get(usize::from(partition)) else {
            return Err(format!("the topic has got a partition {partition}"));
        };
        if self.options.deferred {
            return self.ahead.landed(partition, index, &record);
        }
        let mut ring = lock(ring);
        if u64::try_from(index) != Ok(ring.end()) {
            return Err(format!("after {partition}/{} comes {index}: the topic was changed by others", ring.end()));
        }
        ring.push(record, self.options.ring_bytes);
        drop(ring);
        self.tell(partition);
        Ok(())
    }

    fn tell(&self, partition: u16) {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().for_each(|watcher| watcher(partition));
    }
}

impl KafkaLog {
    /// Opens the log of a topic, or creates it.
    ///
    /// # Errors
    /// When no broker answers, or the topic is not one that keeps everything.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let connection = options.cluster.connection()?;
        contact::make(&connection)?;
        let options = if options.create {
            copies::check(&connection, options.replication)?;
            make(&connection, &options, &options.topic, options.partitions)?;
            options
        } else {
            Options { partitions: topic::partitions(&connection, &options.topic)?, ..options }
        };
        let failed = |source: KafkaError| OpenError::Kafka { brokers: connection.brokers().to_owned(), source };
        let id = log_id(&connection, &options)?;
        let consumer = follower::consumer(&connection, &options.topic).map_err(failed)?;
        let mut rings = Vec::new();
        let mut from_end = TopicPartitionList::new();
        for partition in 0..options.partitions {
            let of = i32::from(partition);
            let watermarks = || consumer.fetch_watermarks(&options.topic, of, PATIENCE);
            let (first, end) = topic::once_known(watermarks, topic::is_new).map_err(failed)?;
            if first != 0 {
                return Err(OpenError::Cut { topic: options.topic, partition, first });
            }
            from_end.add_partition_offset(&options.topic, of, Offset::Offset(end)).map_err(failed)?;
            rings.push(Mutex::new(Ring::starting_at(u64::try_from(end).unwrap_or_default())));
        }
        consumer.assign(&from_end).map_err(failed)?;
        let stopped = Arc::new(OnceLock::new());
        let writer = Writer::start(measured(connection.client()), &options, stopped.clone()).map_err(failed)?;
        let (watchers, closed) = (RwLock::default(), AtomicBool::new(false));
        let ahead = Ahead::of(&rings.iter().map(|ring| lock(ring).end()).collect::<Vec<u64>>());
        let shared = Arc::new(Shared { id, options, connection, rings, ahead, watchers, stopped, closed });
        let follower = follower::start(&shared, consumer).map_err(OpenError::Thread)?;
        Ok(Arc::new(Self { shared, writer, catch_up: CatchUp::default(), follower: Mutex::new(Some(follower)) }))
    }
}

impl KafkaLog {
    /// Shows a record at once; waits while there is no room.
    fn append_ahead(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        let Some(ring) = self.shared.rings.get(usize::from(partition)) else {
            return Err(AppendError::Stopped(format!("partition {partition} does not exist")));
        };
        let mut ring = lock(ring);
        self.shared.ahead.expect(partition, &record);
        while let Err(error) = self.writer.send(partition, &record) {
            match error {
                AppendError::Full(_) => std::thread::sleep(ROOM_LOOK),
                error @ (AppendError::Stopped(_) | AppendError::TooLarge { .. }) => return Err(error),
            }
        }
        ring.push(record, self.shared.options.ring_bytes);
        drop(ring);
        self.shared.tell(partition);
        Ok(())
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// A topic of the log, made unless it is there, and checked.
fn make(connection: &Connection, options: &Options, name: &str, partitions: u16) -> Result<(), OpenError> {
    let topic = Topic::that_keeps_all(name, partitions, options.replication);
    topic::create(connection, std::slice::from_ref(&topic))?;
    topic::check(connection, &topic)
}

/// The id of the log: the first record of the topic beside it, written by whoever came first.
fn log_id(connection: &Connection, options: &Options) -> Result<LogId, OpenError> {
    let name = format!("{}.meta", options.topic);
    if options.create {
        make(connection, options, &name, 1)?;
    } else {
        topic::partitions(connection, &name)?;
    }
    let of_meta = Options { topic: name.clone(), ..options.clone() };
    let failed = |source: KafkaError| OpenError::Kafka { brokers: connection.brokers().to_owned(), source };
    let consumer: BaseConsumer = connection.consumer(&name).create().map_err(failed)?;
    let watermarks = || consumer.fetch_watermarks(&name, 0, PATIENCE);
    let (_, end) = topic::once_known(watermarks, topic::is_new).map_err(failed)?;
    if end == 0 {
        let mine = options.id.unwrap_or_else(|| uuid::Uuid::new_v4().as_u128()).to_be_bytes();
        let writer = Writer::start(connection.client(), &of_meta, Arc::default()).map_err(failed)?;
        // Another may be faster: the first one counts.
        let refused = |error: AppendError| OpenError::Id { topic: name.clone(), what: error.to_string() };
        writer.send(0, &Bytes::copy_from_slice(&mine)).map_err(refused)?;
        writer.flush(LAST_WRITES);
    }
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(&name, 0, Offset::Offset(0)).map_err(failed)?;
    consumer.assign(&first).map_err(failed)?;
    let nothing = || OpenError::Id { topic: name.clone(), what: "it is empty".to_owned() };
    let message = consumer.poll(PATIENCE).ok_or_else(nothing)?.map_err(failed)?;
    let bytes = message.payload().unwrap_or_default();
    let id: [u8; 16] = bytes.try_into().map_err(|_| OpenError::Id {
        topic: name.clone(),
        what: format!("its first record has {} bytes", bytes.len()),
    })?;
    Ok(u128::from_be_bytes(id))
}

impl EventLog for KafkaLog {
    fn id(&self) -> LogId {
        self.shared.id
    }

    fn partitions(&self) -> u16 {
        self.shared.options.partitions
    }

    fn append(&self, partition: u16, record: Bytes) -> Result<(), AppendError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { size: record.len(), limit: MAX_RECORD_BYTES });
        }
        if let Some(what) = self.stopped() {
            return Err(AppendError::Stopped(what.to_owned()));
        }
        if self.shared.options.deferred {
            return self.append_ahead(partition, record);
        }
        self.writer.send(partition, &record)
    }

    fn read(&self, partition: u16, from: u64, max_bytes: usize) -> Result<Vec<StoredRecord>, ReadError> {
        let Some(ring) = self.shared.rings.get(usize::from(partition)) else { return Ok(Vec::new()) };
        let in_memory = {
            let ring = lock(ring);
            if let Some(records) = ring.read(from, max_bytes) {
                return Ok(records);
            }
            ring.first()
        };
        let Shared { connection, options, .. } = &*self.shared;
        self.catch_up.read(connection, &options.topic, (partition, from, in_memory), max_bytes)
    }

    fn end(&self, partition: u16) -> u64 {
        self.shared.rings.get(usize::from(partition)).map_or(0, |ring| lock(ring).end())
    }

    fn watch(&self, watcher: Watcher) {
        self.shared.watchers.write().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(String::as_str)
    }

    fn close(&self) {
        self.writer.flush(LAST_WRITES);
        if self.stopped().is_none() && !self.shared.ahead.is_empty_within(LAST_WRITES) {
            self.shared.stop("what was written was not read back in time".to_owned());
        }
        self.shared.closed.store(true, Ordering::Release);
        if let Some(follower) = lock(&self.follower).take()
            && follower.join().is_err()
        {
            tracing::error!("the follower of the event log panicked");
        }
    }
}
