//! Events: what a batch of records says once it is decoded.
//!
//! A decoded batch keeps the fetched bytes; an event is 48 bytes that point into
//! them. No event owns memory of its own.

use std::sync::Arc;

use crate::position::Position;
use crate::source::{RawBatch, Span};

/// One value of one series, in a decoded batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// [`crate::route::series_hash`] of the series.
    pub series_hash: u64,
    /// The message's offset.
    pub offset: i64,
    /// When it happened, in microseconds since 1970.
    pub time_us: i64,
    /// The value; finite.
    pub value: f64,
    /// The name of the series, for [`DecodedBatch::series`].
    pub series: Span,
    /// Which record of the batch it comes from.
    pub record: u32,
    /// Which value of the message it is.
    pub index: u16,
}

impl Event {
    /// Where it stands in its partition.
    pub const fn position(&self) -> Position {
        Position { offset: self.offset, index: self.index }
    }
}

/// Where on Earth, or above it, an event happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Metres above the ellipsoid; NaN if it was not given.
    pub altitude_m: f64,
}

impl Location {
    /// No location was given.
    pub const NONE: Location =
        Location { latitude: f64::NAN, longitude: f64::NAN, altitude_m: f64::NAN };
}

/// A record that is not an event, or a value of it that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Which record of the batch.
    pub record: u32,
    /// Why, by kind.
    pub reason: RejectReason,
    /// Why, in words, for a person.
    pub detail: String,
}

/// Why a record is not an event. The names are labels of metrics and headers of
/// dead letters; they do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The value is null.
    Tombstone,
    /// The value has no bytes.
    Empty,
    /// The bytes are not of the configured format.
    Malformed,
    /// A field that the configuration names is not there.
    MissingField,
    /// The key is null or absent.
    MissingKey,
    /// The key is longer than the limit, or not UTF-8.
    BadKey,
    /// The value is not a number.
    NotANumber,
    /// The value is NaN or infinite.
    NotFinite,
    /// The time cannot be read.
    BadTime,
    /// The time lies outside the configured bounds.
    TimeOutOfRange,
    /// The latitude, longitude or altitude cannot be.
    BadLocation,
    /// The message is larger than the limit, or has too many values.
    TooLarge,
    /// The time is further behind its series' clock than the policy allows.
    TooLate,
    /// A detector failed on it again and again.
    Poison,
}

impl RejectReason {
    /// All of them, in order.
    pub const ALL: [RejectReason; 14] = [
        Self::Tombstone,
        Self::Empty,
        Self::Malformed,
        Self::MissingField,
        Self::MissingKey,
        Self::BadKey,
        Self::NotANumber,
        Self::NotFinite,
        Self::BadTime,
        Self::TimeOutOfRange,
        Self::BadLocation,
        Self::TooLarge,
        Self::TooLate,
        Self::Poison,
    ];

    /// The name used in metrics, headers and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::MissingField => "missing_field",
            Self::MissingKey => "missing_key",
            Self::BadKey => "bad_key",
            Self::NotANumber => "not_a_number",
            Self::NotFinite => "not_finite",
            Self::BadTime => "bad_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::BadLocation => "bad_location",
            Self::TooLarge => "too_large",
            Self::TooLate => "too_late",
            Self::Poison => "poison",
        }
    }
}

/// A batch of records with the events found in it.
#[derive(Debug)]
pub struct DecodedBatch {
    /// The records as fetched.
    pub raw: RawBatch,
    /// Names of series that do not stand in the fetched bytes as they are (a key
    /// with a field's name behind it). Spans at and after the end of
    /// `raw.bytes` point in here.
    pub names: Vec<u8>,
    /// The events, in the order of the log.
    pub events: Vec<Event>,
    /// Where each event happened: as long as `events` if the format is
    /// configured to read locations, else empty.
    pub locations: Vec<Location>,
    /// What is not an event, in the order of the log.
    pub rejects: Vec<Reject>,
}

impl DecodedBatch {
    /// The name of the event's series.
    pub fn series(&self, event: &Event) -> &[u8] {
        let (start, len) = (event.series.start as usize, event.series.len as usize);
        match start.checked_sub(self.raw.bytes.len()) {
            None => &self.raw.bytes[start..start + len],
            Some(start) => &self.names[start..start + len],
        }
    }

    /// The memory that it holds, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.raw.size_bytes()
            + self.names.capacity()
            + self.events.capacity() * size_of::<Event>()
            + self.locations.capacity() * size_of::<Location>()
    }
}

/// How the name of a series is written for people, in CQL, and in alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEncoding {
    /// The name's bytes are UTF-8 text.
    Utf8,
    /// The name is a 64-bit integer, 8 bytes, big-endian.
    LongBe,
}

impl KeyEncoding {
    /// The name as people read it.
    pub fn render(self, series: &[u8]) -> String {
        match (self, series.first_chunk::<8>()) {
            (Self::LongBe, Some(bytes)) if series.len() == 8 => {
                i64::from_be_bytes(*bytes).to_string()
            }
            _ => String::from_utf8_lossy(series).into_owned(),
        }
    }

    /// The bytes of a name that a person wrote; `None` if it cannot be one.
    pub fn parse(self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(name.as_bytes().to_vec()),
            Self::LongBe => name.parse::<i64>().ok().map(|n| n.to_be_bytes().to_vec()),
        }
    }
}

/// A decoded batch as the shards share it.
pub type SharedBatch = Arc<DecodedBatch>;
