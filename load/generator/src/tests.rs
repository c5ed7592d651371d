use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn config(mix: Mix) -> FleetConfig {
    FleetConfig { keys: 200, anomalies_per_million: 1_000.0, mix, ..FleetConfig::default() }
}

/// Values by key and time.
fn play(config: &FleetConfig, ticks: u64) -> BTreeMap<(u32, i64), f64> {
    let mut fleet = Fleet::new(config.clone());
    (0..ticks)
        .flat_map(|tick| fleet.events(tick).collect::<Vec<_>>())
        .map(|e| ((e.key, e.time_us), e.value))
        .collect()
}

/// The values of a key before, in and after a label.
fn around(events: &BTreeMap<(u32, i64), f64>, label: &Label) -> [Vec<f64>; 3] {
    let minute_us = 60_000_000;
    let within = |from: i64, to: i64| {
        events.range((label.key, from)..=(label.key, to)).map(|(_, v)| *v).collect()
    };
    [
        within(label.from_us - 60 * minute_us, label.from_us - 1),
        within(label.from_us, label.to_us),
        within(label.to_us + 1, label.to_us + 60 * minute_us),
    ]
}

fn mean_and_sigma(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt())
}

/// Every label of a kind in a fleet of level series, far enough from others.
fn level_labels(kind: AnomalyKind) -> (BTreeMap<(u32, i64), f64>, Vec<Label>) {
    let config =
        FleetConfig { anomalies_per_million: 300.0, ..config(Mix::only(Archetype::Level)) };
    let labels = Fleet::new(config.clone()).labels(0..1_500);
    let alone = |label: &&Label| {
        let near = |other: &&Label| {
            other.key == label.key && (other.from_us - label.from_us).abs() < 400 * 60_000_000
        };
        label.kind == kind && labels.iter().filter(near).count() == 1
    };
    let found: Vec<Label> = labels.iter().filter(alone).copied().collect();
    assert!(found.len() > 5, "{kind:?}: {}", found.len());
    (play(&config, 2_000), found)
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_gives_others() {
    let one = config(Mix::default());
    let other = FleetConfig { seed: 2, ..one.clone() };
    assert_eq!(play(&one, 50), play(&one, 50));
    assert_ne!(play(&one, 50), play(&other, 50));
}

#[test]
fn values_never_change_from_version_to_version() {
    let sums: Vec<f64> = Archetype::ALL
        .into_iter()
        .map(|a| play(&config(Mix::only(a)), 1_000).values().map(|v| (v * 100.0).round()).sum())
        .collect();
    assert_eq!(sums, GOLDEN_SUMS);
}

const GOLDEN_SUMS: [f64; 5] =
    [2_095_374_275.0, 2_103_688_313.0, 2_097_955_294.0, 4_474_000_536_822.0, 264_509_276.0];

#[test]
fn any_tick_of_any_part_is_as_in_the_whole() {
    let config = config(Mix::default());
    let mut whole = Fleet::new(config.clone());
    let mut part = Fleet::part(config, 50..120);
    for tick in 0..1_200 {
        whole.events(tick).for_each(drop);
    }
    for tick in [5_000, 700, 701, 0, 3] {
        let expected: Vec<_> = whole.events(tick).filter(|e| (50..120).contains(&e.key)).collect();
        assert_eq!(part.events(tick).collect::<Vec<_>>(), expected, "tick {tick}");
    }
}

#[test]
fn a_key_reports_in_the_order_of_time_and_in_its_decimals() {
    let mut fleet = Fleet::new(config(Mix::default()));
    let mut clocks = BTreeMap::new();
    for tick in 0..300 {
        for event in fleet.events(tick) {
            let before = clocks.insert(event.key, event.time_us);
            assert!(before.is_none_or(|before| before < event.time_us));
            let hundredths = event.value * 100.0;
            assert!((hundredths - hundredths.round()).abs() < 1e-4, "{}", event.value);
            assert!(event.value.is_finite());
        }
    }
}

#[test]
fn labels_cover_exactly_what_was_injected() {
    let sick = config(Mix::default());
    let healthy = FleetConfig { anomalies_per_million: 0.0, ..sick.clone() };
    const TICKS: u64 = 1_200;
    let (with, without) = (play(&sick, TICKS), play(&healthy, TICKS));
    let labels = Fleet::new(sick.clone()).labels(0..TICKS);
    assert_eq!(Fleet::new(healthy).labels(0..TICKS), []);

    let mut touched = BTreeSet::new();
    let differing = |at: &(u32, i64)| with.get(at) != without.get(at);
    for at in with.keys().chain(without.keys()).filter(|at| differing(at)) {
        let of_key = labels.iter().filter(|l| l.key == at.0 && l.from_us <= at.1);
        let covering = of_key.clone().find(|l| at.1 <= l.to_us);
        // A level that has moved stays where it is, label or not.
        let moved =
            of_key.clone().any(|l| matches!(l.kind, AnomalyKind::Shift | AnomalyKind::Drift));
        assert!(covering.is_some() || moved, "{at:?} differs without a label");
        touched.extend(covering.map(|l| (l.key, l.from_us)));
    }
    let kinds: BTreeSet<_> = labels.iter().map(|l| l.kind).collect();
    assert_eq!(kinds.len(), AnomalyKind::ALL.len());
    for label in &labels {
        assert!(touched.contains(&(label.key, label.from_us)), "{label:?} changes nothing");
        assert!(label.from_us >= sick.start_us + 100 * sick.cadence_us, "{label:?} is too early");
    }
}

#[test]
fn there_are_as_many_anomalies_as_asked_for() {
    let config = FleetConfig { keys: 20_000, anomalies_per_million: 200.0, ..Default::default() };
    let count = Fleet::new(config).labels(1_000..2_000).len() as f64;
    assert!((count / 4_000.0 - 1.0).abs() < 0.15, "{count}");
}

#[test]
fn a_point_is_one_value_far_off() {
    let (events, labels) = level_labels(AnomalyKind::Point);
    for label in labels {
        let [before, within, after] = around(&events, &label);
        let (mean, sigma) = mean_and_sigma(&before);
        assert_eq!(within.len(), 1);
        assert!((within[0] - mean).abs() > 9.0 * sigma, "{label:?}");
        assert!(after.iter().all(|v| (v - mean).abs() < 6.0 * sigma), "{label:?}");
    }
}

#[test]
fn a_shift_stays_at_another_level() {
    let (events, labels) = level_labels(AnomalyKind::Shift);
    for label in labels {
        let [before, within, after] = around(&events, &label);
        let ((mean, sigma), (new, _)) = (mean_and_sigma(&before), mean_and_sigma(&within));
        assert_eq!(within.len(), 100);
        assert!((new - mean).abs() > 3.5 * sigma, "{label:?}");
        assert!((mean_and_sigma(&after).0 - new).abs() < sigma, "{label:?}");
    }
}

#[test]
fn a_drift_comes_slowly_to_another_level() {
    let (events, labels) = level_labels(AnomalyKind::Drift);
    for label in labels {
        let [before, within, after] = around(&events, &label);
        let ((mean, sigma), (new, _)) = (mean_and_sigma(&before), mean_and_sigma(&after));
        assert!((new - mean).abs() > 4.0 * sigma, "{label:?}");
        let middle = within[within.len() / 2 - 5..within.len() / 2 + 5].to_vec();
        let part = (mean_and_sigma(&middle).0 - mean) / (new - mean);
        assert!((0.25..0.75).contains(&part), "{label:?}: {part}");
    }
}

#[test]
fn a_change_of_variance_leaves_the_level_alone() {
    let (events, labels) = level_labels(AnomalyKind::Variance);
    for label in labels {
        let [before, within, after] = around(&events, &label);
        let (_, sigma) = mean_and_sigma(&before);
        assert!(mean_and_sigma(&within).1 > 2.5 * sigma, "{label:?}");
        assert!(mean_and_sigma(&after).1 < 1.8 * sigma, "{label:?}");
    }
}

#[test]
fn a_flat_line_has_one_value() {
    let (events, labels) = level_labels(AnomalyKind::Flat);
    for label in labels {
        let [_, within, after] = around(&events, &label);
        assert!(within.len() >= 40 && within.iter().all(|v| *v == within[0]), "{label:?}");
        assert!(after.iter().any(|v| *v != within[0]));
    }
}

#[test]
fn missing_data_is_a_gap() {
    let (events, labels) = level_labels(AnomalyKind::Missing);
    for label in labels {
        let [before, within, after] = around(&events, &label);
        assert!(label.to_us - label.from_us >= 40 * 60_000_000);
        assert_eq!((before.len(), within.len(), after.len()), (60, 1, 60), "{label:?}");
    }
}

#[test]
fn archetypes_move_as_they_should() {
    let quiet = |a| FleetConfig { anomalies_per_million: 0.0, ..config(Mix::only(a)) };
    let of_key_0 = |a, ticks| -> Vec<f64> {
        play(&quiet(a), ticks).range((0, 0)..(1, 0)).map(|(_, v)| *v).collect()
    };
    let counter = of_key_0(Archetype::Counter, 9_000);
    let resets = counter.windows(2).filter(|w| w[1] < w[0]).count();
    assert_eq!(resets, 2);
    assert!(counter.iter().all(|v| *v >= 0.0 && v.fract() == 0.0));

    let sparse = of_key_0(Archetype::Sparse, 8_000).len();
    assert!((900..1_100).contains(&sparse), "{sparse}");

    let daily = of_key_0(Archetype::Daily, 2 * 1_440);
    let (_, sigma) = mean_and_sigma(&daily);
    let day_later: Vec<f64> =
        daily[..1_440].iter().zip(&daily[1_440..]).map(|(a, b)| a - b).collect();
    assert!(mean_and_sigma(&day_later).1 < 0.6 * sigma);

    let walk = of_key_0(Archetype::Walk, 4_000);
    let steps: Vec<f64> = walk.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(mean_and_sigma(&walk).1 > 4.0 * mean_and_sigma(&steps).1);
}

#[test]
fn a_mix_is_kept() {
    let fleet = Fleet::new(FleetConfig { keys: 10_000, ..FleetConfig::default() });
    let daily = (0..10_000).filter(|k| fleet.archetype(*k) == Archetype::Daily).count();
    assert!((1_850..2_150).contains(&daily), "{daily}");
}
