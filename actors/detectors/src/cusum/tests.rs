use super::*;
use crate::noise::{Noise, at};
use crate::{FixedBaseline, LearnedBaseline};

fn textbook(k: f64, h: f64, fir: f64) -> CusumSpec {
    let baseline = BaselineSpec::Fixed(FixedBaseline { mean: 0.0, sigma: 1.0 });
    CusumSpec { k, h, fir, baseline }
}

fn learned(change: impl Fn(&mut LearnedBaseline)) -> CusumSpec {
    let mut baseline = LearnedBaseline::default();
    change(&mut baseline);
    CusumSpec { baseline: BaselineSpec::Learned(baseline), ..CusumSpec::default() }
}

fn run(spec: &CusumSpec, state: &mut CusumState, values: &[f64]) -> Vec<Verdict> {
    values.iter().map(|&value| spec.step(state, at(value))).collect()
}

fn anomalies(verdicts: &[Verdict]) -> Vec<usize> {
    (0..verdicts.len()).filter(|&i| verdicts[i].is_anomalous()).collect()
}

/// Two-sided average run lengths: k, h, head start, shift, and the ARL by the
/// integral equation.
const ARL_TABLE: [(f64, f64, f64, f64, f64); 48] = [
    (0.5, 4.0, 0.0, 0.0, 167.684),
    (0.5, 4.0, 0.0, 0.25, 74.224),
    (0.5, 4.0, 0.0, 0.5, 26.63),
    (0.5, 4.0, 0.0, 0.75, 13.285),
    (0.5, 4.0, 0.0, 1.0, 8.383),
    (0.5, 4.0, 0.0, 1.5, 4.747),
    (0.5, 4.0, 0.0, 2.0, 3.343),
    (0.5, 4.0, 0.0, 2.5, 2.62),
    (0.5, 4.0, 0.0, 3.0, 2.194),
    (0.5, 4.0, 0.0, 4.0, 1.708),
    (0.5, 5.0, 0.0, 0.0, 465.444),
    (0.5, 5.0, 0.0, 0.25, 139.494),
    (0.5, 5.0, 0.0, 0.5, 37.996),
    (0.5, 5.0, 0.0, 0.75, 17.048),
    (0.5, 5.0, 0.0, 1.0, 10.376),
    (0.5, 5.0, 0.0, 1.5, 5.747),
    (0.5, 5.0, 0.0, 2.0, 4.009),
    (0.5, 5.0, 0.0, 2.5, 3.114),
    (0.5, 5.0, 0.0, 3.0, 2.573),
    (0.5, 5.0, 0.0, 4.0, 2.013),
    (0.5, 4.7734, 0.0, 0.0, 369.837),
    (0.5, 4.7734, 0.0, 1.0, 9.924),
    (0.5, 5.0, 2.5, 0.0, 430.391),
    (0.5, 5.0, 2.5, 0.25, 121.688),
    (0.5, 5.0, 2.5, 0.5, 28.666),
    (0.5, 5.0, 2.5, 0.75, 11.236),
    (0.5, 5.0, 2.5, 1.0, 6.347),
    (0.5, 5.0, 2.5, 1.5, 3.372),
    (0.5, 5.0, 2.5, 2.0, 2.362),
    (0.5, 5.0, 2.5, 2.5, 1.856),
    (0.5, 5.0, 2.5, 3.0, 1.54),
    (0.5, 5.0, 2.5, 4.0, 1.159),
    (0.5, 4.0, 2.0, 0.0, 148.696),
    (0.5, 4.0, 2.0, 0.25, 62.698),
    (0.5, 4.0, 2.0, 0.5, 20.064),
    (0.5, 4.0, 2.0, 0.75, 8.968),
    (0.5, 4.0, 2.0, 1.0, 5.287),
    (0.5, 4.0, 2.0, 1.5, 2.862),
    (0.5, 4.0, 2.0, 2.0, 2.014),
    (0.5, 4.0, 2.0, 2.5, 1.586),
    (0.5, 4.0, 2.0, 3.0, 1.325),
    (0.5, 4.0, 2.0, 4.0, 1.067),
    (0.25, 8.01, 0.0, 0.0, 370.332),
    (0.25, 8.01, 0.0, 1.0, 11.407),
    (0.75, 3.34, 0.0, 0.0, 370.574),
    (0.75, 3.34, 0.0, 1.0, 10.884),
    (1.0, 2.52, 0.0, 0.0, 372.815),
    (1.0, 2.52, 0.0, 1.0, 13.578),
];

/// The mean length of so many runs between alarms, and its standard error.
fn average_run_length(spec: &CusumSpec, shift: f64, runs: u32, noise: &mut Noise) -> (f64, f64) {
    let mut state = spec.start();
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..runs {
        let mut length = 1.0;
        while !spec.step(&mut state, at(noise.normal() + shift)).is_anomalous() {
            length += 1.0;
        }
        sum += length;
        squares += length * length;
    }
    let (n, mean) = (f64::from(runs), sum / f64::from(runs));
    (mean, ((squares / n - mean * mean) / n).sqrt())
}

