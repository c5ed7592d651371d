//! What all formats share: the message at hand, and the events of a batch while
//! it is decoded.

use crate::event::{DecodedBatch, Event, Location, Reject, RejectReason};
use crate::route::series_hash;
use crate::source::{RawBatch, RawRecord, Span};

/// Bytes that a reject's detail has at most.
pub const DETAIL_BYTES_MAX: usize = 200;

/// Bytes of a bad value that are shown in a detail.
const EXCERPT_BYTES: usize = 40;

/// Why a message, or a value of it, is not an event.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) reason: RejectReason,
    detail: String,
}

impl Bad {
    pub(super) fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            let mut end = DETAIL_BYTES_MAX - 3;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
            detail.push_str("...");
        }
        Self { reason, detail }
    }

    pub(super) fn into_reject(self, record: u32) -> Reject {
        Reject { record, reason: self.reason, detail: self.detail }
    }
}

/// The beginning of a bad value, so that a person sees it.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(EXCERPT_BYTES)];
    let more = if cut.len() < bytes.len() { "..." } else { "" };
    format!("`{}{more}`", String::from_utf8_lossy(cut).escape_debug())
}

/// Bounds, ready for use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) key_bytes_max: usize,
    pub(super) message_bytes_max: usize,
    pub(super) earliest_us: i64,
    /// Exclusive.
    pub(super) latest_us: i64,
    pub(super) ahead_max_us: Option<i64>,
}

/// The message that is decoded.
pub(super) struct Message<'a> {
    pub(super) number: u32,
    pub(super) record: &'a RawRecord,
    /// The batch's bytes.
    pub(super) bytes: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) limits: &'a Limits,
}

impl<'a> Message<'a> {
    /// The message, if it has a value at all.
    pub(super) fn new(
        number: u32,
        record: &'a RawRecord,
        bytes: &'a [u8],
        limits: &'a Limits,
    ) -> Result<Self, Bad> {
        let Some(value) = record.value.of(bytes) else {
            return Err(Bad::new(RejectReason::Tombstone, "the message's value is null"));
        };
        if value.is_empty() {
            return Err(Bad::new(RejectReason::Empty, "the message's value has no bytes"));
        }
        if value.len() > limits.message_bytes_max {
            let detail = format!(
                "the message has {} bytes, message_bytes_max is {}",
                value.len(),
                limits.message_bytes_max
            );
            return Err(Bad::new(RejectReason::TooLarge, detail));
        }
        Ok(Self { number, record, bytes, value, limits })
    }

    /// Where a part of the value stands in the batch.
    pub(super) fn in_batch(&self, part: Span) -> Span {
        Span { start: self.record.value.start + part.start, len: part.len }
    }

    /// The message's own key, which may not be null.
    pub(super) fn own_key(&self) -> Result<&'a [u8], Bad> {
        self.record
            .key
            .of(self.bytes)
            .ok_or_else(|| Bad::new(RejectReason::MissingKey, "the message's key is null"))
    }

    /// Checks a key as text.
    pub(super) fn check_key(&self, key: &[u8]) -> Result<(), Bad> {
        let limit = self.limits.key_bytes_max;
        if key.is_empty() {
            return Err(Bad::new(RejectReason::MissingKey, "the key is empty"));
        }
        if key.len() > limit {
            let detail = format!(
                "the key {} has {} bytes, key_bytes_max is {limit}",
                excerpt(key),
                key.len()
            );
            return Err(Bad::new(RejectReason::BadKey, detail));
        }
        if std::str::from_utf8(key).is_err() {
            let detail = format!("the key {} is not UTF-8", excerpt(key));
            return Err(Bad::new(RejectReason::BadKey, detail));
        }
        Ok(())
    }

    /// The message's own time.
    pub(super) fn own_time_us(&self) -> Result<i64, Bad> {
        let ms = self.record.timestamp_ms;
        if ms < 0 {
            let detail = format!(
                "the message has no timestamp ({ms}) and the format takes the time from it"
            );
            return Err(Bad::new(RejectReason::BadTime, detail));
        }
        Ok(ms.saturating_mul(1_000))
    }

    /// Checks a time against the bounds.
    pub(super) fn check_time(&self, time_us: i64) -> Result<(), Bad> {
        let Limits { earliest_us, latest_us, ahead_max_us, .. } = *self.limits;
        let outside = |what: String| {
            let seconds = time_us.div_euclid(1_000_000);
            let detail = format!("the time, {seconds} seconds since 1970, {what}");
            Err(Bad::new(RejectReason::TimeOutOfRange, detail))
        };
        if time_us < earliest_us {
            return outside("lies before time_earliest".into());
        }
        if time_us >= latest_us {
            return outside("is not before time_latest".into());
        }
        let own_us = self.record.timestamp_ms.saturating_mul(1_000);
        match ahead_max_us {
            Some(ahead_us) if own_us >= 0 && time_us > own_us.saturating_add(ahead_us) => {
                outside(format!("lies over {} ms ahead of its message's", ahead_us / 1_000))
            }
            _ => Ok(()),
        }
    }
}

