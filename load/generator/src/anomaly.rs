//! What goes wrong, when, and how it is labelled.
//!
//! A key's time is cut into epochs; in each there is one anomaly or none. Which
//! one is a function of the key's seed and the epoch alone.

use serde::{Deserialize, Serialize};

use crate::archetype::Archetype;
use crate::noise::{between, hash, uniform};

/// What kind of anomaly it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyKind {
    /// One value far off.
    Point,
    /// The level jumps, and stays there. Labelled for its first 100 ticks.
    Shift,
    /// The level moves slowly to another, and stays there.
    Drift,
    /// The noise grows.
    Variance,
    /// The same value again and again.
    Flat,
    /// No values. Labelled up to and including the first value after the gap.
    Missing,
}

impl AnomalyKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Point, Self::Shift, Self::Drift, Self::Variance, Self::Flat, Self::Missing];

    /// Its name, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Shift => "shift",
            Self::Drift => "drift",
            Self::Variance => "variance",
            Self::Flat => "flat",
            Self::Missing => "missing",
        }
    }

    /// The kinds that make sense in a series of that archetype.
    pub const fn of(archetype: Archetype) -> &'static [Self] {
        match archetype {
            Archetype::Level | Archetype::Walk | Archetype::Daily => &Self::ALL,
            Archetype::Counter => &[Self::Point, Self::Flat, Self::Missing],
            Archetype::Sparse => &[Self::Point, Self::Shift, Self::Drift],
        }
    }
}

/// Where an anomaly was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The key.
    pub key: u32,
    /// What was done to it.
    pub kind: AnomalyKind,
    /// The first time at which it could be seen, in microseconds since 1970.
    pub from_us: i64,
    /// The last time at which finding it counts.
    pub to_us: i64,
}

/// Ticks of an epoch: the most often that a key can have an anomaly.
pub(crate) const EPOCH_TICKS: u64 = 512;
/// Ticks for which a shift is labelled.
const SHIFT_TICKS: u16 = 100;
/// The longest an anomaly lasts; less than an epoch, so that what was before it
/// is seen again.
const LASTING_TICKS_MAX: f64 = 160.0;

/// The anomaly of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) kind: AnomalyKind,
    /// Its first tick, from the epoch's beginning.
    pub(crate) start: u16,
    /// How many ticks it has.
    pub(crate) ticks: u16,
    /// How large it is: sigmas with their sign, or the factor of the noise.
    pub(crate) size: f32,
}

impl Plan {
    /// The anomaly of an epoch, if it has one.
    pub(crate) fn of(seed: u64, epoch: u64, archetype: Archetype, chance: f64) -> Option<Self> {
        /// Keeps these random numbers apart from those of the values.
        const PURPOSE: u64 = 7 << 60;
        let random = |n: u64| hash(seed ^ PURPOSE, epoch * 8 + n);
        if uniform(random(0)) >= chance {
            return None;
        }
        let kinds = AnomalyKind::of(archetype);
        let kind = kinds[(random(1) % kinds.len() as u64) as usize];
        let ticks = match kind {
            AnomalyKind::Point => 1,
            AnomalyKind::Shift => SHIFT_TICKS,
            AnomalyKind::Drift => between(random(2), 80.0, LASTING_TICKS_MAX) as u16,
            AnomalyKind::Variance | AnomalyKind::Flat | AnomalyKind::Missing => {
                between(random(2), 40.0, 120.0) as u16
            }
        };
        let size = match kind {
            AnomalyKind::Point => between(random(3), 12.0, 30.0),
            AnomalyKind::Shift => between(random(3), 5.0, 12.0),
            AnomalyKind::Drift => between(random(3), 6.0, 12.0),
            AnomalyKind::Variance => between(random(3), 4.0, 8.0),
            AnomalyKind::Flat | AnomalyKind::Missing => 0.0,
        };
        let has_sign = matches!(kind, AnomalyKind::Point | AnomalyKind::Shift | AnomalyKind::Drift);
        let size = if has_sign && random(4) & 1 == 1 { -size } else { size };
        let start = random(5) % (EPOCH_TICKS - u64::from(ticks) - 1);
        Some(Self { kind, start: start as u16, ticks, size: size as f32 })
    }

    /// How far the level has moved once this is over, in sigmas, from a level
    /// that is `offset` away already. It goes to and fro, and never further than
    /// one move.
    pub(crate) fn moves(&self, offset: f32) -> f32 {
        match self.kind {
            AnomalyKind::Shift | AnomalyKind::Drift if offset == 0.0 => self.size,
            AnomalyKind::Shift | AnomalyKind::Drift => -offset.signum() * self.size.abs(),
            _ => 0.0,
        }
    }
}
