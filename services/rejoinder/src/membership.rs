//! This process among others over the same log: a group for each of its services.

#[cfg(not(feature = "kafka"))]
pub(crate) use self::alone::Membership;
#[cfg(feature = "kafka")]
pub(crate) use self::in_kafka::Membership;

#[cfg(feature = "kafka")]
mod in_kafka;
#[cfg(feature = "kafka")]
mod tenants;

/// Without Kafka a process has its log alone.
#[cfg(not(feature = "kafka"))]
mod alone {
    use std::sync::Arc;

    use rejoinder_model::Service;

    use crate::config::Config;
    use crate::inside::Inside;

    /// Nothing is of this kind.
    pub(crate) enum Membership {}

    impl Membership {
        pub(crate) fn join(_: &Config, _: &Arc<Inside>, _: &[Service]) -> anyhow::Result<Self> {
            anyhow::bail!("this binary was built without the feature `kafka`")
        }

        pub(crate) fn failure(&self) -> Option<String> {
            match *self {}
        }

        pub(crate) fn leave(self) {
            match self {}
        }
    }
}
