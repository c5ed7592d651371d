use proptest::prelude::*;

use super::*;
use crate::history::{SegmentEvent, flags};

#[derive(Clone, Debug)]
struct Given {
    series: Vec<u8>,
    position: Position,
    time_us: i64,
    value: f64,
    flags: u8,
    location: Option<[f64; 3]>,
}

fn build(builder: &mut SegmentBuilder, events: &[Given]) -> Segment {
    for e in events {
        builder.append(&e.series, e.position, e.time_us, e.value, e.flags, e.location);
    }
    builder.finish(&mut SegmentScratch::default()).unwrap()
}

fn same_bits(a: Option<[f64; 3]>, b: Option<[f64; 3]>) -> bool {
    a.map(|a| a.map(f64::to_bits)) == b.map(|b| b.map(f64::to_bits))
}

fn assert_same(found: SegmentEvent<'_>, given: &Given) {
    assert_eq!(found.series, given.series);
    assert_eq!(found.position, given.position);
    assert_eq!(found.time_us, given.time_us);
    assert_eq!(found.value.to_bits(), given.value.to_bits());
    assert_eq!(found.flags, given.flags);
    assert!(same_bits(found.location, given.location));
}

/// A few events of each kind that matter.
fn sample() -> Vec<Given> {
    let value = [20.5, -0.0, f64::MIN_POSITIVE / 4.0, 1e300, 21.25, 20.75, 1.0 / 3.0, 19.5];
    (0..40)
        .map(|n: i64| Given {
            series: format!("sensor-{:03}", n * 7 % 5).into_bytes(),
            position: Position { offset: 1_000 + n / 2 * 3, index: (n % 2) as u16 },
            time_us: 1_700_000_000_000_000 + n * 250_000,
            value: if n < 8 { value[n as usize] } else { 20.0 + (n % 4) as f64 / 4.0 },
            flags: if n == 5 { flags::LATE | flags::REPEATED } else { 0 },
            location: (n % 3 == 0).then_some([47.5, 8.25 + n as f64, f64::NAN]),
        })
        .collect()
}

#[test]
fn events_come_back_in_order_and_to_the_bit() {
    let mut builder = SegmentBuilder::new();
    // Twice, so that nothing of the first is in the second.
    for skipped in [0, 11] {
        let events = &sample()[skipped..];
        let segment = build(&mut builder, events);
        assert!(builder.is_empty());
        assert_eq!(segment.first, events[0].position);
        assert_eq!(segment.last, events.last().unwrap().position);
        assert_eq!(segment.events as usize, events.len());
        let columns = SegmentReader::new(&segment.bytes).unwrap().read().unwrap();
        assert_eq!(columns.len(), events.len());
        columns.events().zip(events).for_each(|(found, given)| assert_same(found, given));
    }
}

#[test]
fn a_builder_used_again_takes_no_more_memory() {
    let (mut builder, mut scratch) = (SegmentBuilder::new(), SegmentScratch::default());
    let mut fill = |shift: i64| {
        for e in sample() {
            let position = Position { offset: e.position.offset + shift, ..e.position };
            builder.append(&e.series, position, e.time_us, e.value, e.flags, e.location);
        }
        let estimate = builder.size_estimate();
        let size = builder.finish(&mut scratch).unwrap().bytes.len();
        (builder.memory_bytes(), estimate, size)
    };
    let (memory, ..) = fill(0);
    let (memory_again, estimate, size) = fill(1_000);
    assert_eq!(memory_again, memory);
    assert!(estimate.abs_diff(size) < 10, "{estimate} foretold, {size} made");
}

#[test]
fn nothing_makes_no_segment() {
    assert_eq!(SegmentBuilder::new().finish(&mut SegmentScratch::default()), None);
}

