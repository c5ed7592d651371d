//! The configuration as text, with what was found as comments.

use std::fmt::Write as _;

use serde::Serialize;
use weir_actors::decode::FormatConfig;

use super::{Guess, Measured};

const MICROS_PER_SECOND: f64 = 1e6;
const COMMENT_COLUMNS: usize = 80;
/// Of each key so many events let the default detector learn, and judge.
const EVENTS_PER_KEY_WANTED: usize = 100;

/// A configuration file with only what differs from the default, and why.
/// `brokers` are left out where they are the default's.
pub fn configuration(
    topic: &str,
    brokers: Option<&[String]>,
    guess: &Guess,
    found: &Measured,
) -> String {
    let mut out = String::new();
    comment(&mut out, &format!("What the last {} messages of {topic:?} say.", found.messages));
    for line in summary(found) {
        comment(&mut out, &line);
    }
    out.push_str("\n[kafka]\n");
    if let Some(brokers) = brokers {
        let _ = writeln!(out, "brokers = {}", value(&brokers));
    }
    let _ = writeln!(out, "topics = {}\n", value(&[topic]));
    for line in &guess.why {
        comment(&mut out, &capital(line));
    }
    out.push_str("[format]\n");
    out.push_str(&format_section(&guess.format));
    out
}

/// Only what is not the format's own default.
fn format_section(format: &FormatConfig) -> String {
    let table = |format: &FormatConfig| {
        toml::Table::try_from(format).expect("a format has only what TOML has")
    };
    let given = table(format);
    let kind = given.get("type").cloned();
    let bare = match format {
        FormatConfig::Json(_) => FormatConfig::Json(Default::default()),
        FormatConfig::Csv(_) => FormatConfig::Csv(Default::default()),
        other => other.clone(),
    };
    let bare = table(&bare);
    let mut out = String::new();
    for (key, value) in kind.iter().map(|v| ("type", v)).chain(
        given
            .iter()
            .filter(|(key, value)| *key != "type" && bare.get(*key) != Some(value))
            .map(|(key, value)| (key.as_str(), value)),
    ) {
        match value {
            toml::Value::Array(items) if !items.is_empty() => {
                let _ = writeln!(out, "{key} = [");
                for item in items {
                    let _ = writeln!(out, "    {item},");
                }
                out.push_str("]\n");
            }
            value => {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
    }
    out
}

fn value(of: &(impl Serialize + ?Sized)) -> String {
    toml::Value::try_from(of).map_or_else(|_| "[]".into(), |value| value.to_string())
}

/// What was measured, a sentence each.
fn summary(found: &Measured) -> Vec<String> {
    let mut lines = Vec::new();
    let refused: usize = found.rejects.values().map(|(count, _)| count).sum();
    lines.push(format!(
        "Decoded by the format below: {} events; {refused} messages would be dead letters.",
        found.events
    ));
    for (reason, (count, detail)) in &found.rejects {
        lines.push(format!("  {count} {reason}, as: {detail}"));
    }
    let more = match found.series_estimate.checked_sub(found.series) {
        Some(unseen) if unseen > 0 => {
            format!("; by how many were met once, about {} in all", found.series_estimate)
        }
        _ => String::new(),
    };
    lines.push(format!("Keys: {} in the sample{more}.", found.series));
    match &found.scattered {
        (0, _) => lines.push("No key is met in several partitions.".into()),
        (count, example) => lines.push(format!(
            "CAUTION: {count} keys are met in several partitions ({:?} is one). Each is then \
             judged by itself in each; let producers send a key to one partition.",
            example.as_deref().unwrap_or_default()
        )),
    }
    lines.push(match found.cadence_us {
        Some(us) => format!("Cadence: a key typically sends every {}.", duration(us)),
        None => "Cadence: no key is met twice; take a larger --sample.".into(),
    });
    let rate = found.events_per_second;
    if let Some(rate) = rate {
        lines.push(format!("Rate: about {} events/s, by the messages' timestamps.", rough(rate)));
    }
    let bytes = found.series_estimate as f64 * found.bytes_per_series as f64;
    lines.push(format!(
        "Memory: {} bytes of state a key, about {} MiB for all (shard.state_bytes_max is 1024 \
         MiB).",
        found.bytes_per_series,
        (bytes / f64::from(1 << 20)).ceil()
    ));
    lines.push(alerts(found));
    lines
}

fn alerts(found: &Measured) -> String {
    match found.alerts_per_day {
        Some(alerts) => format!(
            "Alerts: very roughly {} a day, with the default detector ({} incidents among {} \
             events judged).",
            rough(alerts),
            found.incidents,
            found.judged
        ),
        None if found.judged == 0 => format!(
            "Alerts: cannot be foretold, no key has enough events to be judged; take --sample {}.",
            found.series_estimate * EVENTS_PER_KEY_WANTED
        ),
        None => format!(
            "Alerts: {} incidents among {} events judged; the messages have no timestamps to \
             tell a rate by.",
            found.incidents, found.judged
        ),
    }
}

/// Two digits that count.
fn rough(number: f64) -> String {
    if number < 10.0 {
        return format!("{number:.1}");
    }
    let unit = 10f64.powf(number.log10().floor() - 1.0);
    format!("{:.0}", (number / unit).round() * unit)
}

fn duration(us: i64) -> String {
    let seconds = us as f64 / MICROS_PER_SECOND;
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} hours", s / 3_600.0),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Comment lines of at most 80 columns.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > COMMENT_COLUMNS {
            let _ = writeln!(out, "{line}");
            line = String::from("#  ");
        }
        line.push(' ');
        // No control character may end the comment, or fool a terminal.
        line.extend(word.chars().map(|c| if c.is_control() { '.' } else { c }));
    }
    let _ = writeln!(out, "{line}");
}