#[test]
fn average_run_lengths_are_the_textbooks() {
    let mut noise = Noise::new(1954);
    for (k, h, fir, shift, expected) in ARL_TABLE {
        let (mean, error) = average_run_length(&textbook(k, h, fir), shift, 20_000, &mut noise);
        assert!(
            (mean - expected).abs() < 4.0 * error,
            "k {k} h {h} fir {fir} shift {shift}: {mean:.3} (s.e. {error:.3}), not {expected}"
        );
    }
}

#[test]
fn run_lengths_are_the_same_for_a_shift_down() {
    let mut noise = Noise::new(1982);
    for (k, h, fir, shift, expected) in
        [(0.5, 5.0, 0.0, -1.0, 10.376), (0.5, 5.0, 2.5, -1.0, 6.347)]
    {
        let (mean, error) = average_run_length(&textbook(k, h, fir), shift, 50_000, &mut noise);
        assert!((mean - expected).abs() < 4.0 * error, "{mean} (s.e. {error}), not {expected}");
    }
}

#[test]
fn steps_are_those_worked_by_hand() {
    let spec = textbook(0.5, 2.0, 0.0);
    let verdicts = run(&spec, &mut spec.start(), &[1.0, 0.25, -2.0, 2.0, 1.25, 0.0, 0.0]);
    let scores: Vec<f64> = verdicts.iter().map(|verdict| verdict.score).collect();
    assert_eq!(scores, [0.5, 0.25, 1.5, 1.5, 2.25, 0.0, 0.0]);
    assert_eq!(anomalies(&verdicts), [4]);
    assert_eq!(verdicts[4].direction(), Some(Direction::Up));
    assert_eq!(verdicts[4].onset_observations, 1);
    assert_eq!(verdicts[4].deviations(1.25), 1.25);
}

#[test]
fn both_sums_go_back_to_the_head_start_after_an_alarm() {
    let spec = textbook(0.5, 4.0, 2.0);
    let mut state = spec.start();
    let verdicts = run(&spec, &mut state, &[3.0]);
    assert_eq!((verdicts[0].score, verdicts[0].is_anomalous()), (4.5, true));
    assert_eq!((state.upper, state.lower), (2.0, 2.0));
}

#[test]
fn a_lasting_shift_alarms_again_with_the_same_onset() {
    let spec = textbook(0.5, 5.0, 0.0);
    let mut values = vec![0.0; 100];
    values.extend([-2.0; 20]);
    let verdicts = run(&spec, &mut spec.start(), &values);
    assert_eq!(anomalies(&verdicts), [103, 107, 111, 115, 119]);
    for i in anomalies(&verdicts) {
        assert_eq!(verdicts[i].direction(), Some(Direction::Down));
        assert_eq!(i - verdicts[i].onset_observations as usize, 100);
    }
}

