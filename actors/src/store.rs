//! The port to the store: Cassandra, the embedded one, or the simulated one.
//!
//! Every write is idempotent: its key derives from positions, so a repeated or
//! a late write changes nothing. A method is one request to the store; the pool
//! decides how many run at once.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::position::{GroupId, PartitionId, Position, TopicId};

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Overloaded, away, or too slow: try again later. The write may or may not
    /// have happened.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// No answer in time; it may have happened.
    #[error("the store did not answer in time: {0}")]
    Timeout(String),
    /// Trying again does not help: schema, permission, size.
    #[error("the store refused: {0}")]
    Invalid(String),
    /// What was read is not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether the same request may work later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout(_))
    }
}

/// The bucket that an offset falls in: `offset >> shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bucket(pub i64);

/// What is fixed when a job first meets a topic, and recorded in the store. A
/// node with another configuration refuses to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Key groups in each partition.
    pub key_groups: u32,
    /// Offsets of one bucket: 2 to this power.
    pub bucket_shift: u8,
    /// How history is laid out.
    pub history: HistoryLayout,
}

impl Layout {
    /// The bucket of an offset.
    pub const fn bucket(&self, offset: i64) -> Bucket {
        Bucket(offset >> self.bucket_shift)
    }
}

/// The two layouts of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryLayout {
    /// One row per flush: a packed segment of many keys' events. For speed.
    Segments,
    /// One row per event, for clients that read single events by CQL.
    Rows,
}

/// A packed run of a group's events: everything of the group from `first` to
/// `last`. Its bytes are [`crate::history::segment`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first event's position.
    pub first: Position,
    /// The last event's position.
    pub last: Position,
    /// How many events.
    pub events: u32,
    /// The packed bytes.
    pub bytes: Vec<u8>,
}

/// One event as one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The series, as its bytes.
    pub series: Vec<u8>,
    /// Where it stood.
    pub position: Position,
    /// When it happened, in microseconds since 1970.
    pub time_us: i64,
    /// The value.
    pub value: f64,
    /// [`crate::history::flags`].
    pub flags: u8,
    /// Where on Earth, if it is known: latitude, longitude, altitude.
    pub location: Option<[f64; 3]>,
}

/// History to be written or as it was read: one group, one bucket.
#[derive(Clone, Debug, PartialEq)]
pub enum History {
    /// Of layout `segments`.
    Segments(Vec<Segment>),
    /// Of layout `rows`.
    Rows(Vec<Row>),
}

/// The state of a whole group as of a position: everything up to and with
/// `position` is in it. Its bytes are [`crate::codec`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last position that is in it.
    pub position: Position,
    /// The encoded state.
    pub bytes: Vec<u8>,
}

/// The state of one series that was written out and dropped from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The series, as its bytes.
    pub series: Vec<u8>,
    /// The group's position when it was written.
    pub position: Position,
    /// The encoded state.
    pub bytes: Vec<u8>,
}

/// When the events of a bucket happened, roughly: what turns a time into buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketTimes {
    /// The bucket.
    pub bucket: Bucket,
    /// The earliest event time seen, in microseconds since 1970.
    pub earliest_us: i64,
    /// The latest.
    pub latest_us: i64,
}

/// Where a read of history begins and ends, in one bucket: after `after`
/// (exclusive), before `before` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    /// The bucket.
    pub bucket: Bucket,
    /// Exclusive; `None` reads from the beginning.
    pub after: Option<Position>,
    /// Exclusive; `None` reads to the end.
    pub before: Option<Position>,
}

/// The store of one job.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records the layout of a topic if none is recorded, and returns the
    /// recorded one.
    async fn layout(&self, topic: TopicId, wanted: Layout) -> Result<Layout, StoreError>;

    /// Writes history of one group and bucket, as one request. The caller keeps
    /// it under [`Store::write_bytes_max`].
    async fn append(
        &self,
        group: GroupId,
        bucket: Bucket,
        history: Arc<History>,
    ) -> Result<(), StoreError>;

    /// How many bytes one [`Store::append`] may carry.
    fn write_bytes_max(&self) -> usize;

    /// Reads history of one group. Segments that overlap the range are returned
    /// whole; order is by first position (`segments`) or by series and position
    /// (`rows`). Repeats by position may be among them.
    async fn history(&self, group: GroupId, range: HistoryRange) -> Result<History, StoreError>;

    /// Notes when the events of a bucket happened; only ever widens what is
    /// noted. Durable before the bucket's first history is committed, so the
    /// buckets noted are all there are.
    async fn note_bucket(
        &self,
        partition: PartitionId,
        times: BucketTimes,
    ) -> Result<(), StoreError>;

    /// The buckets of a partition with their times, ascending.
    async fn bucket_times(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError>;

    /// Writes a checkpoint, whole or not at all, then drops the older ones. An
    /// older checkpoint never replaces a newer one.
    async fn put_checkpoint(
        &self,
        group: GroupId,
        checkpoint: Arc<Checkpoint>,
    ) -> Result<(), StoreError>;

    /// The newest whole checkpoint of a group.
    async fn checkpoint(&self, group: GroupId) -> Result<Option<Checkpoint>, StoreError>;

    /// Writes series' states out; an older state never replaces a newer one.
    async fn put_evicted(
        &self,
        group: GroupId,
        states: Arc<Vec<Evicted>>,
    ) -> Result<(), StoreError>;

    /// Reads series' states back; those that are not there are left out.
    async fn evicted(
        &self,
        group: GroupId,
        series: Vec<Vec<u8>>,
    ) -> Result<Vec<Evicted>, StoreError>;

    /// Writes alerts, by id. The same alert twice is one alert.
    async fn put_alerts(&self, alerts: Arc<Vec<Alert>>) -> Result<(), StoreError>;

    /// Whether the store answers now.
    async fn ping(&self) -> Result<(), StoreError>;
}
