//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Digits that are shown of a number.
const DIGITS: i32 = 4;

/// A number with four digits that count: `21.46`, `0.001235`, `1234568`, `3.2e-9`.
pub fn sensible(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "-".into()
        } else if x > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let size = x.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e15).contains(&size) {
        return trimmed(format!("{x:.3e}"));
    }
    let whole_digits = size.log10().floor() as i32 + 1;
    let decimals = (DIGITS - whole_digits).max(0) as usize;
    trimmed(format!("{x:.decimals$}"))
}

/// Without the zeros that end its decimals.
fn trimmed(text: String) -> String {
    let (number, exponent) = match text.find('e') {
        Some(at) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number}{exponent}")
}

/// A count with its thousands set apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with what is counted: `1 row`, `2 rows`.
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A time as people read it, in UTC: `2014-02-14 14:30:00`, with as many decimals
/// as it has.
pub fn time(time_us: i64) -> String {
    let Ok(at) = Timestamp::from_microsecond(time_us) else { return format!("{time_us} us") };
    let at = at.to_zoned(TimeZone::UTC);
    let whole = at.strftime("%Y-%m-%d %H:%M:%S");
    match time_us.rem_euclid(1_000_000) {
        0 => whole.to_string(),
        us if us % 1_000 == 0 => format!("{whole}.{:03}", us / 1_000),
        us => format!("{whole}.{us:06}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown = [
            (0.0, "0"),
            (-0.0, "0"),
            (20.0, "20"),
            (21.456, "21.46"),
            (-1234.56, "-1235"),
            (1_234_567.8, "1234568"),
            (0.001_234_56, "0.001235"),
            (9.9999, "10"),
            (3.2e-9, "3.2e-9"),
            (1e300, "1e300"),
            (f64::NAN, "-"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (x, text) in shown {
            assert_eq!(sensible(x), text);
        }
    }

    #[test]
    fn counts_and_times_are_read_at_a_glance() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"].map(String::from)
        );
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(time(1_392_388_200_000_000), "2014-02-14 14:30:00");
        assert_eq!(time(1_392_388_200_250_000), "2014-02-14 14:30:00.250");
        assert_eq!(time(-1), "1969-12-31 23:59:59.999999");
    }
}
