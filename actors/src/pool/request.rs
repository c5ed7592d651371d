//! What the pool is asked to do: one request to the store each.

use std::sync::Arc;

use crate::alert::Alert;
use crate::position::{GroupId, PartitionId, TopicId};
use crate::store::{
    Bucket, BucketTimes, Checkpoint, Evicted, History, HistoryRange, Layout, Store, StoreError,
};

/// A request to the store. Cheap to clone: what it carries is shared.
#[derive(Clone, Debug)]
pub enum Request {
    /// Record a topic's layout, or read the recorded one.
    Layout {
        /// Whose.
        topic: TopicId,
        /// What the configuration wants.
        wanted: Layout,
    },
    /// Write history of one group and bucket.
    Append {
        /// Whose.
        group: GroupId,
        /// Where.
        bucket: Bucket,
        /// What.
        history: Arc<History>,
    },
    /// Note when a bucket's events happened.
    NoteBucket {
        /// Whose.
        partition: PartitionId,
        /// What.
        times: BucketTimes,
    },
    /// Write a group's checkpoint.
    PutCheckpoint {
        /// Whose.
        group: GroupId,
        /// What.
        checkpoint: Arc<Checkpoint>,
    },
    /// Write series' states out.
    PutEvicted {
        /// Whose.
        group: GroupId,
        /// What.
        states: Arc<Vec<Evicted>>,
    },
    /// Write alerts.
    PutAlerts {
        /// What.
        alerts: Arc<Vec<Alert>>,
    },
    /// Read a group's newest checkpoint.
    Checkpoint {
        /// Whose.
        group: GroupId,
    },
    /// Read the buckets of a partition.
    BucketTimes {
        /// Whose.
        partition: PartitionId,
    },
    /// Read history of one group and bucket.
    History {
        /// Whose.
        group: GroupId,
        /// From where to where.
        range: HistoryRange,
    },
    /// Read series' states back.
    Evicted {
        /// Whose.
        group: GroupId,
        /// Which.
        series: Arc<Vec<Vec<u8>>>,
    },
}

/// What the store answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A write is durable.
    Done,
    /// To [`Request::Layout`].
    Layout(Layout),
    /// To [`Request::Checkpoint`].
    Checkpoint(Option<Arc<Checkpoint>>),
    /// To [`Request::BucketTimes`].
    BucketTimes(Arc<Vec<BucketTimes>>),
    /// To [`Request::History`].
    History(Arc<History>),
    /// To [`Request::Evicted`].
    Evicted(Arc<Vec<Evicted>>),
}

impl Request {
    /// Its kind, for logs and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Layout { .. } => "layout",
            Self::Append { .. } => "append",
            Self::NoteBucket { .. } => "note_bucket",
            Self::PutCheckpoint { .. } => "put_checkpoint",
            Self::PutEvicted { .. } => "put_evicted",
            Self::PutAlerts { .. } => "put_alerts",
            Self::Checkpoint { .. } => "checkpoint",
            Self::BucketTimes { .. } => "bucket_times",
            Self::History { .. } => "history",
            Self::Evicted { .. } => "evicted",
        }
    }

    pub(super) async fn execute(self, store: &dyn Store) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::Layout { topic, wanted } => Answer::Layout(store.layout(topic, wanted).await?),
            Self::Append { group, bucket, history } => {
                store.append(group, bucket, history).await?;
                Answer::Done
            }
            Self::NoteBucket { partition, times } => {
                store.note_bucket(partition, times).await?;
                Answer::Done
            }
            Self::PutCheckpoint { group, checkpoint } => {
                store.put_checkpoint(group, checkpoint).await?;
                Answer::Done
            }
            Self::PutEvicted { group, states } => {
                store.put_evicted(group, states).await?;
                Answer::Done
            }
            Self::PutAlerts { alerts } => {
                store.put_alerts(alerts).await?;
                Answer::Done
            }
            Self::Checkpoint { group } => {
                Answer::Checkpoint(store.checkpoint(group).await?.map(Arc::new))
            }
            Self::BucketTimes { partition } => {
                Answer::BucketTimes(Arc::new(store.bucket_times(partition).await?))
            }
            Self::History { group, range } => {
                Answer::History(Arc::new(store.history(group, range).await?))
            }
            Self::Evicted { group, series } => {
                Answer::Evicted(Arc::new(store.evicted(group, series.to_vec()).await?))
            }
        })
    }
}
