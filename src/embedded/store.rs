//! [`Store`] on the local disk.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::{Readable as _, SingleWriterTxKeyspace, SingleWriterWriteTx};
use jiff::Timestamp;
use weir_actors::alert::Alert;
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::store::{
    Bucket, BucketTimes, Checkpoint, Evicted, History, HistoryLayout, HistoryRange, Layout, Row,
    Store, StoreError,
};

use super::database::{Embedded, store_error};
use super::{history, keys};

/// One append's bytes: large ones make the sync of the disk worth it.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// The store of one job, in a directory of its own.
pub struct EmbeddedStore {
    db: Embedded,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, or makes it.
    ///
    /// # Errors
    /// `Invalid` if another process has it open, or another version wrote it;
    /// `Damaged` if what is there cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: Embedded::open(dir)? })
    }

    /// The topics that a layout is recorded of, each with its layout.
    pub async fn layouts(&self) -> Result<Vec<(TopicId, Layout)>, StoreError> {
        self.db
            .read(|tables| {
                let recorded = tables.snapshot().prefix(&tables.meta, LAYOUT_PREFIX);
                recorded
                    .map(|kv| {
                        let (key, value) = kv.into_inner().map_err(fault)?;
                        let id = key[LAYOUT_PREFIX.len()..].try_into();
                        let id = id.map_err(|_| damaged("the key of a layout"))?;
                        Ok((TopicId(u128::from_be_bytes(id)), parse_layout(&value)?))
                    })
                    .collect()
            })
            .await
    }

    /// The partitions of a topic that have history, ascending.
    pub async fn partitions(&self, topic: TopicId) -> Result<Vec<i32>, StoreError> {
        self.db
            .read(move |tables| {
                let prefix = topic.0.to_be_bytes();
                let mut found = Vec::new();
                for kv in tables.snapshot().prefix(&tables.buckets, prefix) {
                    let key = kv.key().map_err(fault)?;
                    let number = key[prefix.len()..].first_chunk();
                    let number = number.ok_or_else(|| damaged("the key of a bucket"))?;
                    found.push(i32::from_be_bytes(*number));
                }
                found.dedup();
                Ok(found)
            })
            .await
    }

    /// The last `limit` alerts by the time of their events, newest first.
    pub async fn alerts_recent(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.db
            .read(move |tables| {
                let all = tables.snapshot().iter(&tables.alerts);
                all.rev().take(limit).map(|kv| parse_alert(&kv.value().map_err(fault)?)).collect()
            })
            .await
    }

    /// The last `limit` alerts of a series, as people write its name, newest
    /// first.
    pub async fn alerts_of_series(
        &self,
        series: &str,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let prefix = series_prefix(series);
        self.db
            .read(move |tables| {
                let now = tables.snapshot();
                let mut alerts = Vec::new();
                for kv in now.prefix(&tables.alerts_by_series, &prefix).rev().take(limit) {
                    let key = kv.key().map_err(fault)?;
                    let found = now.get(&tables.alerts, &key[prefix.len()..]).map_err(fault)?;
                    let missing = || StoreError::Damaged("an alert of a series is missing".into());
                    alerts.push(parse_alert(&found.ok_or_else(missing)?)?);
                }
                Ok(alerts)
            })
            .await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn layout(&self, topic: TopicId, wanted: Layout) -> Result<Layout, StoreError> {
        self.db
            .write(64, move |tables, tx| {
                let key = layout_key(topic);
                if let Some(recorded) = tx.get(&tables.meta, &key).map_err(fault)? {
                    return parse_layout(&recorded);
                }
                let json = serde_json::to_vec(&wanted).expect("a plain struct serialises");
                tx.insert(&tables.meta, key, json);
                Ok(wanted)
            })
            .await
    }

    async fn append(
        &self,
        group: GroupId,
        bucket: Bucket,
        history: Arc<History>,
    ) -> Result<(), StoreError> {
        let bytes = match &*history {
            History::Segments(segments) => segments.iter().map(|s| s.bytes.len()).sum(),
            History::Rows(rows) => rows.len() * size_of::<Row>(),
        };
        self.db
            .write(bytes, move |tables, tx| {
                let prefix = keys::bucket(group, bucket);
                match &*history {
                    History::Segments(segments) => {
                        history::put_segments(tables, tx, &prefix, segments);
                    }
                    History::Rows(rows) => history::put_rows(tables, tx, &prefix, rows),
                }
                Ok(())
            })
            .await
    }

    fn write_bytes_max(&self) -> usize {
        WRITE_BYTES_MAX
    }

    async fn history(&self, group: GroupId, range: HistoryRange) -> Result<History, StoreError> {
        self.db
            .read(move |tables| {
                let topic = group.partition.topic;
                let recorded =
                    tables.snapshot().get(&tables.meta, layout_key(topic)).map_err(fault)?;
                let recorded = recorded.ok_or_else(|| {
                    StoreError::Invalid(format!(
                        "no layout is recorded for topic {topic}; has the job ever read it?"
                    ))
                })?;
                match parse_layout(&recorded)?.history {
                    HistoryLayout::Segments => {
                        history::segments(tables, group, range).map(History::Segments)
                    }
                    HistoryLayout::Rows => history::rows(tables, group, range).map(History::Rows),
                }
            })
            .await
    }

    async fn note_bucket(
        &self,
        partition: PartitionId,
        times: BucketTimes,
    ) -> Result<(), StoreError> {
        self.db
            .write(64, move |tables, tx| {
                let key =
                    keys::with(&keys::partition(partition), &[&keys::ordered(times.bucket.0)]);
                let (mut earliest, mut latest) = (times.earliest_us, times.latest_us);
                if let Some(noted) = tx.get(&tables.buckets, &key).map_err(fault)? {
                    let noted = parse_times(&noted)?;
                    earliest = earliest.min(noted.0);
                    latest = latest.max(noted.1);
                    if noted == (earliest, latest) {
                        return Ok(());
                    }
                }
                let value = [keys::ordered(earliest), keys::ordered(latest)].concat();
                tx.insert(&tables.buckets, key, value);
                Ok(())
            })
            .await
    }

    async fn bucket_times(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError> {
        self.db
            .read(move |tables| {
                let prefix = keys::partition(partition);
                let noted = tables.snapshot().prefix(&tables.buckets, &prefix);
                noted
                    .map(|kv| {
                        let (key, value) = kv.into_inner().map_err(fault)?;
                        let bucket: [u8; 8] =
                            key[prefix.len()..].try_into().map_err(|_| damaged("a bucket"))?;
                        let bucket = Bucket(keys::from_ordered(bucket));
                        let (earliest_us, latest_us) = parse_times(&value)?;
                        Ok(BucketTimes { bucket, earliest_us, latest_us })
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
        self.db
            .write(checkpoint.bytes.len(), move |tables, tx| {
                let Checkpoint { position, bytes } = &*checkpoint;
                put_newer(tx, &tables.checkpoints, keys::group(group), *position, bytes)
            })
            .await
    }

    async fn checkpoint(&self, group: GroupId) -> Result<Option<Checkpoint>, StoreError> {
        self.db
            .read(move |tables| {
                let found = tables.snapshot().get(&tables.checkpoints, keys::group(group));
                let Some(value) = found.map_err(fault)? else { return Ok(None) };
                let (position, bytes) =
                    keys::split_position(&value).ok_or_else(|| damaged("a checkpoint"))?;
                Ok(Some(Checkpoint { position, bytes: bytes.to_vec() }))
            })
            .await
    }

    async fn put_evicted(
        &self,
        group: GroupId,
        states: Arc<Vec<Evicted>>,
    ) -> Result<(), StoreError> {
        let bytes = states.iter().map(|e| e.series.len() + e.bytes.len()).sum();
        self.db
            .write(bytes, move |tables, tx| {
                let prefix = keys::group(group);
                for Evicted { series, position, bytes } in &*states {
                    let key = keys::with(&prefix, &[series]);
                    put_newer(tx, &tables.evicted, key, *position, bytes)?;
                }
                Ok(())
            })
            .await
    }

    async fn evicted(
        &self,
        group: GroupId,
        series: Vec<Vec<u8>>,
    ) -> Result<Vec<Evicted>, StoreError> {
        self.db
            .read(move |tables| {
                let now = tables.snapshot();
                let prefix = keys::group(group);
                let mut states = Vec::with_capacity(series.len());
                for series in series {
                    let key = keys::with(&prefix, &[&series]);
                    if let Some(value) = now.get(&tables.evicted, key).map_err(fault)? {
                        let (position, bytes) = keys::split_position(&value)
                            .ok_or_else(|| damaged("an evicted state"))?;
                        states.push(Evicted { series, position, bytes: bytes.to_vec() });
                    }
                }
                Ok(states)
            })
            .await
    }

    async fn put_alerts(&self, alerts: Arc<Vec<Alert>>) -> Result<(), StoreError> {
        const ALERT_BYTES: usize = 1_024;
        self.db
            .write(alerts.len() * ALERT_BYTES, move |tables, tx| {
                let entries: Vec<_> = alerts.iter().map(alert_entry).collect::<Result<_, _>>()?;
                for (alert, (key, json)) in alerts.iter().zip(entries) {
                    let by_series = keys::with(&series_prefix(&alert.series), &[&key]);
                    tx.insert(&tables.alerts, key, json);
                    tx.insert(&tables.alerts_by_series, by_series, "");
                }
                Ok(())
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.db.write(0, |_, _| Ok(())).await
    }
}

/// Writes position and bytes, unless what is there is newer.
fn put_newer(
    tx: &mut SingleWriterWriteTx<'_>,
    table: &SingleWriterTxKeyspace,
    key: Vec<u8>,
    position: Position,
    bytes: &[u8],
) -> Result<(), StoreError> {
    if let Some(there) = tx.get(table, &key).map_err(fault)? {
        let (newest, _) = keys::split_position(&there).ok_or_else(|| damaged("a state"))?;
        if newest > position {
            return Ok(());
        }
    }
    tx.insert(table, key, keys::with(&keys::position(position), &[bytes]));
    Ok(())
}

fn alert_entry(alert: &Alert) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let invalid =
        |e: &dyn std::fmt::Display| StoreError::Invalid(format!("alert {}: {e}", alert.id));
    let time: Timestamp = alert.time.parse().map_err(|e: jiff::Error| invalid(&e))?;
    let key = keys::with(&keys::ordered(time.as_microsecond()), &[alert.id.as_bytes()]);
    Ok((key, serde_json::to_vec(alert).map_err(|e| invalid(&e))?))
}

fn parse_alert(json: &[u8]) -> Result<Alert, StoreError> {
    serde_json::from_slice(json).map_err(|e| StoreError::Damaged(format!("an alert: {e}")))
}

/// The length first, so that no name is the beginning of another.
fn series_prefix(series: &str) -> Vec<u8> {
    keys::with(&(series.len() as u32).to_be_bytes(), &[series.as_bytes()])
}

const LAYOUT_PREFIX: &[u8] = b"layout/";

fn layout_key(topic: TopicId) -> Vec<u8> {
    keys::with(LAYOUT_PREFIX, &[&topic.0.to_be_bytes()])
}

fn parse_layout(json: &[u8]) -> Result<Layout, StoreError> {
    serde_json::from_slice(json).map_err(|e| StoreError::Damaged(format!("a layout: {e}")))
}

fn parse_times(value: &[u8]) -> Result<(i64, i64), StoreError> {
    let read = || {
        let (earliest, rest) = value.split_first_chunk()?;
        Some((keys::from_ordered(*earliest), keys::from_ordered(rest.try_into().ok()?)))
    };
    read().ok_or_else(|| damaged("a bucket's times"))
}

pub(super) fn fault(error: fjall::Error) -> StoreError {
    store_error(&error)
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} is not as it was written; remove the store's directory"))
}
