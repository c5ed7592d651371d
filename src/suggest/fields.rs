//! The fields of messages, and what each may be: time, key, value, place.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use weir_actors::decode::TimeFormat;

/// Deeper and longer messages are looked at this far.
const DEPTH_MAX: usize = 4;
const ITEMS_MAX: usize = 8;
const FIELDS_MAX: usize = 64;
/// A field is what nearly all of its values are.
const NEARLY_ALL: f64 = 0.95;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Number(f64),
    Text(String),
    Other,
}

/// What was seen of one field.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    /// Its last name, in lower case.
    pub name: String,
    pub count: usize,
    pub numbers: usize,
    /// Texts that are numbers.
    pub numeric_texts: usize,
    pub texts: usize,
    pub distinct: HashSet<String>,
    min: f64,
    max: f64,
    /// How many values each format of time fits.
    times: [usize; 6],
    rises: bool,
    last: f64,
}

const TIME_FORMATS: [TimeFormat; 6] = [
    TimeFormat::Rfc3339,
    TimeFormat::Rfc3339OrUtc,
    TimeFormat::Seconds,
    TimeFormat::Milliseconds,
    TimeFormat::Microseconds,
    TimeFormat::Nanoseconds,
];

impl Field {
    fn add(&mut self, value: &Scalar) {
        let first = self.count == 0;
        self.count += 1;
        let number = match value {
            Scalar::Number(number) => {
                self.numbers += 1;
                self.distinct.insert(number.to_string());
                Some(*number)
            }
            Scalar::Text(text) => {
                self.texts += 1;
                self.distinct.insert(text.clone());
                let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
                self.numeric_texts += usize::from(number.is_some());
                if number.is_none() {
                    self.add_time_text(text);
                }
                number
            }
            Scalar::Other => None,
        };
        let Some(number) = number else { return };
        if first {
            (self.min, self.max, self.rises) = (number, number, true);
        } else {
            self.rises &= number > self.last;
            self.min = self.min.min(number);
            self.max = self.max.max(number);
        }
        self.last = number;
        // 2001 to 2100, in each unit.
        for (i, unit) in [1.0, 1e3, 1e6, 1e9].into_iter().enumerate() {
            self.times[2 + i] += usize::from((1e9..4.1e9).contains(&(number / unit)));
        }
    }

    fn add_time_text(&mut self, text: &str) {
        if text.parse::<jiff::Timestamp>().is_ok() {
            self.times[0] += 1;
            self.times[1] += 1;
        } else if text.len() >= 16 && text.parse::<jiff::civil::DateTime>().is_ok() {
            self.times[1] += 1;
        }
    }

    fn share(&self, of: usize) -> f64 {
        of as f64 / self.count.max(1) as f64
    }

    pub fn is_number(&self) -> bool {
        self.share(self.numbers + self.numeric_texts) >= NEARLY_ALL
    }

    /// How it writes a time, and how sure that is; `None` if it does not.
    pub fn time(&self) -> Option<(TimeFormat, u32)> {
        const NAMES: [&str; 8] =
            ["time", "timestamp", "ts", "date", "datetime", "when", "epoch", "created"];
        let named = NAMES.contains(&self.name.as_str());
        let part = NAMES[..4].iter().any(|n| self.name.contains(n)) || self.name.ends_with("_at");
        let fits = self.times.iter().position(|n| self.share(*n) >= NEARLY_ALL)?;
        let format = TIME_FORMATS[fits];
        let sure = 4 * u32::from(named) + 2 * u32::from(part);
        match format {
            TimeFormat::Rfc3339 | TimeFormat::Rfc3339OrUtc => Some((format, sure + 3)),
            // A number of ten digits may be anything.
            TimeFormat::Seconds if sure == 0 => None,
            _ => Some((format, sure + 1)),
        }
    }

