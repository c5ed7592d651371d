//! A detector by its name: the specification that a configuration gives, and the
//! state that it keeps for each series.
//!
//! Both are enums and not trait objects: a step costs a jump that the processor
//! predicts, and a state is a value that is stored and compared as it is.

use serde::{Deserialize, Serialize};

use crate::{CusumSpec, CusumState, CusumWindowSpec, CusumWindowState, Observation, Verdict};

/// Which detector, and how it is set. Shared by all series that use it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DetectorSpec {
    /// Recursive CUSUM against a baseline.
    Cusum(CusumSpec),
    /// CUSUM over the last observations.
    CusumWindow(CusumWindowSpec),
}

/// What a detector remembers of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DetectorState {
    /// Of [`DetectorSpec::Cusum`].
    Cusum(CusumState),
    /// Of [`DetectorSpec::CusumWindow`].
    CusumWindow(CusumWindowState),
}

impl Default for DetectorSpec {
    fn default() -> Self {
        Self::Cusum(CusumSpec::default())
    }
}

impl DetectorSpec {
    /// The names of all kinds, as `kind` takes them.
    pub const NAMES: [&'static str; 2] = ["cusum", "cusum-window"];

    /// The kind's name, as `kind` takes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cusum(_) => Self::NAMES[0],
            Self::CusumWindow(_) => Self::NAMES[1],
        }
    }

    /// Everything that is wrong with it, each with what to do; empty if nothing
    /// is.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match self {
            Self::Cusum(spec) => spec.faults(&mut faults),
            Self::CusumWindow(spec) => spec.faults(&mut faults),
        }
        faults
    }

    /// The state of a series of which nothing has been seen.
    pub fn start(&self) -> DetectorState {
        match self {
            Self::Cusum(spec) => DetectorState::Cusum(spec.start()),
            Self::CusumWindow(spec) => DetectorState::CusumWindow(spec.start()),
        }
    }

    /// Takes in an observation and judges it.
    ///
    /// A state of another kind is dropped: the series starts anew, and says so by
    /// warming up. A state of the same kind, made under other settings, goes on
    /// under these. A value that is not finite is no observation: it leaves the
    /// state alone, is normal, and scores 0.
    #[inline]
    pub fn step(&self, state: &mut DetectorState, observation: Observation) -> Verdict {
        if !observation.value.is_finite() {
            return Verdict::without_scale(f64::NAN, self.threshold());
        }
        match (self, &mut *state) {
            (Self::Cusum(spec), DetectorState::Cusum(state)) => spec.step(state, observation),
            (Self::CusumWindow(spec), DetectorState::CusumWindow(state)) => {
                spec.step(state, observation)
            }
            _ => self.step_anew(state, observation),
        }
    }

    /// The score above which an observation is anomalous.
    pub const fn threshold(&self) -> f64 {
        match self {
            Self::Cusum(spec) => spec.h,
            Self::CusumWindow(spec) => spec.h,
        }
    }

    /// How many of a series' last observations make up its whole state; `None` if
    /// the state depends on all of them, and only a checkpoint can restore it.
    pub const fn observations_of_state(&self) -> Option<u32> {
        match self {
            Self::Cusum(_) => None,
            Self::CusumWindow(spec) => Some(spec.window),
        }
    }

    #[cold]
    fn step_anew(&self, state: &mut DetectorState, observation: Observation) -> Verdict {
        *state = self.start();
        self.step(state, observation)
    }
}

impl DetectorState {
    /// The memory that it holds, in bytes, that on the heap included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Cusum(_) => 0,
                Self::CusumWindow(state) => state.heap_bytes(),
            }
    }
}

#[cfg(test)]
mod tests;