#[test]
fn every_flipped_byte_is_found() {
    let bytes = build(&mut SegmentBuilder::new(), &sample()).bytes;
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            assert!(SegmentReader::new(&damaged).is_err(), "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let bytes = build(&mut SegmentBuilder::new(), &sample()).bytes;
    for len in 0..bytes.len() {
        let cut = SegmentReader::new(&bytes[..len]).unwrap_err();
        assert!(matches!(cut, SegmentError::Truncated { found, .. } if found == len), "{cut}");
    }
}

#[test]
fn errors_tell_what_is_wrong() {
    let bytes = build(&mut SegmentBuilder::new(), &sample()).bytes;
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        SegmentReader::new(&bytes).unwrap_err()
    };
    assert_eq!(changed(2, 9), SegmentError::Version(9));
    assert!(matches!(changed(60, 0xa5), SegmentError::Checksum { .. }));
    assert!(matches!(changed(0, b'X'), SegmentError::Corrupt(_)));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(SegmentReader::new(&longer).unwrap_err(), SegmentError::Checksum { .. }));
}

/// Damage behind a right checksum, as a faulty writer would make it.
fn resealed(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut bytes);
    let checksum = xxh3_64(&bytes[CHECKED_FROM..]);
    bytes[3..11].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_right_checksum_over_wrong_contents_is_an_error_and_no_panic() {
    let bytes = build(&mut SegmentBuilder::new(), &sample()).bytes;
    let mut columns = SegmentColumns::default();
    for at in HEADER_BYTES..bytes.len() {
        for flip in [1, 0x10, 0x80, 0xff] {
            let damaged = resealed(bytes.clone(), |b| b[at] ^= flip);
            let _ = SegmentReader::new(&damaged).unwrap().read_into(&mut columns);
        }
    }
    let far = resealed(bytes.clone(), |b| b[29] ^= 1);
    assert!(matches!(SegmentReader::new(&far).unwrap().read(), Err(SegmentError::Corrupt(_))));
    assert!(columns.len() <= 40);
    let many = resealed(bytes, |b| b[15..19].copy_from_slice(&u32::MAX.to_le_bytes()));
    assert!(matches!(SegmentReader::new(&many), Err(SegmentError::Corrupt(_))));
}

#[test]
fn positions_that_do_not_rise_are_found_behind_a_right_checksum() {
    let mut builder = SegmentBuilder::new();
    for e in sample() {
        builder.append(&e.series, e.position, e.time_us, e.value, e.flags, None);
    }
    // Two messages in the middle change places.
    builder.offsets.swap(10, 12);
    let segment = builder.finish(&mut SegmentScratch::default()).unwrap();
    let read = SegmentReader::new(&segment.bytes).unwrap().read();
    assert!(matches!(read, Err(SegmentError::Corrupt(_))));
}

/// Events that use every way in which version 1 writes columns.
fn golden_samples() -> Vec<Vec<Given>> {
    let plain = |n: i64| Given {
        series: (n % 7).to_be_bytes().to_vec(),
        position: Position::at(n),
        time_us: n * 1_000_000,
        value: 0.5,
        flags: 0,
        location: None,
    };
    let all_bytes =
        |n: i64| Given { series: (0..=255).map(|b: u8| b ^ n as u8).collect(), ..plain(n) };
    // Full precision: near each other, and far from each other.
    let near = |n: i64| Given { value: 20.0 + (n as f64) / 3e9, ..plain(n) };
    let far = |n: i64| Given {
        value: f64::from_bits(
            (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) & 0xbfff_ffff_ffff_ffff,
        ),
        time_us: n * 7_919 % 1_000 - (n % 50 / 49) * 1_000_000_000,
        location: Some([1.5, -0.25 * n as f64, 4.0 / 3.0]),
        ..plain(n)
    };
    // Each series has a phase and the same cadence; a few values are outliers.
    let phased = |n: i64| Given {
        time_us: (n / 7) * 60_000 + [5, 907, 33, 1_204, 777, 2, 431][n as usize % 7],
        value: if n % 60 == 7 { 1e9 } else { (n % 7 * 100 + n / 7 % 3) as f64 / 10.0 },
        ..plain(n)
    };
    let of = |make: &dyn Fn(i64) -> Given, count: i64| (1..=count).map(make).collect();
    vec![
        sample(),
        of(&plain, 1),
        of(&all_bytes, 4),
        of(&near, 300),
        of(&far, 300),
        of(&phased, 600),
    ]
}

