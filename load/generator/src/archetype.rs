//! How a healthy series moves.

use core::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::noise::{between, hash, normal, uniform, wander};

/// What kind of series a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Archetype {
    /// Noise around a level.
    Level,
    /// A random walk that is drawn back to its level.
    Walk,
    /// A daily cycle with noise.
    Daily,
    /// A count that rises, and begins again at 0 now and then. Whole numbers.
    Counter,
    /// Noise around a level that is reported at one tick in eight, at random.
    Sparse,
}

impl Archetype {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Level, Self::Walk, Self::Daily, Self::Counter, Self::Sparse];

    /// Its name, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Walk => "walk",
            Self::Daily => "daily",
            Self::Counter => "counter",
            Self::Sparse => "sparse",
        }
    }
}

/// How many keys of a fleet are of which archetype: weights beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Noise around a level.
    pub level: u32,
    /// Random walks.
    pub walk: u32,
    /// Daily cycles.
    pub daily: u32,
    /// Counters.
    pub counter: u32,
    /// Sparse series.
    pub sparse: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { level: 50, walk: 15, daily: 20, counter: 5, sparse: 10 }
    }
}

impl Mix {
    /// Only series of one archetype.
    pub const fn only(archetype: Archetype) -> Self {
        let mut mix = Self { level: 0, walk: 0, daily: 0, counter: 0, sparse: 0 };
        match archetype {
            Archetype::Level => mix.level = 1,
            Archetype::Walk => mix.walk = 1,
            Archetype::Daily => mix.daily = 1,
            Archetype::Counter => mix.counter = 1,
            Archetype::Sparse => mix.sparse = 1,
        }
        mix
    }

    /// The archetype that a random number falls on; `Level` if all weights are 0.
    fn pick(&self, random: u64) -> Archetype {
        let weights = [self.level, self.walk, self.daily, self.counter, self.sparse];
        let total: u64 = weights.into_iter().map(u64::from).sum();
        let mut left = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        for (archetype, weight) in Archetype::ALL.into_iter().zip(weights) {
            match left.checked_sub(u64::from(weight)) {
                Some(rest) => left = rest,
                None => return archetype,
            }
        }
        Archetype::Level
    }
}

/// What a key is like. All of it follows from its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) archetype: Archetype,
    pub(crate) level: f32,
    /// The unit of all its deviations.
    pub(crate) sigma: f32,
}

/// Purposes of a key's random numbers.
mod purpose {
    pub(super) const ARCHETYPE: u64 = 1 << 60;
    pub(super) const LEVEL: u64 = 2 << 60;
    pub(super) const SIGMA: u64 = 3 << 60;
    pub(super) const PHASE: u64 = 4 << 60;
    pub(super) const PRESENT: u64 = 5 << 60;
    pub(super) const LIFE: u64 = 6 << 60;
}

/// A counter begins anew after about so many ticks.
const COUNTER_LIFE_TICKS: u64 = 4_096;
/// One tick in so many is reported by a sparse series.
const SPARSE_TICKS: f64 = 8.0;
const DAY_US: i64 = 86_400_000_000;

impl Traits {
    pub(crate) fn of(seed: u64, mix: &Mix) -> Self {
        let level = between(hash(seed, purpose::LEVEL), 1.0, 5.0);
        // From 5 to 500, as many small ones as large ones.
        let level = 5.0 * libm::pow(10.0, (level - 1.0) / 2.0);
        let sigma = level * between(hash(seed, purpose::SIGMA), 0.01, 0.04);
        Self {
            archetype: mix.pick(hash(seed, purpose::ARCHETYPE)),
            level: level as f32,
            sigma: sigma as f32,
        }
    }

    /// Whether there is an event at the tick.
    #[inline]
    pub(crate) fn reports(&self, seed: u64, tick: u64) -> bool {
        self.archetype != Archetype::Sparse
            || uniform(hash(seed ^ purpose::PRESENT, tick)) * SPARSE_TICKS < 1.0
    }

    /// The healthy value; `noise_factor` is 1 but in an anomaly of the variance.
    #[inline]
    pub(crate) fn value(&self, seed: u64, tick: u64, time_us: i64, noise_factor: f64) -> f64 {
        let (level, sigma) = (f64::from(self.level), f64::from(self.sigma));
        let noise = || normal(hash(seed, tick)) * sigma * noise_factor;
        match self.archetype {
            Archetype::Level | Archetype::Sparse => level + noise(),
            Archetype::Walk => {
                // Each wave is twice as high as one four times as short: what a
                // random walk looks like at every scale up to the longest.
                let walk = wander(seed, 4, tick) + 2.0 * wander(seed, 6, tick);
                let walk = walk + 4.0 * wander(seed, 8, tick);
                level + sigma * walk + 0.25 * noise()
            }
            Archetype::Daily => {
                let phase = uniform(hash(seed, purpose::PHASE));
                let day = time_us.rem_euclid(DAY_US) as f64 / DAY_US as f64;
                level + 5.0 * sigma * libm::sin(TAU * (day + phase)) + noise()
            }
            Archetype::Counter => self.count(seed, tick),
        }
    }

    /// What a counter has counted since it last began. Each tick adds its rate,
    /// give or take half of it.
    fn count(&self, seed: u64, tick: u64) -> f64 {
        let offset = hash(seed, purpose::LIFE) % COUNTER_LIFE_TICKS;
        let age = (tick + offset) % COUNTER_LIFE_TICKS;
        let rate = f64::from(self.level);
        libm::floor(rate * (age as f64 + 0.5 * uniform(hash(seed, tick))))
    }
}
