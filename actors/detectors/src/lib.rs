//! Streaming anomaly detectors as pure code: no I/O, no clock, no async, no
//! randomness. The same observations give the same verdicts on every machine.
//!
//! A detector is a *specification* ([`DetectorSpec`]), shared by all series that
//! use it, and a small *state* ([`DetectorState`]) for each series.
//!
//! | kind | what it holds a value against | cost | state |
//! | --- | --- | --- | --- |
//! | [`cusum`] | a known mean and deviation, or learned ones | constant | 56 bytes |
//! | [`cusum_window`] | the last 50 values, the newest included | grows with the window | 56 bytes and 8 for each value: 456 |
//!
//! On one core of a shared two-core machine a check took 12-18 ns with a fixed
//! baseline, 25-31 ns with a learned one, and 155-230 ns over a window of 50
//! (release build, 1,000 series in turn).
//!
//! ```
//! use weir_detectors::{DetectorSpec, Direction, Observation, Phase};
//!
//! // As in a configuration: kind = "cusum", everything else left as it is.
//! let spec = DetectorSpec::default();
//! assert!(spec.validate().is_empty());
//!
//! let mut state = spec.start();
//! let mut check = |second: i64, value| {
//!     spec.step(&mut state, Observation { time_us: second * 1_000_000, value })
//! };
//! for second in 0..50 {
//!     let verdict = check(second, 20.0 + 0.1 * (second % 3) as f64);
//!     assert!(matches!(verdict.phase, Phase::WarmingUp { needed: 50, .. }));
//! }
//! assert_eq!(check(50, 20.1).phase, Phase::Normal);
//!
//! let verdict = check(51, 25.0);
//! assert_eq!(verdict.phase, Phase::Anomalous(Direction::Up));
//! assert!(verdict.score > verdict.threshold);
//! assert!((verdict.expected - 20.1).abs() < 0.01);
//! ```
//!
//! In TOML:
//!
//! ```toml
//! kind = "cusum"
//! k = 0.5
//! h = 5.0
//! baseline.fixed = { mean = 20.0, sigma = 0.1 }
//! ```
//!
//! Sources: E. S. Page, *Continuous inspection schemes*, Biometrika 41 (1954).
//! J. M. Lucas, R. B. Crosier, *Fast initial response for CUSUM quality-control
//! schemes: give your CUSUM a head start*, Technometrics 24 (1982).
//! D. C. Montgomery, *Introduction to Statistical Quality Control*, chapter 9.
//! D. H. D. West, *Updating mean and variance estimates: an improved method*,
//! Communications of the ACM 22 (1979).

pub mod baseline;
pub mod cusum;
pub mod cusum_window;
mod spec;

#[cfg(test)]
mod noise;

use serde::{Deserialize, Serialize};

pub use baseline::{Baseline, BaselineSpec, FixedBaseline, LearnedBaseline};
pub use cusum::{CusumSpec, CusumState};
pub use cusum_window::{CusumWindowSpec, CusumWindowState};
pub use spec::{DetectorSpec, DetectorState};

/// Values further from 0 than this are judged as if they were this, so that no
/// square of a difference overflows.
pub const VALUE_ABS_MAX: f64 = 1e150;

/// A value further off than so many standard deviations is judged as if it were
/// that far, so that every score is finite.
pub const DEVIATIONS_MAX: f64 = 1e9;

/// A standard deviation smaller than this part of the mean is the rounding of
/// the numbers and not of the series; it counts as 0.
pub const RELATIVE_SIGMA_MIN: f64 = 1e-14;

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

impl Verdict {
    fn warming_up(seen: u32, needed: u32, threshold: f64) -> Self {
        Self {
            phase: Phase::WarmingUp { seen, needed },
            score: 0.0,
            threshold,
            expected: f64::NAN,
            sigma: 0.0,
            onset_observations: 0,
        }
    }

    /// Normal, because there is no deviation to judge by.
    fn without_scale(expected: f64, threshold: f64) -> Self {
        Self { phase: Phase::Normal, expected, ..Self::warming_up(0, 0, threshold) }
    }

    /// Is it an anomaly?
    #[inline]
    pub fn is_anomalous(&self) -> bool {
        matches!(self.phase, Phase::Anomalous(_))
    }

    /// Which way the anomaly goes, if it is one.
    #[inline]
    pub fn direction(&self) -> Option<Direction> {
        match self.phase {
            Phase::Anomalous(direction) => Some(direction),
            Phase::Normal | Phase::WarmingUp { .. } => None,
        }
    }

    /// How many standard deviations `value` is from what was expected, with its
    /// sign; 0 if nothing was expected.
    pub fn deviations(&self, value: f64) -> f64 {
        if self.expected.is_nan() || self.sigma <= 0.0 {
            return 0.0;
        }
        deviations(judged(value), self.expected, self.sigma)
    }
}

/// The value within [`VALUE_ABS_MAX`].
#[inline]
fn judged(value: f64) -> f64 {
    value.clamp(-VALUE_ABS_MAX, VALUE_ABS_MAX)
}

/// Standard deviations from the mean, within [`DEVIATIONS_MAX`]. `sigma` is
/// above 0.
#[inline]
fn deviations(value: f64, mean: f64, sigma: f64) -> f64 {
    ((value - mean) / sigma).clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX)
}
