//! What is normal for a series: a mean and a standard deviation, given or
//! learned from the series itself.
//!
//! *Learning* is a running mean and variance (West 1979), in which the first
//! `observations` values weigh the same. An outlier among them makes the
//! deviation too large, until it is forgotten or learned anew.
//!
//! *Adapting:* the weight of a new value goes on falling until it is that of an
//! exponential average with the configured half-life, and stays there.
//!
//! *Anomalous values enter* an adapting baseline too, or a series whose level has
//! really changed would be anomalous for ever. One value cannot poison it,
//! because what it may do is bounded: it moves the mean by no more than a value
//! [`MEAN_REACH_SIGMAS`] away would, and at most doubles the variance.
//!
//! *A level that has shifted* is learned anew once the excursion has lasted
//! `relearn_after_observations`, so that the shift itself does not stay in the
//! deviation. If the new baseline does not hold either, the series has no levels
//! but cycles or drifts; then each next excursion must last twice as long as the
//! one before, and the baseline adapts in the meantime.

use core::f64::consts::LN_2;

use serde::{Deserialize, Serialize};

use crate::{RELATIVE_SIGMA_MIN, VALUE_ABS_MAX};

/// Beyond so many standard deviations a value moves the mean no further.
pub const MEAN_REACH_SIGMAS: f64 = 3.0;

/// A baseline is thought to have been right if it held for so many times what it
/// takes to give it up.
const HELD_TIMES: u32 = 10;

/// The most doublings of the time that an excursion must last.
const PATIENCE_MAX: u32 = 6;

/// The most observations, and the longest half-life, that can be asked for.
pub const OBSERVATIONS_MAX: u32 = 10_000_000;

/// Where the mean and the standard deviation of a series come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineSpec {
    /// They are known and the same for all series.
    Fixed(FixedBaseline),
    /// Each series teaches its own.
    Learned(LearnedBaseline),
}

/// A known mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedBaseline {
    /// The mean, in the unit of the values.
    pub mean: f64,
    /// The standard deviation, in the unit of the values; above 0.
    pub sigma: f64,
}

/// How a series teaches its own mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedBaseline {
    /// The first observations, from which it learns before it judges.
    pub observations: u32,
    /// Afterwards the baseline forgets half of what it knew in so many
    /// observations; 0 freezes it as it was learned.
    pub half_life_observations: u32,
    /// An excursion to one side that has lasted so many observations, and still
    /// alarms, is the new level: the baseline is learned anew. 0: never.
    pub relearn_after_observations: u32,
    /// The least standard deviation to judge by, in the unit of the values; 0
    /// for none. With it a flat series is watched too (see
    /// [`crate::cusum`]).
    pub sigma_min: f64,
}

impl LearnedBaseline {
    /// What the newest value weighs in the exponential average: 1 - 2^(-1/H),
    /// by its Pade approximant, which needs no exp (3 % off at H = 1, under
    /// 0.05 % from H = 10 on).
    #[inline]
    fn weight_of_newest(&self) -> f64 {
        LN_2 / (f64::from(self.half_life_observations) + LN_2 / 2.0)
    }

    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        if !(2..=OBSERVATIONS_MAX).contains(&self.observations) {
            faults.push(format!(
                "baseline.learned.observations is {}; set it from 2 to {OBSERVATIONS_MAX}, 50 is usual",
                self.observations
            ));
        }
        for (name, value) in [
            ("half_life_observations", self.half_life_observations),
            ("relearn_after_observations", self.relearn_after_observations),
        ] {
            if value > OBSERVATIONS_MAX {
                faults.push(format!(
                    "baseline.learned.{name} is {value}; set it to at most {OBSERVATIONS_MAX}, or to 0 for never"
                ));
            }
        }
        if !(0.0..=VALUE_ABS_MAX).contains(&self.sigma_min) {
            faults.push(format!(
                "baseline.learned.sigma_min is {}; set it to the least standard deviation that matters, in the unit of the values, or to 0 for none",
                self.sigma_min
            ));
        }
    }
}

