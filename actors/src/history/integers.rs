//! A column of integers: what is left after the best of a few predictions, in
//! packed frames.
//!
//! ```text
//! column: prediction u8, then
//!   constant: the value, zigzag varint
//!   plain:    frames of the values
//!   delta:    the first value, zigzag varint; frames of the differences from
//!             the event before
//!   series:   frames of each series' first value (as the difference from the
//!             first of the series before), frames of the differences from the
//!             value before in the same series
//! ```

use super::input::{Input, put_signed};
use super::packing;
use super::segment::SegmentError;

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const DELTA: u8 = 2;
const SERIES: u8 = 3;

/// Which series each value belongs to, for predictions from the value before.
#[derive(Clone, Copy)]
pub(super) struct SeriesOf<'a> {
    /// The series of each value.
    pub(super) of: &'a [u32],
    /// How many series there are; all of `of` lie below.
    pub(super) count: usize,
}

/// About what the first value of differences takes.
const FIRST_BYTES: usize = 5;

/// Memory used again from column to column.
#[derive(Default)]
pub(super) struct Scratch {
    deltas: Vec<i64>,
    left: Vec<i64>,
    firsts: Vec<i64>,
    last: Vec<Option<i64>>,
}

/// Appends a column. `series` is given where it may help.
pub(super) fn encode(
    values: &[i64],
    series: Option<SeriesOf<'_>>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let Some(&first) = values.first() else { return };
    if values.iter().all(|&v| v == first) {
        out.push(CONSTANT);
        return put_signed(out, first);
    }
    let Scratch { deltas, left, firsts, last } = scratch;
    deltas.clear();
    deltas.extend(values.windows(2).map(|w| w[1].wrapping_sub(w[0])));
    let mut best = (PLAIN, packing::estimate(values));
    let mut keep_smaller = |prediction, bytes| {
        if bytes < best.1 {
            best = (prediction, bytes);
        }
    };
    keep_smaller(DELTA, packing::estimate(deltas) + FIRST_BYTES);
    if let Some(series) = series {
        split_by_series(values, series, last, firsts, left);
        keep_smaller(SERIES, packing::estimate(firsts) + packing::estimate(left));
    }
    out.push(best.0);
    match best.0 {
        PLAIN => packing::encode(values, out),
        DELTA => {
            put_signed(out, first);
            packing::encode(deltas, out);
        }
        _ => {
            packing::encode(firsts, out);
            packing::encode(left, out);
        }
    }
}

fn split_by_series(
    values: &[i64],
    series: SeriesOf<'_>,
    last: &mut Vec<Option<i64>>,
    firsts: &mut Vec<i64>,
    left: &mut Vec<i64>,
) {
    last.clear();
    last.resize(series.count, None);
    firsts.clear();
    left.clear();
    let mut first_before = 0i64;
    for (&value, &of) in values.iter().zip(series.of) {
        match last[of as usize].replace(value) {
            Some(before) => left.push(value.wrapping_sub(before)),
            None => {
                firsts.push(value.wrapping_sub(first_before));
                first_before = value;
            }
        }
    }
}

/// Reads a column of `count` values into `out`, which is emptied first.
pub(super) fn decode(
    input: &mut Input<'_>,
    count: usize,
    series: Option<SeriesOf<'_>>,
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<(), SegmentError> {
    out.clear();
    if count == 0 {
        return Ok(());
    }
    match (input.byte()?, series) {
        (CONSTANT, _) => {
            let value = input.signed()?;
            out.resize(count, value);
        }
        (PLAIN, _) => packing::decode(input, count, out)?,
        (DELTA, _) => {
            let mut value = input.signed()?;
            out.push(value);
            packing::decode(input, count - 1, out)?;
            for left in &mut out[1..] {
                value = value.wrapping_add(*left);
                *left = value;
            }
        }
        (SERIES, Some(series)) => decode_by_series(input, series, scratch, out)?,
        _ => return Err(SegmentError::Corrupt("an unknown prediction")),
    }
    Ok(())
}

fn decode_by_series(
    input: &mut Input<'_>,
    series: SeriesOf<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<i64>,
) -> Result<(), SegmentError> {
    let Scratch { left, firsts, last, .. } = scratch;
    last.clear();
    last.resize(series.count, None);
    let mut first_count = 0;
    for &of in series.of {
        if last[of as usize].replace(0).is_none() {
            first_count += 1;
        }
    }
    firsts.clear();
    packing::decode(input, first_count, firsts)?;
    left.clear();
    packing::decode(input, series.of.len() - first_count, left)?;

    last.fill(None);
    let (mut firsts, mut left) = (firsts.iter(), left.iter());
    let mut first_before = 0i64;
    // As many firsts and others were read as the same loop counted above.
    let missing = || SegmentError::Corrupt("a series has too few values");
    for &of in series.of {
        let value = match last[of as usize] {
            Some(before) => before.wrapping_add(*left.next().ok_or_else(missing)?),
            None => {
                first_before = first_before.wrapping_add(*firsts.next().ok_or_else(missing)?);
                first_before
            }
        };
        last[of as usize] = Some(value);
        out.push(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(values: &[i64], series: Option<SeriesOf<'_>>) -> Vec<u8> {
        let (mut out, mut scratch) = (Vec::new(), Scratch::default());
        encode(values, series, &mut scratch, &mut out);
        let mut input = Input(&out);
        let mut back = Vec::new();
        decode(&mut input, values.len(), series, &mut scratch, &mut back).unwrap();
        assert_eq!(back, values);
        assert!(input.0.is_empty());
        out
    }

    #[test]
    fn a_regular_column_costs_a_few_bytes() {
        let values: Vec<i64> = (0..4_096).map(|n| 1_000_000 + n * 250).collect();
        assert!(coded(&values, None).len() < 32 * 5 + 10);
    }

    #[test]
    fn series_with_a_cadence_of_their_own_cost_little() {
        // Each series has a phase of its own and the same cadence.
        let of: Vec<u32> = (0..4_096u32).map(|n| n % 100).collect();
        let values: Vec<i64> = of
            .iter()
            .enumerate()
            .map(|(n, s)| (n as i64 / 100) * 60_000 + i64::from(s * s * 7 % 997))
            .collect();
        let series = SeriesOf { of: &of, count: 100 };
        assert!(coded(&values, Some(series)).len() * 4 < coded(&values, None).len());
    }

    proptest! {
        #[test]
        fn any_columns_come_back(
            rows in prop::collection::vec((any::<i64>(), 0u32..9), 0..300), by_series: bool
        ) {
            let (values, of): (Vec<i64>, Vec<u32>) = rows.into_iter().unzip();
            let series = SeriesOf { of: &of, count: 9 };
            coded(&values, by_series.then_some(series));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, of in prop::collection::vec(0u32..9, 0..300)) {
            let series = SeriesOf { of: &of, count: 9 };
            let _ = decode(
                &mut Input(&bytes), of.len(), Some(series), &mut Scratch::default(), &mut Vec::new());
        }
    }
}
