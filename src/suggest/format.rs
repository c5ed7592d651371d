//! From a sample to a format: which one, and where in it everything stands.

use serde_json::Value;
use weir_actors::decode::{
    Column, CompactFormat, CsvFormat, CsvValue, FormatConfig, JsonFormat, JsonValue, LongFormat,
    NamedColumn, NamedPath, TimeFormat, compact,
};

use super::Sample;
use super::fields::{Fields, Scalar};

/// A format is what most messages are; the rest are dead letters.
const MOST: f64 = 0.8;
/// A key that is met only once says nothing; if nearly all are, it is none.
const DISTINCT_KEYS_MAX: f64 = 0.95;
/// What may stand between columns, the likeliest first.
const DELIMITERS: [char; 5] = [',', ';', '\t', '|', ' '];

/// What was found, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The format.
    pub format: FormatConfig,
    /// Reasons and doubts, a line each.
    pub why: Vec<String>,
}

/// The format of the sample.
///
/// # Errors
/// If it is none that Weir reads, or nothing in it can be watched.
pub fn guess(samples: &[Sample]) -> Result<Guess, String> {
    let values: Vec<(&Sample, &[u8])> =
        samples.iter().filter_map(|s| Some((s, s.value.as_deref()?))).collect();
    if values.is_empty() {
        return Err("no message of the sample has a value".into());
    }
    let share = |count: usize| count as f64 / values.len() as f64;
    let longs = values.iter().filter(|(s, v)| is_long(s, v)).count();
    if share(longs) >= MOST {
        let why = vec!["key and value have 8 bytes each, and are no text".into()];
        return Ok(Guess { format: FormatConfig::Long(LongFormat {}), why });
    }
    let compacts = values.iter().filter(|(_, v)| is_compact(v)).count();
    if share(compacts) >= MOST {
        let why = vec!["messages begin as Weir's own binary format does".into()];
        return Ok(Guess { format: FormatConfig::Compact(CompactFormat {}), why });
    }
    let parsed: Vec<Value> =
        values.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect();
    let bare = parsed.iter().all(|json| json.is_number());
    let structured = parsed.iter().filter(|json| json.is_object() || json.is_array()).count();
    if share(structured) >= MOST || (share(parsed.len()) >= MOST && bare) {
        return json(samples, &parsed, bare);
    }
    csv(samples, &values)
}

fn is_long(sample: &Sample, value: &[u8]) -> bool {
    let key = sample.key.as_deref().unwrap_or_default();
    let text = |bytes: &[u8]| bytes.iter().all(|b| b.is_ascii_graphic());
    value.len() == 8 && key.len() == 8 && !(text(value) && text(key))
}

fn is_compact(value: &[u8]) -> bool {
    let key_bytes = |low, high| usize::from(u16::from_le_bytes([low, high]));
    value.len() >= compact::HEAD_BYTES
        && value[0] == compact::VERSION
        && value.len() == compact::HEAD_BYTES + key_bytes(value[17], value[18])
}

/// Which field is what.
struct Roles {
    key: Option<String>,
    time: Option<(String, TimeFormat)>,
    values: Vec<String>,
    axes: [Option<String>; 3],
    numbers_in_strings: bool,
    skip_missing: bool,
    why: Vec<String>,
}

