//! How many events a second a fleet gives: `cargo run --release -p weir-generator
//! --example generator_speed`.

use std::time::Instant;

use weir_generator::{Archetype, Fleet, FleetConfig, Mix};

fn main() {
    let mixes = Archetype::ALL.map(|a| (a.name(), Mix::only(a)));
    for keys in [100_000, 1_000_000] {
        for (name, mix) in mixes.into_iter().chain([("the default mix", Mix::default())]) {
            let mut fleet = Fleet::new(FleetConfig { keys, mix, ..FleetConfig::default() });
            let began = Instant::now();
            let (mut events, mut sum) = (0u64, 0.0);
            for tick in 0..10_000_000 / u64::from(keys) {
                for event in fleet.events(tick) {
                    events += 1;
                    sum += event.value;
                }
            }
            let million_a_second = events as f64 / began.elapsed().as_secs_f64() / 1e6;
            println!("{keys:>9} keys, {name}: {million_a_second:.1} M events/s (sum {sum:.0})");
        }
    }
}
