//! What is let in: quotas by workspace, and nothing while the disk runs full. Shedding happens here,
//! before anything is accepted.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};
use rejoinder_service_kit::refuse;
use tonic::Status;

/// Interactions that a workspace may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// A second, in the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl Quota {
    fn limiter(self) -> DefaultKeyedRateLimiter<String> {
        RateLimiter::keyed(Rate::per_second(self.per_second).allow_burst(self.burst))
    }
}

/// Who may send how much, now.
pub struct Admission {
    default: Option<DefaultKeyedRateLimiter<String>>,
    named: BTreeMap<String, DefaultKeyedRateLimiter<String>>,
    free_bytes: AtomicU64,
    needed_bytes: u64,
    full: OnceLock<()>,
}

impl Admission {
    /// Quotas by workspace, one for those not named (without it they have none), and the bytes that
    /// must stay free on the disk of the log.
    #[must_use]
    pub fn new(default: Option<Quota>, named: &BTreeMap<String, Quota>, needed_bytes: u64) -> Self {
        let named = named.iter().map(|(workspace, quota)| (workspace.clone(), quota.limiter())).collect();
        let free_bytes = AtomicU64::new(u64::MAX);
        Self { default: default.map(Quota::limiter), named, free_bytes, needed_bytes, full: OnceLock::new() }
    }

    /// How much room the log's disk has.
    pub fn free_bytes_are(&self, free: u64) {
        self.free_bytes.store(free, Ordering::Relaxed);
    }

    /// Lets `count` interactions of a workspace in.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with the time to wait: nothing was taken.
    pub fn admit(&self, workspace: &str, count: usize) -> Result<(), Status> {
        let free = self.free_bytes.load(Ordering::Relaxed);
        if free < self.needed_bytes {
            if self.full.set(()).is_ok() {
                tracing::error!(free, needed = self.needed_bytes, "the disk of the log runs full: ingest sheds");
            }
            let what = format!("the disk of the log has {free} bytes left, {} must stay free", self.needed_bytes);
            return Err(refuse::exhausted(what, 30_000));
        }
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        let Some(limiter) = self.named.get(workspace).or(self.default.as_ref()) else { return Ok(()) };
        match limiter.check_key_n(&workspace.to_owned(), count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                let wait = until.wait_time_from(governor::clock::Clock::now(limiter.clock()));
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                Err(refuse::exhausted(format!("the quota of workspace {workspace:?} is used up"), wait))
            }
            Err(burst) => {
                let what = format!("there are {count}, the quota of workspace {workspace:?} takes {} at once", burst.0);
                Err(refuse::invalid("BATCH_TOO_LARGE", "interactions", what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn quota(per_second: u32, burst: u32) -> Quota {
        Quota { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    #[test]
    fn a_used_up_quota_names_the_wait_and_leaves_others_alone() {
        let admission = Admission::new(None, &BTreeMap::from([("small".to_owned(), quota(1, 10))]), 0);
        assert!(admission.admit("small", 10).is_ok());
        let refused = admission.admit("small", 5).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refuse::retry_after_ms(&refused) > 1_000);
        assert_eq!(admission.admit("small", 11).unwrap_err().code(), Code::InvalidArgument, "can never be taken");
        assert!(admission.admit("large", 10_000).is_ok());
    }

    #[test]
    fn a_disk_that_runs_full_sheds() {
        let admission = Admission::new(None, &BTreeMap::new(), 100);
        assert!(admission.admit("w", 1).is_ok());
        admission.free_bytes_are(99);
        assert_eq!(admission.admit("w", 1).unwrap_err().code(), Code::ResourceExhausted);
        admission.free_bytes_are(100);
        assert!(admission.admit("w", 1).is_ok());
    }
}