fn roles(samples: &[Sample], fields: &Fields) -> Result<Roles, String> {
    let mut why = Vec::new();
    let everywhere: Vec<&String> =
        fields.places.iter().filter(|place| fields.is_everywhere(place)).collect();
    let best_time = everywhere
        .iter()
        .filter_map(|place| fields.of[*place].time().map(|(format, sure)| (sure, format, *place)))
        .max_by_key(|(sure, ..)| *sure);
    let time = best_time.map(|(_, format, place)| (place.clone(), format));
    if time.is_none() {
        why.push("no field is a time: the time is the message's".into());
    }
    let key = key(samples, fields, &everywhere, &mut why);
    let axis = |names: &[&str], bound| {
        let found = everywhere.iter().find(|place| fields.of[**place].is_axis(names, bound));
        found.map(|place| (*place).clone())
    };
    let latitude = axis(&["lat", "latitude"], 90.0);
    let longitude = axis(&["lon", "lng", "long", "longitude"], 180.0);
    let axes = match (latitude, longitude) {
        (Some(latitude), Some(longitude)) => [
            Some(latitude),
            Some(longitude),
            axis(&["alt", "altitude", "altitude_m", "elevation"], 1e6),
        ],
        _ => [None, None, None],
    };
    let taken = |place: &String| {
        key.as_ref() == Some(place)
            || time.as_ref().is_some_and(|(time, _)| time == place)
            || axes.iter().flatten().any(|axis| axis == place)
    };
    let values: Vec<String> = fields
        .places
        .iter()
        .filter(|place| !taken(place) && fields.of[*place].is_value())
        // A field that is seldom there is more likely an accident.
        .filter(|place| fields.of[*place].count * 2 >= fields.messages)
        .cloned()
        .collect();
    if values.is_empty() {
        return Err(format!(
            "no field of the messages is a number to watch; there are: {}",
            fields.places.join(", ")
        ));
    }
    let skip_missing = !values.iter().all(|place| fields.of[place].count == fields.messages);
    let watched = values.iter().chain(axes.iter().flatten());
    let numbers_in_strings = watched.clone().any(|place| fields.of[place].numeric_texts > 0);
    Ok(Roles { key, time, values, axes, numbers_in_strings, skip_missing, why })
}

/// Where the key is; `None` if it is the message's.
fn key(
    samples: &[Sample],
    fields: &Fields,
    everywhere: &[&String],
    why: &mut Vec<String>,
) -> Option<String> {
    let keys: Vec<&[u8]> = samples.iter().filter_map(|s| s.key.as_deref()).collect();
    let readable = keys.iter().filter(|k| !k.is_empty() && std::str::from_utf8(k).is_ok()).count();
    let mut distinct: Vec<&[u8]> = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let own_is_usable = readable as f64 >= samples.len() as f64 * 0.95;
    let own_repeats = (distinct.len() as f64) < keys.len() as f64 * DISTINCT_KEYS_MAX;
    let best = everywhere
        .iter()
        .map(|place| (fields.of[*place].as_key(), *place))
        .filter(|(likely, _)| *likely > 0)
        // Of equals the first.
        .rev()
        .max_by_key(|(likely, _)| *likely);
    if own_is_usable && (own_repeats || best.is_none_or(|(likely, _)| likely < 3)) {
        why.push("the key is the message's: it is there, and it is text".into());
        return None;
    }
    let reason = match own_is_usable {
        true => "the messages' keys hardly ever repeat",
        false if keys.is_empty() => "the messages have no key",
        false => "the messages' keys are missing or are no text",
    };
    match best {
        Some((_, place)) => {
            why.push(format!("the key is field {place}: {reason}"));
            Some(place.clone())
        }
        None => {
            why.push(format!("{reason}, and no field looks like one: set key by hand"));
            None
        }
    }
}

fn json(samples: &[Sample], parsed: &[Value], bare: bool) -> Result<Guess, String> {
    let mut fields = Fields::default();
    parsed.iter().for_each(|json| fields.add_json(json));
    let Roles { key, time, values, axes, numbers_in_strings, skip_missing, mut why } =
        roles(samples, &fields)?;
    let [latitude, longitude, altitude] = axes;
    let mut format = JsonFormat {
        key,
        time_format: time.as_ref().map(|(_, f)| *f).filter(|f| *f != TimeFormat::Rfc3339),
        time: time.map(|(place, _)| place),
        latitude,
        longitude,
        altitude,
        numbers_in_strings,
        ..JsonFormat::default()
    };
    match values.as_slice() {
        [only] => format.value = Some(only.clone()),
        several => {
            format.skip_missing = skip_missing;
            let mut names: Vec<String> = Vec::new();
            for place in several {
                let plain = JsonValue::Path(place.clone());
                let simple = plain.name().filter(|n| !n.contains('/') && !names.contains(n));
                let (name, value) = match simple {
                    Some(name) => (name, plain),
                    None => {
                        let name = place
                            .trim_start_matches(['$', '.'])
                            .replace(['.', '[', ']', '\'', '/'], "_");
                        let named = NamedPath { path: place.clone(), name: name.clone() };
                        (name, JsonValue::Named(named))
                    }
                };
                names.push(name);
                format.values.push(value);
            }
            why.push(several_values(several.len()));
        }
    }
    if bare {
        why.push("each message is a bare number".into());
    }
    Ok(Guess { format: FormatConfig::Json(format), why })
}

