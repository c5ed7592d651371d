//! A fleet: many keys, played tick by tick.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::anomaly::{AnomalyKind, EPOCH_TICKS, Label, Plan};
use crate::archetype::{Archetype, Mix, Traits};
use crate::noise::hash;

/// What a fleet is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// All that is random follows from it.
    pub seed: u64,
    /// How many keys there are.
    pub keys: u32,
    /// The time of tick 0, in microseconds since 1970.
    pub start_us: i64,
    /// The time between two ticks, in microseconds. Keys do not report all at
    /// once, but each at its own moment between two ticks.
    pub cadence_us: i64,
    /// How many anomalies are put into a million ticks of keys; about 1,900 at
    /// most, for a key has one in 512 ticks at most.
    pub anomalies_per_million: f64,
    /// No anomaly begins before this tick: detectors have to warm up.
    pub quiet_ticks: u64,
    /// Which archetypes, and how many of each.
    pub mix: Mix,
    /// How many decimals a value has, as sensors give them; 9 at most.
    pub decimals: u8,
}

impl Default for FleetConfig {
    /// 100,000 keys that report once a minute from the beginning of 2026 on, 20
    /// anomalies in a million events.
    fn default() -> Self {
        Self {
            seed: 1,
            keys: 100_000,
            start_us: 1_767_225_600_000_000,
            cadence_us: 60_000_000,
            anomalies_per_million: 20.0,
            quiet_ticks: 100,
            mix: Mix::default(),
            decimals: 2,
        }
    }
}

/// One value of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The key, from 0.
    pub key: u32,
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The value.
    pub value: f64,
}

/// Keys of a fleet, ready to be played.
#[derive(Clone, Debug)]
pub struct Fleet {
    config: FleetConfig,
    rounding: f64,
    first_key: u32,
    keys: Vec<Key>,
}

/// What is remembered of a key: 32 bytes that would follow from its seed.
#[derive(Clone, Copy, Debug)]
struct Key {
    traits: Traits,
    /// The epoch that the rest is about.
    epoch: u32,
    /// How far the level has moved in the epochs before, in sigmas.
    offset: f32,
    plan: Option<Plan>,
}

const _: () = assert!(size_of::<Key>() <= 32);

impl Fleet {
    /// All keys of a fleet.
    pub fn new(config: FleetConfig) -> Self {
        let keys = 0..config.keys;
        Self::part(config, keys)
    }

    /// Some keys of a fleet: several senders can share it.
    ///
    /// # Panics
    /// If the fleet does not have these keys.
    pub fn part(config: FleetConfig, keys: Range<u32>) -> Self {
        assert!(keys.end <= config.keys, "the fleet has {} keys, not {keys:?}", config.keys);
        let rounding = libm::pow(10.0, f64::from(config.decimals.min(9)));
        let first_key = keys.start;
        let key = |number| {
            let seed = key_seed(&config, number);
            let traits = Traits::of(seed, &config.mix);
            let mut key = Key { traits, epoch: 0, offset: 0.0, plan: None };
            key.plan = plan(&config, seed, traits.archetype, 0);
            key
        };
        Self { keys: keys.map(key).collect(), config, rounding, first_key }
    }

    /// What it is made of.
    pub fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// The archetype of a key.
    ///
    /// # Panics
    /// If the key is not one of its.
    pub fn archetype(&self, key: u32) -> Archetype {
        self.keys[(key - self.first_key) as usize].traits.archetype
    }

    /// The events of a tick, by rising key. Ticks in a row are fast; after a
    /// leap the keys find their way anew.
    pub fn events(&mut self, tick: u64) -> Events<'_> {
        let Self { config, rounding, first_key, keys } = self;
        Events { config, rounding: *rounding, tick, number: *first_key, keys: keys.iter_mut() }
    }

    /// Everything that goes wrong from the first of the ticks to before the last,
    /// by key and by time.
    pub fn labels(&self, ticks: Range<u64>) -> Vec<Label> {
        let mut labels = Vec::new();
        for (number, key) in (self.first_key..).zip(&self.keys) {
            let seed = key_seed(&self.config, number);
            let stagger = stagger(seed);
            let epochs =
                (ticks.start + stagger) / EPOCH_TICKS..(ticks.end + stagger).div_ceil(EPOCH_TICKS);
            for epoch in epochs {
                let Some(plan) = plan(&self.config, seed, key.traits.archetype, epoch) else {
                    continue;
                };
                let from = epoch * EPOCH_TICKS + u64::from(plan.start) - stagger;
                let until_return = u64::from(plan.kind == AnomalyKind::Missing);
                let last = from + u64::from(plan.ticks) - 1 + until_return;
                if from >= ticks.end || last < ticks.start {
                    continue;
                }
                let time_us = |tick| self.config.time_us(seed, tick);
                labels.push(Label {
                    key: number,
                    kind: plan.kind,
                    from_us: time_us(from),
                    to_us: time_us(last),
                });
            }
        }
        labels
    }
}

