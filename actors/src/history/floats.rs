//! A column of floats, lossless to the bit: -0.0, subnormals and NaNs come back
//! as they were.
//!
//! ```text
//! column: shape u8, then
//!   constant: the bits, u64 LE
//!   decimal:  places u8; column of the values times 10^places, as integers;
//!             exceptions varint, then for each: distance to the one before,
//!             varint; and the bits, u64 LE, of each
//!   split:    dropped u8 (low mantissa bits that are 0 in all values); column of
//!             exponent and sign; the mantissas, packed at 52 - dropped bits
//!   ordered:  column of the bits as integers that sort as the floats do
//! ```
//!
//! Most sensors send decimals. `d / 10^places` is rounded correctly, and both
//! are exact integers below 2^53, so the quotient is the very float that a
//! parser makes of the decimal (the idea of ALP, Afroozeh et al., SIGMOD 2023,
//! with a division in place of its multiplications).

use super::input::{Input, put_varint};
use super::integers::{self, Scratch, SeriesOf};
use super::packing;
use super::segment::SegmentError;

const CONSTANT: u8 = 0;
const DECIMAL: u8 = 1;
const SPLIT: u8 = 2;
const ORDERED: u8 = 3;

/// Decimal places that are tried; 10^22 is the last power that is exact.
const PLACES_MAX: usize = 17;
const POWERS: [f64; PLACES_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17,
];

/// Values looked at to find the decimal places.
const SAMPLE: usize = 64;

/// Above one exception in this many values, decimals do not pay.
const EXCEPTION_SHARE: usize = 8;

const MANTISSA_BITS: u32 = 52;

/// Memory used again from column to column.
#[derive(Default)]
pub(super) struct FloatScratch {
    integers: Scratch,
    column: Vec<i64>,
    exceptions: Vec<u32>,
    mantissas: Vec<u64>,
    best: Vec<u8>,
    trial: Vec<u8>,
}

/// Appends a column.
pub(super) fn encode(
    values: &[f64],
    series: SeriesOf<'_>,
    scratch: &mut FloatScratch,
    out: &mut Vec<u8>,
) {
    let Some(first) = values.first().map(|v| v.to_bits()) else { return };
    if values.iter().all(|v| v.to_bits() == first) {
        out.push(CONSTANT);
        return out.extend_from_slice(&first.to_le_bytes());
    }
    let decimal = decimal_places(values)
        .is_some_and(|places| encode_decimal(values, series, places, scratch, out));
    if !decimal {
        encode_bits(values, series, scratch, out);
    }
}

/// The value as a decimal of that many places, if it is exactly one.
fn to_decimal(value: f64, power: f64) -> Option<i64> {
    /// Adding and taking away 1.5 * 2^52 rounds what is below 2^51 to a whole.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LIMIT: f64 = 2_251_799_813_685_248.0;
    let scaled = value * power;
    let whole = (scaled + ROUND) - ROUND;
    let decimal = whole as i64;
    // By the bits: -0.0 and NaN are not decimals.
    (scaled.abs() < LIMIT && (decimal as f64 / power).to_bits() == value.to_bits())
        .then_some(decimal)
}

fn decimal_places(values: &[f64]) -> Option<usize> {
    let step = values.len().div_ceil(SAMPLE);
    let sampled = values.iter().step_by(step).count();
    let needed = sampled - sampled / EXCEPTION_SHARE;
    let mut best = (needed.max(1) - 1, None);
    for (places, &power) in POWERS.iter().enumerate() {
        let fits = values.iter().step_by(step).filter(|&&v| to_decimal(v, power).is_some()).count();
        if fits > best.0 {
            best = (fits, Some(places));
        }
        if fits == sampled {
            break;
        }
    }
    best.1
}

