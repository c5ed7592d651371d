//! Streaming anomaly detectors as pure code: no I/O, no clock, no async, no
//! randomness. The same observations give the same verdicts on every machine.
//!
//! A detector is a *specification*, shared by all series that use it, and a
//! small *state* for each series.

use serde::{Deserialize, Serialize};

/// One observation of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The value; finite.
    pub value: f64,
}

/// Which way a value left what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above.
    Up,
    /// Below.
    Down,
}

/// What a detector makes of an observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// Too few observations to judge: this many of that many.
    WarmingUp {
        /// Observations seen, this one included.
        seen: u32,
        /// Observations needed.
        needed: u32,
    },
    /// As expected.
    Normal,
    /// Not as expected.
    Anomalous(Direction),
}

/// What a detector says of one observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Warming up, normal, or anomalous.
    pub phase: Phase,
    /// The detector's statistic, at least 0; anomalous above `threshold`.
    pub score: f64,
    /// The threshold that the score is held against.
    pub threshold: f64,
    /// The value that was expected; NaN while nothing is expected yet.
    pub expected: f64,
    /// The standard deviation that was expected around it.
    pub sigma: f64,
    /// How many observations ago the change is thought to have begun; 0 is this
    /// one. Only of an anomaly.
    pub onset_observations: u32,
}
