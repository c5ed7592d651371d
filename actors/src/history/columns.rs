//! A decoded segment: its events in columns, in the order of the log.

use super::dictionary::{self, Dictionary, DictionaryScratch};
use super::floats::{self, FloatScratch};
use super::input::Input;
use super::integers::{self, Scratch, SeriesOf};
use super::segment::{SegmentError, SegmentHeader, TIME_UNITS_US};
use crate::position::Position;
use crate::store::Row;

pub(super) const LOCATIONS_NONE: u8 = 0;
pub(super) const LOCATIONS_ALL: u8 = 1;
pub(super) const LOCATIONS_SOME: u8 = 2;

/// The events of a segment. All columns but `locations` have the same length.
/// Made once, it reads many segments without allocating.
#[derive(Default)]
pub struct SegmentColumns {
    /// The names of the series in this segment.
    pub names: Dictionary,
    /// Which of the names each event has.
    pub series: Vec<u32>,
    /// The messages' offsets.
    pub offsets: Vec<i64>,
    /// The indexes of the values in their messages.
    pub indexes: Vec<u16>,
    /// When, in microseconds since 1970.
    pub times_us: Vec<i64>,
    /// The values.
    pub values: Vec<f64>,
    /// [`super::flags`] of each event.
    pub flags: Vec<u8>,
    /// Latitude, longitude, altitude; empty if no event has a location.
    pub locations: Vec<Option<[f64; 3]>>,
    scratch: ColumnsScratch,
}

#[derive(Default)]
struct ColumnsScratch {
    integers: Scratch,
    floats: FloatScratch,
    dictionary: DictionaryScratch,
    column: Vec<i64>,
    axes: [Vec<f64>; 3],
    located: Vec<u32>,
}

/// One event of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentEvent<'a> {
    /// The name of its series.
    pub series: &'a [u8],
    /// Where it stood.
    pub position: Position,
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The value.
    pub value: f64,
    /// [`super::flags`].
    pub flags: u8,
    /// Latitude, longitude, altitude.
    pub location: Option<[f64; 3]>,
}

impl SegmentEvent<'_> {
    /// The event as a row that owns its name.
    pub fn to_row(self) -> Row {
        let Self { series, position, time_us, value, flags, location } = self;
        Row { series: series.to_vec(), position, time_us, value, flags, location }
    }
}

impl SegmentColumns {
    /// How many events.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The event with that index, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn event(&self, n: usize) -> SegmentEvent<'_> {
        SegmentEvent {
            series: self.names.name(self.series[n]),
            position: Position { offset: self.offsets[n], index: self.indexes[n] },
            time_us: self.times_us[n],
            value: self.values[n],
            flags: self.flags[n],
            location: self.locations.get(n).copied().flatten(),
        }
    }

    /// All events, in the order of the log.
    pub fn events(&self) -> impl Iterator<Item = SegmentEvent<'_>> {
        (0..self.len()).map(|n| self.event(n))
    }

    /// Forgets what it holds; keeps its memory.
    pub fn clear(&mut self) {
        self.names.clear();
        self.series.clear();
        self.offsets.clear();
        self.indexes.clear();
        self.times_us.clear();
        self.values.clear();
        self.flags.clear();
        self.locations.clear();
    }

    pub(super) fn read(&mut self, header: SegmentHeader, body: &[u8]) -> Result<(), SegmentError> {
        self.clear();
        let read = self.read_columns(header, &mut Input(body));
        if read.is_err() {
            self.clear();
        }
        read
    }

    fn read_columns(
        &mut self,
        header: SegmentHeader,
        input: &mut Input<'_>,
    ) -> Result<(), SegmentError> {
        let count = header.events as usize;
        let ColumnsScratch { integers, floats, dictionary, column, .. } = &mut self.scratch;
        dictionary::decode(input, &mut self.names, dictionary, integers)?;
        integers::decode(input, count, None, integers, column)?;
        let names = self.names.len() as u32;
        narrow(column, &mut self.series, |s| u32::try_from(s).ok().filter(|&s| s < names))?;
        let series = SeriesOf { of: &self.series, count: self.names.len() };

        integers::decode(input, count, None, integers, &mut self.offsets)?;
        integers::decode(input, count, None, integers, column)?;
        narrow(column, &mut self.indexes, |i| u16::try_from(i).ok())?;
        let unit_us = *TIME_UNITS_US
            .get(input.byte()? as usize)
            .ok_or(SegmentError::Corrupt("an unknown unit of time"))?;
        integers::decode(input, count, Some(series), integers, &mut self.times_us)?;
        self.times_us.iter_mut().for_each(|t| *t = t.wrapping_mul(unit_us));
        floats::decode(input, count, series, floats, &mut self.values)?;
        integers::decode(input, count, None, integers, column)?;
        narrow(column, &mut self.flags, |f| u8::try_from(f).ok())?;
        self.read_locations(input)?;
        if !input.0.is_empty() {
            return Err(SegmentError::Corrupt("bytes follow behind its columns"));
        }
        self.check_positions(header)
    }

    fn read_locations(&mut self, input: &mut Input<'_>) -> Result<(), SegmentError> {
        let ColumnsScratch { integers, floats, column, axes, located, .. } = &mut self.scratch;
        let count = self.series.len();
        match input.byte()? {
            LOCATIONS_NONE => return Ok(()),
            LOCATIONS_ALL => {
                column.clear();
                column.resize(count, 1);
            }
            LOCATIONS_SOME => integers::decode(input, count, None, integers, column)?,
            _ => return Err(SegmentError::Corrupt("an unknown shape of locations")),
        }
        located.clear();
        let of = self.series.iter().zip(column.iter());
        located.extend(of.filter(|&(_, &has)| has == 1).map(|(&s, _)| s));
        let series = SeriesOf { of: located, count: self.names.len() };
        for axis in axes.iter_mut() {
            floats::decode(input, located.len(), series, floats, axis)?;
        }
        let mut next = 0;
        for &has in column.iter() {
            let location = (has == 1).then(|| {
                next += 1;
                [axes[0][next - 1], axes[1][next - 1], axes[2][next - 1]]
            });
            self.locations.push(location);
        }
        Ok(())
    }

    fn check_positions(&self, header: SegmentHeader) -> Result<(), SegmentError> {
        let position = |n: usize| Position { offset: self.offsets[n], index: self.indexes[n] };
        let last = self.len() - 1;
        let rise = (0..last).all(|n| position(n) < position(n + 1));
        if !rise || position(0) != header.first || position(last) != header.last {
            return Err(SegmentError::Corrupt("its positions do not rise from first to last"));
        }
        Ok(())
    }
}

fn narrow<T>(
    column: &[i64],
    out: &mut Vec<T>,
    to: impl Fn(i64) -> Option<T>,
) -> Result<(), SegmentError> {
    out.clear();
    for &value in column {
        out.push(to(value).ok_or(SegmentError::Corrupt("a number is too large for its column"))?);
    }
    Ok(())
}
