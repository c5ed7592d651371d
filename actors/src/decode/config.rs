//! How a topic's messages are written, as people configure it. Each format is a
//! type of its own and knows nothing of the others' options.

use serde::{Deserialize, Serialize};

use super::path;
use super::time::{self, TimeFormat};
use crate::history::segment::NAME_BYTES_MAX;

/// Values that one message may have.
pub const VALUES_MAX: usize = 1_024;

/// Bytes that the configured name of a value may have.
pub const VALUE_NAME_BYTES_MAX: usize = 255;

/// The format of a topic's messages: `type = "json"` and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FormatConfig {
    /// JSON objects.
    Json(JsonFormat),
    /// One line of comma-separated values.
    Csv(CsvFormat),
    /// Key and value are 64-bit integers, 8 bytes, big-endian; the time is the
    /// message's. A value beyond 2^53 is rounded to the nearest float.
    Long(LongFormat),
    /// Weir's own binary format, see [`super::compact`].
    Compact(CompactFormat),
}

impl Default for FormatConfig {
    fn default() -> Self {
        Self::Json(JsonFormat::default())
    }
}

/// JSON. A path is `$.sensor.id` or `sensor.id`, `list[0]`, `['a.b']` for a name
/// with a dot, `$` for a message that is a bare number. Of a name that is there
/// twice the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonFormat {
    /// Path of the key; without it the key is the message's. A number is taken as
    /// it is written.
    pub key: Option<String>,
    /// Path of the value; the series is the key. Either this or `values`.
    pub value: Option<String>,
    /// Several values of one message; the series are `key/name`. Their order
    /// gives each its index in the message: append, do not reorder.
    pub values: Vec<JsonValue>,
    /// Path of the time; without it the time is the message's.
    pub time: Option<String>,
    /// How the time is written; `rfc3339` unless set.
    pub time_format: Option<TimeFormat>,
    /// Path of degrees north.
    pub latitude: Option<String>,
    /// Path of degrees east.
    pub longitude: Option<String>,
    /// Path of metres above the ellipsoid.
    pub altitude: Option<String>,
    /// Whether `"21.5"` is a number like `21.5` (also in times and locations).
    pub numbers_in_strings: bool,
    /// Whether a message may lack some of its values, or have null for them; one
    /// that lacks all is refused still.
    pub skip_missing: bool,
}

/// One of several values of a JSON message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a path (\"$.temperature\") or { path = \"$.t\", name = \"temperature\" }"
)]
pub enum JsonValue {
    /// By its path; named like the path's last part.
    Path(String),
    /// With a name of its own.
    Named(NamedPath),
}

/// A path with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPath {
    /// The path.
    pub path: String,
    /// The name; without a slash.
    pub name: String,
}

/// CSV, one line a message, quoted by `"` where needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvFormat {
    /// What stands between columns; one ASCII character.
    pub delimiter: char,
    /// The names of the columns, in order, if they are to be named below.
    pub header: Vec<String>,
    /// The key's column; without it the key is the message's.
    pub key: Option<Column>,
    /// The value's column; the series is the key. Either this or `values`.
    pub value: Option<Column>,
    /// Several values of one line; the series are `key/name`.
    pub values: Vec<CsvValue>,
    /// The time's column; without it the time is the message's.
    pub time: Option<Column>,
    /// How the time is written; `rfc3339` unless set.
    pub time_format: Option<TimeFormat>,
    /// The column of degrees north.
    pub latitude: Option<Column>,
    /// The column of degrees east.
    pub longitude: Option<Column>,
    /// The column of metres above the ellipsoid.
    pub altitude: Option<Column>,
    /// Whether a line may lack some of its values (an empty column).
    pub skip_missing: bool,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            delimiter: ',',
            header: Vec::new(),
            key: None,
            value: None,
            values: Vec::new(),
            time: None,
            time_format: None,
            latitude: None,
            longitude: None,
            altitude: None,
            skip_missing: false,
        }
    }
}

