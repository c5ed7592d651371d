use super::*;
use crate::noise::{Noise, at};

fn run(spec: &CusumWindowSpec, values: &[f64]) -> Vec<Verdict> {
    let mut state = spec.start();
    values.iter().map(|&value| spec.step(&mut state, at(value))).collect()
}

fn anomalies(verdicts: &[Verdict]) -> Vec<usize> {
    (0..verdicts.len()).filter(|&i| verdicts[i].is_anomalous()).collect()
}

/// The definition, word for word: score, direction, onset.
fn obvious(values: &[f64], k: f64, h: f64) -> (f64, Option<Direction>, u32) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let sigma = variance.sqrt();
    if sigma <= 1e-14 * mean.abs() {
        return (0.0, None, 0);
    }
    let (mut upper, mut lower) = (0.0_f64, 0.0_f64);
    let (mut upper_rose, mut lower_rose) = (0, 0);
    for (i, value) in values.iter().enumerate() {
        let z = (value - mean) / sigma;
        (upper_rose, lower_rose) =
            (if upper > 0.0 { upper_rose } else { i }, if lower > 0.0 { lower_rose } else { i });
        upper = (upper + z - k).max(0.0);
        lower = (lower - z - k).max(0.0);
    }
    let last = values.len() - 1;
    match (upper > h, lower > h) {
        (true, _) => (upper, Some(Direction::Up), (last - upper_rose) as u32),
        (_, true) => (lower, Some(Direction::Down), (last - lower_rose) as u32),
        _ => (upper.max(lower), None, 0),
    }
}

fn series(seed: u64) -> Vec<f64> {
    let mut noise = Noise::new(seed);
    let (mut level, mut values) = (20.0, Vec::new());
    for i in 0..2000 {
        if i % 150 == 149 {
            level += 5.0 * noise.normal();
        }
        let spike = if i % 97 == 96 { 30.0 * noise.normal() } else { 0.0 };
        values.push(level + noise.normal() + spike);
    }
    values
}

#[test]
fn verdicts_are_those_of_the_definition() {
    for (k, h, window) in [(0.5, 5.0, 50), (1.5, 5.0, 50), (0.5, 1.2, 7), (0.25, 4.0, 33)] {
        let spec = CusumWindowSpec { window, observations_min: window.min(30), k, h };
        let values = series(u64::from(window));
        let verdicts = run(&spec, &values);
        assert!(anomalies(&verdicts).len() > 3, "k {k} h {h}: the series tells nothing");
        for (i, verdict) in verdicts.iter().enumerate() {
            let seen = (i + 1).min(window as usize);
            if seen < spec.observations_min as usize {
                assert_eq!(
                    verdict.phase,
                    Phase::WarmingUp { seen: seen as u32, needed: spec.observations_min }
                );
                continue;
            }
            let (score, direction, onset) = obvious(&values[i + 1 - seen..=i], k, h);
            assert!((verdict.score - score).abs() < 1e-9, "{i}: {verdict:?}, not {score}");
            assert_eq!((verdict.direction(), verdict.onset_observations), (direction, onset));
        }
    }
}

#[test]
fn a_lone_spike_is_seen_if_the_window_allows_it() {
    let mut values = vec![0.0; 60];
    values[59] = 1e9;
    let score = |k, h| run(&CusumWindowSpec { k, h, ..Default::default() }, &values)[59];
    // sqrt(49) - k, however high the spike.
    assert!((score(0.5, 5.0).score - 6.5).abs() < 1e-9 && score(0.5, 5.0).is_anomalous());
    assert!((score(1.5, 5.0).score - 5.5).abs() < 1e-9 && score(1.5, 5.0).is_anomalous());
    assert!(!score(0.5, 6.6).is_anomalous());
}