impl FleetConfig {
    #[inline]
    fn time_us(&self, seed: u64, tick: u64) -> i64 {
        /// Keeps these random numbers apart from the others of a key.
        const PURPOSE: u64 = 8 << 60;
        let milliseconds = (self.cadence_us / 1_000).max(1) as u64;
        let moment_us = (hash(seed, PURPOSE) % milliseconds) as i64 * 1_000;
        self.start_us + tick as i64 * self.cadence_us + moment_us
    }
}

#[inline]
fn key_seed(config: &FleetConfig, key: u32) -> u64 {
    hash(config.seed, u64::from(key))
}

/// Epochs do not begin at the same tick for all keys.
#[inline]
fn stagger(seed: u64) -> u64 {
    seed % EPOCH_TICKS
}

fn plan(config: &FleetConfig, seed: u64, archetype: Archetype, epoch: u64) -> Option<Plan> {
    let chance = config.anomalies_per_million * EPOCH_TICKS as f64 / 1e6;
    let plan = Plan::of(seed, epoch, archetype, chance)?;
    let start = epoch * EPOCH_TICKS + u64::from(plan.start);
    (start >= config.quiet_ticks.saturating_add(stagger(seed))).then_some(plan)
}

/// The events of one tick. See [`Fleet::events`].
#[derive(Debug)]
pub struct Events<'a> {
    config: &'a FleetConfig,
    rounding: f64,
    tick: u64,
    number: u32,
    keys: std::slice::IterMut<'a, Key>,
}

impl Iterator for Events<'_> {
    type Item = Event;

    #[inline]
    fn next(&mut self) -> Option<Event> {
        loop {
            let key = self.keys.next()?;
            let number = self.number;
            self.number += 1;
            let seed = key_seed(self.config, number);
            if let Some((time_us, value)) = key.event(self.config, seed, self.tick) {
                let value = libm::round(value * self.rounding) / self.rounding;
                return Some(Event { key: number, time_us, value });
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.keys.len()))
    }
}

impl Key {
    #[inline]
    fn event(&mut self, config: &FleetConfig, seed: u64, tick: u64) -> Option<(i64, f64)> {
        let (epoch, within) =
            ((tick + stagger(seed)) / EPOCH_TICKS, (tick + stagger(seed)) % EPOCH_TICKS);
        if epoch != u64::from(self.epoch) {
            self.enter(config, seed, epoch);
        }
        let since =
            self.plan.and_then(|plan| Some((plan, (within as u16).checked_sub(plan.start)?)));
        match since {
            Some((plan, since)) => self.event_with(plan, since, config, seed, tick),
            None if self.traits.reports(seed, tick) => {
                let time_us = config.time_us(seed, tick);
                let healthy = self.traits.value(seed, tick, time_us, 1.0);
                Some((time_us, healthy + f64::from(self.offset) * self.unit()))
            }
            None => None,
        }
    }

    /// An event `since` ticks after the beginning of the epoch's anomaly.
    fn event_with(
        &self,
        plan: Plan,
        since: u16,
        config: &FleetConfig,
        seed: u64,
        tick: u64,
    ) -> Option<(i64, f64)> {
        let time_us = config.time_us(seed, tick);
        let under_way = since < plan.ticks;
        let is_point = plan.kind == AnomalyKind::Point && under_way;
        if !is_point && !self.traits.reports(seed, tick) {
            return None;
        }
        let (mut offset, mut noise_factor, mut shown) = (f64::from(self.offset), 1.0, tick);
        match plan.kind {
            AnomalyKind::Point if under_way => offset += f64::from(plan.size),
            AnomalyKind::Shift => offset += f64::from(plan.moves(self.offset)),
            AnomalyKind::Drift => {
                let part = f64::from(since + 1).min(f64::from(plan.ticks)) / f64::from(plan.ticks);
                offset += part * f64::from(plan.moves(self.offset));
            }
            AnomalyKind::Variance if under_way => noise_factor = f64::from(plan.size),
            AnomalyKind::Flat if under_way => shown = tick - u64::from(since),
            AnomalyKind::Missing if under_way => return None,
            _ => {}
        }
        let shown_us = config.time_us(seed, shown);
        let value = self.traits.value(seed, shown, shown_us, noise_factor);
        Some((time_us, value + offset * self.unit()))
    }

    /// What one sigma of an anomaly is.
    fn unit(&self) -> f64 {
        let Traits { archetype, level, sigma } = self.traits;
        match archetype {
            Archetype::Level | Archetype::Sparse => f64::from(sigma),
            // Beside their own movement an anomaly has to be larger to be one.
            Archetype::Walk | Archetype::Daily => 2.0 * f64::from(sigma),
            Archetype::Counter => f64::from(level),
        }
    }

    /// Goes on to another epoch.
    #[cold]
    fn enter(&mut self, config: &FleetConfig, seed: u64, epoch: u64) {
        if epoch < u64::from(self.epoch) {
            self.epoch = 0;
            self.offset = 0.0;
            self.plan = plan(config, seed, self.traits.archetype, 0);
        }
        while u64::from(self.epoch) < epoch {
            self.offset += self.plan.map_or(0.0, |plan| plan.moves(self.offset));
            self.epoch += 1;
            self.plan = plan(config, seed, self.traits.archetype, u64::from(self.epoch));
        }
    }
}
