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

fn encode_frame(frame: &[i64], out: &mut Vec<u8>) {
    let mut above = [0u64; FRAME];
    let mut around = [0u64; FRAME];
    let (above, around) = (&mut above[..frame.len()], &mut around[..frame.len()]);

    let min = frame.iter().copied().min().unwrap_or(0);
    for (u, &v) in above.iter_mut().zip(frame) {
        *u = v.wrapping_sub(min) as u64;
    }
    let from_min = cheapest_width(above);
    if from_min.exceptions == 0 && from_min.width <= 1 {
        return write_frame(above, from_min, 0, min, out);
    }
    // An outlier below would raise the minimum's width for all; around the
    // middle, outliers on both sides can be exceptions.
    let middle = middle_of(frame);
    for (u, &v) in around.iter_mut().zip(frame) {
        *u = zigzag(v.wrapping_sub(middle));
    }
    let from_middle = cheapest_width(around);
    if from_middle.bits < from_min.bits {
        write_frame(around, from_middle, ZIGZAG, middle, out);
    } else {
        write_frame(above, from_min, 0, min, out);
    }
}

/// The median of up to nine values spread over the frame.
fn middle_of(frame: &[i64]) -> i64 {
    let mut sample = [0i64; 9];
    let count = frame.len().min(sample.len());
    for (n, s) in sample[..count].iter_mut().enumerate() {
        *s = frame[n * frame.len() / count];
    }
    sample[..count].sort_unstable();
    sample[count / 2]
}

#[derive(Clone, Copy)]
struct Width {
    width: u32,
    exceptions: usize,
    /// The estimated cost of the frame.
    bits: u32,
}

/// The width that makes the frame smallest: wider values become exceptions.
fn cheapest_width(values: &[u64]) -> Width {
    let mut counts = [0u32; 65];
    let mut all = 0;
    for &v in values {
        counts[(64 - v.leading_zeros()) as usize] += 1;
        all |= v;
    }
    let n = values.len() as u32;
    let max = 64 - all.leading_zeros();
    let mut best = Width { width: max, exceptions: 0, bits: max * n };
    // Exceptions so far, and how many bits they have above the width.
    let (mut wider, mut excess) = (0u32, 0u32);
    for width in (0..max).rev() {
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

fn write_frame(values: &[u64], shape: Width, mode: u8, base: i64, out: &mut Vec<u8>) {
    out.push(mode | shape.width as u8);
    out.push(shape.exceptions as u8);
    put_signed(out, base);
    pack(values, shape.width, out);
    if shape.exceptions == 0 {
        return;
    }
    let is_wider = |&(_, v): &(usize, &u64)| 64 - v.leading_zeros() > shape.width;
    for (at, _) in values.iter().enumerate().filter(is_wider) {
        out.push(at as u8);
    }
    for (_, v) in values.iter().enumerate().filter(is_wider) {
        put_varint(out, v >> shape.width);
    }
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
