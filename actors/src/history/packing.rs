//! Integers in frames of 128: each frame has a base, a width in bits, the
//! differences to the base packed at that width, and the few that are wider as
//! exceptions ("patched frame of reference", Zukowski et al., ICDE 2006).
//!
//! ```text
//! frame: shape u8 (bit 7: differences are zigzag; bits 0-6: width 0..=64)
//!        exceptions u8
//!        base, zigzag varint
//!        packed, ceil(len * width / 8) bytes, lowest bits first
//!        exceptions x index in the frame, u8
//!        exceptions x bits above the width, varint
//! ```

use super::input::{Input, put_signed, put_varint, unzigzag, zigzag};
use super::segment::SegmentError;

/// Values in a frame; the last one may have fewer.
const FRAME: usize = 128;

const ZIGZAG: u8 = 0x80;

/// Appends all values.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    for frame in values.chunks(FRAME) {
        encode_frame(frame, out);
    }
}

/// Reads `count` values and appends them.
pub(super) fn decode(
    input: &mut Input<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), SegmentError> {
    let mut left = count;
    while left > 0 {
        let len = left.min(FRAME);
        decode_frame(input, len, out)?;
        left -= len;
    }
    Ok(())
}

/// About how many bytes [`encode`] would append.
pub(super) fn estimate(values: &[i64]) -> usize {
    let mut differences = [0u64; FRAME];
    let frame_bytes = |frame: &[i64]| {
        let plan = Plan::of(frame, &mut differences);
        4 + plan.width.bits as usize / 8
    };
    values.chunks(FRAME).map(frame_bytes).sum()
}

fn encode_frame(frame: &[i64], out: &mut Vec<u8>) {
    let mut differences = [0u64; FRAME];
    let plan = Plan::of(frame, &mut differences);
    plan.write(&differences[..frame.len()], out);
}

/// How a frame is packed.
struct Plan {
    mode: u8,
    base: i64,
    width: Width,
}

#[derive(Clone, Copy)]
struct Width {
    width: u32,
    exceptions: usize,
    /// The estimated cost of the frame.
    bits: u32,
}

impl Plan {
    /// Finds the plan, and fills in the differences to its base.
    fn of(frame: &[i64], differences: &mut [u64; FRAME]) -> Self {
        let differences = &mut differences[..frame.len()];
        let min = frame.iter().copied().min().unwrap_or(0);
        for (u, &v) in differences.iter_mut().zip(frame) {
            *u = v.wrapping_sub(min) as u64;
        }
        let from_min = Self { mode: 0, base: min, width: cheapest_width(differences) };
        let Some(middle) = middle_of_outliers(frame, min) else { return from_min };
        // An outlier below raises the minimum's width for all; around the middle,
        // outliers on both sides can be exceptions.
        for (u, &v) in differences.iter_mut().zip(frame) {
            *u = zigzag(v.wrapping_sub(middle));
        }
        let width = cheapest_width(differences);
        if width.bits < from_min.width.bits {
            return Self { mode: ZIGZAG, base: middle, width };
        }
        for (u, &v) in differences.iter_mut().zip(frame) {
            *u = v.wrapping_sub(min) as u64;
        }
        from_min
    }

    fn write(&self, differences: &[u64], out: &mut Vec<u8>) {
        let Width { width, exceptions, .. } = self.width;
        out.push(self.mode | width as u8);
        out.push(exceptions as u8);
        put_signed(out, self.base);
        pack(differences, width, out);
        if exceptions == 0 {
            return;
        }
        let is_wider = |&(_, u): &(usize, &u64)| 64 - u.leading_zeros() > width;
        for (at, _) in differences.iter().enumerate().filter(is_wider) {
            out.push(at as u8);
        }
        for (_, u) in differences.iter().enumerate().filter(is_wider) {
            put_varint(out, u >> width);
        }
    }
}

/// A few values spread over the frame.
const SAMPLE: usize = 9;

/// The median of a few values, if the minimum lies far below them.
fn middle_of_outliers(frame: &[i64], min: i64) -> Option<i64> {
    if frame.len() < SAMPLE {
        return None;
    }
    let mut sample = [0i64; SAMPLE];
    for (n, s) in sample.iter_mut().enumerate() {
        *s = frame[n * frame.len() / SAMPLE];
    }
    sample.sort_unstable();
    let spread = sample[SAMPLE - 2].wrapping_sub(sample[1]) as u64;
    let below = sample[1].wrapping_sub(min) as u64;
    (below / 2 > spread).then_some(sample[SAMPLE / 2])
}

/// The width that makes the frame smallest: wider values become exceptions.
fn cheapest_width(values: &[u64]) -> Width {
    let n = values.len() as u32;
    let bits_of = |all: u64| 64 - all.leading_zeros();
    let max = bits_of(values.iter().fold(0, |all, v| all | v));
    let best = Width { width: max, exceptions: 0, bits: max * n };
    // Where a few values are nearly as wide as all, exceptions do not pay.
    let step = values.len() / SAMPLE + 1;
    let usual = bits_of(values.iter().step_by(step).fold(0, |all, v| all | v));
    if usual + 1 >= max { best } else { with_exceptions(values, best) }
}