/// Vectors used again from batch to batch, so that a steady reader allocates
/// nothing.
#[derive(Debug, Default)]
pub struct DecodeBuffers {
    names: Vec<u8>,
    events: Vec<Event>,
    locations: Vec<Location>,
    rejects: Vec<Reject>,
}

impl DecodeBuffers {
    /// Takes the vectors of a batch that is done with, and gives its bytes back
    /// for the source to use.
    pub fn recycle(&mut self, batch: DecodedBatch) -> RawBatch {
        let DecodedBatch { raw, names, events, locations, rejects } = batch;
        *self = Self { names, events, locations, rejects };
        raw
    }
}

/// The batch in the making.
pub(super) struct Out {
    bytes_len: usize,
    with_locations: bool,
    pub(super) names: Vec<u8>,
    pub(super) events: Vec<Event>,
    pub(super) locations: Vec<Location>,
    pub(super) rejects: Vec<Reject>,
}

impl Out {
    pub(super) fn new(raw: &RawBatch, with_locations: bool, buffers: &mut DecodeBuffers) -> Self {
        let DecodeBuffers { mut names, mut events, mut locations, mut rejects } =
            std::mem::take(buffers);
        names.clear();
        events.clear();
        locations.clear();
        rejects.clear();
        events.reserve(raw.records.len());
        Self { bytes_len: raw.bytes.len(), with_locations, names, events, locations, rejects }
    }

    pub(super) fn finish(self, raw: RawBatch) -> DecodedBatch {
        let Self { names, events, locations, rejects, .. } = self;
        DecodedBatch { raw, names, events, locations, rejects }
    }

    /// Puts a name that does not stand in the fetched bytes beside them.
    pub(super) fn add_name(&mut self, name: &[u8]) -> Result<Span, Bad> {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.name_from(start)
    }

    /// Puts the name `key` and `suffix` beside the fetched bytes.
    pub(super) fn add_joined(
        &mut self,
        bytes: &[u8],
        key: Span,
        suffix: &str,
    ) -> Result<Span, Bad> {
        let start = self.names.len();
        match (key.start as usize).checked_sub(self.bytes_len) {
            None => self.names.extend_from_slice(key.of(bytes).unwrap_or_default()),
            Some(at) => self.names.extend_from_within(at..at + key.len as usize),
        }
        self.names.extend_from_slice(suffix.as_bytes());
        self.name_from(start)
    }

    fn name_from(&mut self, start: usize) -> Result<Span, Bad> {
        let end = self.bytes_len + self.names.len();
        if u32::try_from(end).is_err() {
            self.names.truncate(start);
            let detail = "the batch and its names are over 4 GiB; fetch less at once";
            return Err(Bad::new(RejectReason::TooLarge, detail));
        }
        let len = (self.names.len() - start) as u32;
        Ok(Span { start: (self.bytes_len + start) as u32, len })
    }

    /// Adds an event.
    pub(super) fn push(
        &mut self,
        message: &Message<'_>,
        index: u16,
        series: Span,
        time_us: i64,
        value: f64,
        location: Location,
    ) {
        let (start, len) = (series.start as usize, series.len as usize);
        let name = match start.checked_sub(self.bytes_len) {
            None => &message.bytes[start..start + len],
            Some(start) => &self.names[start..start + len],
        };
        self.events.push(Event {
            series_hash: series_hash(name),
            offset: message.record.offset,
            time_us,
            value,
            series,
            record: message.number,
            index,
        });
        if self.with_locations {
            self.locations.push(location);
        }
    }
}
