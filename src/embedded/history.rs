//! Segments and rows in the embedded store.
//!
//! A segment's key ends in its last and first position, so that what ends after
//! a checkpoint is one scan; a row's key ends in its position, which no other
//! event of the group has.

use fjall::{Readable as _, SingleWriterWriteTx};
use weir_actors::position::{GroupId, Position};
use weir_actors::store::{Bucket, HistoryRange, Row, Segment, StoreError};

use super::database::Tables;
use super::keys;
use super::store::{damaged, fault};

/// Writes segments; `prefix` names group and bucket.
pub(super) fn put_segments(
    tables: &Tables,
    tx: &mut SingleWriterWriteTx<'_>,
    prefix: &[u8],
    segments: &[Segment],
) {
    for s in segments {
        let key = keys::with(prefix, &[&keys::position(s.last), &keys::position(s.first)]);
        let mut value = Vec::with_capacity(4 + s.bytes.len());
        value.extend_from_slice(&s.events.to_le_bytes());
        value.extend_from_slice(&s.bytes);
        tx.insert(&tables.segments, key, value);
    }
}

/// The segments that overlap the range, by first position.
pub(super) fn segments(
    tables: &Tables,
    group: GroupId,
    range: HistoryRange,
) -> Result<Vec<Segment>, StoreError> {
    let prefix = keys::bucket(group, range.bucket);
    let from = match range.after {
        Some(after) => keys::with(&prefix, &[&keys::position(just_after(after))]),
        None => prefix.clone(),
    };
    let to = keys::bucket(group, Bucket(range.bucket.0.saturating_add(1)));
    let mut segments = Vec::new();
    let ends_of = |key: &[u8]| {
        let (last, rest) = keys::split_position(&key[prefix.len()..])?;
        Some((keys::split_position(rest)?.0, last))
    };
    for kv in tables.snapshot().range(&tables.segments, from..to) {
        let wanted = |key: &[u8]| {
            ends_of(key).is_none_or(|(first, _)| range.before.is_none_or(|before| first < before))
        };
        let (key, value) = kv.into_inner_if(|key| wanted(key)).map_err(fault)?;
        let Some(value) = value else { continue };
        let (first, last) = ends_of(&key).ok_or_else(|| damaged("a segment's key"))?;
        let (events, bytes) = value.split_first_chunk().ok_or_else(|| damaged("a segment"))?;
        let events = u32::from_le_bytes(*events);
        segments.push(Segment { first, last, events, bytes: bytes.to_vec() });
    }
    segments.sort_by_key(|s| (s.first, s.last));
    Ok(segments)
}

/// The position that follows: nothing lies between.
const fn just_after(position: Position) -> Position {
    match position.index.checked_add(1) {
        Some(index) => Position { offset: position.offset, index },
        None => Position::at(position.offset + 1),
    }
}

/// Writes single events; `prefix` names group and bucket.
pub(super) fn put_rows(
    tables: &Tables,
    tx: &mut SingleWriterWriteTx<'_>,
    prefix: &[u8],
    rows: &[Row],
) {
    for row in rows {
        let key = keys::with(prefix, &[&keys::position(row.position)]);
        let mut value = Vec::with_capacity(42 + row.series.len());
        value.extend_from_slice(&row.time_us.to_le_bytes());
        value.extend_from_slice(&row.value.to_le_bytes());
        value.push(row.flags);
        value.push(u8::from(row.location.is_some()));
        for n in row.location.unwrap_or_default() {
            value.extend_from_slice(&n.to_le_bytes());
        }
        value.extend_from_slice(&row.series);
        tx.insert(&tables.rows, key, value);
    }
}

/// The rows in the range, by series and position.
pub(super) fn rows(
    tables: &Tables,
    group: GroupId,
    range: HistoryRange,
) -> Result<Vec<Row>, StoreError> {
    let prefix = keys::bucket(group, range.bucket);
    let from = match range.after {
        Some(after) => keys::with(&prefix, &[&keys::position(just_after(after))]),
        None => prefix.clone(),
    };
    let to = match range.before {
        Some(before) => keys::with(&prefix, &[&keys::position(before)]),
        None => keys::bucket(group, Bucket(range.bucket.0.saturating_add(1))),
    };
    let mut rows = Vec::new();
    if from < to {
        for kv in tables.snapshot().range(&tables.rows, from..to) {
            let (key, value) = kv.into_inner().map_err(fault)?;
            let row = parse_row(&key[prefix.len()..], &value);
            rows.push(row.ok_or_else(|| damaged("a row"))?);
        }
    }
    rows.sort_by(|a, b| a.series.cmp(&b.series).then(a.position.cmp(&b.position)));
    Ok(rows)
}

fn parse_row(position: &[u8], value: &[u8]) -> Option<Row> {
    let (position, _) = keys::split_position(position)?;
    let (time_us, rest) = value.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let ([flags, located], rest) = rest.split_first_chunk()?;
    let (latitude, rest) = rest.split_first_chunk()?;
    let (longitude, rest) = rest.split_first_chunk()?;
    let (altitude, series) = rest.split_first_chunk()?;
    let location = [latitude, longitude, altitude].map(|n| f64::from_le_bytes(*n));
    Some(Row {
        series: series.to_vec(),
        position,
        time_us: i64::from_le_bytes(*time_us),
        value: f64::from_le_bytes(*number),
        flags: *flags,
        location: (*located != 0).then_some(location),
    })
}
