//! Segments, rows, and when the events of a bucket happened.

use std::ops::ControlFlow;

use scylla::value::MaybeUnset;
use weir_actors::position::{GroupId, PartitionId, Position};
use weir_actors::store::{Bucket, BucketTimes, HistoryRange, Row, Segment, StoreError};

use super::store::Inner;

const SEGMENTS: &str = "history_segments";
const ROWS: &str = "history_rows";
const BUCKETS: &str = "buckets";

/// What Cassandra counts of one row beside its series: clustering columns, and
/// value and overhead of each cell.
const ROW_BYTES: usize = 110;

/// What a location adds to it.
const LOCATION_BYTES: usize = 84;

/// What a segment counts beside its blob.
const SEGMENT_BYTES: usize = 100;

/// The middle of the timestamps that bucket times are written with: a later
/// `latest` lies further above it, an earlier `earliest` too, so the widest of
/// each wins without reading. Positive for all times in [`TIME_LIMIT_US`].
const TIMESTAMP_MIDDLE: i64 = 1 << 61;

/// Times beyond are noted as this: 36,000 years either side of 1970.
const TIME_LIMIT_US: i64 = 1 << 60;

/// Writes segments of one group and bucket.
pub(super) async fn put_segments(
    inner: &Inner,
    group: GroupId,
    bucket: Bucket,
    segments: &[Segment],
) -> Result<(), StoreError> {
    let key = Key::of(inner, group);
    let bytes = |s: &Segment| SEGMENT_BYTES + s.bytes.len();
    for run in runs_under(segments, inner.write_bytes_max, bytes) {
        let mut values = Vec::with_capacity(run.len());
        for s in run {
            let events = i32::try_from(s.events)
                .map_err(|_| StoreError::Invalid(format!("{SEGMENTS}: {} events", s.events)))?;
            values.push((
                key.job,
                &key.topic,
                key.partition,
                key.key_group,
                bucket.0,
                s.first.offset,
                i32::from(s.first.index),
                s.last.offset,
                i32::from(s.last.index),
                events,
                s.bytes.as_slice(),
            ));
        }
        inner.execute_together(SEGMENTS, &inner.statements.segment_put, values).await?;
    }
    Ok(())
}

/// Writes single events of one group and bucket.
pub(super) async fn put_rows(
    inner: &Inner,
    group: GroupId,
    bucket: Bucket,
    rows: &[Row],
) -> Result<(), StoreError> {
    let key = Key::of(inner, group);
    let bytes = |r: &Row| {
        ROW_BYTES + r.series.len() + if r.location.is_some() { LOCATION_BYTES } else { 0 }
    };
    for run in runs_under(rows, inner.write_bytes_max, bytes) {
        let mut values = Vec::with_capacity(run.len());
        for row in run {
            let [latitude, longitude, altitude] = match row.location {
                None => [MaybeUnset::Unset; 3],
                Some([latitude, longitude, altitude]) => {
                    [MaybeUnset::Set(latitude), MaybeUnset::Set(longitude), given(altitude)]
                }
            };
            values.push((
                key.job,
                &key.topic,
                key.partition,
                key.key_group,
                bucket.0,
                series_name(inner, &row.series)?,
                row.position.offset,
                i32::from(row.position.index),
                row.time_us,
                row.value,
                row.flags as i8,
                latitude,
                longitude,
                altitude,
            ));
        }
        inner.execute_together(ROWS, &inner.statements.row_put, values).await?;
    }
    Ok(())
}

/// Left out instead of null: a null would leave a tombstone.
const fn given(altitude: f64) -> MaybeUnset<f64> {
    if altitude.is_nan() { MaybeUnset::Unset } else { MaybeUnset::Set(altitude) }
}

/// The name of a series as CQL shows it; refused if it could not be read back.
fn series_name(inner: &Inner, series: &[u8]) -> Result<String, StoreError> {
    let name = inner.keys.render(series);
    if inner.keys.parse(&name).as_deref() == Some(series) {
        return Ok(name);
    }
    Err(StoreError::Invalid(format!(
        "{ROWS}: series {name:?} cannot be written as text under {:?} keys; use the layout segments",
        inner.keys
    )))
}

