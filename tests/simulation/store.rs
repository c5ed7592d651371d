//! The simulated store: the tables, as their keys are in Cassandra.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use weir_actors::alert::Alert;
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::store::{
    Bucket, BucketTimes, Checkpoint, Evicted, History, HistoryLayout, HistoryRange, Layout, Row,
    Segment, Store, StoreError,
};

use super::world::{Outcome, World};

/// Series and position.
type RowKey = (Vec<u8>, Position);

#[derive(Default)]
pub struct Tables {
    layouts: BTreeMap<TopicId, Layout>,
    pub segments: BTreeMap<(GroupId, Bucket), BTreeMap<(Position, Position), Segment>>,
    pub rows: BTreeMap<(GroupId, Bucket), BTreeMap<RowKey, Row>>,
    bucket_times: BTreeMap<(PartitionId, Bucket), (i64, i64)>,
    checkpoints: BTreeMap<GroupId, Checkpoint>,
    evicted: BTreeMap<(GroupId, Vec<u8>), Evicted>,
    pub alerts: BTreeMap<String, Alert>,
}

pub struct SimulatedStore {
    pub world: Arc<World>,
    pub layout: HistoryLayout,
}

/// Small, so that rows go in several pieces.
const WRITE_BYTES_MAX: usize = 4 * 1024;

impl SimulatedStore {
    async fn write(
        &self,
        what: String,
        apply: impl FnOnce(&mut Tables) + Send,
    ) -> Result<(), StoreError> {
        let outcome = self.world.request(&what).await;
        if outcome != Outcome::FailedBefore {
            apply(&mut self.world.tables.lock().expect("no test thread panicked"));
        }
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::FailedAfter => Err(StoreError::Timeout("simulated".into())),
            Outcome::FailedBefore => Err(StoreError::Unavailable("simulated".into())),
        }
    }

    async fn read<T>(
        &self,
        what: String,
        find: impl FnOnce(&Tables) -> T + Send,
    ) -> Result<T, StoreError> {
        match self.world.request(&what).await {
            Outcome::Done => Ok(find(&self.world.tables.lock().expect("no test thread panicked"))),
            _ => Err(StoreError::Unavailable("simulated".into())),
        }
    }
}

#[async_trait]
impl Store for SimulatedStore {
    async fn layout(&self, topic: TopicId, wanted: Layout) -> Result<Layout, StoreError> {
        let mut recorded = wanted;
        self.write("layout".into(), |t| recorded = *t.layouts.entry(topic).or_insert(wanted))
            .await?;
        Ok(recorded)
    }

    async fn append(
        &self,
        group: GroupId,
        bucket: Bucket,
        history: Arc<History>,
    ) -> Result<(), StoreError> {
        self.write(format!("append {group} {}", bucket.0), |tables| match &*history {
            History::Segments(segments) => {
                let partition = tables.segments.entry((group, bucket)).or_default();
                for segment in segments {
                    partition.insert((segment.first, segment.last), segment.clone());
                }
            }
            History::Rows(rows) => {
                let partition = tables.rows.entry((group, bucket)).or_default();
                for row in rows {
                    partition.insert((row.series.clone(), row.position), row.clone());
                }
            }
        })
        .await
    }

    fn write_bytes_max(&self) -> usize {
        WRITE_BYTES_MAX
    }

    async fn history(&self, group: GroupId, range: HistoryRange) -> Result<History, StoreError> {
        let key = (group, range.bucket);
        let (after, before) = (range.after, range.before);
        let layout = self.layout;
        self.read(format!("history {group} {}", range.bucket.0), move |tables| match layout {
            HistoryLayout::Segments => {
                let all = tables.segments.get(&key).into_iter().flatten();
                let overlapping = all.filter(|((first, last), _)| {
                    after.is_none_or(|a| *last > a) && before.is_none_or(|b| *first < b)
                });
                History::Segments(overlapping.map(|(_, s)| s.clone()).collect())
            }
            HistoryLayout::Rows => {
                let all = tables.rows.get(&key).into_iter().flatten();
                let within = all.filter(|((_, at), _)| {
                    after.is_none_or(|a| *at > a) && before.is_none_or(|b| *at < b)
                });
                History::Rows(within.map(|(_, r)| r.clone()).collect())
            }
        })
        .await
    }

    async fn note_bucket(
        &self,
        partition: PartitionId,
        times: BucketTimes,
    ) -> Result<(), StoreError> {
        self.write(format!("note {} {}", partition.number, times.bucket.0), |tables| {
            let noted = tables
                .bucket_times
                .entry((partition, times.bucket))
                .or_insert((i64::MAX, i64::MIN));
            *noted = (noted.0.min(times.earliest_us), noted.1.max(times.latest_us));
        })
        .await
    }

    async fn bucket_times(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError> {
        self.read("bucket times".into(), |tables| {
            let of_partition = tables.bucket_times.iter().filter(|((p, _), _)| *p == partition);
            of_partition
                .map(|((_, bucket), (earliest_us, latest_us))| BucketTimes {
                    bucket: *bucket,
                    earliest_us: *earliest_us,
                    latest_us: *latest_us,
                })
                .collect()
        })
        .await
    }

    async fn put_checkpoint(
        &self,
        group: GroupId,
        checkpoint: Arc<Checkpoint>,
    ) -> Result<(), StoreError> {
        self.write(format!("checkpoint {group} at {}", checkpoint.position), |tables| {
            let newer =
                tables.checkpoints.get(&group).is_none_or(|c| c.position <= checkpoint.position);
            if newer {
                tables.checkpoints.insert(group, (*checkpoint).clone());
            }
        })
        .await
    }

    async fn checkpoint(&self, group: GroupId) -> Result<Option<Checkpoint>, StoreError> {
        self.read(format!("read checkpoint {group}"), |t| t.checkpoints.get(&group).cloned()).await
    }

    async fn put_evicted(
        &self,
        group: GroupId,
        states: Arc<Vec<Evicted>>,
    ) -> Result<(), StoreError> {
        self.write(format!("evict {} of {group}", states.len()), |tables| {
            for state in states.iter() {
                let key = (group, state.series.clone());
                if tables.evicted.get(&key).is_none_or(|e| e.position <= state.position) {
                    tables.evicted.insert(key, state.clone());
                }
            }
        })
        .await
    }

    async fn evicted(
        &self,
        group: GroupId,
        series: Vec<Vec<u8>>,
    ) -> Result<Vec<Evicted>, StoreError> {
        self.read(format!("read {} evicted of {group}", series.len()), |tables| {
            series.iter().filter_map(|s| tables.evicted.get(&(group, s.clone())).cloned()).collect()
        })
        .await
    }

    async fn put_alerts(&self, alerts: Arc<Vec<Alert>>) -> Result<(), StoreError> {
        self.write(format!("put {} alerts", alerts.len()), |tables| {
            tables.alerts.extend(alerts.iter().map(|a| (a.id.clone(), a.clone())));
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
