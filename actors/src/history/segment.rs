//! A segment: a packed, compressed, checksummed block of one group's events, in
//! the order of the log. Lossless to the bit of every value.
//!
//! ```text
//! header, 39 bytes, integers little-endian:
//!   magic "WS", version u8 (1)
//!   checksum u64: XXH3-64 of all that follows
//!   body length u32, events u32
//!   first offset i64, first index u16, last offset i64, last index u16
//! body, columns of all events one after the other:
//!   dictionary of the series' names; series of each event (column of integers)
//!   offsets; indexes; unit of time u8 (0: 1 us, 1: 1 ms, 2: 1 s), times in it
//!   values (column of floats); flags
//!   locations u8 (0: none, 1: all, 2: some, with a column of 0 and 1); if any:
//!   latitudes, longitudes, altitudes of the events that have one
//! ```
//!
//! A column of integers is the best of a few predictions in packed frames, one
//! of floats is decimals where they are (see the files beside this one).
//! Version 1 is read for ever: a later version adds a number and its own reader.
//!
//! Why a code of its own: it knows which values belong to one series, so decimals
//! that walk take about a byte each where `pco`, which does not, takes 1.3 to 1.5
//! and four times as long; on noise both come to 7 bytes of mantissa. The figures
//! are those of `examples/codec_speed.rs`.
//!
//! ```
//! use weir_actors::history::{SegmentBuilder, SegmentReader, SegmentScratch, flags};
//! use weir_actors::position::Position;
//!
//! let (mut builder, mut scratch) = (SegmentBuilder::new(), SegmentScratch::default());
//! builder.append(b"pump-7", Position::at(40), 1_700_000_000_000_000, 21.5, 0, None);
//! builder.append(b"pump-9", Position::at(44), 1_699_999_999_000_000, 19.25, flags::LATE, None);
//! let segment = builder.finish(&mut scratch).expect("there are events");
//!
//! let columns = SegmentReader::new(&segment.bytes)?.read()?;
//! let late = columns.events().find(|e| e.flags & flags::LATE != 0).expect("one is late");
//! assert_eq!((late.series, late.value), (b"pump-9".as_slice(), 19.25));
//! # Ok::<(), weir_actors::history::SegmentError>(())
//! ```

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{self, SegmentColumns};
use super::dictionary::{self, Dictionary, DictionaryScratch};
use super::floats::{self, FloatScratch};
use super::integers::{self, Scratch, SeriesOf};
use crate::position::Position;
use crate::route::series_hash;
use crate::store::Segment;

/// Events in one segment at most.
pub const EVENTS_MAX: usize = 1 << 16;

/// Bytes that a series' name may have.
pub const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes that all names of a segment may have.
pub const DICTIONARY_BYTES_MAX: usize = 8 << 20;

/// The version that is written.
pub const VERSION: u8 = 1;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 39;

const MAGIC: [u8; 2] = *b"WS";

/// Where the bytes begin that the checksum covers.
const CHECKED_FROM: usize = 11;

/// Units of time, in microseconds, by their codes.
pub(super) const TIME_UNITS_US: [i64; 3] = [1, 1_000, 1_000_000];

/// What a first estimate supposes before a block was measured.
const FIRST_BYTES_PER_EVENT: f64 = 9.0;

/// Why a segment cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// There are fewer bytes than the header says, or less than a header.
    #[error("the segment is cut short: {found} bytes of {expected}")]
    Truncated {
        /// Bytes that there should be.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// The bytes are not those that were written.
    #[error("the segment is damaged: checksum {found:016x}, written as {expected:016x}")]
    Checksum {
        /// The checksum in the header.
        expected: u64,
        /// The checksum of the bytes.
        found: u64,
    },
    /// Written by a version that this one does not know.
    #[error("the segment is of version {0}, this node reads version 1; upgrade the node")]
    Version(u8),
    /// The checksum fits, but the contents cannot be.
    #[error("the segment cannot be read: {0}")]
    Corrupt(&'static str),
}

/// What the header says, read without decoding the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The first event's position.
    pub first: Position,
    /// The last event's position.
    pub last: Position,
    /// How many events.
    pub events: u32,
}

/// Collects one group's events and packs them. Used for one segment after the
/// other: in steady state an append allocates nothing. It keeps the memory of its
/// largest segment, so an idle group's builder is better lent to another.
#[derive(Default)]
pub struct SegmentBuilder {
    /// Names to their indexes in `names`, by hash.
    known: HashTable<(u64, u32)>,
    names: Dictionary,
    series: Vec<u32>,
    offsets: Vec<i64>,
    indexes: Vec<u16>,
    times_us: Vec<i64>,
    values: Vec<f64>,
    flags: Vec<u8>,
    /// Empty until an event has a location, then one for each event.
    locations: Vec<Option<[f64; 3]>>,
    bytes_per_event: Option<f64>,
}

/// Memory for packing, for any number of builders on one thread.
#[derive(Default)]
pub struct SegmentScratch {
    integers: Scratch,
    floats: FloatScratch,
    dictionary: DictionaryScratch,
    column: Vec<i64>,
    axis: Vec<f64>,
    located: Vec<u32>,
}