impl FixedBaseline {
    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        if !(-VALUE_ABS_MAX..=VALUE_ABS_MAX).contains(&self.mean) {
            faults.push(format!(
                "baseline.fixed.mean is {}; set it to the usual value of the series",
                self.mean
            ));
        }
        if !(self.sigma >= f64::MIN_POSITIVE && self.sigma <= VALUE_ABS_MAX) {
            faults.push(format!(
                "baseline.fixed.sigma is {}; set it to the usual standard deviation of the series, above 0",
                self.sigma
            ));
        }
    }
}

impl Default for LearnedBaseline {
    fn default() -> Self {
        Self {
            observations: 50,
            half_life_observations: 500,
            relearn_after_observations: 50,
            sigma_min: 0.0,
        }
    }
}

impl Default for BaselineSpec {
    fn default() -> Self {
        Self::Learned(LearnedBaseline::default())
    }
}

/// What a series has taught. 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The mean so far.
    mean: f64,
    /// The variance so far, divided by n.
    variance: f64,
    /// Observations since learning began.
    seen: u32,
    /// How often the time after which it is learned anew has been doubled.
    patience: u32,
}

impl Baseline {
    /// Observations since learning began.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Has an excursion of so many observations lasted long enough to be the new
    /// level?
    pub fn is_left(&self, spec: &LearnedBaseline, observations: u32) -> bool {
        spec.relearn_after_observations > 0 && observations >= self.lasting(spec)
    }

    fn lasting(&self, spec: &LearnedBaseline) -> u32 {
        spec.relearn_after_observations.saturating_mul(1 << self.patience.min(PATIENCE_MAX))
    }

    /// The baseline to learn in place of this one.
    ///
    /// If this one did not hold for long, what was taken for a level was none (but
    /// a part of a day's cycle, say), and the next excursion must last twice as
    /// long to be taken for one; in the meantime the baseline adapts.
    pub fn anew(&self, spec: &LearnedBaseline) -> Self {
        let held = self.seen / HELD_TIMES >= self.lasting(spec).max(spec.observations);
        let patience = if held { 0 } else { self.patience.min(PATIENCE_MAX - 1) + 1 };
        Self { patience, ..Self::default() }
    }

    /// The mean and the standard deviation to judge by. A standard deviation of
    /// 0 says that there is no scale to judge by.
    #[inline]
    pub fn expectation(&self, spec: &LearnedBaseline) -> (f64, f64) {
        let sigma = self.variance.sqrt();
        let sigma = if sigma <= RELATIVE_SIGMA_MIN * self.mean.abs() { 0.0 } else { sigma };
        (self.mean, sigma.max(spec.sigma_min))
    }

    /// Takes in a value while there is no standard deviation to judge it by.
    pub fn learn(&mut self, spec: &LearnedBaseline, value: f64) {
        self.seen = self.seen.saturating_add(1);
        // A long flat past weighs no more than the learning does, or the first
        // change would leave next to no deviation and the second would alarm.
        let weight = 1.0 / f64::from(self.seen.min(spec.observations).max(1));
        let deviation = value - self.mean;
        self.mean += weight * deviation;
        self.variance = (1.0 - weight) * (self.variance + weight * (deviation * deviation));
    }

    /// Takes in a value `z` standard deviations `sigma` from the mean.
    #[inline]
    pub fn adapt(&mut self, spec: &LearnedBaseline, z: f64, sigma: f64) {
        self.seen = self.seen.saturating_add(1);
        if spec.half_life_observations == 0 {
            return;
        }
        let weight = spec.weight_of_newest().max(1.0 / f64::from(self.seen));
        let z_mean = z.clamp(-MEAN_REACH_SIGMAS, MEAN_REACH_SIGMAS);
        let growth = (weight * (z * z)).min(1.0);
        self.mean += weight * z_mean * sigma;
        self.variance = (1.0 - weight) * (self.variance + growth * (sigma * sigma));
    }
}
