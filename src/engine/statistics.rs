//! The statistics of an engine: how long operations took at the store, and how many failed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::error::Error;

/// The buckets of the histogram: the first counts times up to 1 µs, each further one up to twice the bound before it.
const BUCKETS: usize = 32;

#[derive(Default)]
struct Times {
    count: u64,
    total: Duration,
    buckets: [u32; BUCKETS],
}

impl Times {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.count += 1;
        self.total += took;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
    }

    /// The time that the share `part` (0 to 1) of all operations stayed below, ms, rounded up to a power of two of µs.
    #[allow(clippy::cast_precision_loss)] // a count of operations stays below 2^53
    fn below(&self, part: f64) -> f64 {
        let mut left = self.count as f64 * part;
        for (bucket, count) in self.buckets.iter().enumerate() {
            left -= f64::from(*count);
            if left <= 0.0 {
                return (1_u64 << bucket) as f64 / 1000.0;
            }
        }
        0.0
    }

    fn json(&self) -> Value {
        let mean = if self.count == 0 {
            0.0
        } else {
            #[allow(clippy::cast_precision_loss)] // as above
            let count = self.count as f64;
            self.total.as_secs_f64() * 1000.0 / count
        };
        json!({
            "count": self.count,
            "mean": mean,
            "p50": self.below(0.5),
            "p99": self.below(0.99),
        })
    }
}

/// See the module.
#[derive(Default)]
pub struct Statistics {
    times: BTreeMap<&'static str, Times>,
    failures: BTreeMap<&'static str, u64>,
}

impl Statistics {
    /// The store has answered an operation of a kind after this time.
    pub fn answered(&mut self, kind: &'static str, took: Duration) {
        self.times.entry(kind).or_default().add(took);
    }

    /// An operation has failed.
    pub fn failed(&mut self, error: &Error) {
        *self.failures.entry(error.kind.code()).or_default() += 1;
    }

    /// `latencies`: for each kind of operation `count`, and `mean`, `p50` and `p99` in ms; `failures`: a count for each
    /// error code.
    #[must_use]
    pub fn json(&self) -> Map<String, Value> {
        let latencies: Map<String, Value> = self
            .times
            .iter()
            .map(|(kind, times)| ((*kind).to_owned(), times.json()))
            .collect();
        let failures: Map<String, Value> = self
            .failures
            .iter()
            .map(|(code, count)| ((*code).to_owned(), json!(count)))
            .collect();
        let mut all = Map::new();
        all.insert("latencies".to_owned(), latencies.into());
        all.insert("failures".to_owned(), failures.into());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_rounded_up_to_a_power_of_two() {
        let mut times = Times::default();
        for millis in [1, 1, 1, 100] {
            times.add(Duration::from_millis(millis));
        }
        assert!((times.below(0.5) - 1.024).abs() < 1e-9);
        assert!((times.below(0.99) - 131.072).abs() < 1e-9);
    }
}
