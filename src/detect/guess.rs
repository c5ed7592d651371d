//! How a file is written: as it was told, else guessed from its first lines.

use serde_json::Value;
use weir_actors::decode::{
    Column, CsvFormat, CsvValue, FormatConfig, JsonFormat, JsonValue, NamedColumn, NamedPath,
    TimeFormat,
};

use super::DetectError;

/// Which columns are meant: by name, by number from 0, in JSON by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnOptions {
    /// The key's.
    pub key: Option<String>,
    /// The values'.
    pub values: Vec<String>,
    /// The time's.
    pub time: Option<String>,
    /// How the time is written.
    pub time_format: Option<TimeFormat>,
    /// What stands between the columns of CSV.
    pub delimiter: Option<char>,
}

/// How a file is written.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) format: FormatConfig,
    pub(super) has_header: bool,
    pub(super) has_time: bool,
    pub(super) values: usize,
    /// All of it in a sentence.
    pub(super) said: String,
}

/// A column, or a path of JSON, with what the sample has in it.
struct Sampled {
    /// As it is named in the format.
    name: String,
    /// What it is called.
    label: String,
    texts: Vec<String>,
    has_strings: bool,
}

struct Picked {
    key: Option<usize>,
    values: Vec<usize>,
    time: Option<(usize, TimeFormat)>,
}

const TIME_NAMES: [&str; 11] = [
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "date",
    "datetime",
    "date_time",
    "event_time",
    "when",
    "epoch",
    "t",
];
const KEY_NAMES: [&str; 17] = [
    "key", "id", "series", "sensor", "device", "name", "metric", "tag", "host", "meter", "station",
    "machine", "channel", "symbol", "account", "node", "service",
];
const VALUE_NAMES: [&str; 7] = ["value", "val", "reading", "measurement", "amount", "y", "v"];
/// Seconds since 1970 in 1973: what is less may be any number.
const EPOCH_MIN: f64 = 1e8;
/// Numbers that are no measurements.
const PLACE_NAMES: [&str; 7] = ["lat", "latitude", "lon", "lng", "longitude", "alt", "altitude"];

pub(super) fn guess(
    sample: &[Vec<u8>],
    options: &ColumnOptions,
    file: &str,
) -> Result<Guess, DetectError> {
    let fault = |what: String| DetectError::Input(format!("{file}: {what}"));
    match sample.first().map(|line| line.trim_ascii_start()) {
        None => Err(fault("there is nothing in it".into())),
        Some([b'{', ..]) => json(sample, options).map_err(fault),
        Some([b'[', ..]) => Err(fault(
            "a JSON array is not lines; write one object on each, as `jq -c '.[]'` does".into(),
        )),
        Some(_) => csv(sample, options).map_err(fault),
    }
}

