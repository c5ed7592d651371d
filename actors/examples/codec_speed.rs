//! Measures the segment codec: bytes and nanoseconds an event, on one thread.
//!
//! `cargo run --release -p weir-actors --example codec_speed`

use std::hint::black_box;
use std::time::Instant;

use weir_actors::history::{SegmentBuilder, SegmentColumns, SegmentReader, SegmentScratch};
use weir_actors::position::Position;

const EVENTS: usize = 4_096;
const SERIES: usize = 1_000;
const BLOCKS: usize = 50;
const ROUNDS: usize = 9;

/// SplitMix64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

struct Event {
    series: usize,
    position: Position,
    time_us: i64,
    value: f64,
}

/// Blocks of a group that gets one in 16 of its partition's events.
fn blocks(
    shuffled: bool,
    jitter_us: u64,
    mut value: impl FnMut(&mut Random, usize) -> f64,
) -> Vec<Vec<Event>> {
    let mut random = Random(7);
    let (mut offset, mut at) = (1_000_000i64, 0usize);
    (0..BLOCKS)
        .map(|_| {
            (0..EVENTS)
                .map(|_| {
                    at += 1;
                    offset += 1 + (-16.0 * random.uniform().ln()) as i64;
                    let series =
                        if shuffled { random.next() as usize % SERIES } else { at % SERIES };
                    let jitter =
                        if jitter_us == 0 { 0 } else { (random.next() % jitter_us) as i64 };
                    Event {
                        series,
                        position: Position::at(offset),
                        time_us: 1_700_000_000_000_000 + at as i64 * 1_000 + jitter / 1_000 * 1_000,
                        value: value(&mut random, series),
                    }
                })
                .collect()
        })
        .collect()
}

fn measure(name: &str, blocks: &[Vec<Event>]) {
    let names: Vec<String> =
        (0..SERIES).map(|n| format!("pump-{:05}", n * 7_919 % 100_000)).collect();
    let mut builder = SegmentBuilder::new();
    let mut scratch = SegmentScratch::default();
    let mut columns = SegmentColumns::default();
    // The least of some rounds for each block: it is short enough to be measured
    // undisturbed on a machine that does other things as well.
    let (mut bytes, mut write, mut pack, mut read) = (0, 0.0, 0.0, 0.0);
    for block in blocks {
        let (mut write_s, mut pack_s, mut read_s) = (f64::MAX, f64::MAX, f64::MAX);
        let mut size = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for e in block {
                let series = names[e.series].as_bytes();
                builder.append(series, e.position, e.time_us, e.value, 0, None);
            }
            let appended = Instant::now();
            let segment = builder.finish(&mut scratch).expect("events were appended");
            pack_s = appended.elapsed().as_secs_f64().min(pack_s);
            write_s = begun.elapsed().as_secs_f64().min(write_s);
            size = segment.bytes.len();
            let begun = Instant::now();
            let reader = SegmentReader::new(&segment.bytes).expect("just written");
            reader.read_into(&mut columns).expect("just written");
            black_box(&columns);
            read_s = begun.elapsed().as_secs_f64().min(read_s);
        }
        bytes += size;
        (write, pack, read) = (write + write_s, pack + pack_s, read + read_s);
    }
    let events = (blocks.len() * EVENTS) as f64;
    let ns = |seconds: f64| seconds * 1e9 / events;
    println!(
        "{name:44} {:6.2} bytes  write {:6.1} ns (finish {:6.1})  read {:6.1} ns",
        bytes as f64 / events,
        ns(write),
        ns(pack),
        ns(read)
    );
}

fn main() {
    let walk = || {
        let mut at = vec![0.0; SERIES];
        move |random: &mut Random, series: usize| {
            at[series] += random.gauss() * 0.05;
            ((20.0 + series as f64 / 100.0 + at[series]) * 100.0).round() / 100.0
        }
    };
    let noise = || |random: &mut Random, _: usize| random.gauss();
    measure("walks of two decimals, in turns", &blocks(false, 0, walk()));
    measure("walks of two decimals, in turns, ms jitter", &blocks(false, 20_000, walk()));
    measure("walks of two decimals, shuffled, ms jitter", &blocks(true, 20_000, walk()));
    measure("gaussian noise, in turns", &blocks(false, 0, noise()));
    measure("gaussian noise, shuffled, ms jitter", &blocks(true, 20_000, noise()));
}
