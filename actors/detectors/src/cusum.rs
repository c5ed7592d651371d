//! `cusum`: the tabular CUSUM, recursive and two-sided (Page 1954; the form is
//! that of Montgomery, *Introduction to Statistical Quality Control*, 9.1).
//!
//! With z the value's distance from the baseline's mean in the baseline's
//! standard deviations:
//!
//! ```text
//! C+ = max(0, C+ + z - k)        C- = max(0, C- - z - k)
//! ```
//!
//! and an alarm when one of them stands above h. k is half the shift that is to
//! be found soonest, h buys calm with delay. The value is judged by the baseline
//! as it was before the value came.
//!
//! *After an alarm* both sums start again, from 0 or from the head start `fir`
//! (the fast initial response of Lucas & Crosier 1982, usually h/2), so a lasting
//! shift alarms again and again, every few observations. Each of these alarms
//! gives the same onset: an alarm's restart does not end the excursion, only a
//! sum that comes to 0 by itself does.
//!
//! *Anomalous values enter a learned baseline*, bounded: see [`crate::baseline`].
//! Measured with the defaults and normal noise: a spike of 1,000 standard
//! deviations raises the standard deviation by at most 41 %, half of which is
//! forgotten within the half-life, and moves the mean by 0.4 % of one. A lasting
//! shift of 3 alarms first after 6 observations and last after some 95, one of 10
//! first after 1 and last after some 50; then the new level is learned (which
//! takes `observations`, said as warming up) and is normal.
//!
//! *The defaults are calm* (k 1.5, h 8): a lone value alarms from 9.5 standard
//! deviations on, shifts of 3 are found soonest. On the Numenta benchmark's 58
//! series (365,551 values, repeats within 50 observations folded into one incident):
//!
//! | | alarms, incidents in 1,000 values | labelled windows with an alarm, of 116 |
//! | --- | --- | --- |
//! | k 0.5, h 5, learned once and frozen | 152, 2.6 | 112 |
//! | k 0.5, h 5, adapting | 31, 3.7 | 112 |
//! | k 1.5, h 8, adapting: the default | 4.4, 1.4 | 89 |
//! | k 2, h 8, adapting | 3.1, 1.1 | 85 |
//!
//! and with the defaults there is no alarm in two million values of normal noise.
//! A daily cycle of 288 values alarms on its first day or two and then no more. Of
//! two values, the rarer alarms each time if it is rarer than about 1 in 100.
//! The textbook is `k = 0.5, h = 5` with a fixed baseline: every 465 observations
//! one alarm without reason.
//!
//! *A flat series* has no standard deviation to judge by, so nothing is
//! anomalous in it (score 0) until it has changed once; `sigma_min` gives it one.
//!
//! *Cost:* no loop; three divisions and a square root at most. *State:* 48 bytes.

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, BaselineSpec};
use crate::{Direction, Observation, Phase, Verdict, deviations, judged};

/// The largest k, h or head start that can be asked for.
const SIGMAS_MAX: f64 = 1e6;

/// What `cusum` is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CusumSpec {
    /// The allowance, in standard deviations: half the shift to be found.
    pub k: f64,
    /// The decision interval, in standard deviations: an alarm above it.
    pub h: f64,
    /// The head start, in standard deviations, below `h`; 0 for none.
    pub fir: f64,
    /// Where the mean and the standard deviation come from.
    pub baseline: BaselineSpec,
}

impl Default for CusumSpec {
    fn default() -> Self {
        Self { k: 1.5, h: 8.0, fir: 0.0, baseline: BaselineSpec::default() }
    }
}

/// What `cusum` remembers of a series. 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CusumState {
    upper: f64,
    lower: f64,
    baseline: Baseline,
    /// Observations since the upper sum came to 0 by itself.
    upper_run: u32,
    /// The same of the lower sum.
    lower_run: u32,
}

impl CusumSpec {
    /// The state of a series of which nothing has been seen.
    pub fn start(&self) -> CusumState {
        CusumState {
            upper: self.fir,
            lower: self.fir,
            baseline: Baseline::default(),
            upper_run: 0,
            lower_run: 0,
        }
    }

    /// Takes in an observation and judges it.
    #[inline]
    pub fn step(&self, state: &mut CusumState, observation: Observation) -> Verdict {
        let value = judged(observation.value);
        let learned = match &self.baseline {
            BaselineSpec::Fixed(fixed) => {
                let z = deviations(value, fixed.mean, fixed.sigma);
                return self.judge(state, z, fixed.mean, fixed.sigma);
            }
            BaselineSpec::Learned(learned) => learned,
        };
        if state.baseline.seen() < learned.observations {
            state.baseline.learn(learned, value);
            return Verdict::warming_up(state.baseline.seen(), learned.observations, self.h);
        }
        let (mean, sigma) = state.baseline.expectation(learned);
        if sigma == 0.0 {
            state.baseline.learn(learned, value);
            return Verdict::without_scale(mean, self.h);
        }
        let z = deviations(value, mean, sigma);
        state.baseline.adapt(learned, z, sigma);
        let verdict = self.judge(state, z, mean, sigma);
        if verdict.is_anomalous()
            && state.baseline.is_left(learned, verdict.onset_observations.saturating_add(1))
        {
            *state = CusumState { baseline: state.baseline.anew(learned), ..self.start() };
        }
        verdict
    }

    /// One step of both sums.
    #[inline]
    fn judge(&self, state: &mut CusumState, z: f64, mean: f64, sigma: f64) -> Verdict {
        (state.upper, state.upper_run) = advance(state.upper, state.upper_run, z - self.k);
        (state.lower, state.lower_run) = advance(state.lower, state.lower_run, -z - self.k);
        let mut verdict = Verdict {
            phase: Phase::Normal,
            score: if state.upper > state.lower { state.upper } else { state.lower },
            threshold: self.h,
            expected: mean,
            sigma,
            onset_observations: 0,
        };
        if verdict.score > self.h {
            let up = state.upper > state.lower;
            let run = if up { state.upper_run } else { state.lower_run };
            verdict.phase = Phase::Anomalous(if up { Direction::Up } else { Direction::Down });
            verdict.onset_observations = run.saturating_sub(1);
            (state.upper, state.lower) = (self.fir, self.fir);
            // The excursion goes on; that of the other side, if any, is over.
            *(if up { &mut state.lower_run } else { &mut state.upper_run }) = 0;
        }
        verdict
    }

    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        if !(0.0..=SIGMAS_MAX).contains(&self.k) {
            faults.push(format!(
                "k is {}; set it to half the shift to be found, in standard deviations, 0 or more; 1.5 is calm, 0.5 is the textbook's",
                self.k
            ));
        }
        if !(self.h > 0.0 && self.h <= SIGMAS_MAX) {
            faults.push(format!(
                "h is {}; set it above 0, in standard deviations; 8 is calm, 5 is the textbook's",
                self.h
            ));
        }
        if !(self.fir >= 0.0 && self.fir < self.h) {
            faults.push(format!(
                "fir is {}; set it from 0 (no head start) to below h ({}); half of h is usual",
                self.fir, self.h
            ));
        }
        match &self.baseline {
            BaselineSpec::Fixed(fixed) => fixed.faults(faults),
            BaselineSpec::Learned(learned) => learned.faults(faults),
        }
    }
}

/// The sum after a step, and for how many observations it has stood above 0.
#[inline]
fn advance(sum: f64, run: u32, step: f64) -> (f64, u32) {
    let sum = sum + step;
    if sum > 0.0 { (sum, run.saturating_add(1)) } else { (0.0, 0) }
}

#[cfg(test)]
mod tests;