fn csv(sample: &[Vec<u8>], options: &ColumnOptions) -> Result<Guess, String> {
    let delimiter = options.delimiter.unwrap_or_else(|| delimiter(sample));
    let text = sample.join(&b'\n');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).map_err(|_| "the delimiter must be ASCII")?)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(&text[..]);
    let mut rows: Vec<Vec<String>> = reader
        .byte_records()
        .flatten()
        .map(|r| r.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect())
        .collect();
    let has_header = rows.first().is_some_and(|row| {
        row.iter().any(|f| !f.is_empty())
            && row.iter().all(|f| !is_number(f) && time_of(f).is_none())
    });
    let header = if has_header { rows.remove(0) } else { Vec::new() };
    let width = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let columns: Vec<Sampled> = (0..width)
        .map(|n| Sampled {
            name: header.get(n).cloned().unwrap_or_default(),
            label: match header.get(n) {
                Some(name) => name.clone(),
                None => format!("column {n}"),
            },
            texts: rows.iter().filter_map(|r| r.get(n).cloned()).collect(),
            has_strings: false,
        })
        .collect();
    let numbered = |text: &str| {
        let by_name = columns.iter().position(|c| !c.name.is_empty() && c.name == text);
        let by_number = || text.parse().ok().filter(|n| *n < columns.len());
        by_name.or_else(by_number).ok_or_else(|| {
            let all: Vec<_> = columns.iter().map(|c| c.label.as_str()).collect();
            format!("there is no column {text:?}; there are: {}", all.join(", "))
        })
    };
    let picked = pick(&columns, options, numbered)?;
    let column = Column::Number;
    let named = |n: &usize| {
        let name = columns[*n].label.replace('/', "_");
        CsvValue::Named(NamedColumn { column: column(*n), name })
    };
    let single = (picked.values.len() == 1).then(|| column(picked.values[0]));
    let several = picked.values.len() > 1;
    let format = CsvFormat {
        delimiter,
        header: header.clone(),
        key: picked.key.map(column),
        values: if several { picked.values.iter().map(named).collect() } else { Vec::new() },
        value: single,
        time: picked.time.map(|(n, _)| column(n)),
        time_format: picked.time.map(|(_, format)| format),
        skip_missing: several,
        ..CsvFormat::default()
    };
    let with = if has_header { "with a header" } else { "without a header" };
    let what = match delimiter {
        ',' => format!("CSV {with}"),
        '\t' => format!("tab-separated {with}"),
        other => format!("CSV with {other:?} between columns, {with}"),
    };
    Ok(Guess {
        format: FormatConfig::Csv(format),
        has_header,
        has_time: picked.time.is_some(),
        values: picked.values.len(),
        said: said(&what, &columns, &picked),
    })
}

/// The one that splits the most lines into as many columns as the first.
fn delimiter(sample: &[Vec<u8>]) -> char {
    let score = |delimiter: &u8| {
        let count = |line: &[u8]| line.iter().filter(|b| *b == delimiter).count();
        let first = count(&sample[0]);
        let alike = sample.iter().filter(|l| count(l) == first).count();
        if first == 0 { 0 } else { alike }
    };
    let best = [b'|', b';', b'\t', b','].into_iter().max_by_key(score);
    char::from(best.filter(|d| score(d) > 0).unwrap_or(b','))
}

fn json(sample: &[Vec<u8>], options: &ColumnOptions) -> Result<Guess, String> {
    let mut columns: Vec<Sampled> = Vec::new();
    for line in sample {
        if let Ok(value) = serde_json::from_slice::<Value>(line) {
            leaves(&value, "$", "", &mut columns);
        }
    }
    if columns.is_empty() {
        return Err("none of its first lines is a JSON object; one object on each line".into());
    }
    // A path that is not in the sample may come later.
    for text in options.key.iter().chain(&options.values).chain(&options.time) {
        if !columns.iter().any(|c| c.is_called(text)) {
            let (name, label) = (text.clone(), text.clone());
            columns.push(Sampled { name, label, texts: Vec::new(), has_strings: false });
        }
    }
    let find = |text: &str| {
        columns.iter().position(|c| c.is_called(text)).ok_or_else(|| format!("no path {text:?}"))
    };
    let picked = pick(&columns, options, find)?;
    let path = |n: usize| columns[n].name.clone();
    let several = picked.values.len() > 1;
    let named = |n: &usize| {
        let name = columns[*n].label.replace('/', "_");
        JsonValue::Named(NamedPath { path: path(*n), name })
    };
    let numbers = picked.values.iter().chain(picked.time.as_ref().map(|(n, _)| n));
    let format = JsonFormat {
        key: picked.key.map(path),
        value: (!several).then(|| path(picked.values[0])),
        values: if several { picked.values.iter().map(named).collect() } else { Vec::new() },
        time: picked.time.map(|(n, _)| path(n)),
        time_format: picked.time.map(|(_, format)| format),
        numbers_in_strings: { numbers }.any(|n| columns[*n].has_strings),
        skip_missing: several,
        ..JsonFormat::default()
    };
    Ok(Guess {
        format: FormatConfig::Json(format),
        has_header: false,
        has_time: picked.time.is_some(),
        values: picked.values.len(),
        said: said("JSON lines", &columns, &picked),
    })
}