fn several_values(count: usize) -> String {
    format!("{count} numbers a message: each is a series of its own; leave out what is no reading")
}

fn csv(samples: &[Sample], values: &[(&Sample, &[u8])]) -> Result<Guess, String> {
    let unknown = "the messages are neither JSON, CSV, longs nor Weir's binary format; only those \
                   can be read";
    let lines: Vec<&str> = values
        .iter()
        .filter_map(|(_, v)| Some(std::str::from_utf8(v).ok()?.trim_end_matches(['\r', '\n'])))
        .filter(|line| !line.is_empty() && !line.contains(['\n', '\0']))
        .collect();
    if (lines.len() as f64) < values.len() as f64 * MOST {
        return Err(unknown.into());
    }
    let (delimiter, columns) = delimiter(&lines).ok_or(unknown)?;
    let mut fields = Fields::default();
    for line in &lines {
        let Some(row) = row(line, delimiter).filter(|row| row.len() == columns) else { continue };
        fields.messages += 1;
        for (i, text) in row.iter().enumerate() {
            let value = match text.trim().parse::<f64>() {
                _ if text.is_empty() => continue,
                Ok(number) if number.is_finite() => Scalar::Number(number),
                _ => Scalar::Text(text.clone()),
            };
            // Columns are told by numbers, and have no names.
            fields.add(&i.to_string(), "", &value);
        }
    }
    let roles = csv_roles(samples, &fields)?;
    let column = |place: &String| Column::Number(place.parse().expect("places are numbers"));
    let mut format = CsvFormat {
        delimiter,
        key: roles.key.as_ref().map(column),
        time_format: roles.time.as_ref().map(|(_, f)| *f).filter(|f| *f != TimeFormat::Rfc3339),
        time: roles.time.as_ref().map(|(place, _)| column(place)),
        ..CsvFormat::default()
    };
    let mut why = roles.why;
    match roles.values.as_slice() {
        [only] => format.value = Some(column(only)),
        several => {
            format.skip_missing = roles.skip_missing;
            format.values = several
                .iter()
                .map(|place| {
                    let name = format!("column{place}");
                    CsvValue::Named(NamedColumn { column: column(place), name })
                })
                .collect();
            why.push(several_values(several.len()));
        }
    }
    Ok(Guess { format: FormatConfig::Csv(format), why })
}

/// The roles of columns without names: a time that is only a number counts if it
/// has the digits of one.
fn csv_roles(samples: &[Sample], fields: &Fields) -> Result<Roles, String> {
    let mut fields_named = Fields { messages: fields.messages, ..Fields::default() };
    for place in &fields.places {
        let mut field = fields.of[place].clone();
        if field.name.is_empty() && field.time().is_none() {
            // Ten digits in every line, from 2001 to 2100: more likely a time.
            field.name = "time".into();
            if field.time().is_none() || !field.is_number() {
                field.name.clear();
            }
        }
        fields_named.places.push(place.clone());
        fields_named.of.insert(place.clone(), field);
    }
    roles(samples, &fields_named)
}

/// The delimiter that most lines have equally often, and the number of columns.
fn delimiter(lines: &[&str]) -> Option<(char, usize)> {
    for delimiter in DELIMITERS {
        let mut counts: Vec<usize> =
            lines.iter().filter_map(|line| Some(row(line, delimiter)?.len())).collect();
        counts.sort_unstable();
        let typical = *counts.get(counts.len() / 2)?;
        let same = counts.iter().filter(|c| **c == typical).count();
        if typical > 1 && same as f64 >= lines.len() as f64 * MOST {
            return Some((delimiter, typical));
        }
    }
    let numbers = lines.iter().filter(|l| l.trim().parse::<f64>().is_ok()).count();
    (numbers as f64 >= lines.len() as f64 * MOST).then_some((',', 1))
}

fn row(line: &str, delimiter: char) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(u8::try_from(delimiter).ok()?)
        .from_reader(line.as_bytes());
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(str::to_owned).collect())
}
