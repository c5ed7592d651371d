//! From the fields of a message (of JSON or CSV) to its events.

use super::batch::{Bad, Message, Out, excerpt};
use super::number;
use super::slot::Slot;
use super::time::TimeFormat;
use crate::event::{Location, RejectReason};
use crate::source::Span;

/// What each slot is for.
#[derive(Debug)]
pub(super) struct Fields {
    /// The key's slot; without one the key is the message's.
    pub(super) key: Option<usize>,
    /// The values, by their index in the message.
    pub(super) values: Vec<ValueField>,
    pub(super) time: Option<(usize, TimeFormat)>,
    pub(super) location: Option<LocationFields>,
    pub(super) numbers_in_strings: bool,
    pub(super) skip_missing: bool,
    /// How people call each slot.
    pub(super) labels: Vec<String>,
}

#[derive(Debug)]
pub(super) struct ValueField {
    pub(super) slot: usize,
    /// `/name`, what follows the key in the series' name; empty for a single one.
    pub(super) suffix: String,
}

#[derive(Debug)]
pub(super) struct LocationFields {
    pub(super) latitude: usize,
    pub(super) longitude: usize,
    pub(super) altitude: Option<usize>,
}

/// A message with its fields found.
pub(super) struct Found<'a> {
    pub(super) message: Message<'a>,
    pub(super) slots: &'a [Slot],
    pub(super) scratch: &'a mut Vec<u8>,
}

impl Fields {
    /// Adds the message's events. An error is one of the whole message, or the
    /// first of its values: then the others are events still.
    pub(super) fn events(&self, mut found: Found<'_>, out: &mut Out) -> Result<(), Bad> {
        let key = self.key(&mut found, out)?;
        let time_us = self.time_us(&mut found)?;
        found.message.check_time(time_us)?;
        let location = self.location(&mut found)?;

        let (mut first_bad, mut missing) = (None, 0);
        for (index, field) in self.values.iter().enumerate() {
            let value = match self.number(&mut found, field.slot) {
                Ok(value) => value,
                Err(bad) if bad.reason == RejectReason::MissingField && self.skip_missing => {
                    missing += 1;
                    continue;
                }
                Err(bad) => {
                    first_bad = first_bad.or(Some(bad));
                    continue;
                }
            };
            let series = match field.suffix.as_str() {
                "" => key,
                suffix => out.add_joined(found.message.bytes, key, suffix)?,
            };
            out.push(&found.message, index as u16, series, time_us, value, location);
        }
        if missing == self.values.len() {
            let detail = "none of the values is there";
            return Err(Bad::new(RejectReason::MissingField, detail));
        }
        first_bad.map_or(Ok(()), Err)
    }

    fn key(&self, found: &mut Found<'_>, out: &mut Out) -> Result<Span, Bad> {
        let message = &found.message;
        let Some(n) = self.key else {
            message.check_key(message.own_key()?)?;
            return Ok(message.record.key);
        };
        let slot = found.slots[n];
        match slot {
            Slot::Absent => return Err(self.missing(n, slot)),
            Slot::Null => {
                let detail = format!("the key, {}, is null", self.labels[n]);
                return Err(Bad::new(RejectReason::MissingKey, detail));
            }
            _ => {}
        }
        let Some(text) = slot.text(message.value, found.scratch) else {
            let what = match slot {
                Slot::Escaped(_) => "not UTF-8: it has half of a surrogate pair",
                slot => slot.kind(),
            };
            let detail = format!("the key, {}, is {what}", self.labels[n]);
            return Err(Bad::new(RejectReason::BadKey, detail));
        };
        message.check_key(text)?;
        match slot {
            Slot::Number(span) | Slot::Text(span) => Ok(message.in_batch(span)),
            _ => out.add_name(text),
        }
    }

    fn time_us(&self, found: &mut Found<'_>) -> Result<i64, Bad> {
        let Some((n, format)) = self.time else { return found.message.own_time_us() };
        let slot = found.slots[n];
        let fits = match slot {
            Slot::Absent | Slot::Null => return Err(self.missing(n, slot)),
            Slot::Number(_) => format.is_number(),
            _ => !format.is_number() || self.numbers_in_strings,
        };
        let text = slot.text(found.message.value, found.scratch);
        if let Some(time_us) = text.filter(|_| fits).and_then(|text| format.parse(text)) {
            return Ok(time_us);
        }
        let shown = text.map_or_else(|| slot.kind().into(), excerpt);
        let hint = match slot {
            Slot::Text(_) if !fits => "; it is text, see numbers_in_strings",
            _ => "",
        };
        let detail =
            format!("the time, {}, is {shown}, not {}{hint}", self.labels[n], format.example());
        Err(Bad::new(RejectReason::BadTime, detail))
    }

    fn location(&self, found: &mut Found<'_>) -> Result<Location, Bad> {
        let Some(fields) = &self.location else { return Ok(Location::NONE) };
        let axes = [Some(fields.latitude), Some(fields.longitude), fields.altitude];
        let limits = [90.0, 180.0, f64::MAX];
        let mut values = [f64::NAN; 3];
        for ((n, limit), value) in axes.into_iter().zip(limits).zip(&mut values) {
            let Some(n) = n else { continue };
            if matches!(found.slots[n], Slot::Absent | Slot::Null) {
                continue;
            }
            let bad = |detail: String| Bad::new(RejectReason::BadLocation, detail);
            *value = self.number(found, n).map_err(|e| bad(e.into_reject(0).detail))?;
            if value.abs() > limit {
                let detail = format!("{} is {value}, beyond {limit} degrees", self.labels[n]);
                return Err(bad(detail));
            }
        }
        let [latitude, longitude, altitude_m] = values;
        if latitude.is_nan() != longitude.is_nan() {
            let detail = "of latitude and longitude only one is there";
            return Err(Bad::new(RejectReason::BadLocation, detail));
        }
        Ok(Location { latitude, longitude, altitude_m })
    }

    fn number(&self, found: &mut Found<'_>, n: usize) -> Result<f64, Bad> {
        let slot = found.slots[n];
        let is_number = match slot {
            Slot::Absent | Slot::Null => return Err(self.missing(n, slot)),
            Slot::NotFinite(span) => {
                return Err(self.not_finite(n, span.of(found.message.value).unwrap_or_default()));
            }
            Slot::Number(_) => true,
            Slot::Text(_) | Slot::Escaped(_) | Slot::Doubled(_) => self.numbers_in_strings,
            Slot::Other(_) => false,
        };
        let text = slot.text(found.message.value, found.scratch);
        match text.filter(|_| is_number).and_then(|t| number::parse(t.trim_ascii())) {
            Some(value) if value.is_finite() => Ok(value),
            Some(_) => Err(self.not_finite(n, text.unwrap_or_default())),
            None => {
                let shown = text.map_or_else(|| slot.kind().into(), excerpt);
                let hint = match slot {
                    Slot::Text(_) if !is_number => ", as text; see numbers_in_strings",
                    _ => "",
                };
                let detail = format!("{} is {shown}, not a number{hint}", self.labels[n]);
                Err(Bad::new(RejectReason::NotANumber, detail))
            }
        }
    }

    fn missing(&self, n: usize, slot: Slot) -> Bad {
        let what = if slot == Slot::Null { "null" } else { "missing" };
        Bad::new(RejectReason::MissingField, format!("{} is {what}", self.labels[n]))
    }

    fn not_finite(&self, n: usize, text: &[u8]) -> Bad {
        let detail = format!("{} is {}, which is not finite", self.labels[n], excerpt(text));
        Bad::new(RejectReason::NotFinite, detail)
    }
}
