//! Numbers as text.

/// The powers of ten that a float holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The nearest float of a decimal number; infinite if it is too large, NaN or
/// infinite if it says so. `None` if it is not a number.
pub(super) fn parse(text: &[u8]) -> Option<f64> {
    short(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}

/// Up to 15 digits with a point, or 16 without, and no exponent: one rounding, by
/// the division of two exact floats (Clinger, PLDI 1990) or by the conversion.
fn short(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let (mut mantissa, mut point) = (0u64, None);
    for (n, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && n > 0 => point = Some(n),
            _ => return None,
        }
    }
    let places = match point {
        Some(n) if n + 1 == digits.len() => return None,
        Some(n) => digits.len() - n - 1,
        None => 0,
    };
    let value = mantissa as f64 / EXACT[places];
    Some(if negative { -value } else { value })
}

/// A decimal number times `10^scale`, rounded down, exactly. `None` if it is not
/// a number; saturates far outside of any time.
pub(super) fn scaled(text: &[u8], scale: i32) -> Option<i64> {
    short_scaled(text, scale).or_else(|| long_scaled(text, scale))
}

/// Up to 18 digits and nothing else, where the result fits.
fn short_scaled(text: &[u8], scale: i32) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    let ten = 10i64.checked_pow(scale.unsigned_abs())?;
    if scale < 0 { Some(value / ten) } else { value.checked_mul(ten) }
}

fn long_scaled(text: &[u8], scale: i32) -> Option<i64> {
    /// More digits than this cannot matter to 64 bits.
    const DIGITS_MAX: u32 = 30;
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut mantissa, mut digits, mut power) = (0i128, 0u32, scale);
    let (mut any, mut point, mut at) = (false, false, 0);
    let mut dropped = false;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if digits < DIGITS_MAX {
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    digits += u32::from(mantissa != 0);
                    power -= i32::from(point);
                } else {
                    dropped |= byte != b'0';
                    power = power.saturating_add(i32::from(!point));
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if any => break,
            _ => return None,
        }
        at += 1;
    }
    if !any {
        return None;
    }
    if at < rest.len() {
        let exponent: i64 = std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?;
        power = power.saturating_add(exponent.clamp(-100_000, 100_000) as i32);
    }
    Some(shifted(if negative { -mantissa } else { mantissa }, power, dropped && negative))
}

fn shifted(mantissa: i128, power: i32, below: bool) -> i64 {
    let saturated = match mantissa.signum() {
        0 => return 0,
        1 => i64::MAX,
        _ => i64::MIN,
    };
    let ten = 10i128.checked_pow(power.unsigned_abs());
    let exact = match (power >= 0, ten) {
        (true, Some(ten)) => mantissa.checked_mul(ten),
        (true, None) => None,
        // Dropped digits of a negative number lie below it.
        (false, Some(ten)) => Some((mantissa - i128::from(below)).div_euclid(ten)),
        (false, None) => Some(if mantissa < 0 { -1 } else { 0 }),
    };
    exact.and_then(|v| i64::try_from(v).ok()).unwrap_or(saturated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_scaled_exactly_and_rounded_down() {
        assert_eq!(scaled(b"1700000000.123456", 6), Some(1_700_000_000_123_456));
        assert_eq!(scaled(b"1700000000", 6), Some(1_700_000_000_000_000));
        assert_eq!(scaled(b"1700000000123456789", -3), Some(1_700_000_000_123_456));
        assert_eq!(scaled(b"1.7e9", 6), Some(1_700_000_000_000_000));
        assert_eq!(scaled(b"17E+8", 6), Some(1_700_000_000_000_000));
        assert_eq!(scaled(b"-0.0000001", 6), Some(-1));
        assert_eq!(scaled(b"-1.5", 0), Some(-2));
        assert_eq!(scaled(b"1e400", 6), Some(i64::MAX));
        assert_eq!(scaled(b"-1e99999999999", 6), Some(i64::MIN));
        assert_eq!(scaled(b"1e-400", 6), Some(0));
        assert_eq!(scaled(b"0e99", 6), Some(0));
        let long = [b"1".as_slice(), &[b'0'; 50]].concat();
        assert_eq!(scaled(&long, 0), Some(i64::MAX));
        for text in ["", "-", ".", "e5", "1e", "1x", "--1", "1.2.3", "NaN", "1e5.5", " 1"] {
            assert_eq!(scaled(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn words_and_overflow_are_not_finite() {
        for text in ["NaN", "inf", "-Infinity", "1e999", "-1e999"] {
            assert!(!parse(text.as_bytes()).unwrap().is_finite(), "{text}");
        }
        for text in ["", "-", "1,5", "0x10", "1_000", "12a", "."] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_library_reads(text in "-?[0-9]{0,17}(\\.[0-9]{0,17})?") {
            if let Some(value) = short(text.as_bytes()) {
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(text: Vec<u8>, scale in -10i32..10) {
            let _ = (parse(&text), scaled(&text, scale));
        }

        #[test]
        fn the_short_way_scales_like_the_long_way(text in "[0-9]{1,19}", scale in -4i32..7) {
            if let Some(value) = short_scaled(text.as_bytes(), scale) {
                prop_assert_eq!(Some(value), long_scaled(text.as_bytes(), scale));
            }
        }

        #[test]
        fn integers_scale_to_themselves(n: i64) {
            prop_assert_eq!(scaled(n.to_string().as_bytes(), 0), Some(n));
        }
    }
}
