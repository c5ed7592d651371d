//! Where the marks of an axis stand, and what is written at them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::figure::sensible;

/// A mark of the axis of time: one line of text, and another below it where the
/// day or the year is another than at the mark before.
#[derive(Debug, PartialEq)]
pub(super) struct TimeMark {
    pub(super) time_us: i64,
    pub(super) text: String,
    pub(super) below: Option<String>,
}

/// The steps between two values, about `count` of them, at round numbers.
pub(super) fn values(low: f64, high: f64, count: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    (0..)
        .map(|n| (first + f64::from(n)) * step)
        .take_while(|v| *v <= high)
        // A range too small for its numbers would never end.
        .take(100)
        .map(|v| (v, value_text(v, step)))
        .collect()
}

/// As many decimals as the steps have; large numbers in millions and so on.
fn value_text(value: f64, step: f64) -> String {
    let size = value.abs();
    let (unit, suffix) = match size {
        ..1e6 => (1.0, ""),
        ..1e9 => (1e6, "M"),
        ..1e12 => (1e9, "G"),
        ..1e15 => (1e12, "T"),
        _ => return sensible(value),
    };
    let decimals = (-(step / unit * 1.001).log10().floor()).max(0.0) as usize;
    if decimals > 6 {
        return sensible(value);
    }
    if size < step / 2.0 {
        return "0".into();
    }
    format!("{:.decimals$}{suffix}", value / unit)
}

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// Steps that people count time in.
const STEPS_US: [i64; 30] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    SECOND_US,
    2 * SECOND_US,
    5 * SECOND_US,
    10 * SECOND_US,
    15 * SECOND_US,
    30 * SECOND_US,
    MINUTE_US,
    2 * MINUTE_US,
    5 * MINUTE_US,
    10 * MINUTE_US,
    15 * MINUTE_US,
    30 * MINUTE_US,
    HOUR_US,
    2 * HOUR_US,
    3 * HOUR_US,
    6 * HOUR_US,
    12 * HOUR_US,
    DAY_US,
    2 * DAY_US,
    7 * DAY_US,
    14 * DAY_US,
];

/// Steps that no number of microseconds is, in months.
const STEPS_MONTHS: [i32; 9] = [1, 2, 3, 6, 12, 24, 60, 120, 600];

/// Marks between two times, about `count` of them at most.
pub(super) fn times(from_us: i64, to_us: i64, count: i64) -> Vec<TimeMark> {
    let rough = to_us.saturating_sub(from_us) / count.max(1);
    let at = match STEPS_US.into_iter().find(|s| *s >= rough) {
        Some(step) => (from_us.div_euclid(step)..=to_us.div_euclid(step))
            .map(|n| n.saturating_mul(step))
            .collect(),
        None => month_starts(from_us, to_us, rough),
    };
    let at: Vec<i64> = at.into_iter().filter(|t| (from_us..=to_us).contains(t)).collect();
    let step = at.windows(2).map(|w| w[1] - w[0]).min().unwrap_or(rough);
    texts(&at, step)
}

fn month_starts(from_us: i64, to_us: i64, rough_us: i64) -> Vec<i64> {
    let step = STEPS_MONTHS.into_iter().find(|m| i64::from(*m) * 30 * DAY_US >= rough_us);
    let step = step.unwrap_or(1_200);
    let Some(first) = civil(from_us) else { return Vec::new() };
    let year_step = (step / 12).max(1) as i16;
    let begin = jiff::civil::date(first.year().div_euclid(year_step) * year_step, 1, 1);
    (0..)
        .map_while(|n: i32| begin.checked_add((n.checked_mul(step)?).months()).ok())
        .map_while(|d| d.to_zoned(TimeZone::UTC).ok())
        .map(|d| d.timestamp().as_microsecond())
        .take_while(|t| *t <= to_us)
        .collect()
}

fn civil(time_us: i64) -> Option<DateTime> {
    Some(Timestamp::from_microsecond(time_us).ok()?.to_zoned(TimeZone::UTC).datetime())
}

fn texts(at: &[i64], step_us: i64) -> Vec<TimeMark> {
    // What is written at the mark, and what below it.
    let (format, below_format) = match step_us {
        _ if step_us < SECOND_US => ("%H:%M:%S%.3f", "%Y-%m-%d"),
        _ if step_us < MINUTE_US => ("%H:%M:%S", "%Y-%m-%d"),
        _ if step_us < DAY_US => ("%H:%M", "%Y-%m-%d"),
        // A month has 28 days at least.
        _ if step_us < 28 * DAY_US => ("%b %-d", "%Y"),
        _ if step_us < 365 * DAY_US => ("%b", "%Y"),
        _ => ("%Y", ""),
    };
    let mut before = None;
    at.iter()
        .filter_map(|time_us| {
            let civil = civil(*time_us)?;
            let below = civil.strftime(below_format).to_string();
            let is_new = !below.is_empty() && before.as_ref() != Some(&below);
            before = Some(below.clone());
            let text = civil.strftime(format).to_string();
            Some(TimeMark { time_us: *time_us, text, below: is_new.then_some(below) })
        })
        .collect()
}