#[test]
fn learning_comes_before_judging() {
    let spec = learned(|baseline| baseline.observations = 3);
    let verdicts = run(&spec, &mut spec.start(), &[1.0, 2.0, 3.0, 2.0]);
    let needed = 3;
    for (i, verdict) in verdicts[..3].iter().enumerate() {
        assert_eq!(verdict.phase, Phase::WarmingUp { seen: i as u32 + 1, needed });
        assert!(verdict.expected.is_nan());
    }
    assert_eq!(verdicts[3].phase, Phase::Normal);
    assert!((verdicts[3].expected - 2.0).abs() < 1e-15);
    assert!((verdicts[3].sigma - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
}

#[test]
fn a_frozen_baseline_stays_as_it_was_learned() {
    let spec = learned(|baseline| {
        baseline.half_life_observations = 0;
        baseline.relearn_after_observations = 0;
    });
    let mut noise = Noise::new(7);
    let mut state = spec.start();
    let first: Vec<f64> = (0..50).map(|_| noise.normal()).collect();
    run(&spec, &mut state, &first);
    let baseline = state.baseline.expectation(&LearnedBaseline::default());
    let verdicts = run(&spec, &mut state, &[6.0; 1000]);
    assert_eq!(state.baseline.expectation(&LearnedBaseline::default()), baseline);
    assert!(verdicts[999].is_anomalous() || verdicts[998].is_anomalous());
}

#[test]
fn an_adapting_baseline_follows_the_mean_and_the_deviation() {
    let spec = learned(|_| ());
    let (mut noise, mut state) = (Noise::new(11), spec.start());
    let calm: Vec<f64> = (0..1000).map(|_| noise.normal()).collect();
    let wild: Vec<f64> = (0..5000).map(|_| 0.5 + 1.5 * noise.normal()).collect();
    run(&spec, &mut state, &calm);
    let verdicts = run(&spec, &mut state, &wild);
    let last = verdicts[4999];
    assert!((last.expected - 0.5).abs() < 0.2, "{last:?}");
    assert!((last.sigma - 1.5).abs() < 0.15, "{last:?}");
}

#[test]
fn the_weight_of_the_past_halves_in_the_half_life() {
    let mut baseline = Baseline::default();
    let spec = LearnedBaseline { half_life_observations: 100, ..LearnedBaseline::default() };
    // Long enough that the newest weighs no more than it ever will.
    for i in 0..1000 {
        baseline.learn(&LearnedBaseline { observations: 1000, ..spec }, f64::from(i % 2));
    }
    let (before, sigma) = baseline.expectation(&spec);
    for _ in 0..100 {
        let (mean, _) = baseline.expectation(&spec);
        baseline.adapt(&spec, (0.0 - mean) / sigma, sigma);
    }
    let (after, _) = baseline.expectation(&spec);
    assert!((after / before - 0.5).abs() < 1e-4, "{before} {after}");
}

#[test]
fn a_spike_alarms_and_does_not_poison_the_baseline() {
    let spec = learned(|_| ());
    let (mut noise, mut state) = (Noise::new(3), spec.start());
    let values: Vec<f64> = (0..2000).map(|_| 10.0 + noise.normal()).collect();
    run(&spec, &mut state, &values);
    let (mean, sigma) = state.baseline.expectation(&LearnedBaseline::default());
    let verdict = spec.step(&mut state, at(1010.0));
    assert_eq!(verdict.direction(), Some(Direction::Up));
    assert_eq!(verdict.onset_observations, 0);
    let (mean_after, sigma_after) = state.baseline.expectation(&LearnedBaseline::default());
    assert!((mean_after - mean).abs() < 0.005 * sigma);
    assert!(sigma_after / sigma < 1.42);
    assert!(anomalies(&run(&spec, &mut state, &values)).is_empty());
}

#[test]
fn a_lasting_shift_alarms_for_a_while_and_is_then_normal() {
    let spec = learned(|_| ());
    for shift in [4.0, -4.0, 30.0] {
        let (mut noise, mut state) = (Noise::new(5), spec.start());
        let mut values: Vec<f64> = (0..1000).map(|_| noise.normal()).collect();
        values.extend((0..1000).map(|_| shift + noise.normal()));
        let verdicts = run(&spec, &mut state, &values);
        let found = anomalies(&verdicts);
        assert!(found[0] >= 1000 && found[0] <= 1010, "{found:?}");
        assert!(found[found.len() - 1] < 1100, "{found:?}");
        let last = verdicts[1999];
        assert!((last.expected - shift).abs() < 0.3 && (last.sigma - 1.0).abs() < 0.2, "{last:?}");
    }
}

#[test]
fn a_cycle_alarms_at_first_and_then_no_more() {
    let spec = learned(|_| ());
    for period in [144.0, 288.0] {
        let (mut noise, mut state) = (Noise::new(13), spec.start());
        let values: Vec<f64> = (0..20_000)
            .map(|i| {
                libm::sin(core::f64::consts::TAU * f64::from(i) / period) + 0.1 * noise.normal()
            })
            .collect();
        let verdicts = run(&spec, &mut state, &values);
        let found = anomalies(&verdicts);
        assert!(found.last().is_none_or(|&last| last < 600), "{period}: {found:?}");
    }
}

#[test]
fn excursions_that_were_no_level_must_last_ever_longer() {
    let spec = learned(|baseline| baseline.half_life_observations = 0);
    let mut state = spec.start();
    // A frozen baseline on a ramp is always left behind.
    let values: Vec<f64> = (0..3000).map(f64::from).collect();
    let verdicts = run(&spec, &mut state, &values);
    let learnings: Vec<usize> = (0..values.len())
        .filter(|&i| matches!(verdicts[i].phase, Phase::WarmingUp { seen: 1, .. }))
        .collect();
    let lasted: Vec<usize> = learnings.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(lasted.len() >= 3, "{learnings:?}");
    for (i, observations) in lasted.iter().enumerate() {
        let least = 50 + (50 << i);
        assert!((least..least + 25).contains(observations), "{lasted:?}");
    }
}

#[test]
fn a_flat_series_is_not_judged_until_it_has_changed() {
    let spec = learned(|_| ());
    let mut state = spec.start();
    let verdicts = run(&spec, &mut state, &[0.1; 500]);
    assert_eq!(verdicts[499].phase, Phase::Normal);
    assert_eq!((verdicts[499].score, verdicts[499].sigma), (0.0, 0.0));
    assert_eq!(verdicts[499].expected, 0.1);
    // As if the 50 values of the learning had held the one that differs.
    assert_eq!(spec.step(&mut state, at(1.1)).phase, Phase::Normal);
    let verdict = spec.step(&mut state, at(0.1));
    assert!((verdict.sigma - 0.14).abs() < 1e-12, "{verdict:?}");
}

#[test]
fn a_least_deviation_lets_a_flat_series_alarm_at_once() {
    let spec = learned(|baseline| baseline.sigma_min = 0.01);
    let mut state = spec.start();
    run(&spec, &mut state, &[20.0; 100]);
    assert_eq!(spec.step(&mut state, at(20.05)).phase, Phase::Normal);
    assert!(spec.step(&mut state, at(21.0)).is_anomalous());
}

#[test]
fn the_state_takes_48_bytes() {
    assert_eq!(size_of::<CusumState>(), 48);
}
