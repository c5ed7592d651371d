//! The real actors on one thread under virtual time, with a simulated log,
//! store and sinks behind the same traits, and everything random drawn from one
//! seed. After each run the history, the alerts, the dead letters and the
//! committed offsets must be those of the obvious reference.
//!
//! A failing run names its seed; `WEIR_SEED=<seed>` runs it alone, again exactly.

mod ends;
mod log;
mod rng;
mod run;
mod store;
mod world;

use run::{Run, Scenario};

/// Seeds that every test run goes through.
const FIXED_SEEDS: std::ops::Range<u64> = 0..40;

fn seeds() -> Vec<u64> {
    match std::env::var("WEIR_SEED") {
        Ok(seed) => vec![seed.parse().expect("WEIR_SEED is a number")],
        Err(_) => FIXED_SEEDS.collect(),
    }
}

fn check(seed: u64, scenario: Scenario) -> Run {
    let run = Run::of(seed, scenario);
    if let Err(what) = run.verdict() {
        panic!("{what}\nrepeat it with: WEIR_SEED={seed} cargo test --test weir simulation");
    }
    run
}

#[test]
fn without_faults_a_run_comes_to_what_the_reference_says() {
    for seed in seeds() {
        let run = check(seed, Scenario::calm());
        assert!(run.alerts() > 0, "seed {seed}: a run without alerts shows little");
    }
}

#[test]
fn failing_and_half_done_writes_change_nothing() {
    for seed in seeds() {
        check(seed, Scenario::failing_ports());
    }
}

#[test]
fn nodes_killed_at_any_time_change_nothing() {
    let seeds = seeds();
    let lives: u64 = seeds.iter().map(|seed| check(*seed, Scenario::kills()).lives()).sum();
    assert!(lives > 2 * seeds.len() as u64, "{lives} lives: too few nodes were killed");
}

#[test]
fn rows_come_to_the_same_as_segments() {
    for seed in seeds().into_iter().take(10) {
        check(seed, Scenario { rows: true, ..Scenario::kills() });
    }
}

#[test]
fn evicting_series_changes_nothing() {
    for seed in seeds() {
        let run = check(seed, Scenario::tight_memory());
        assert!(run.evictions() > 0, "seed {seed}: nothing was evicted");
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for seed in seeds().into_iter().take(5) {
        let (first, second) = (Run::of(seed, Scenario::kills()), Run::of(seed, Scenario::kills()));
        assert_eq!(first.trace(), second.trace(), "seed {seed}");
        let other = Run::of(seed + 1, Scenario::kills());
        assert_ne!(first.trace(), other.trace(), "the trace says nothing");
    }
}
