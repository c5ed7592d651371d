//! `cusum-window`: a two-sided CUSUM over the last observations (50 unless told
//! otherwise), begun anew for each observation.
//!
//! The mean and the standard deviation (divided by n) are those of the window,
//! the newest value included; C+ and C- are replayed over it, oldest first, from
//! 0, with k and h in units of that standard deviation; it is an anomaly if one
//! of them stands above h at the newest.
//!
//! *Anomalous values enter the baseline*: the window is the last values, whatever
//! they were. So what it can say is bounded, by k and the n values of the window
//! alone, and not by how far a value is off (z: distance from the window's mean
//! in the window's standard deviations):
//! - one value among others that are alike has z = sqrt(n - 1), 7 of 50, however
//!   far off it is. The sum at a lone spike is then at most sqrt(n - 1) - k.
//! - the last m values at a new level have C+ = sqrt(m (n - m)) - m k, which no
//!   other values surpass: at most n/2 (sqrt(1 + k^2) - k). An h that is not below
//!   this is refused, since it can never be passed.
//! - a new level becomes the baseline by itself: of 50 values, a step that is large
//!   beside the noise alarms 35 times with k 0.5 and h 5, 9 times with k 1.5.
//! - a spike makes the detector dull until it leaves the window: a second one like
//!   it, fewer than 50 observations later, has z = 4.9.
//!
//! Measured (normal noise; the Numenta benchmark's 58 series, 365,551 values,
//! repeats within 50 observations folded into one incident):
//!
//! | | k 0.5, h 5 | k 1, h 5 | k 1.5, h 5, the default |
//! | --- | --- | --- | --- |
//! | alarms in 1,000 values of noise | 1.2 | under 0.01 | none in 2 million |
//! | a lone spike is found in 99 of 100 cases from | 12 sigma | 18 sigma | 25 sigma |
//! | a shift is found in 95 of 100 cases from | 2 sigma | 4 sigma | 6 sigma |
//! | alarms of a lasting shift of 8 sigma | 34 | 17 | 7 |
//! | alarms, incidents in 1,000 benchmark values | 163, 4.7 | 38, 4.0 | 10, 2.4 |
//! | labelled windows with an alarm, of 116 | 111 | 99 | 80 |
//!
//! *Without deviation* (all values of the window are the same) there is no
//! anomaly and the score is 0; so a flat series is not judged until it changes.
//!
//! *Cost:* three passes over the window. *State:* 24 bytes and the values, 8
//! bytes each: 424 bytes for 50.

use serde::{Deserialize, Serialize};

use crate::{Direction, Observation, Phase, RELATIVE_SIGMA_MIN, Verdict, judged};

/// The largest window that can be asked for.
pub const WINDOW_MAX: u32 = 10_000;

/// What `cusum-window` is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CusumWindowSpec {
    /// How many of the last observations it looks at, the newest included.
    pub window: u32,
    /// How many it must have seen before it judges.
    pub observations_min: u32,
    /// The allowance, in standard deviations of the window.
    pub k: f64,
    /// The decision interval, in standard deviations of the window.
    pub h: f64,
}

impl Default for CusumWindowSpec {
    fn default() -> Self {
        Self { window: 50, observations_min: 50, k: 1.5, h: 5.0 }
    }
}

/// What `cusum-window` remembers of a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CusumWindowState {
    /// The last values, oldest first.
    ///
    /// They stand in order and move by one for each observation: 400 bytes moved
    /// cost less than a sum over a ring's two parts, and equal histories give
    /// equal bytes.
    values: Vec<f64>,
}

impl CusumWindowState {
    /// The last values, oldest first.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Memory on the heap, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }

    fn push(&mut self, window: usize, value: f64) {
        let len = self.values.len();
        if len == window {
            self.values.copy_within(1.., 0);
            self.values[len - 1] = value;
            return;
        }
        if len > window {
            // The window has been made smaller.
            self.values.drain(..=len - window);
            self.values.shrink_to(window);
        } else if len == self.values.capacity() {
            // Doubling, but never past the window.
            let more = len.clamp(4, 1024).min(window - len);
            self.values.reserve_exact(more);
        }
        self.values.push(value);
    }
}

impl CusumWindowSpec {
    /// The state of a series of which nothing has been seen.
    pub fn start(&self) -> CusumWindowState {
        CusumWindowState::default()
    }

