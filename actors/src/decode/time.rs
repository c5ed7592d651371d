//! Times as text, in microseconds since 1970. What is finer is cut off.

use serde::{Deserialize, Serialize};

use super::number;

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeFormat {
    /// `2026-01-31T23:59:59.123456Z`, or with an offset (`+01:00`). A space may
    /// stand for the `T`.
    #[default]
    #[serde(rename = "rfc3339")]
    Rfc3339,
    /// The same, where an absent offset means UTC.
    #[serde(rename = "rfc3339_or_utc")]
    Rfc3339OrUtc,
    /// Seconds since 1970, whole or decimal.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds since 1970.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds since 1970.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds since 1970.
    #[serde(rename = "ns")]
    Nanoseconds,
}

impl TimeFormat {
    /// Whether it is written as a number.
    pub(super) const fn is_number(self) -> bool {
        !matches!(self, Self::Rfc3339 | Self::Rfc3339OrUtc)
    }

    /// What it looks like, for a person.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Rfc3339 => "RFC 3339 with an offset, like 2026-01-31T23:59:59Z",
            Self::Rfc3339OrUtc => "RFC 3339, like 2026-01-31 23:59:59",
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::Nanoseconds => "nanoseconds since 1970",
        }
    }

    /// Microseconds since 1970; `None` if it is not written so.
    pub fn parse(self, text: &[u8]) -> Option<i64> {
        match self {
            Self::Rfc3339 => rfc3339(text, false),
            Self::Rfc3339OrUtc => rfc3339(text, true),
            Self::Seconds => number::scaled(text, 6),
            Self::Milliseconds => number::scaled(text, 3),
            Self::Microseconds => number::scaled(text, 0),
            Self::Nanoseconds => number::scaled(text, -3),
        }
    }
}

/// A configured bound.
pub(super) fn bound(text: &str) -> Option<i64> {
    rfc3339(text.as_bytes(), false)
}

const DAY_S: i64 = 86_400;

fn rfc3339(text: &[u8], or_utc: bool) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[13], head[16]];
    if separators != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let two = |at: usize| two_digits(head[at], head[at + 1]);
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let is_leap_second = second == 60 && minute == 59;
    let is_date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || (second > 59 && !is_leap_second) {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let offset_s = match rest {
        [b'Z' | b'z'] => 0,
        [] if or_utc => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3_600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_s) * 1_000_000 + micros)
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// The microseconds of `.123456789`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let mut micros = 0;
    for digit in digits[..len].iter().chain(b"000000").take(6) {
        micros = micros * 10 + i64::from(digit - b'0');
    }
    Some((micros, &digits[len..]))
}

const fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the civil calendar, years beginning in March (Howard Hinnant,
/// <https://howardhinnant.github.io/date_algorithms.html>).
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<i64> {
        TimeFormat::Rfc3339.parse(text.as_bytes())
    }

    #[test]
    fn rfc_3339_is_read_in_all_its_forms() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2000-02-29t12:30:45.5z"), Some(951_827_445_500_000));
        assert_eq!(read("2000-02-29 12:30:45.1234569Z"), Some(951_827_445_123_456));
        assert_eq!(read("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(read("1969-12-31T18:30:00-05:30"), Some(0));
        assert_eq!(read("2016-12-31T23:59:60Z"), read("2017-01-01T00:00:00Z"));
        assert_eq!(read("1969-12-31T23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2000-02-30T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:60:00Z",
            "2000-01-01T00:00:60Z",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+0100",
            "2000-01-01T00:00:00Zx",
            "2000-01-01",
            "20000101T000000Z",
            "+000-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let naive = b"2014-04-01 00:00:00";
        assert_eq!(TimeFormat::Rfc3339OrUtc.parse(naive), Some(1_396_310_400_000_000));
    }

    #[test]
    fn epochs_are_read_in_their_unit() {
        let at = |format: TimeFormat, text: &str| format.parse(text.as_bytes());
        let expected = Some(1_700_000_000_123_000);
        assert_eq!(at(TimeFormat::Seconds, "1700000000.123"), expected);
        assert_eq!(at(TimeFormat::Milliseconds, "1700000000123"), expected);
        assert_eq!(at(TimeFormat::Microseconds, "1700000000123000"), expected);
        assert_eq!(at(TimeFormat::Nanoseconds, "1700000000123000999"), expected);
        assert_eq!(at(TimeFormat::Seconds, "yesterday"), None);
    }

    proptest! {
        #[test]
        fn times_are_those_of_another_library(us in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let text = jiff::Timestamp::from_microsecond(us).unwrap().to_string();
            prop_assert_eq!(read(&text), Some(us));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text: Vec<u8>) {
            let _ = rfc3339(&text, true);
        }
    }
}
