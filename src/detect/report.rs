//! Anomalies as a table for people, or as JSON lines for programs.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use weir_actors::shard::incident::Incident;
use weir_detectors::Direction;

use super::series::{Anomaly, Folded};
use crate::figure::{self, counted, sensible};

/// How anomalies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns, 80 characters wide.
    Table,
    /// A JSON object on each line.
    Json,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that are not blank, without headers.
    pub rows: u64,
    /// Series found.
    pub series: u64,
    /// Values judged.
    pub checks: u64,
    /// Anomalous values.
    pub anomalies: u64,
    /// Incidents they are folded into.
    pub incidents: u64,
    /// Lines that are not what they should be.
    pub faulty: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series = if self.series == 1 {
            "1 series".into()
        } else {
            format!("{} series", figure::count(self.series))
        };
        let anomalies = match self.anomalies {
            0 => "no anomalies".into(),
            1 => "1 anomaly".into(),
            n => format!("{} anomalies", figure::count(n)),
        };
        write!(
            f,
            "{}, {series}, {}, {anomalies}",
            counted(self.rows, "row"),
            counted(self.checks, "check")
        )?;
        if self.anomalies > 0 {
            write!(f, " in {}", counted(self.incidents, "incident"))?;
        }
        write!(f, ", {}", counted(self.faulty, "faulty line"))
    }
}

/// The widths of the table's columns: 80 with the spaces between.
const KEY: usize = 17;
const TIME: usize = 19;
const COUNT: usize = 9;
const NUMBER: usize = 9;
const OFF: usize = 12;

pub(super) struct Reporter {
    format: Format,
    pub(super) each: bool,
    colour: bool,
    lines: u64,
}

/// An anomaly or an incident, as a program reads it.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    detector: &'a str,
    /// Of the anomaly, of an incident's worst one.
    time: Option<String>,
    line: i64,
    value: f64,
    expected: f64,
    deviations: f64,
    direction: Direction,
    score: f64,
    threshold: f64,
    onset_observations: u32,
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    anomalies: u64,
}

impl Reporter {
    pub(super) fn new(format: Format, each: bool, colour: bool) -> Self {
        Self { format, each, colour, lines: 0 }
    }

    /// One anomalous value, at once.
    pub(super) fn anomaly(
        &mut self,
        out: &mut dyn Write,
        key: &str,
        detector: &str,
        anomaly: &Anomaly,
        open: &Incident,
        has_time: bool,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let when = when(anomaly, anomaly.time_us, has_time);
                self.row(out, key, &when, open.count, anomaly)
            }
            Format::Json => {
                let since = has_time.then(|| rfc3339(open.since_us));
                json(out, key, detector, anomaly, has_time, since, None, open.count)
            }
        }
    }

    /// An incident that is over.
    pub(super) fn incident(
        &mut self,
        out: &mut dyn Write,
        key: &str,
        detector: &str,
        incident: &Folded,
        has_time: bool,
    ) -> io::Result<()> {
        let Folded { since_us, until_us, count, worst } = incident;
        match self.format {
            Format::Table => self.row(out, key, &when(worst, *since_us, has_time), *count, worst),
            Format::Json => {
                let since = has_time.then(|| rfc3339(*since_us));
                let until = has_time.then(|| rfc3339(*until_us));
                json(out, key, detector, worst, has_time, since, until, *count)
            }
        }
    }

    pub(super) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.format == Format::Table && self.lines == 0 {
            writeln!(out, "no anomalies")?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        out: &mut dyn Write,
        key: &str,
        when: &str,
        count: u64,
        anomaly: &Anomaly,
    ) -> io::Result<()> {
        let paint = |code: &str, text: String| match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text,
        };
        if self.lines == 0 {
            let (since, count) = if self.each { ("time", "th") } else { ("since", "anomalies") };
            let head = format!(
                "{:KEY$} {since:TIME$} {count:>COUNT$} {:>NUMBER$} {:>NUMBER$} {:>OFF$}",
                "key", "value", "expected", "off by"
            );
            writeln!(out, "{}", paint("1", head))?;
        }
        self.lines += 1;
        let off = paint(
            if anomaly.direction == Direction::Up { "31" } else { "34" },
            format!("{:>OFF$}", off_by(anomaly)),
        );
        writeln!(
            out,
            "{:KEY$} {when:TIME$} {:>COUNT$} {:>NUMBER$} {:>NUMBER$} {off}",
            shortened(key, KEY),
            figure::count(count),
            sensible(anomaly.value),
            sensible(anomaly.expected),
        )
    }
}

