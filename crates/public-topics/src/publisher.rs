//! The publisher of a process: its options, its thread, its end.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rejoinder_event_log::EventLog;
use rejoinder_event_log_kafka::Connection;

use crate::error::StartError;
use crate::group::Member;
use crate::publishing::Publishing;
use crate::table::Topic;
use crate::topics;

/// How a process publishes.
#[derive(Clone)]
pub struct Options {
    /// Brokers and security, as for any client.
    pub connection: Connection,
    /// The topic of the log; the group of publishers is named after it.
    pub events_topic: String,
    /// What the names of the public topics begin with.
    pub prefix: String,
    /// This process among the publishers: the same after a restart, no other's meanwhile.
    pub instance: String,
    /// Copies of each partition of a new topic.
    pub replication: i32,
    /// Between two transactions, unless there is more than one can hold.
    pub interval: Duration,
    /// Bytes after which a transaction is full.
    pub transaction_bytes: usize,
    /// After so long without a transaction that was begun, the broker gives it up. Until then whoever
    /// follows a process that died in it has to wait, and so have the readers.
    pub transaction_timeout: Duration,
    /// After so long without a sign of it, a process loses its partitions to others.
    pub session_timeout: Duration,
}

impl Options {
    /// Publishing of a log to topics beside it, three copies of each.
    #[must_use]
    pub fn new(connection: Connection, events_topic: &str, prefix: &str, instance: &str) -> Self {
        Self {
            connection,
            events_topic: events_topic.to_owned(),
            prefix: prefix.to_owned(),
            instance: instance.to_owned(),
            replication: 3,
            interval: Duration::from_millis(100),
            transaction_bytes: 4 << 20,
            transaction_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
        }
    }
}

/// A publisher that runs. It ends when it is dropped.
pub struct Publisher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts publishing what the group of publishers gives to this process. Creates the public topics if
/// they are not there.
///
/// # Errors
/// When no broker answers, or a topic does not fit the log.
pub fn start(log: Arc<dyn EventLog>, options: Options) -> Result<Publisher, StartError> {
    let names = Topic::ALL.map(|topic| topic.name(&options.prefix));
    topics::prepare(&options.connection, &names, log.partitions(), options.replication)?;
    let member = Member::join(&options)?;
    let (stop, stopped) = channel();
    let mut publishing = Publishing::new(log, options, member);
    let run = move || publishing.run(&stopped);
    let thread = std::thread::Builder::new().name("publish".into()).spawn(run).map_err(StartError::Thread)?;
    Ok(Publisher { stop: Some(stop), thread: Some(thread) })
}

impl Publisher {
    /// It publishes, or will when it has partitions. Not so once another process took its name.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends with the transaction that is open, if one is. Others go on with its partitions at once.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the publisher panicked");
        }
    }
}