/// Gathers the numbers and texts of an object, by path.
fn leaves(value: &Value, path: &str, label: &str, columns: &mut Vec<Sampled>) {
    let (text, is_string) = match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let step = match plain && !name.is_empty() {
                    true => format!(".{name}"),
                    false => format!("['{name}']"),
                };
                let dot = if label.is_empty() { "" } else { "." };
                leaves(value, &format!("{path}{step}"), &format!("{label}{dot}{name}"), columns);
            }
            return;
        }
        Value::Number(number) => (number.to_string(), false),
        Value::String(text) => (text.clone(), true),
        Value::Null | Value::Bool(_) | Value::Array(_) => return,
    };
    let column = match columns.iter_mut().find(|c| c.name == path) {
        Some(column) => column,
        None => {
            let (name, label, texts) = (path.to_owned(), label.to_owned(), Vec::new());
            columns.push(Sampled { name, label, texts, has_strings: false });
            columns.last_mut().expect("it was just added")
        }
    };
    column.texts.push(text);
    column.has_strings |= is_string;
}

impl Sampled {
    fn is_called(&self, text: &str) -> bool {
        self.name == text || self.label == text || self.name.strip_prefix("$.") == Some(text)
    }

    /// Its own name, without where it lies.
    fn word(&self) -> String {
        self.label.rsplit('.').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names.contains(&self.word().as_str())
    }

    fn is_key_by_name(&self) -> bool {
        self.is_one_of(&KEY_NAMES) || self.word().ends_with("_id")
    }

    /// What at least half of its texts are, where there are any.
    fn are_mostly(&self, is: impl Fn(&str) -> bool) -> bool {
        let texts = || self.texts.iter().filter(|t| !t.is_empty());
        texts().next().is_some() && 2 * texts().filter(|t| is(t)).count() >= texts().count()
    }

    fn are_numbers(&self) -> bool {
        self.are_mostly(is_number)
    }

    /// How its times are written, if they are times.
    fn time_format(&self, numbers_too: bool) -> Option<TimeFormat> {
        if self.are_mostly(|t| time_of(t).is_some()) {
            return Some(TimeFormat::Rfc3339OrUtc);
        }
        let first = self.texts.iter().find(|t| is_number(t)).filter(|_| self.are_numbers())?;
        let size: f64 = first.parse().ok()?;
        numbers_too.then_some(match size.abs() {
            ..1e11 => TimeFormat::Seconds,
            ..1e14 => TimeFormat::Milliseconds,
            ..1e17 => TimeFormat::Microseconds,
            _ => TimeFormat::Nanoseconds,
        })
    }

    fn numbers(&self) -> Vec<f64> {
        self.texts.iter().filter_map(|t| t.parse().ok()).collect()
    }

    /// Numbers that rise, as times do.
    fn rises_from(&self, least: f64) -> bool {
        let numbers = self.numbers();
        self.never_falls_from(least) && numbers.first() < numbers.last()
    }