/// A node of today must read what a node of the first day wrote: segments, each
/// behind its length.
#[test]
fn the_bytes_of_version_1_are_read_for_ever() {
    let mut golden = include_bytes!("segment_v1.bin").as_slice();
    for events in golden_samples() {
        let (len, rest) = golden.split_first_chunk::<4>().unwrap();
        let (segment, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        golden = rest;
        assert_eq!(segment[2], 1, "these are the bytes of version 1");
        let columns = SegmentReader::new(segment).unwrap().read().unwrap();
        columns.events().zip(&events).for_each(|(found, given)| assert_same(found, given));
        assert_eq!(columns.len(), events.len());
    }
    assert!(golden.is_empty());
}

#[test]
#[should_panic(expected = "positions rise")]
fn a_position_twice_is_refused() {
    let mut builder = SegmentBuilder::new();
    builder.append(b"a", Position::at(1), 0, 0.0, 0, None);
    builder.append(b"a", Position::at(1), 0, 0.0, 0, None);
}

#[test]
fn a_full_segment_says_so_by_events_and_by_names() {
    let mut builder = SegmentBuilder::new();
    for n in 0..EVENTS_MAX {
        assert!(!builder.is_full());
        builder.append(b"a", Position::at(n as i64), n as i64, 0.5, 0, None);
    }
    assert!(builder.is_full());
    let segment = builder.finish(&mut SegmentScratch::default()).unwrap();
    assert_eq!(SegmentReader::new(&segment.bytes).unwrap().read().unwrap().len(), EVENTS_MAX);

    for n in 0u32.. {
        if builder.is_full() {
            break;
        }
        let mut name = vec![n as u8; NAME_BYTES_MAX];
        name[0] = 0;
        builder.append(&name, Position::at(i64::from(n)), 0, 0.5, 0, None);
    }
    let segment = builder.finish(&mut SegmentScratch::default()).unwrap();
    assert!(segment.events > 100);
    SegmentReader::new(&segment.bytes).unwrap().read().unwrap();
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-100_000i64..100_000).prop_map(|d| d as f64 / 100.0),
        4 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        1 => Just(-0.0),
        1 => Just(1e300),
    ]
}

fn events() -> impl Strategy<Value = Vec<Given>> {
    let name = prop_oneof![
        3 => "[a-c]{0,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let step = (0i64..5, 0u16..3);
    let time = prop_oneof![4 => 0i64..1_000_000, 1 => any::<i64>()];
    let location = prop::option::of([-90.0..90.0f64, -180.0..180.0, -100.0..9_000.0]);
    let event = (name, step, time, values(), any::<u8>(), location);
    (0i64..1 << 40, prop::collection::vec(event, 1..300)).prop_map(|(start, events)| {
        let mut last = Position::at(start);
        events
            .into_iter()
            .map(|(series, (gap, index), time_us, value, flags, location)| {
                last = match gap {
                    0 => Position { offset: last.offset, index: last.index + 1 + index },
                    gap => Position { offset: last.offset + gap, index },
                };
                Given { series, position: last, time_us, value, flags, location }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn any_events_come_back(first in events(), second in events()) {
        let mut builder = SegmentBuilder::new();
        let mut columns = SegmentColumns::default();
        for events in [first, second] {
            let segment = build(&mut builder, &events);
            SegmentReader::new(&segment.bytes).unwrap().read_into(&mut columns).unwrap();
            prop_assert_eq!(columns.len(), events.len());
            columns.events().zip(&events).for_each(|(found, given)| assert_same(found, given));
        }
    }

    #[test]
    fn any_bytes_with_a_right_checksum_are_read_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES..400), events in 0u32..3_000
    ) {
        let body = (bytes.len() - HEADER_BYTES) as u32;
        bytes[..3].copy_from_slice(b"WS\x01");
        bytes[11..15].copy_from_slice(&body.to_le_bytes());
        bytes[15..19].copy_from_slice(&events.to_le_bytes());
        let bytes = resealed(bytes, |_| ());
        if let Ok(reader) = SegmentReader::new(&bytes) {
            let _ = reader.read();
        }
    }
}