/// Whether decimals paid; if not, nothing was appended.
fn encode_decimal(
    values: &[f64],
    series: SeriesOf<'_>,
    places: usize,
    scratch: &mut FloatScratch,
    out: &mut Vec<u8>,
) -> bool {
    let FloatScratch { integers, column, exceptions, .. } = scratch;
    column.clear();
    exceptions.clear();
    let power = POWERS[places];
    let mut last = 0;
    for (n, &value) in values.iter().enumerate() {
        match to_decimal(value, power) {
            Some(decimal) => last = decimal,
            // Its place in the column holds what costs nothing.
            None => exceptions.push(n as u32),
        }
        column.push(last);
    }
    if exceptions.len() > values.len() / EXCEPTION_SHARE {
        return false;
    }
    out.push(DECIMAL);
    out.push(places as u8);
    integers::encode(column, Some(series), integers, out);
    put_varint(out, exceptions.len() as u64);
    let mut before = 0;
    for &at in exceptions.iter() {
        put_varint(out, u64::from(at - before));
        before = at;
    }
    for &at in exceptions.iter() {
        out.extend_from_slice(&values[at as usize].to_bits().to_le_bytes());
    }
    true
}

fn encode_bits(
    values: &[f64],
    series: SeriesOf<'_>,
    scratch: &mut FloatScratch,
    out: &mut Vec<u8>,
) {
    let FloatScratch { integers, column, mantissas, best, trial, .. } = scratch;
    let all = values.iter().fold(0, |all, v| all | v.to_bits());
    let dropped = all.trailing_zeros().min(MANTISSA_BITS);
    best.clear();
    best.extend_from_slice(&[SPLIT, dropped as u8]);
    column.clear();
    column.extend(values.iter().map(|v| exponent_and_sign(v.to_bits())));
    integers::encode(column, None, integers, best);
    mantissas.clear();
    mantissas.extend(values.iter().map(|v| v.to_bits() >> dropped));
    packing::pack(mantissas, MANTISSA_BITS - dropped, best);

    column.clear();
    column.extend(values.iter().map(|v| to_ordered(v.to_bits())));
    trial.clear();
    trial.push(ORDERED);
    integers::encode(column, Some(series), integers, trial);
    out.extend_from_slice(if trial.len() < best.len() { trial } else { best });
}

/// The sign stands lowest, so that small exponents are small numbers.
fn exponent_and_sign(bits: u64) -> i64 {
    (((bits >> MANTISSA_BITS) << 1) & 0xfff | (bits >> 63)) as i64
}

fn to_ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Reads a column of `count` values into `out`, which is emptied first.
pub(super) fn decode(
    input: &mut Input<'_>,
    count: usize,
    series: SeriesOf<'_>,
    scratch: &mut FloatScratch,
    out: &mut Vec<f64>,
) -> Result<(), SegmentError> {
    out.clear();
    if count == 0 {
        return Ok(());
    }
    match input.byte()? {
        CONSTANT => {
            let value = f64::from_bits(input.u64()?);
            out.resize(count, value);
            Ok(())
        }
        DECIMAL => decode_decimal(input, count, series, scratch, out),
        SPLIT => decode_split(input, count, scratch, out),
        ORDERED => {
            let FloatScratch { integers, column, .. } = scratch;
            integers::decode(input, count, Some(series), integers, column)?;
            out.extend(column.iter().map(|&o| f64::from_bits(to_ordered(o as u64) as u64)));
            Ok(())
        }
        _ => Err(SegmentError::Corrupt("an unknown shape of floats")),
    }
}