    /// How likely it is what tells series apart; 0 if it is not.
    pub fn as_key(&self) -> u32 {
        const NAMES: [&str; 16] = [
            "id", "key", "sensor", "device", "host", "name", "tag", "series", "meter", "account",
            "user", "metric", "machine", "node", "station", "customer",
        ];
        let named = NAMES.iter().any(|n| {
            self.name == *n || self.name.ends_with(&format!("_{n}")) || self.name.starts_with(n)
        }) || self.name.ends_with("id");
        let whole = self.numbers == 0
            || self.distinct.iter().all(|text| !text.contains(['.', 'e', 'N', 'i']));
        if !whole || self.count == 0 || self.time().is_some() {
            return 0;
        }
        let repeats = self.distinct.len() * 2 <= self.count;
        let is_text = self.texts > self.numbers && self.numeric_texts < self.texts;
        match (named, repeats, is_text) {
            (true, true, true) => 5,
            (true, true, false) => 4,
            (false, true, true) => 3,
            (true, false, true) => 2,
            (true, false, false) => 1,
            _ => 0,
        }
    }

    /// Whether it may be watched.
    pub fn is_value(&self) -> bool {
        const COUNTERS: [&str; 6] = ["seq", "sequence", "offset", "version", "index", "id"];
        let is_id = COUNTERS.contains(&self.name.as_str()) || self.name.ends_with("_id");
        let counts =
            self.rises && self.count > 10 && COUNTERS.iter().any(|n| self.name.starts_with(n));
        self.is_number() && !is_id && !counts && self.time().is_none_or(|(_, sure)| sure < 2)
    }

    /// Whether its values are within the bounds, and its name is one of these.
    pub fn is_axis(&self, names: &[&str], bound: f64) -> bool {
        names.contains(&self.name.as_str())
            && self.is_number()
            && self.min >= -bound
            && self.max <= bound
    }
}

/// All fields of a sample, by where they stand, in the order of their first
/// appearance.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub places: Vec<String>,
    pub of: BTreeMap<String, Field>,
    pub messages: usize,
}

impl Fields {
    pub fn add(&mut self, place: &str, name: &str, value: &Scalar) {
        if !self.of.contains_key(place) {
            if self.places.len() == FIELDS_MAX {
                return;
            }
            self.places.push(place.to_owned());
        }
        let field = self.of.entry(place.to_owned()).or_default();
        if field.name.is_empty() {
            field.name = name.to_lowercase().trim_start_matches('@').to_owned();
        }
        field.add(value);
    }

    /// Adds the fields of a JSON message.
    pub fn add_json(&mut self, json: &Value) {
        self.messages += 1;
        self.walk(json, "$", "", 0);
    }

    fn walk(&mut self, json: &Value, place: &str, name: &str, depth: usize) {
        match json {
            Value::Object(members) if depth < DEPTH_MAX => {
                for (name, value) in members {
                    self.walk(value, &member(place, name), name, depth + 1);
                }
            }
            Value::Array(items) if depth < DEPTH_MAX => {
                for (i, item) in items.iter().take(ITEMS_MAX).enumerate() {
                    self.walk(item, &format!("{place}[{i}]"), &format!("{name}{i}"), depth + 1);
                }
            }
            Value::Number(n) => {
                let number = n.as_f64().map_or(Scalar::Other, Scalar::Number);
                self.add(place, name, &number);
            }
            Value::String(text) => self.add(place, name, &Scalar::Text(text.clone())),
            Value::Bool(_) => self.add(place, name, &Scalar::Other),
            _ => {}
        }
    }

    /// Whether nearly every message has it.
    pub fn is_everywhere(&self, place: &str) -> bool {
        self.of[place].count as f64 >= self.messages as f64 * NEARLY_ALL
    }
}

/// The path of a member.
fn member(place: &str, name: &str) -> String {
    if name.is_empty() || name.contains(['.', '[', '\'']) {
        format!("{place}['{name}']")
    } else {
        format!("{place}.{name}")
    }
}
