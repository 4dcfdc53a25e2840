//! The follower: one thread that reads what every partition gets, from the end at the start on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;

use crate::log::Shared;

/// How long a look for a stop may wait.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until the log is closed or stops.
pub(crate) fn run(shared: &Shared, consumer: &BaseConsumer) {
    while !shared.is_closed() {
        match consumer.poll(LOOK) {
            None => {}
            Some(Ok(message)) => {
                let partition = u16::try_from(message.partition()).unwrap_or(u16::MAX);
                let (index, bytes) = (message.offset(), message.payload().unwrap_or_default());
                if let Err(what) = shared.take(partition, index, Bytes::copy_from_slice(bytes)) {
                    shared.stop(what);
                    return;
                }
            }
            // Brokers come back; librdkafka tries again by itself.
            Some(Err(error)) => tracing::warn!(%error, "Kafka cannot be read now"),
        }
    }
}

/// A thread that ends with its log.
pub(crate) fn start(shared: &Arc<Shared>, consumer: BaseConsumer) -> std::io::Result<std::thread::JoinHandle<()>> {
    let shared = shared.clone();
    std::thread::Builder::new().name("log-follow".into()).spawn(move || run(&shared, &consumer))
}