/// A column, by its number or by its name in `header`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a column's number, from 0, or its name in `header`")]
pub enum Column {
    /// From 0.
    Number(usize),
    /// One of the configured `header`.
    Name(String),
}

/// One of several values of a CSV line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a column's name in `header` or { column = 3, name = \"t\" }")]
pub enum CsvValue {
    /// A column; named as in `header`.
    Column(Column),
    /// With a name of its own.
    Named(NamedColumn),
}

/// A column with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedColumn {
    /// The column.
    pub column: Column,
    /// The name; without a slash.
    pub name: String,
}

/// 64-bit integers; nothing to configure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongFormat {}

/// Weir's own binary format; nothing to configure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactFormat {}

/// Bounds on what is accepted, whatever the format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Bytes that a key may have.
    pub key_bytes_max: usize,
    /// Bytes that a message's value may have.
    pub message_bytes_max: usize,
    /// The earliest time of an event, RFC 3339.
    pub time_earliest: String,
    /// The first time that is too late, RFC 3339.
    pub time_latest: String,
    /// How far an event's time may lie ahead of its message's, in milliseconds;
    /// no bound unless set.
    pub time_ahead_max_ms: Option<u64>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            key_bytes_max: 512,
            message_bytes_max: 1 << 20,
            time_earliest: "1970-01-01T00:00:00Z".into(),
            time_latest: "2200-01-01T00:00:00Z".into(),
            time_ahead_max_ms: None,
        }
    }
}

impl FormatConfig {
    /// Everything that is wrong with it, each with what to do; empty if nothing.
    pub fn validate(&self) -> Vec<String> {
        match self {
            Self::Json(json) => json.validate(),
            Self::Csv(csv) => csv.validate(),
            Self::Long(_) | Self::Compact(_) => Vec::new(),
        }
    }
}

impl JsonFormat {
    /// Everything that is wrong with it, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let alone = [&self.key, &self.value, &self.time];
        let axes = [&self.latitude, &self.longitude, &self.altitude];
        let values = self.values.iter().map(JsonValue::path);
        for text in alone.into_iter().chain(axes).flatten().map(String::as_str).chain(values) {
            if let Err(fault) = path::parse(text) {
                faults.push(fault);
            }
        }
        let names: Vec<_> = self.values.iter().map(JsonValue::name).collect();
        check_values(self.value.is_some(), &names, &mut faults);
        check_time(self.time.is_some(), self.time_format, &mut faults);
        check_location(axes.map(Option::is_some), &mut faults);
        faults
    }
}

impl JsonValue {
    /// Its path.
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) => path,
            Self::Named(named) => &named.path,
        }
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Path(text) => path::last_name(text),
            Self::Named(named) => Some(named.name.clone()),
        }
    }
}

impl CsvFormat {
    /// Everything that is wrong with it, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            faults.push(format!(
                "delimiter {:?} cannot be; use one ASCII character that is no quote or line end",
                self.delimiter
            ));
        }
        let alone = [&self.key, &self.value, &self.time];
        let axes = [&self.latitude, &self.longitude, &self.altitude];
        let values = self.values.iter().map(CsvValue::column);
        for column in alone.into_iter().chain(axes).flatten().chain(values) {
            if let Err(fault) = self.number_of(column) {
                faults.push(fault);
            }
        }
        let names: Vec<_> = self.values.iter().map(|v| self.name_of(v)).collect();
        check_values(self.value.is_some(), &names, &mut faults);
        check_time(self.time.is_some(), self.time_format, &mut faults);
        check_location(axes.map(Option::is_some), &mut faults);
        faults
    }

    /// The number of a column, from 0.
    pub(super) fn number_of(&self, column: &Column) -> Result<usize, String> {
        /// Columns further right are a mistake.
        const COLUMNS_MAX: usize = 65_536;
        match column {
            Column::Number(number) if *number < COLUMNS_MAX => Ok(*number),
            Column::Number(number) => {
                Err(format!("column {number} is too far right; the last is {}", COLUMNS_MAX - 1))
            }
            Column::Name(name) => self.header.iter().position(|h| h == name).ok_or_else(|| {
                format!("column {name:?} is not in `header`; list the names of all columns there")
            }),
        }
    }

    /// The name of a value, if it has one.
    pub(super) fn name_of(&self, value: &CsvValue) -> Option<String> {
        match value {
            CsvValue::Named(named) => Some(named.name.clone()),
            CsvValue::Column(Column::Name(name)) => Some(name.clone()),
            CsvValue::Column(Column::Number(number)) => self.header.get(*number).cloned(),
        }
    }
}