impl SegmentBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event behind the others.
    ///
    /// # Panics
    /// If `position` does not lie after the last one, the name is longer than
    /// [`NAME_BYTES_MAX`], or the segment [is full](Self::is_full).
    pub fn append(
        &mut self,
        series: &[u8],
        position: Position,
        time_us: i64,
        value: f64,
        flags: u8,
        location: Option<[f64; 3]>,
    ) {
        self.append_hashed(series_hash(series), series, position, time_us, value, flags, location);
    }

    /// The same, where [`series_hash`] of the series is known already.
    #[allow(clippy::too_many_arguments)]
    pub fn append_hashed(
        &mut self,
        hash: u64,
        series: &[u8],
        position: Position,
        time_us: i64,
        value: f64,
        flags: u8,
        location: Option<[f64; 3]>,
    ) {
        assert!(!self.is_full(), "a full segment is finished before the next event");
        assert!(series.len() <= NAME_BYTES_MAX, "a name of {} bytes is too long", series.len());
        assert!(self.last().is_none_or(|last| last < position), "positions rise in a segment");
        let index = self.index_of(hash, series);
        if location.is_some() && self.locations.is_empty() {
            self.locations.resize(self.series.len(), None);
        }
        if location.is_some() || !self.locations.is_empty() {
            self.locations.push(location);
        }
        self.series.push(index);
        self.offsets.push(position.offset);
        self.indexes.push(position.index);
        self.times_us.push(time_us);
        self.values.push(value);
        self.flags.push(flags);
    }

    fn index_of(&mut self, hash: u64, series: &[u8]) -> u32 {
        let names = &mut self.names;
        let is_it = |&(known, index): &(u64, u32)| known == hash && names.name(index) == series;
        if let Some(&(_, index)) = self.known.find(hash, is_it) {
            return index;
        }
        let index = names.len() as u32;
        names.push(series);
        self.known.insert_unique(hash, (hash, index), |&(hash, _)| hash);
        index
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Whether it must be finished before another event is added.
    pub fn is_full(&self) -> bool {
        self.series.len() == EVENTS_MAX
            || self.names.size_bytes() > DICTIONARY_BYTES_MAX - NAME_BYTES_MAX
    }

    /// The first event's position.
    pub fn first(&self) -> Option<Position> {
        self.position(0)
    }

    /// The last event's position.
    pub fn last(&self) -> Option<Position> {
        self.position(self.series.len().checked_sub(1)?)
    }

    fn position(&self, n: usize) -> Option<Position> {
        Some(Position { offset: *self.offsets.get(n)?, index: self.indexes[n] })
    }

    /// About how many bytes the segment will have, going by the last one that
    /// this builder made. Not a bound.
    pub fn size_estimate(&self) -> usize {
        let each = self.bytes_per_event.unwrap_or(FIRST_BYTES_PER_EVENT);
        HEADER_BYTES + (self.len() as f64 * each) as usize
    }

    /// The memory that it holds, in bytes, whether events are in it or not.
    pub fn memory_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.known.capacity() * size_of::<(u64, u32)>()
            + self.series.capacity() * (4 + 8 + 2 + 8 + 8 + 1)
            + self.locations.capacity() * size_of::<Option<[f64; 3]>>()
    }

    /// Packs what it holds and empties it; `None` if it holds nothing.
    pub fn finish(&mut self, scratch: &mut SegmentScratch) -> Option<Segment> {
        let mut bytes = Vec::with_capacity(self.size_estimate() * 9 / 8);
        let SegmentHeader { first, last, events } = self.finish_into(scratch, &mut bytes)?;
        bytes.shrink_to_fit();
        Some(Segment { first, last, events, bytes })
    }

    /// The same, appended to `out`.
    pub fn finish_into(
        &mut self,
        scratch: &mut SegmentScratch,
        out: &mut Vec<u8>,
    ) -> Option<SegmentHeader> {
        let header = SegmentHeader {
            first: self.first()?,
            last: self.last()?,
            events: self.series.len() as u32,
        };
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        self.write_body(scratch, out);
        write_header(header, &mut out[start..]);
        self.bytes_per_event =
            Some((out.len() - start - HEADER_BYTES) as f64 / f64::from(header.events));
        self.clear();
        Some(header)
    }

    /// Forgets what it holds; keeps its memory.
    pub fn clear(&mut self) {
        self.known.clear();
        self.names.clear();
        self.series.clear();
        self.offsets.clear();
        self.indexes.clear();
        self.times_us.clear();
        self.values.clear();
        self.flags.clear();
        self.locations.clear();
    }

    fn write_body(&self, scratch: &mut SegmentScratch, out: &mut Vec<u8>) {
        let SegmentScratch { integers, floats, dictionary, column, .. } = scratch;
        let series = SeriesOf { of: &self.series, count: self.names.len() };
        dictionary::encode(&self.names, dictionary, integers, out);
        fill(column, self.series.iter().map(|&s| i64::from(s)));
        integers::encode(column, None, integers, out);
        integers::encode(&self.offsets, None, integers, out);
        fill(column, self.indexes.iter().map(|&i| i64::from(i)));
        integers::encode(column, None, integers, out);

        let unit = time_unit(&self.times_us);
        out.push(unit as u8);
        fill(column, self.times_us.iter().map(|&t| t / TIME_UNITS_US[unit]));
        integers::encode(column, Some(series), integers, out);
        floats::encode(&self.values, series, floats, out);
        fill(column, self.flags.iter().map(|&f| i64::from(f)));
        integers::encode(column, None, integers, out);
        self.write_locations(scratch, out);
    }

    fn write_locations(&self, scratch: &mut SegmentScratch, out: &mut Vec<u8>) {
        let SegmentScratch { integers, floats, column, axis, located, .. } = scratch;
        if self.locations.is_empty() {
            return out.push(columns::LOCATIONS_NONE);
        }
        if self.locations.iter().all(Option::is_some) {
            out.push(columns::LOCATIONS_ALL);
        } else {
            out.push(columns::LOCATIONS_SOME);
            fill(column, self.locations.iter().map(|l| i64::from(l.is_some())));
            integers::encode(column, None, integers, out);
        }
        located.clear();
        let of = self.series.iter().zip(&self.locations);
        located.extend(of.filter(|(_, l)| l.is_some()).map(|(&s, _)| s));
        let series = SeriesOf { of: located, count: self.names.len() };
        for n in 0..3 {
            axis.clear();
            axis.extend(self.locations.iter().flatten().map(|l| l[n]));
            floats::encode(axis, series, floats, out);
        }
    }
}

