//! How many requests the store bears at once, found by measuring.
//!
//! Additive increase, multiplicative decrease on two signals: a failed or
//! overloaded request, and a latency that has risen well above the best that the
//! store showed. It rises only while it is what holds requests back, so an idle
//! pool does not drift. What the store's best is is measured anew now and then,
//! with a quarter of the requests, as TCP BBR probes the round-trip time: else a
//! limit at which requests always wait would take the waiting for the best. After Netflix's `concurrency-limits` (Vegas, gradient)
//! and TCP's congestion avoidance.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The bounds of the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Where it starts, in requests.
    pub initial: usize,
    /// Never below.
    pub min: usize,
    /// Never above.
    pub max: usize,
    /// A window's typical latency above the best one times this is overload.
    pub latency_ratio_max: f64,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self { initial: 8, min: 1, max: 256, latency_ratio_max: 4.0 }
    }
}

impl LimitConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.min == 0 || self.min > self.initial || self.initial > self.max {
            faults.push(format!(
                "pool.limit: 1 <= min <= initial <= max must hold, got {} / {} / {}",
                self.min, self.initial, self.max
            ));
        }
        if self.latency_ratio_max.is_nan() || self.latency_ratio_max <= 1.0 {
            faults.push("pool.limit.latency_ratio_max must be above 1; 4 is the default".into());
        }
        faults
    }
}

/// The share of the limit that is left after overload.
const BACK_OFF: f64 = 0.75;
/// Every so many windows the best latency is measured anew.
const WINDOWS_BETWEEN_PROBES: u32 = 64;
/// The share of the limit that is left while it is measured.
const PROBE: f64 = 0.25;

/// The adaptive limit.
#[derive(Debug)]
pub struct Limit {
    config: LimitConfig,
    limit: f64,
    best_us: f64,
    window: Window,
    windows: u32,
    probe: Option<Probe>,
}

/// The best latency is being measured.
#[derive(Debug)]
struct Probe {
    /// The limit to go back to.
    limit: f64,
    /// Requests that were sent before it and say nothing.
    skip: usize,
}

#[derive(Debug, Default)]
struct Window {
    done: usize,
    failed: usize,
    latency_us_sum: f64,
    was_full: bool,
}

impl Limit {
    /// Starts at `config.initial`.
    pub fn new(config: LimitConfig) -> Self {
        let limit = config.initial as f64;
        Self {
            config,
            limit,
            best_us: f64::INFINITY,
            window: Window::default(),
            windows: 0,
            probe: None,
        }
    }

    /// How many requests may be in flight now.
    pub fn current(&self) -> usize {
        self.limit as usize
    }

    /// A request ended. `in_flight` counts it.
    pub fn observe(&mut self, latency: Duration, succeeded: bool, in_flight: usize) {
        if let Some(probe) = &mut self.probe
            && probe.skip > 0
        {
            probe.skip -= 1;
            return;
        }
        self.window.done += 1;
        self.window.was_full |= in_flight >= self.current();
        if succeeded {
            self.window.latency_us_sum += latency.as_secs_f64() * 1e6;
        } else {
            self.window.failed += 1;
        }
        // A window is as many requests as are in flight, at least a handful.
        if self.window.done >= self.current().max(8) {
            self.adapt();
        }
    }

    fn adapt(&mut self) {
        let window = std::mem::take(&mut self.window);
        let succeeded = window.done - window.failed;
        let typical_us = window.latency_us_sum / succeeded as f64;
        if let Some(probe) = self.probe.take() {
            self.limit = probe.limit;
            if succeeded > 0 {
                self.best_us = typical_us;
            }
            return;
        }
        let mut overloaded = window.failed > 0;
        if succeeded > 0 {
            self.best_us = self.best_us.min(typical_us);
            overloaded |= typical_us > self.best_us * self.config.latency_ratio_max;
        }
        if overloaded {
            self.limit *= BACK_OFF;
        } else if window.was_full {
            self.limit += 1.0;
        }
        self.limit = self.limit.clamp(self.config.min as f64, self.config.max as f64);
        self.windows += 1;
        if self.windows.is_multiple_of(WINDOWS_BETWEEN_PROBES) {
            self.probe = Some(Probe { limit: self.limit, skip: self.current() });
            self.limit = (self.limit * PROBE).max(self.config.min as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that serves `servers` requests at once in 1 ms each; more wait.
    fn settle(servers: usize, rounds: usize) -> usize {
        let mut limit = Limit::new(LimitConfig::default());
        for _ in 0..rounds {
            let in_flight = limit.current();
            let latency_ms = (in_flight as f64 / servers as f64).max(1.0);
            limit.observe(Duration::from_secs_f64(latency_ms / 1e3), true, in_flight);
        }
        limit.current()
    }

    #[test]
    fn it_rises_until_the_store_slows_down() {
        let found = settle(16, 20_000);
        assert!((16..=16 * 5).contains(&found), "16 at once are served without waiting: {found}");
        assert!(settle(4, 20_000) < settle(32, 20_000));
    }

    #[test]
    fn failures_bring_it_down_to_its_minimum_and_success_up_again() {
        let mut limit = Limit::new(LimitConfig::default());
        for _ in 0..200 {
            limit.observe(Duration::from_millis(1), false, limit.current());
        }
        assert_eq!(limit.current(), 1);
        for _ in 0..2_000 {
            limit.observe(Duration::from_millis(1), true, limit.current());
        }
        assert!(limit.current() > 8);
    }

    #[test]
    fn it_does_not_drift_up_while_there_is_little_to_do() {
        let mut limit = Limit::new(LimitConfig::default());
        for _ in 0..10_000 {
            limit.observe(Duration::from_millis(1), true, 1);
        }
        assert_eq!(limit.current(), LimitConfig::default().initial);
    }

    #[test]
    fn a_store_that_is_slower_for_good_is_not_overloaded_for_ever() {
        let mut limit = Limit::new(LimitConfig::default());
        for _ in 0..1_000 {
            limit.observe(Duration::from_millis(1), true, limit.current());
        }
        for _ in 0..50_000 {
            limit.observe(Duration::from_millis(20), true, limit.current());
        }
        assert!(limit.current() > 8, "{}", limit.current());
    }

    #[test]
    fn however_long_it_runs_it_does_not_take_waiting_for_the_best() {
        assert!(settle(16, 2_000_000) <= 16 * 5);
    }
}
