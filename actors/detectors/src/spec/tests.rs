use proptest::prelude::*;

use super::*;
use crate::noise::at;
use crate::{BaselineSpec, FixedBaseline, LearnedBaseline, Phase};

fn specs() -> Vec<DetectorSpec> {
    let cusum = |fir, baseline| DetectorSpec::Cusum(CusumSpec { k: 0.5, h: 5.0, fir, baseline });
    let quick =
        LearnedBaseline { observations: 2, half_life_observations: 3, ..Default::default() };
    vec![
        DetectorSpec::default(),
        cusum(2.5, BaselineSpec::Fixed(FixedBaseline { mean: 1.0, sigma: 2.0 })),
        cusum(0.0, BaselineSpec::Fixed(FixedBaseline { mean: 0.0, sigma: 1e-300 })),
        cusum(0.0, BaselineSpec::Learned(quick)),
        cusum(0.0, BaselineSpec::Learned(LearnedBaseline { half_life_observations: 0, ..quick })),
        cusum(
            2.5,
            BaselineSpec::Learned(LearnedBaseline {
                sigma_min: 1e-3,
                relearn_after_observations: 2,
                ..quick
            }),
        ),
        DetectorSpec::CusumWindow(CusumWindowSpec::default()),
        DetectorSpec::CusumWindow(CusumWindowSpec {
            window: 7,
            observations_min: 2,
            k: 0.5,
            h: 1.0,
        }),
    ]
}

/// Values of many sizes, often alike.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        4 => -100.0..100.0_f64,
        2 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        2 => prop::sample::select(vec![0.0, -0.0, 0.1, 1.0, 1e300, -1e300, 1e-300, f64::MAX, f64::MIN, 5e-324]),
        1 => (0..100_u32).prop_map(|i| 1e-300 * f64::from(i)),
        1 => (0..100_u32).prop_map(|i| 1e15 + f64::from(i)),
    ];
    prop::collection::vec((value, 1..20_usize), 0..30).prop_map(|runs| {
        runs.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect()
    })
}

fn stored(state: &DetectorState) -> DetectorState {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(state, config).unwrap();
    bincode::serde::decode_from_slice(&bytes, config).unwrap().0
}

fn same(a: &Verdict, b: &Verdict) -> bool {
    a.expected.to_bits() == b.expected.to_bits()
        && Verdict { expected: 0.0, ..*a } == Verdict { expected: 0.0, ..*b }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_finite_values_give_finite_scores_and_no_panic(values in values()) {
        for spec in specs() {
            let mut state = spec.start();
            for &value in &values {
                let verdict = spec.step(&mut state, at(value));
                prop_assert!(verdict.score.is_finite() && verdict.score >= 0.0, "{verdict:?}");
                prop_assert!(verdict.sigma.is_finite() && verdict.sigma >= 0.0, "{verdict:?}");
                prop_assert!(verdict.deviations(value).is_finite());
                let warming_up = matches!(verdict.phase, Phase::WarmingUp { .. });
                prop_assert_eq!(verdict.expected.is_nan(), warming_up);
                prop_assert_eq!(
                    verdict.is_anomalous(), verdict.score > verdict.threshold, "{:?}", verdict);
            }
        }
    }

    #[test]
    fn a_state_stored_and_read_goes_on_as_if_nothing_were(values in values(), at_value in 0..600_usize) {
        for spec in specs() {
            let (mut whole, mut split) = (spec.start(), spec.start());
            for (i, &value) in values.iter().enumerate() {
                if i % (at_value + 1) == at_value {
                    split = stored(&split);
                }
                let (a, b) = (spec.step(&mut whole, at(value)), spec.step(&mut split, at(value)));
                prop_assert!(same(&a, &b), "{a:?} {b:?}");
            }
            prop_assert_eq!(&whole, &split);
        }
    }

    #[test]
    fn the_verdict_depends_on_no_unit(values in prop::collection::vec(-100.0..100.0_f64, 60..120)) {
        for spec in [DetectorSpec::default(), DetectorSpec::CusumWindow(CusumWindowSpec::default())] {
            let (mut here, mut there) = (spec.start(), spec.start());
            for &value in &values {
                // A power of two: nothing rounds otherwise.
                let a = spec.step(&mut here, at(value));
                let b = spec.step(&mut there, at(value * 1024.0));
                prop_assert_eq!((a.phase, a.score), (b.phase, b.score));
            }
        }
    }
}

#[test]
fn a_value_that_is_not_finite_leaves_the_state_alone() {
    for spec in specs() {
        let mut state = spec.start();
        spec.step(&mut state, at(1.0));
        let before = state.clone();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let verdict = spec.step(&mut state, at(value));
            assert_eq!((verdict.phase, verdict.score), (Phase::Normal, 0.0));
            assert_eq!(verdict.deviations(value), 0.0);
        }
        assert_eq!(state, before);
    }
}