impl CsvValue {
    /// Its column.
    pub fn column(&self) -> &Column {
        match self {
            Self::Column(column) => column,
            Self::Named(named) => &named.column,
        }
    }
}

impl LimitsConfig {
    /// Everything that is wrong with it, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let key_limit = NAME_BYTES_MAX - VALUE_NAME_BYTES_MAX - 1;
        if !(1..=key_limit).contains(&self.key_bytes_max) {
            faults.push(format!(
                "key_bytes_max = {} cannot be; set 1 to {key_limit}",
                self.key_bytes_max
            ));
        }
        if self.message_bytes_max == 0 {
            faults.push("message_bytes_max = 0 refuses every message; set at least 1".into());
        }
        let bounds = [("time_earliest", &self.time_earliest), ("time_latest", &self.time_latest)];
        let times = bounds.map(|(name, text)| match time::bound(text) {
            Some(time_us) => Some(time_us),
            None => {
                faults.push(format!(
                    "{name} = {text:?} is not RFC 3339; write it like 2200-01-01T00:00:00Z"
                ));
                None
            }
        });
        if let [Some(earliest), Some(latest)] = times
            && earliest >= latest
        {
            faults.push(format!(
                "time_earliest = {:?} is not before time_latest = {:?}",
                self.time_earliest, self.time_latest
            ));
        }
        faults
    }
}

fn check_values(single: bool, names: &[Option<String>], faults: &mut Vec<String>) {
    if single != names.is_empty() {
        faults.push(match single {
            true => "both `value` and `values` are set; keep one of them".into(),
            false => "neither `value` nor `values` is set; say where the value stands".into(),
        });
    }
    if names.len() > VALUES_MAX {
        faults.push(format!("{} values a message; at most {VALUES_MAX}", names.len()));
    }
    for (n, name) in names.iter().enumerate() {
        match name.as_deref() {
            None | Some("") => faults.push(format!("value {n} has no name; give it one (`name`)")),
            Some(name) if name.contains('/') => {
                faults.push(format!("value name {name:?} has a slash; a slash ends the key"));
            }
            Some(name) if name.len() > VALUE_NAME_BYTES_MAX => {
                faults.push(format!(
                    "value name {name:?} is longer than {VALUE_NAME_BYTES_MAX} bytes"
                ));
            }
            Some(name) if names[..n].iter().any(|n| n.as_deref() == Some(name)) => {
                faults.push(format!("value name {name:?} is there twice; names tell series apart"));
            }
            Some(_) => {}
        }
    }
}

fn check_time(has_time: bool, format: Option<TimeFormat>, faults: &mut Vec<String>) {
    if !has_time && format.is_some() {
        faults.push("`time_format` is set without `time`; the message's time has none".into());
    }
}

fn check_location([latitude, longitude, altitude]: [bool; 3], faults: &mut Vec<String>) {
    if latitude != longitude {
        faults.push("`latitude` and `longitude` belong together; set both or none".into());
    }
    if altitude && !(latitude && longitude) {
        faults.push("`altitude` is set without `latitude` and `longitude`".into());
    }
}