    /// Takes in an observation and judges it.
    #[inline]
    pub fn step(&self, state: &mut CusumWindowState, observation: Observation) -> Verdict {
        state.push(self.window.max(1) as usize, judged(observation.value));
        let seen = state.values.len() as u32;
        if seen < self.observations_min {
            return Verdict::warming_up(seen, self.observations_min, self.h);
        }
        self.judge(&state.values)
    }

    /// Judges the newest of `values` by all of them.
    fn judge(&self, values: &[f64]) -> Verdict {
        let (mean, sigma) = mean_and_sigma(values);
        if sigma <= RELATIVE_SIGMA_MIN * mean.abs() {
            return Verdict::without_scale(mean, self.h);
        }
        let (upper, lower) = replay(values, mean, self.k * sigma);
        let up = upper > lower;
        let sum = if up { upper } else { lower };
        let score = sum / sigma;
        let mut verdict = Verdict {
            phase: Phase::Normal,
            score,
            threshold: self.h,
            expected: mean,
            sigma,
            onset_observations: 0,
        };
        if score > self.h {
            verdict.phase = Phase::Anomalous(if up { Direction::Up } else { Direction::Down });
            verdict.onset_observations = onset(values, mean, self.k * sigma, up);
        }
        verdict
    }

    /// The highest score that any `n` values can have.
    pub fn score_max(&self, n: u32) -> f64 {
        (0..=n)
            .map(|m| (f64::from(m) * f64::from(n - m)).sqrt() - f64::from(m) * self.k)
            .fold(0.0, f64::max)
    }

    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        if !(2..=WINDOW_MAX).contains(&self.window) {
            faults.push(format!(
                "window is {}; set it from 2 to {WINDOW_MAX} observations, 50 is usual",
                self.window
            ));
        }
        if !(2..=self.window.max(2)).contains(&self.observations_min) {
            faults.push(format!(
                "observations_min is {}; set it from 2 to the window ({})",
                self.observations_min, self.window
            ));
        }
        if !(self.k >= 0.0 && self.k.is_finite()) {
            faults.push(format!(
                "k is {}; set it to a number of standard deviations, 0 or more",
                self.k
            ));
        }
        if !(self.h > 0.0 && self.h.is_finite()) {
            faults.push(format!(
                "h is {}; set it to a number of standard deviations, above 0",
                self.h
            ));
        }
        if faults.is_empty() && self.h >= self.score_max(self.window) {
            faults.push(format!(
                "h is {}, but with k = {} no {} values have a score above {:.2}: it would never alarm; lower h or k, or widen the window",
                self.h, self.k, self.window, self.score_max(self.window)
            ));
        }
    }
}

/// The mean and the standard deviation, divided by n. Four sums side by side, by
/// the place counted from the oldest: the same order on every machine.
fn mean_and_sigma(values: &[f64]) -> (f64, f64) {
    let (Some(&origin), n) = (values.last(), values.len() as f64) else {
        return (f64::NAN, 0.0);
    };
    // From the newest value and not from 0: of equal values nothing but exact
    // zeros is left, where a sum of 50 times 0.1 would round.
    let mean = sum(values, |value| value - origin) / n;
    let variance = sum(values, |value| {
        let deviation = (value - origin) - mean;
        deviation * deviation
    }) / n;
    (origin + mean, variance.sqrt())
}

#[inline]
fn sum(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for lane in 0..4 {
            sums[lane] += term(four[lane]);
        }
    }
    let mut total = (sums[0] + sums[2]) + (sums[1] + sums[3]);
    for &value in rest {
        total += term(value);
    }
    total
}

/// C+ and C- at the newest value, in the unit of the values.
#[inline]
fn replay(values: &[f64], mean: f64, allowance: f64) -> (f64, f64) {
    let (mut upper, mut lower) = (0.0, 0.0);
    for &value in values {
        upper = not_below_zero(upper + ((value - mean) - allowance));
        lower = not_below_zero(lower + ((mean - value) - allowance));
    }
    (upper, lower)
}

/// How many observations before the newest the sum rose from 0.
fn onset(values: &[f64], mean: f64, allowance: f64, up: bool) -> u32 {
    let (mut sum, mut run) = (0.0, 0_u32);
    for &value in values {
        let deviation = if up { value - mean } else { mean - value };
        sum = not_below_zero(sum + (deviation - allowance));
        run = if sum > 0.0 { run + 1 } else { 0 };
    }
    run.saturating_sub(1)
}

/// One instruction, where `f64::max` would also look for NaN.
#[inline]
fn not_below_zero(sum: f64) -> f64 {
    if sum > 0.0 { sum } else { 0.0 }
}

#[cfg(test)]
mod tests;