    /// Numbers that rise or stay: many keys may report at one time.
    fn never_falls_from(&self, least: f64) -> bool {
        let numbers = self.numbers();
        self.are_numbers() && numbers.is_sorted() && numbers.first().is_some_and(|n| *n >= least)
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

fn time_of(text: &str) -> Option<i64> {
    TimeFormat::Rfc3339OrUtc.parse(text.as_bytes())
}

fn pick(
    columns: &[Sampled],
    options: &ColumnOptions,
    find: impl Fn(&str) -> Result<usize, String>,
) -> Result<Picked, String> {
    let told = |text: &Option<String>| text.as_deref().map(&find).transpose();
    let (told_key, told_time) = (told(&options.key)?, told(&options.time)?);
    let told_values: Vec<usize> =
        options.values.iter().map(|v| find(v)).collect::<Result<_, _>>()?;
    let is_told =
        |n: &usize| told_key == Some(*n) || told_time == Some(*n) || told_values.contains(n);
    let free: Vec<usize> = (0..columns.len()).filter(|n| !is_told(n)).collect();
    let first = |is: &dyn Fn(&Sampled) -> bool| free.iter().copied().find(|n| is(&columns[*n]));

    let time = told_time
        .or_else(|| first(&|c| c.is_one_of(&TIME_NAMES) && c.time_format(false).is_some()))
        .or_else(|| first(&|c| c.time_format(false).is_some()))
        .or_else(|| first(&|c| c.is_one_of(&TIME_NAMES) && c.never_falls_from(EPOCH_MIN)))
        .or_else(|| first(&|c| c.rises_from(EPOCH_MIN)))
        .or_else(|| first(&|c| c.is_one_of(&TIME_NAMES) && c.rises_from(0.0)));
    let time = time
        .map(|n| {
            let format = options.time_format.or_else(|| columns[n].time_format(true));
            format.map(|f| (n, f)).ok_or_else(|| {
                let shown = columns[n].texts.first().map_or("", String::as_str);
                let label = &columns[n].label;
                format!("the time, {label}, is {shown:?}; say by --time-format how it is written")
            })
        })
        .transpose()?;
    let is_time = |n: usize| time.is_some_and(|(t, _)| t == n);

    let text_column = || {
        let mut texts = free.iter().filter(|n| !is_time(**n) && !columns[**n].are_numbers());
        let only = texts.next().filter(|_| texts.next().is_none());
        only.copied().filter(|n| repeats(&columns[*n]))
    };
    let key = told_key
        .or_else(|| first(&|c| c.is_key_by_name()).filter(|n| !is_time(*n)))
        .or_else(text_column);

    let mut values = told_values;
    if values.is_empty() {
        let numbers: Vec<usize> = free
            .into_iter()
            .filter(|n| !is_time(*n) && key != Some(*n))
            .filter(|n| columns[*n].are_numbers() && !columns[*n].is_one_of(&PLACE_NAMES))
            .collect();
        let by_name = numbers.iter().find(|n| columns[**n].is_one_of(&VALUE_NAMES));
        values = by_name.map_or_else(|| numbers.clone(), |n| vec![*n]);
    }
    if values.is_empty() {
        let all: Vec<_> = columns.iter().map(|c| c.label.as_str()).collect();
        return Err(format!("found no numbers; name them by --value, of: {}", all.join(", ")));
    }
    Ok(Picked { key, values, time })
}

/// Whether a text comes back, as keys do and remarks do not.
fn repeats(column: &Sampled) -> bool {
    let mut texts: Vec<&String> = column.texts.iter().collect();
    texts.sort_unstable();
    let all = texts.len();
    texts.dedup();
    texts.len() < all
}

fn said(what: &str, columns: &[Sampled], picked: &Picked) -> String {
    let label = |n: usize| columns[n].label.as_str();
    let time = match picked.time {
        Some((n, format)) => {
            let format = match format {
                TimeFormat::Rfc3339 => "RFC 3339",
                TimeFormat::Rfc3339OrUtc => "UTC unless it says otherwise",
                TimeFormat::Seconds => "seconds since 1970",
                TimeFormat::Milliseconds => "milliseconds since 1970",
                TimeFormat::Microseconds => "microseconds since 1970",
                TimeFormat::Nanoseconds => "nanoseconds since 1970",
            };
            format!("time = {} ({format})", label(n))
        }
        None => "no time: rows count as a second apart".into(),
    };
    let values: Vec<_> = picked.values.iter().map(|n| label(*n)).collect();
    let key = picked.key.map_or("the file's name", label);
    format!("{what}; {time}; value = {}; key = {key}", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(text: &str, options: &ColumnOptions) -> Result<Guess, String> {
        let sample: Vec<Vec<u8>> = text.lines().map(|l| l.as_bytes().to_vec()).collect();
        guess(&sample, options, "f").map_err(|e| e.to_string())
    }

    fn said_of(text: &str) -> String {
        let guess = guessed(text, &ColumnOptions::default()).unwrap();
        assert_eq!(guess.format.validate(), Vec::<String>::new());
        guess.said
    }

    #[test]
    fn files_are_guessed_as_people_would() {
        let cases = [
            (
                "timestamp,value\n2014-02-14 14:30:00,0.132\n2014-02-14 14:35:00,0.134",
                "CSV with a header; time = timestamp (UTC unless it says otherwise); \
                 value = value; key = the file's name",
            ),
            (
                "ts;sensor;temp;hum\n1700000000;a;20,5;3\n1700000060;b;21;4\n1700000120;a;21;5",
                "CSV with ';' between columns, with a header; time = ts (seconds since 1970); \
                 value = temp, hum; key = sensor",
            ),
            (
                "time,sensor,value\n1700000000,a,1\n1700000000,b,2\n1700000000,c,x",
                "CSV with a header; time = time (seconds since 1970); value = value; key = sensor",
            ),
            (
                "21.5\n22\nx\n23",
                "CSV without a header; no time: rows count as a second apart; \
                 value = column 0; key = the file's name",
            ),
            (
                "1700000000000\t7\tpump\n1700000000100\t8\tpump",
                "tab-separated without a header; time = column 0 (milliseconds since 1970); \
                 value = column 1; key = column 2",
            ),
            (
                "{\"time\":\"2026-01-01T00:00:00Z\",\"meta\":{\"device_id\":7},\"kw\":1.5}",
                "JSON lines; time = time (UTC unless it says otherwise); value = kw; \
                 key = meta.device_id",
            ),
            (
                "{\"v\":\"1.5\",\"lat\":3.5,\"at\":1700000000000000}\n\
                 {\"v\":\"1.5\",\"lat\":3.5,\"at\":1700000001000000}",
                "JSON lines; time = at (microseconds since 1970); value = v; key = the file's name",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(said_of(text), expected);
        }
    }

    #[test]
    fn what_is_told_is_not_guessed() {
        let options = ColumnOptions {
            key: Some("b".into()),
            values: vec!["2".into()],
            time: Some("a".into()),
            time_format: Some(TimeFormat::Seconds),
            delimiter: None,
        };
        let text = "a,b,c,value\n1,2,3,4\n2,3,4,5";
        assert!(
            guessed(text, &options)
                .unwrap()
                .said
                .contains("time = a (seconds since 1970); value = c; key = b")
        );
        let wrong = ColumnOptions { values: vec!["d".into()], ..ColumnOptions::default() };
        let error = guessed(text, &wrong).unwrap_err();
        assert_eq!(error, "f: there is no column \"d\"; there are: a, b, c, value");
        let later = ColumnOptions { values: vec!["deep.x".into()], ..ColumnOptions::default() };
        assert!(guessed("{\"a\":1}", &later).unwrap().said.contains("value = deep.x"));
    }

    #[test]
    fn what_cannot_be_guessed_is_said() {
        for (text, part) in [
            ("", "nothing in it"),
            ("[{\"a\":1}]", "jq -c"),
            ("{nonsense", "JSON object"),
            ("a,b\nx,y", "found no numbers; name them by --value, of: a, b"),
            ("time,v\nyesterday,1", "no time: rows count as a second apart; value = v"),
        ] {
            let shown = match guessed(text, &ColumnOptions::default()) {
                Ok(guess) => guess.said,
                Err(error) => error,
            };
            assert!(shown.contains(part), "{text:?}: {shown}");
        }
    }
}
