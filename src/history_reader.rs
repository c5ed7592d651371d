//! A key's history, read from either layout of either store: newest buckets
//! first, repeats by position dropped, told in the order of each partition.

use async_trait::async_trait;
use weir_actors::history::SegmentReader;
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::route;
use weir_actors::store::{
    Bucket, BucketTimes, History, HistoryLayout, HistoryRange, Layout, Row, Store, StoreError,
};

use crate::cassandra::CassandraStore;
use crate::embedded::EmbeddedStore;

/// A store that a key's history can be read from.
#[async_trait]
pub trait KeyHistory: Send + Sync {
    /// How the topic is laid out; `None` if the job has never met it.
    async fn recorded_layout(&self, topic: TopicId) -> Result<Option<Layout>, StoreError>;

    /// The buckets of a partition with their times, ascending.
    async fn buckets(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError>;

    /// One series' events of one bucket; repeats may be among them.
    async fn events(
        &self,
        layout: HistoryLayout,
        group: GroupId,
        bucket: Bucket,
        series: &[u8],
    ) -> Result<Vec<Row>, StoreError>;
}

#[async_trait]
impl KeyHistory for CassandraStore {
    async fn recorded_layout(&self, topic: TopicId) -> Result<Option<Layout>, StoreError> {
        Self::recorded_layout(self, topic).await
    }

    async fn buckets(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError> {
        self.bucket_times(partition).await
    }

    async fn events(
        &self,
        layout: HistoryLayout,
        group: GroupId,
        bucket: Bucket,
        series: &[u8],
    ) -> Result<Vec<Row>, StoreError> {
        match layout {
            HistoryLayout::Rows => self.rows_of_series(group, bucket, series).await,
            HistoryLayout::Segments => events_of_group(self, group, bucket, series).await,
        }
    }
}

#[async_trait]
impl KeyHistory for EmbeddedStore {
    async fn recorded_layout(&self, topic: TopicId) -> Result<Option<Layout>, StoreError> {
        let layouts = self.layouts().await?;
        Ok(layouts.into_iter().find(|(id, _)| *id == topic).map(|(_, layout)| layout))
    }

    async fn buckets(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError> {
        self.bucket_times(partition).await
    }

    async fn events(
        &self,
        _: HistoryLayout,
        group: GroupId,
        bucket: Bucket,
        series: &[u8],
    ) -> Result<Vec<Row>, StoreError> {
        events_of_group(self, group, bucket, series).await
    }
}

/// The group's history of the bucket, filtered.
async fn events_of_group(
    store: &dyn Store,
    group: GroupId,
    bucket: Bucket,
    series: &[u8],
) -> Result<Vec<Row>, StoreError> {
    let range = HistoryRange { bucket, after: None, before: None };
    match store.history(group, range).await? {
        History::Rows(mut rows) => {
            rows.retain(|row| row.series == series);
            Ok(rows)
        }
        History::Segments(segments) => {
            let mut rows = Vec::new();
            for segment in segments {
                let columns = SegmentReader::new(&segment.bytes).and_then(|reader| reader.read());
                let columns = columns.map_err(|error| {
                    StoreError::Damaged(format!(
                        "group {group}, segment {} to {}: {error}",
                        segment.first, segment.last
                    ))
                })?;
                let ours = columns.events().filter(|event| event.series == series);
                rows.extend(ours.map(weir_actors::history::SegmentEvent::to_row));
            }
            Ok(rows)
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The last events by position, of each partition so many at most.
    Last(usize),
    /// Events with a time from here (inclusive) to there (exclusive), in
    /// microseconds since 1970.
    Between(i64, i64),
}

/// A place to look: the key group of the series in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The group.
    pub group: GroupId,
    /// The buckets that may have what is asked for, newest first.
    pub buckets: Vec<Bucket>,
}

/// The key group of a series in a partition.
pub fn group_of(partition: PartitionId, series: &[u8], layout: Layout) -> GroupId {
    let hash = route::series_hash(series);
    GroupId { partition, group: route::key_group(hash, layout.key_groups) }
}

/// Where to look for a series in a partition.
pub async fn place(
    store: &dyn KeyHistory,
    partition: PartitionId,
    series: &[u8],
    layout: Layout,
    wanted: Wanted,
) -> Result<Place, StoreError> {
    let mut buckets = store.buckets(partition).await?;
    if let Wanted::Between(from, to) = wanted {
        buckets.retain(|times| times.latest_us >= from && times.earliest_us < to);
    }
    let buckets = buckets.iter().rev().map(|times| times.bucket).collect();
    Ok(Place { group: group_of(partition, series, layout), buckets })
}

/// The events of a series at one place, in the order of the log, each position
/// once.
pub async fn read(
    store: &dyn KeyHistory,
    layout: HistoryLayout,
    place: &Place,
    series: &[u8],
    wanted: Wanted,
) -> Result<Vec<Row>, StoreError> {
    let mut all: Vec<Row> = Vec::new();
    for &bucket in &place.buckets {
        let mut rows = store.events(layout, place.group, bucket, series).await?;
        if let Wanted::Between(from, to) = wanted {
            rows.retain(|row| (from..to).contains(&row.time_us));
        }
        all.append(&mut rows);
        // The first of two at one position stays, whichever: they are the same.
        all.sort_by_key(|row| row.position);
        all.dedup_by_key(|row| row.position);
        if let Wanted::Last(count) = wanted
            && all.len() >= count
        {
            all.drain(..all.len() - count);
            break;
        }
    }
    Ok(all)
}

/// One event and the partition it was met in.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    /// The partition.
    pub partition: PartitionId,
    /// The event.
    pub row: Row,
}

/// What several partitions have, as one history: by time, newest last; of one
/// partition the order of the log is kept between equal times.
pub fn merged(of: Vec<(PartitionId, Vec<Row>)>, wanted: Wanted) -> Vec<Met> {
    let alone = of.iter().filter(|(_, rows)| !rows.is_empty()).count() <= 1;
    let met = of
        .into_iter()
        .flat_map(|(partition, rows)| rows.into_iter().map(move |row| Met { partition, row }));
    let mut met: Vec<Met> = met.collect();
    if !alone {
        // Offsets of different partitions say nothing of each other.
        met.sort_by_key(|m| (m.row.time_us, m.partition, m.row.position));
    }
    if let Wanted::Last(count) = wanted {
        met.drain(..met.len().saturating_sub(count));
    }
    met
}

/// The position as a person writes it back.
pub fn shown(position: Position) -> String {
    match position.index {
        0 => position.offset.to_string(),
        _ => position.to_string(),
    }
}

#[cfg(test)]
mod tests;
