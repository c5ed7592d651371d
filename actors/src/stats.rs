//! What the actors count. Written once a batch, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::event::RejectReason;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations from 1 us to about 36 minutes in buckets that are 2^(1/4) wide: a
/// quantile is right to 19%.
#[derive(Debug)]
pub struct Durations {
    buckets: [AtomicU64; Self::BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }
}

impl Durations {
    const BUCKETS: usize = 125;

    /// Notes that `count` things took this long.
    pub fn record(&self, took: Duration, count: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let octave = us.ilog2();
        // The two bits after the highest one.
        let quarter = if octave >= 2 { (us >> (octave - 2)) & 3 } else { (us << (2 - octave)) & 3 };
        let bucket = (octave as usize * 4 + quarter as usize).min(Self::BUCKETS - 1);
        self.buckets[bucket].fetch_add(count, Relaxed);
        self.sum_us.fetch_add(us.saturating_mul(count), Relaxed);
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us.load(Relaxed))
    }

    /// The duration that a share `q` of them did not exceed; zero if there are
    /// none.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (bound, count) in self.cumulative_bounds() {
            seen += count;
            if seen >= wanted && wanted > 0 {
                return bound;
            }
        }
        Duration::ZERO
    }

    /// Each bucket's upper bound and count, ascending.
    pub fn cumulative_bounds(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, count)| {
            let (octave, quarter) = (i / 4, i % 4);
            let us = (1u64 << octave) as f64 * (1.0 + (quarter + 1) as f64 / 4.0);
            (Duration::from_secs_f64(us / 1e6), count.load(Relaxed))
        })
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records read from the log.
    pub records: Counter,
    /// Events decoded from them.
    pub events: Counter,
    /// Events judged by their detector, once each.
    pub checks: Counter,
    /// Events met again after a rewind or a restart, and skipped.
    pub replayed: Counter,
    /// Events read back from the history to rebuild state.
    pub warmed: Counter,
    /// Anomalous verdicts.
    pub anomalies: Counter,
    /// Incidents opened.
    pub incidents_opened: Counter,
    /// Incidents closed.
    pub incidents_closed: Counter,
    /// Incidents folded into storms.
    pub incidents_folded: Counter,
    /// Alerts published.
    pub alerts: Counter,
    /// Dead letters, by [`RejectReason::ALL`].
    pub dead_letters: [Counter; RejectReason::ALL.len()],
    /// Events behind their series' clock.
    pub late: Counter,
    /// Events with the timestamp of the one before.
    pub repeated: Counter,
    /// History written, in bytes.
    pub history_bytes: Counter,
    /// History written, in events.
    pub history_events: Counter,
    /// Checkpoints written.
    pub checkpoints: Counter,
    /// Series written out and dropped from memory.
    pub evicted: Counter,
    /// Series read back.
    pub returned: Counter,
    /// Rewinds of a partition after a failure.
    pub rewinds: Counter,
    /// Requests to the store in flight.
    pub pool_in_flight: Gauge,
    /// How many may be.
    pub pool_limit: Gauge,
    /// Requests to the store that ended.
    pub pool_requests: Counter,
    /// Requests that failed and were tried again.
    pub pool_retries: Counter,
    /// From the arrival of a batch to its last verdict, a record an event.
    pub verdict_latency: Durations,
    /// From the arrival of an event to its being durable.
    pub durable_latency: Durations,
}

impl Stats {
    /// The counter of dead letters with this reason.
    pub fn dead_letters_by(&self, reason: RejectReason) -> &Counter {
        &self.dead_letters[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_bucket() {
        let d = Durations::default();
        for ms in 1..=1000u64 {
            d.record(Duration::from_millis(ms), 1);
        }
        for (q, ms) in [(0.5, 500.0), (0.99, 990.0)] {
            let found = d.quantile(q).as_secs_f64() * 1e3;
            assert!((ms..ms * 1.26).contains(&found), "{q}: {found}");
        }
        assert_eq!(Durations::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn each_reason_has_its_counter() {
        for (i, reason) in RejectReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
        }
    }
}