#[test]
fn a_state_of_another_kind_starts_anew() {
    let (cusum, window) =
        (DetectorSpec::default(), DetectorSpec::CusumWindow(CusumWindowSpec::default()));
    let mut state = window.start();
    for _ in 0..70 {
        window.step(&mut state, at(1.0));
    }
    let verdict = cusum.step(&mut state, at(1.0));
    assert_eq!(verdict.phase, Phase::WarmingUp { seen: 1, needed: 50 });
    assert!(matches!(state, DetectorState::Cusum(_)));
}

#[test]
fn a_specification_is_read_from_toml() {
    let read = |text: &str| toml::from_str::<DetectorSpec>(text);
    assert_eq!(read("kind = 'cusum'").unwrap(), DetectorSpec::default());
    assert_eq!(
        read("kind = 'cusum'\nk = 0.5\nh = 5\nbaseline.fixed = { mean = 20, sigma = 0.5 }")
            .unwrap(),
        DetectorSpec::Cusum(CusumSpec {
            k: 0.5,
            h: 5.0,
            fir: 0.0,
            baseline: BaselineSpec::Fixed(FixedBaseline { mean: 20.0, sigma: 0.5 }),
        })
    );
    assert_eq!(
        read("kind = 'cusum'\nbaseline.learned = { observations = 100 }").unwrap(),
        DetectorSpec::Cusum(CusumSpec {
            baseline: BaselineSpec::Learned(LearnedBaseline {
                observations: 100,
                ..Default::default()
            }),
            ..Default::default()
        })
    );
    assert_eq!(
        read("kind = 'cusum-window'\nwindow = 20\nobservations_min = 10").unwrap(),
        DetectorSpec::CusumWindow(CusumWindowSpec {
            window: 20,
            observations_min: 10,
            ..Default::default()
        })
    );
    for wrong in [
        "k = 1",
        "kind = 'cusums'",
        "kind = 'cusum'\nwindow = 50",
        "kind = 'cusum-window'\nfir = 1",
        "kind = 'cusum'\nbaseline.learned = { observation = 100 }",
        "kind = 'cusum'\nbaseline.fixed = { mean = 1 }",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_specification_is_written_as_it_is_read() {
    for spec in specs() {
        let (toml, json) = (toml::to_string(&spec).unwrap(), serde_json::to_string(&spec).unwrap());
        assert_eq!(toml::from_str::<DetectorSpec>(&toml).unwrap(), spec, "{toml}");
        assert_eq!(serde_json::from_str::<DetectorSpec>(&json).unwrap(), spec, "{json}");
        assert!(json.contains(&format!("\"kind\":\"{}\"", spec.name())));
        assert_eq!(spec.validate(), Vec::<String>::new());
    }
}

#[test]
fn every_fault_is_named_at_once() {
    let learned = LearnedBaseline {
        observations: 1,
        half_life_observations: u32::MAX,
        relearn_after_observations: u32::MAX,
        sigma_min: f64::NAN,
    };
    let baseline = BaselineSpec::Learned(learned);
    let cusum = DetectorSpec::Cusum(CusumSpec { k: -1.0, h: f64::NAN, fir: 0.0, baseline });
    assert_eq!(cusum.validate().len(), 7, "{:#?}", cusum.validate());
    let baseline = BaselineSpec::Fixed(FixedBaseline { mean: f64::INFINITY, sigma: 0.0 });
    let cusum = DetectorSpec::Cusum(CusumSpec { k: 0.5, h: 5.0, fir: 5.0, baseline });
    assert_eq!(cusum.validate().len(), 3, "{:#?}", cusum.validate());
    let window = CusumWindowSpec { window: 0, observations_min: 50, k: f64::NAN, h: f64::INFINITY };
    assert_eq!(DetectorSpec::CusumWindow(window).validate().len(), 4);
}

#[test]
fn a_threshold_that_cannot_be_passed_is_a_fault() {
    let window = CusumWindowSpec { h: 7.6, ..Default::default() };
    let faults = DetectorSpec::CusumWindow(window).validate();
    assert!(faults.len() == 1 && faults[0].contains("never alarm"), "{faults:?}");
}

#[test]
fn a_state_fits_a_cache_line() {
    assert_eq!(size_of::<DetectorState>(), 56);
    let spec = DetectorSpec::CusumWindow(CusumWindowSpec::default());
    let mut state = spec.start();
    for i in 0..60 {
        spec.step(&mut state, at(f64::from(i)));
    }
    assert_eq!(state.size_bytes(), size_of::<DetectorState>() + 400);
}