/// The segments that overlap the range, by first position.
pub(super) async fn segments(
    inner: &Inner,
    group: GroupId,
    range: HistoryRange,
) -> Result<Vec<Segment>, StoreError> {
    type Found = (i64, i32, i64, i32, i32, Vec<u8>);
    let key = Key::of(inner, group);
    // What ends after `after` is a slice of the table. What begins at or past
    // `before` is little (it was never committed), and is dropped here.
    let (offset, index) = match range.after {
        Some(after) => (after.offset, i32::from(after.index)),
        None => (i64::MIN, 0),
    };
    let values = (key.job, &key.topic, key.partition, key.key_group, range.bucket.0, offset, index);
    let mut segments = Vec::new();
    inner
        .read(SEGMENTS, &inner.statements.segments_get, values, |found: Found| {
            let (first_offset, first_index, last_offset, last_index, events, bytes) = found;
            let first = position(SEGMENTS, first_offset, first_index)?;
            if range.before.is_none_or(|before| first < before) {
                let last = position(SEGMENTS, last_offset, last_index)?;
                segments.push(Segment { first, last, events: events as u32, bytes });
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    segments.sort_by_key(|s| (s.first, s.last));
    Ok(segments)
}

/// The rows in the range, by series and position.
pub(super) async fn rows(
    inner: &Inner,
    group: GroupId,
    range: HistoryRange,
) -> Result<Vec<Row>, StoreError> {
    let key = Key::of(inner, group);
    let values = (key.job, &key.topic, key.partition, key.key_group, range.bucket.0);
    let mut rows = Vec::new();
    inner
        .read(ROWS, &inner.statements.rows_get, values, |found: FoundRow| {
            let row = row(inner, found)?;
            let within = range.after.is_none_or(|after| row.position > after)
                && range.before.is_none_or(|before| row.position < before);
            if within {
                rows.push(row);
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    // The table has the newest first, and text does not sort as numbers do.
    rows.sort_by(|a, b| a.series.cmp(&b.series).then(a.position.cmp(&b.position)));
    Ok(rows)
}

/// One series' rows of one bucket, by position.
pub(super) async fn rows_of_series(
    inner: &Inner,
    group: GroupId,
    bucket: Bucket,
    series: &[u8],
) -> Result<Vec<Row>, StoreError> {
    let key = Key::of(inner, group);
    let name = series_name(inner, series)?;
    let values = (key.job, &key.topic, key.partition, key.key_group, bucket.0, name);
    let found: Vec<FoundRow> =
        inner.read_all(ROWS, &inner.statements.series_rows_get, values).await?;
    let mut rows = found.into_iter().map(|f| row(inner, f)).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.position);
    Ok(rows)
}

/// The columns of a row, as both reads select them.
type FoundRow = (String, i64, i32, i64, f64, i8, Option<f64>, Option<f64>, Option<f64>);

fn row(inner: &Inner, found: FoundRow) -> Result<Row, StoreError> {
    let (name, offset, index, time_us, value, flags, latitude, longitude, altitude) = found;
    let position = position(ROWS, offset, index)?;
    let series = inner.keys.parse(&name).ok_or_else(|| {
        StoreError::Damaged(format!("{ROWS}: {name:?} is no {:?} key", inner.keys))
    })?;
    let location = latitude
        .zip(longitude)
        .map(|(latitude, longitude)| [latitude, longitude, altitude.unwrap_or(f64::NAN)]);
    Ok(Row { series, position, time_us, value, flags: flags as u8, location })
}

/// Widens what is noted of a bucket.
pub(super) async fn note_bucket(
    inner: &Inner,
    partition: PartitionId,
    times: BucketTimes,
) -> Result<(), StoreError> {
    let topic = partition.topic.to_string();
    let earliest = times.earliest_us.clamp(-TIME_LIMIT_US, TIME_LIMIT_US);
    let latest = times.latest_us.clamp(-TIME_LIMIT_US, TIME_LIMIT_US);
    let key = (&inner.job, &topic, partition.number, times.bucket.0);
    let (job, topic, number, bucket) = key;
    let mut batch =
        scylla::statement::batch::Batch::new(scylla::statement::batch::BatchType::Unlogged);
    batch.append_statement(inner.statements.bucket_earliest.clone());
    batch.append_statement(inner.statements.bucket_latest.clone());
    let values = (
        (job, topic, number, bucket, earliest, TIMESTAMP_MIDDLE - earliest),
        (job, topic, number, bucket, latest, TIMESTAMP_MIDDLE + latest),
    );
    inner.send_batch(BUCKETS, batch, values).await
}

/// The buckets of a partition, ascending.
pub(super) async fn bucket_times(
    inner: &Inner,
    partition: PartitionId,
) -> Result<Vec<BucketTimes>, StoreError> {
    let values = (&inner.job, partition.topic.to_string(), partition.number);
    let found: Vec<(i64, i64, i64)> =
        inner.read_all(BUCKETS, &inner.statements.buckets_get, values).await?;
    Ok(found
        .into_iter()
        .map(|(bucket, earliest_us, latest_us)| BucketTimes {
            bucket: Bucket(bucket),
            earliest_us,
            latest_us,
        })
        .collect())
}

/// The columns that name a group.
pub(super) struct Key<'a> {
    pub job: &'a str,
    pub topic: String,
    pub partition: i32,
    pub key_group: i32,
}

impl<'a> Key<'a> {
    pub(super) fn of(inner: &'a Inner, group: GroupId) -> Self {
        Self {
            job: &inner.job,
            topic: group.partition.topic.to_string(),
            partition: group.partition.number,
            // As bits: no group is lost, whatever its number.
            key_group: group.group as i32,
        }
    }
}

/// A position from its columns.
pub(super) fn position(table: &str, offset: i64, index: i32) -> Result<Position, StoreError> {
    let index = u16::try_from(index)
        .map_err(|_| StoreError::Damaged(format!("{table}: index {index} at offset {offset}")))?;
    Ok(Position { offset, index })
}

/// Cuts `items` into runs of at most `bytes_max` bytes, of at least one item.
pub(super) fn runs_under<T>(
    items: &[T],
    bytes_max: usize,
    bytes: impl Fn(&T) -> usize,
) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut total = 0;
        let fits = rest.iter().take(u16::MAX as usize).take_while(|item| {
            total += bytes(item);
            total <= bytes_max
        });
        let (run, left) = rest.split_at(fits.count().max(1));
        rest = left;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_under_the_limit_and_lose_nothing() {
        let items = [3, 3, 3, 9, 1, 1, 20, 1];
        let runs: Vec<_> = runs_under(&items, 8, |n| *n).collect();
        assert_eq!(runs, [&[3, 3][..], &[3], &[9], &[1, 1], &[20], &[1]]);
    }
}