fn with_exceptions(values: &[u64], mut best: Width) -> Width {
    let n = values.len() as u32;
    let mut counts = [0u32; 65];
    values.iter().for_each(|v| counts[(64 - v.leading_zeros()) as usize] += 1);
    // Exceptions so far, and how many bits they have above the width.
    let (mut wider, mut excess) = (0u32, 0u32);
    for width in (0..best.width).rev() {
        wider += counts[width as usize + 1];
        excess += wider;
        // An index byte, and a varint: 8 bits for each 7, half of one lost.
        let bits = width * n + wider * 12 + excess * 8 / 7;
        if bits < best.bits {
            best = Width { width, exceptions: wider as usize, bits };
        }
    }
    best
}

fn decode_frame(input: &mut Input<'_>, len: usize, out: &mut Vec<i64>) -> Result<(), SegmentError> {
    let shape = input.byte()?;
    let exceptions = input.byte()? as usize;
    let base = input.signed()?;
    let width = u32::from(shape & !ZIGZAG);
    if width > 64 || exceptions > len || (width == 64 && exceptions > 0) {
        return Err(SegmentError::Corrupt("a frame's width or exceptions cannot be"));
    }
    let mut values = [0u64; FRAME];
    let values = &mut values[..len];
    unpack(input, width, values)?;
    let indexes = input.take(exceptions)?;
    for &at in indexes {
        let high = input.varint()?;
        let value = values
            .get_mut(at as usize)
            .ok_or(SegmentError::Corrupt("an exception lies outside its frame"))?;
        *value |= high << width;
    }
    if shape & ZIGZAG == 0 {
        out.extend(values.iter().map(|&u| base.wrapping_add(u as i64)));
    } else {
        out.extend(values.iter().map(|&u| base.wrapping_add(unzigzag(u))));
    }
    Ok(())
}

/// Appends the lowest `width` bits of each value, and fills up the last byte.
pub(super) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let mut word = 0u64;
    let mut used = 0;
    for &value in values {
        let value = value & mask;
        word |= value << used;
        if used + width >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            word = if used == 0 { 0 } else { value >> (64 - used) };
            used = used + width - 64;
        } else {
            used += width;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Reads at most [`FRAME`] values of `width` bits.
fn unpack(input: &mut Input<'_>, width: u32, values: &mut [u64]) -> Result<(), SegmentError> {
    debug_assert!(values.len() <= FRAME);
    if width == 0 {
        return Ok(());
    }
    let packed = input.take((values.len() * width as usize).div_ceil(8))?;
    // Room behind, so that each value is two loads without a bound of its own.
    let mut bytes = [0u8; FRAME * 8 + 16];
    bytes[..packed.len()].copy_from_slice(packed);
    let mask = u64::MAX >> (64 - width);
    for (n, value) in values.iter_mut().enumerate() {
        let bit = n * width as usize;
        let (at, shift) = (bit / 8, bit % 8);
        let low = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        // A shift by 64 would be none: the second one is done in two steps.
        let high = u64::from(bytes[at + 8]) << 1 << (63 - shift);
        *value = (low >> shift | high) & mask;
    }
    Ok(())
}

/// Reads `count` values of `width` bits and appends them.
pub(super) fn unpack_all(
    input: &mut Input<'_>,
    width: u32,
    count: usize,
    mut each: impl FnMut(u64),
) -> Result<(), SegmentError> {
    // A frame of 128 values ends on a whole byte at any width.
    let mut values = [0u64; FRAME];
    let mut left = count;
    while left > 0 {
        let len = left.min(FRAME);
        values[..len].fill(0);
        unpack(input, width, &mut values[..len])?;
        values[..len].iter().for_each(|&v| each(v));
        left -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, &mut out);
        let mut input = Input(&out);
        let mut back = Vec::new();
        decode(&mut input, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        assert!(input.0.is_empty());
        out
    }

    #[test]
    fn a_constant_frame_has_no_packed_bytes() {
        assert_eq!(packed(&[7; 128]), [0, 0, 14]);
    }

    #[test]
    fn one_outlier_does_not_widen_its_frame() {
        let mut values: Vec<i64> = (0..128).map(|n| n % 4).collect();
        values[50] = i64::MAX;
        values[51] = i64::MIN;
        assert!(packed(&values).len() < 80);
    }

    #[test]
    fn every_width_comes_back() {
        for width in 0..64 {
            packed(&(0..300).map(|n| (1i64 << width).wrapping_mul(n % 2)).collect::<Vec<_>>());
            packed(&(0..129).map(|n| (n * 0x0123_4567_89ab) >> width).collect::<Vec<_>>());
        }
    }

    #[test]
    fn packed_words_of_every_width_come_back() {
        for width in 1..=64 {
            let mask = u64::MAX >> (64 - width);
            let values: Vec<u64> =
                (0..300u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
            let mut out = Vec::new();
            pack(&values, width, &mut out);
            let mut back = Vec::new();
            unpack_all(&mut Input(&out), width, values.len(), |v| back.push(v)).unwrap();
            assert_eq!(back, values, "width {width}");
        }
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in prop::collection::vec(any::<i64>(), 0..400)) {
            packed(&values);
        }

        #[test]
        fn small_integers_with_outliers_come_back(
            values in prop::collection::vec(
                prop_oneof![9 => -50i64..50, 1 => any::<i64>()], 0..400)
        ) {
            packed(&values);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, count in 0usize..2_000) {
            let _ = decode(&mut Input(&bytes), count, &mut Vec::new());
        }
    }
}