/// When it began, or in which line if there are no times.
fn when(anomaly: &Anomaly, time_us: i64, has_time: bool) -> String {
    match has_time {
        true => figure::time(time_us).chars().take(TIME).collect(),
        false => format!("line {}", anomaly.line),
    }
}

/// `+12 sigma`; for something that does not fit in there, `over +1000 sigma`.
fn off_by(anomaly: &Anomaly) -> String {
    const SIGMAS_MAX: f64 = 99_999.0;
    let sign = if anomaly.deviations < 0.0 { '-' } else { '+' };
    let size = anomaly.deviations.abs();
    match size {
        ..100.0 => format!("{sign}{size:.1} sigma"),
        ..=SIGMAS_MAX => format!("{sign}{size:.0} sigma"),
        _ => format!("{sign}>1e5 sigma"),
    }
}

/// A long key keeps its beginning and its end.
fn shortened(key: &str, chars_max: usize) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() <= chars_max {
        return key.to_owned();
    }
    let tail = (chars_max - 1) * 2 / 3;
    let head = chars_max - 1 - tail;
    let head: String = chars[..head].iter().collect();
    let tail: String = chars[chars.len() - tail..].iter().collect();
    format!("{head}~{tail}")
}

#[allow(clippy::too_many_arguments)]
fn json(
    out: &mut dyn Write,
    key: &str,
    detector: &str,
    anomaly: &Anomaly,
    has_time: bool,
    since: Option<String>,
    until: Option<String>,
    anomalies: u64,
) -> io::Result<()> {
    let line = Line {
        key,
        detector,
        time: has_time.then(|| rfc3339(anomaly.time_us)),
        line: anomaly.line,
        value: anomaly.value,
        expected: rounded(anomaly.expected),
        deviations: rounded(anomaly.deviations),
        direction: anomaly.direction,
        score: rounded(anomaly.score),
        threshold: anomaly.threshold,
        onset_observations: anomaly.onset_observations,
        since,
        until,
        anomalies,
    };
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}

fn rfc3339(time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| format!("{time_us}us"), |t| t.to_string())
}

/// To six digits: more than that no statistic has.
fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_keep_both_ends() {
        assert_eq!(shortened("short", 17), "short");
        let short = shortened("building-7/floor-3/pump-12/temperature", 17);
        assert_eq!((short.as_str(), short.chars().count()), ("buildi~emperature", 17));
    }

    #[test]
    fn the_summary_reads_as_a_sentence() {
        let mut summary = Summary { rows: 4_032, series: 1, checks: 4_032, ..Summary::default() };
        let quiet = "4,032 rows, 1 series, 4,032 checks, no anomalies, 0 faulty lines";
        assert_eq!(summary.to_string(), quiet);
        summary = Summary { anomalies: 3, incidents: 1, faulty: 1, series: 2, ..summary };
        let busy = "4,032 rows, 2 series, 4,032 checks, 3 anomalies in 1 incident, 1 faulty line";
        assert_eq!(summary.to_string(), busy);
    }

    #[test]
    fn numbers_are_rounded_to_what_they_mean() {
        assert_eq!(rounded(12.345_678_9), 12.3457);
        assert!(rounded(f64::NAN).is_nan());
    }
}
