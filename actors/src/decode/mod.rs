//! Decode: from the bytes of a batch to its events. Whatever the bytes are, each
//! message becomes events or a reject that says why not; there is no third.
//!
//! A decoder is a pure function of the batch and its configuration: it knows no
//! clock, and keeps nothing from batch to batch.
//!
//! Of a message with several values each good one is an event; if some are bad,
//! the message is refused once besides, for the first bad one.

pub mod compact;
pub mod config;

mod batch;
mod csv;
mod fields;
mod json;
mod number;
mod path;
mod slot;
mod time;

use batch::{Bad, Limits, Message, Out};
use fields::{Fields, Found, LocationFields, ValueField};
use slot::Slot;

pub use batch::{DETAIL_BYTES_MAX, DecodeBuffers};
pub use config::{
    Column, CompactFormat, CsvFormat, CsvValue, FormatConfig, JsonFormat, JsonValue, LimitsConfig,
    LongFormat, NamedColumn, NamedPath,
};
pub use time::TimeFormat;

use crate::event::{DecodedBatch, KeyEncoding, Location, RejectReason};
use crate::source::{RawBatch, Span};

/// Decodes the batches of one topic. Made once, shared by its readers.
#[derive(Debug)]
pub struct Decoder {
    shape: Shape,
    limits: Limits,
}

#[derive(Debug)]
enum Shape {
    Json(path::PathTree, Fields),
    Csv(csv::Columns, Fields),
    Long,
    Compact,
}

impl Decoder {
    /// A decoder of that format. The error lists everything that is wrong with
    /// the configuration.
    pub fn new(format: &FormatConfig, limits: &LimitsConfig) -> Result<Self, Vec<String>> {
        let mut faults = format.validate();
        faults.extend(limits.validate());
        if !faults.is_empty() {
            return Err(faults);
        }
        let shape = match format {
            FormatConfig::Json(json) => json_shape(json)?,
            FormatConfig::Csv(csv) => csv_shape(csv)?,
            FormatConfig::Long(_) => Shape::Long,
            FormatConfig::Compact(_) => Shape::Compact,
        };
        let bound = |text: &str| time::bound(text).ok_or_else(|| vec![format!("{text:?}")]);
        let limits = Limits {
            key_bytes_max: limits.key_bytes_max,
            message_bytes_max: limits.message_bytes_max,
            earliest_us: bound(&limits.time_earliest)?,
            latest_us: bound(&limits.time_latest)?,
            ahead_max_us: limits
                .time_ahead_max_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)),
        };
        Ok(Self { shape, limits })
    }

    /// How the names of this format's series are written for people.
    pub fn key_encoding(&self) -> KeyEncoding {
        match self.shape {
            Shape::Long => KeyEncoding::LongBe,
            Shape::Json(..) | Shape::Csv(..) | Shape::Compact => KeyEncoding::Utf8,
        }
    }

    /// Decodes a batch.
    pub fn decode(&self, raw: RawBatch) -> DecodedBatch {
        self.decode_with(raw, &mut DecodeBuffers::default())
    }

    /// Decodes a batch into vectors used before.
    pub fn decode_with(&self, raw: RawBatch, buffers: &mut DecodeBuffers) -> DecodedBatch {
        let mut out = Out::new(&raw, self.has_locations(), buffers);
        let mut slots = vec![Slot::Absent; self.slot_count()];
        let mut scratch = Vec::new();
        for (number, record) in (0u32..).zip(&raw.records) {
            let decoded = Message::new(number, record, &raw.bytes, &self.limits)
                .and_then(|message| self.message(message, &mut slots, &mut scratch, &mut out));
            if let Err(bad) = decoded {
                out.rejects.push(bad.into_reject(number));
            }
        }
        out.finish(raw)
    }

    fn fields(&self) -> Option<&Fields> {
        match &self.shape {
            Shape::Json(_, fields) | Shape::Csv(_, fields) => Some(fields),
            Shape::Long | Shape::Compact => None,
        }
    }

    fn has_locations(&self) -> bool {
        self.fields().is_some_and(|f| f.location.is_some())
    }

    fn slot_count(&self) -> usize {
        self.fields().map_or(0, |f| f.labels.len())
    }

    fn message(
        &self,
        message: Message<'_>,
        slots: &mut [Slot],
        scratch: &mut Vec<u8>,
        out: &mut Out,
    ) -> Result<(), Bad> {
        match &self.shape {
            Shape::Json(tree, fields) => {
                json::walk(message.value, tree, slots, scratch).map_err(|fault| {
                    let rest = batch::excerpt(&message.value[fault.at.min(message.value.len())..]);
                    let detail = format!("not JSON at byte {}, {rest}: {}", fault.at, fault.what);
                    Bad::new(RejectReason::Malformed, detail)
                })?;
                fields.events(Found { message, slots, scratch }, out)
            }
            Shape::Csv(columns, fields) => {
                columns.walk(message.value, slots).map_err(|what| {
                    let line = batch::excerpt(message.value);
                    Bad::new(RejectReason::Malformed, format!("not a CSV line, {line}: {what}"))
                })?;
                fields.events(Found { message, slots, scratch }, out)
            }
            Shape::Long => long_event(&message, out),
            Shape::Compact => compact_event(&message, out),
        }
    }
}