fn fill(column: &mut Vec<i64>, values: impl Iterator<Item = i64>) {
    column.clear();
    column.extend(values);
}

/// The largest unit that all times are whole in.
fn time_unit(times_us: &[i64]) -> usize {
    // By constants, so that no division is made.
    if times_us.iter().any(|t| t % TIME_UNITS_US[1] != 0) {
        0
    } else if times_us.iter().any(|t| t % TIME_UNITS_US[2] != 0) {
        1
    } else {
        2
    }
}

fn write_header(header: SegmentHeader, block: &mut [u8]) {
    let body = (block.len() - HEADER_BYTES) as u32;
    block[..2].copy_from_slice(&MAGIC);
    block[2] = VERSION;
    block[11..15].copy_from_slice(&body.to_le_bytes());
    block[15..19].copy_from_slice(&header.events.to_le_bytes());
    block[19..27].copy_from_slice(&header.first.offset.to_le_bytes());
    block[27..29].copy_from_slice(&header.first.index.to_le_bytes());
    block[29..37].copy_from_slice(&header.last.offset.to_le_bytes());
    block[37..39].copy_from_slice(&header.last.index.to_le_bytes());
    let checksum = xxh3_64(&block[CHECKED_FROM..]);
    block[3..11].copy_from_slice(&checksum.to_le_bytes());
}

/// A segment whose checksum was found right.
#[derive(Clone, Copy, Debug)]
pub struct SegmentReader<'a> {
    header: SegmentHeader,
    body: &'a [u8],
}

impl<'a> SegmentReader<'a> {
    /// Checks length, version and checksum. Decodes nothing yet.
    pub fn new(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let found = bytes.len();
        let Some((head, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(SegmentError::Truncated { expected: HEADER_BYTES, found });
        };
        if head[..2] != MAGIC {
            return Err(SegmentError::Corrupt("it does not begin like a segment"));
        }
        if head[2] != VERSION {
            return Err(SegmentError::Version(head[2]));
        }
        let body_bytes = u32::from_le_bytes(part(head, 11)) as usize;
        if body.len() < body_bytes {
            return Err(SegmentError::Truncated { expected: HEADER_BYTES + body_bytes, found });
        }
        let expected = u64::from_le_bytes(part(head, 3));
        let checksum = xxh3_64(&bytes[CHECKED_FROM..]);
        if expected != checksum {
            return Err(SegmentError::Checksum { expected, found: checksum });
        }
        if body.len() > body_bytes {
            return Err(SegmentError::Corrupt("bytes follow behind its end"));
        }
        let position = |at| Position {
            offset: i64::from_le_bytes(part(head, at)),
            index: u16::from_le_bytes(part(head, at + 8)),
        };
        let events = u32::from_le_bytes(part(head, 15));
        if events == 0 || events as usize > EVENTS_MAX {
            return Err(SegmentError::Corrupt("it has no event, or more than a segment may have"));
        }
        Ok(Self { header: SegmentHeader { first: position(19), last: position(29), events }, body })
    }

    /// What the header says.
    pub fn header(&self) -> SegmentHeader {
        self.header
    }

    /// Decodes all events into `columns`, which is emptied first. After an error
    /// it holds nothing.
    pub fn read_into(&self, columns: &mut SegmentColumns) -> Result<(), SegmentError> {
        columns.read(self.header, self.body)
    }

    /// Decodes all events.
    pub fn read(&self) -> Result<SegmentColumns, SegmentError> {
        let mut columns = SegmentColumns::default();
        self.read_into(&mut columns)?;
        Ok(columns)
    }
}

fn part<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    head[at..at + N].try_into().expect("the header has all its parts")
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
