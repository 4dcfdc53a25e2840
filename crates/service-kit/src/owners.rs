//! Who owns what: which process writes for a service in a partition, and so answers for it.

use rejoinder_model::Service;
use tokio::sync::watch;

/// The owner of a service in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This process.
    Here,
    /// Another one; it answers gRPC at this `HOST:PORT`.
    At(String),
    /// Nobody that is known of now.
    Nobody,
}

/// Who owns what, as far as this process knows.
pub trait Owners: Send + Sync {
    /// The owner of a service in a partition.
    fn owner(&self, service: Service, partition: u16) -> Owner;

    /// Counts changes: it moves after `owner` has come to answer differently for any service and
    /// partition. A receiver whose sender is gone is never told of anything again.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// The owners where there is one process: it owns everything.
#[derive(Debug)]
pub struct Alone(watch::Sender<u64>);

impl Default for Alone {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Owners for Alone {
    fn owner(&self, _: Service, _: u16) -> Owner {
        Owner::Here
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