fn decode_decimal(
    input: &mut Input<'_>,
    count: usize,
    series: SeriesOf<'_>,
    scratch: &mut FloatScratch,
    out: &mut Vec<f64>,
) -> Result<(), SegmentError> {
    let FloatScratch { integers, column, exceptions, .. } = scratch;
    let power = *POWERS
        .get(input.byte()? as usize)
        .ok_or(SegmentError::Corrupt("too many decimal places"))?;
    integers::decode(input, count, Some(series), integers, column)?;
    out.extend(column.iter().map(|&decimal| decimal as f64 / power));
    let wrong = SegmentError::Corrupt("an exception lies outside its column");
    let exception_count = input.varint()?;
    if exception_count > count as u64 {
        return Err(wrong);
    }
    exceptions.clear();
    let mut at = 0u64;
    for _ in 0..exception_count {
        at = at.saturating_add(input.varint()?);
        if at >= count as u64 {
            return Err(wrong);
        }
        exceptions.push(at as u32);
    }
    for &at in exceptions.iter() {
        out[at as usize] = f64::from_bits(input.u64()?);
    }
    Ok(())
}

fn decode_split(
    input: &mut Input<'_>,
    count: usize,
    scratch: &mut FloatScratch,
    out: &mut Vec<f64>,
) -> Result<(), SegmentError> {
    let FloatScratch { integers, column, .. } = scratch;
    let dropped = u32::from(input.byte()?);
    if dropped > MANTISSA_BITS {
        return Err(SegmentError::Corrupt("more bits are dropped than a mantissa has"));
    }
    integers::decode(input, count, None, integers, column)?;
    let mut tops = column.iter().map(|&c| {
        let c = c as u64 & 0xfff;
        ((c >> 1) << MANTISSA_BITS) | (c << 63)
    });
    let width = MANTISSA_BITS - dropped;
    packing::unpack_all(input, width, count, |mantissa| {
        out.extend(tops.next().map(|top| f64::from_bits(top | mantissa << dropped)));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(values: &[f64]) -> Vec<u8> {
        let of: Vec<u32> = (0..values.len() as u32).map(|n| n % 3).collect();
        let series = SeriesOf { of: &of, count: 3 };
        let (mut out, mut scratch) = (Vec::new(), FloatScratch::default());
        encode(values, series, &mut scratch, &mut out);
        let mut input = Input(&out);
        let mut back = Vec::new();
        decode(&mut input, values.len(), series, &mut scratch, &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        assert!(input.0.is_empty());
        out
    }

    #[test]
    fn decimals_are_stored_as_integers() {
        let values: Vec<f64> = (0..1_000).map(|n| f64::from(n % 100 + 2_000) / 100.0).collect();
        let bytes = coded(&values);
        assert_eq!(bytes[..2], [DECIMAL, 2]);
        assert!(bytes.len() < 1_000);
    }

    #[test]
    fn the_odd_ones_among_decimals_come_back() {
        let mut values: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 10.0).collect();
        for (n, odd) in [-0.0, f64::MIN_POSITIVE / 8.0, 1e300, f64::MAX, f64::NAN, 1.0 / 3.0]
            .into_iter()
            .enumerate()
        {
            values[n * 100] = odd;
        }
        assert_eq!(coded(&values)[0], DECIMAL);
    }

    #[test]
    fn single_precision_drops_the_bits_it_does_not_have() {
        let values: Vec<f64> = (1..1_000).map(|n| f64::from((n as f32).sqrt().sin())).collect();
        assert!(coded(&values).len() < 5 * values.len());
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits in prop::collection::vec(any::<u64>(), 0..300)) {
            coded(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn parsed_decimals_come_back(
            decimals in prop::collection::vec((-1_000_000_000i64..1_000_000_000, 0usize..6), 0..300)
        ) {
            let parse = |(d, places): (i64, usize)| {
                format!("{}.{:0places$}", d / 10i64.pow(places as u32), d.abs() % 10i64.pow(places as u32))
                    .parse::<f64>().unwrap()
            };
            coded(&decimals.into_iter().map(parse).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, of in prop::collection::vec(0u32..9, 0..300)) {
            let series = SeriesOf { of: &of, count: 9 };
            let _ = decode(
                &mut Input(&bytes), of.len(), series, &mut FloatScratch::default(), &mut Vec::new());
        }
    }
}
