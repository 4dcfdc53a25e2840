//! Latencies in microseconds, and how they are written.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies of one kind.
#[derive(Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Up to ten minutes, three digits.
        let mut histogram =
            Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are those that the crate allows");
        histogram.auto(true);
        Self(histogram)
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.add_many(latency, 1);
    }

    pub(crate) fn add_many(&mut self, latency: Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1), count);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Both resize as needed.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// `p50 / p99 ms`.
    pub(crate) fn p50_p99(&self) -> String {
        format!("p50 {:.2}, p99 {:.2} ms", self.ms(0.5), self.ms(0.99))
    }
}