/// Key and value are 8 bytes each, the time is the message's.
fn long_event(message: &Message<'_>, out: &mut Out) -> Result<(), Bad> {
    let key = message.own_key()?;
    if key.len() != 8 {
        let detail = format!("the key has {} bytes, a long has 8", key.len());
        return Err(Bad::new(RejectReason::BadKey, detail));
    }
    let Ok(value) = message.value.try_into().map(i64::from_be_bytes) else {
        let detail = format!("the value has {} bytes, a long has 8", message.value.len());
        return Err(Bad::new(RejectReason::Malformed, detail));
    };
    let time_us = message.own_time_us()?;
    message.check_time(time_us)?;
    out.push(message, 0, message.record.key, time_us, value as f64, Location::NONE);
    Ok(())
}

fn compact_event(message: &Message<'_>, out: &mut Out) -> Result<(), Bad> {
    let decoded =
        compact::decode(message.value).map_err(|what| Bad::new(RejectReason::Malformed, what))?;
    let compact::Compact { time_us, value, key_bytes } = decoded;
    let series = match key_bytes {
        0 => {
            message.check_key(message.own_key()?)?;
            message.record.key
        }
        len => {
            message.check_key(&message.value[compact::HEAD_BYTES..])?;
            message.in_batch(Span { start: compact::HEAD_BYTES as u32, len: len as u32 })
        }
    };
    message.check_time(time_us)?;
    if !value.is_finite() {
        let detail = format!("the value is {value}, which is not finite");
        return Err(Bad::new(RejectReason::NotFinite, detail));
    }
    out.push(message, 0, series, time_us, value, Location::NONE);
    Ok(())
}

/// The configured fields of a format, in the order of their slots before those
/// that are there twice fall together.
struct Named<T> {
    fields: Vec<(T, String)>,
}

impl<T> Named<T> {
    fn add(&mut self, field: T, label: String) -> usize {
        self.fields.push((field, label));
        self.fields.len() - 1
    }
}

fn json_shape(json: &JsonFormat) -> Result<Shape, Vec<String>> {
    let mut named = Named { fields: Vec::new() };
    let mut add = |text: &str| -> Result<usize, Vec<String>> {
        let steps = path::parse(text).map_err(|fault| vec![fault])?;
        Ok(named.add(steps, format!("field `{text}`")))
    };
    let mut optional = |text: &Option<String>| text.as_deref().map(&mut add).transpose();
    let (key, time) = (optional(&json.key)?, optional(&json.time)?);
    let axes = [optional(&json.latitude)?, optional(&json.longitude)?, optional(&json.altitude)?];
    let single = optional(&json.value)?;
    let mut values: Vec<_> = single.map(|slot| (slot, String::new())).into_iter().collect();
    for value in &json.values {
        values.push((add(value.path())?, suffix(value.name())));
    }
    let (paths, labels): (Vec<_>, Vec<_>) = named.fields.into_iter().unzip();
    let (tree, slots) = path::PathTree::new(&paths);
    let format = json.time_format.unwrap_or_default();
    let mut fields = fields_of(&slots, labels, key, time.map(|t| (t, format)), axes, values);
    fields.numbers_in_strings = json.numbers_in_strings;
    fields.skip_missing = json.skip_missing;
    Ok(Shape::Json(tree, fields))
}

fn csv_shape(csv: &CsvFormat) -> Result<Shape, Vec<String>> {
    let mut named = Named { fields: Vec::new() };
    let mut add = |column: &Column| -> Result<usize, Vec<String>> {
        let number = csv.number_of(column).map_err(|fault| vec![fault])?;
        let label = match csv.header.get(number) {
            Some(name) => format!("column {number} (`{name}`)"),
            None => format!("column {number}"),
        };
        Ok(named.add(number, label))
    };
    let mut optional = |column: &Option<Column>| column.as_ref().map(&mut add).transpose();
    let (key, time) = (optional(&csv.key)?, optional(&csv.time)?);
    let axes = [optional(&csv.latitude)?, optional(&csv.longitude)?, optional(&csv.altitude)?];
    let single = optional(&csv.value)?;
    let mut values: Vec<_> = single.map(|slot| (slot, String::new())).into_iter().collect();
    for value in &csv.values {
        values.push((add(value.column())?, suffix(csv.name_of(value))));
    }
    let (numbers, labels): (Vec<_>, Vec<_>) = named.fields.into_iter().unzip();
    let (columns, slots) = csv::Columns::new(csv.delimiter as u8, &numbers);
    let format = csv.time_format.unwrap_or_default();
    let mut fields = fields_of(&slots, labels, key, time.map(|t| (t, format)), axes, values);
    // A column is text: there is nothing else that a number could stand in.
    fields.numbers_in_strings = true;
    fields.skip_missing = csv.skip_missing;
    Ok(Shape::Csv(columns, fields))
}

/// What follows the key in the name of a series.
fn suffix(name: Option<String>) -> String {
    format!("/{}", name.unwrap_or_default())
}

fn fields_of(
    slots: &[usize],
    labels: Vec<String>,
    key: Option<usize>,
    time: Option<(usize, TimeFormat)>,
    [latitude, longitude, altitude]: [Option<usize>; 3],
    values: Vec<(usize, String)>,
) -> Fields {
    let location = latitude.zip(longitude).map(|(latitude, longitude)| LocationFields {
        latitude: slots[latitude],
        longitude: slots[longitude],
        altitude: altitude.map(|n| slots[n]),
    });
    let value = |(n, suffix): (usize, String)| ValueField { slot: slots[n], suffix };
    Fields {
        key: key.map(|n| slots[n]),
        values: values.into_iter().map(value).collect(),
        time: time.map(|(n, format)| (slots[n], format)),
        location,
        numbers_in_strings: false,
        skip_missing: false,
        labels,
    }
}

#[cfg(test)]
mod tests;