#[test]
fn a_second_spike_within_the_window_is_not_seen() {
    let mut values = vec![0.0; 150];
    (values[59], values[89], values[140]) = (-100.0, -100.0, -100.0);
    let verdicts = run(&CusumWindowSpec::default(), &values);
    assert_eq!(anomalies(&verdicts), [59, 140]);
    assert!((verdicts[89].deviations(-100.0) + 24.0_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn a_new_level_alarms_until_it_is_the_baseline() {
    let mut values = vec![1.0; 100];
    values.extend([3.0; 100]);
    for (k, last) in [(0.5, 134), (1.5, 108)] {
        let verdicts = run(&CusumWindowSpec { k, ..Default::default() }, &values);
        let found = anomalies(&verdicts);
        assert_eq!((found[0], found[found.len() - 1]), (100, last));
        assert!(found.iter().all(|&i| i - verdicts[i].onset_observations as usize == 100));
    }
}

/// How many of 1,000 changes at the 100th value of normal noise are found within
/// so many observations.
fn found_in_noise(k: f64, change: impl Fn(usize) -> f64, within: usize) -> usize {
    let (spec, mut noise) = (CusumWindowSpec { k, ..Default::default() }, Noise::new(50));
    let found = |_: &usize| {
        let values: Vec<f64> = (0..100 + within)
            .map(|i| noise.normal() + if i < 100 { 0.0 } else { change(i - 100) })
            .collect();
        run(&spec, &values)[100..].iter().any(Verdict::is_anomalous)
    };
    (0..1000).filter(found).count()
}

#[test]
fn spikes_and_shifts_are_found_as_documented() {
    for (k, spike, shift) in [(0.5, 12.0, 2.0), (1.0, 18.0, 4.0), (1.5, 25.0, 6.0)] {
        let spiked = |size: f64| found_in_noise(k, |i| if i == 0 { size } else { 0.0 }, 1);
        let shifted = |size: f64| found_in_noise(k, |_| size, 50);
        assert!(spiked(spike) >= 990 && spiked(0.7 * spike) < 900, "k {k}");
        assert!(shifted(shift) >= 940 && shifted(0.5 * shift) < 600, "k {k}");
    }
}

#[test]
fn no_values_score_higher_than_the_bound() {
    let spec = CusumWindowSpec::default();
    assert!(spec.score_max(50) <= 25.0 * ((1.0 + spec.k * spec.k).sqrt() - spec.k));
    // A step of the best length reaches it.
    let reached = (1..50)
        .map(|m| {
            let mut values = vec![0.0; 50 - m];
            values.extend(vec![1.0; m]);
            run(&spec, &values)[49].score
        })
        .fold(0.0, f64::max);
    assert!((reached - spec.score_max(50)).abs() < 1e-9);
    let highest = run(&spec, &series(1)).iter().map(|v| v.score).fold(0.0, f64::max);
    assert!(highest < spec.score_max(50) && highest > spec.h);
}

#[test]
fn values_that_are_all_the_same_are_no_anomaly() {
    for value in [0.0, 0.1, -1e150, 1e-300, 1.0 / 3.0] {
        let last = run(&CusumWindowSpec::default(), &[value; 120])[119];
        assert_eq!((last.phase, last.score, last.sigma), (Phase::Normal, 0.0, 0.0));
        assert_eq!(last.expected, value, "the mean of equal values is rounded");
    }
}

#[test]
fn a_window_made_smaller_or_larger_keeps_the_newest_values() {
    let mut state = CusumWindowState::default();
    for i in 0..80 {
        state.push(50, f64::from(i));
    }
    state.push(10, 80.0);
    assert_eq!(state.values(), (71..=80).map(f64::from).collect::<Vec<_>>());
    for i in 81..90 {
        state.push(12, f64::from(i));
    }
    assert_eq!(state.values(), (78..=89).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_full_window_takes_no_more_memory_than_its_values() {
    for window in [2, 3, 50, 1500] {
        let mut state = CusumWindowState::default();
        for i in 0..4000 {
            state.push(window, f64::from(i));
        }
        assert_eq!(state.heap_bytes(), 8 * window);
    }
}
