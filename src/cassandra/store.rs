//! [`Store`] on Cassandra.
//!
//! The session lives on a multi-thread runtime of the store's own: a caller's
//! thread only waits for the answer, and a busy detector shard never delays the
//! driver's work on its sockets.

use std::collections::HashMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::PagingState;
use scylla::serialize::batch::BatchValues;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use tokio::runtime::Runtime;
use weir_actors::alert::Alert;
use weir_actors::event::KeyEncoding;
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::store::{
    Bucket, BucketTimes, Checkpoint, Evicted, History, HistoryLayout, HistoryRange, Layout, Row,
    Store, StoreError,
};

use super::config::CassandraConfig;
use super::error::{rows, store_error};
use super::session::connect_session;
use super::statements::Statements;
use super::{checkpoint, history, schema, series_state};

/// Threads of the driver's runtime.
const DRIVER_THREADS: usize = 2;

/// The store of one job, on Cassandra.
pub struct CassandraStore {
    inner: Arc<Inner>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// What the requests share.
pub(super) struct Inner {
    pub session: Session,
    pub statements: Statements,
    pub job: String,
    pub keys: KeyEncoding,
    pub write_bytes_max: usize,
    write_consistency: scylla::statement::Consistency,
    /// How each topic's history is laid out, as far as it was asked.
    layouts: RwLock<HashMap<TopicId, HistoryLayout>>,
}

impl CassandraStore {
    /// What is recorded of a topic, if anything is. Records nothing.
    pub async fn recorded_layout(&self, topic: TopicId) -> Result<Option<Layout>, StoreError> {
        self.run(move |inner| async move { inner.read_layout(topic).await }).await
    }

    /// One series' events of one bucket, of layout `rows`, by position: a slice of
    /// the table.
    pub async fn rows_of_series(
        &self,
        group: GroupId,
        bucket: Bucket,
        series: &[u8],
    ) -> Result<Vec<Row>, StoreError> {
        let series = series.to_vec();
        self.run(move |inner| async move {
            history::rows_of_series(&inner, group, bucket, &series).await
        })
        .await
    }

    /// Connects, checks the schema's version and prepares the statements. `keys`
    /// says how series are written in the layout `rows`.
    ///
    /// # Errors
    /// `Unavailable` if no node answers; `Invalid` if the login is refused or the
    /// schema is not there (`weir schema apply`) or is newer than this program.
    pub async fn connect(
        config: &CassandraConfig,
        job: &str,
        keys: KeyEncoding,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(DRIVER_THREADS)
            .thread_name("weir-cassandra")
            .enable_all()
            .build()
            .map_err(|e| StoreError::Unavailable(format!("no threads for the driver: {e}")))?;
        let (config, job) = (config.clone(), job.to_owned());
        let inner = runtime.spawn(async move {
            let session = connect_session(&config).await?;
            schema::check(&session, &config).await?;
            let statements = Statements::prepare(&session, &config).await?;
            let write_bytes_max = config.write_bytes_max;
            let write_consistency = config.write_consistency.into();
            let layouts = RwLock::default();
            let inner = Inner {
                session,
                statements,
                job,
                keys,
                write_bytes_max,
                write_consistency,
                layouts,
            };
            Ok::<_, StoreError>(Arc::new(inner))
        });
        let inner = inner.await.map_err(|e| task_error(&e));
        match inner.and_then(|inner| inner) {
            Ok(inner) => Ok(Self { inner, runtime: Some(runtime) }),
            Err(error) => {
                // Dropping it here would wait, which a runtime's thread must not.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Runs `request` on the driver's runtime. If the caller is cancelled the
    /// request goes on, until its own time-out.
    pub(super) async fn run<F, T>(
        &self,
        request: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let runtime = self.runtime.as_ref().expect("it is only taken by drop");
        let task = runtime.spawn(request(self.inner.clone()));
        task.await.map_err(|e| task_error(&e))?
    }
}

impl Drop for CassandraStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn task_error(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(format!("the driver's task ended early: {error}"))
}

#[async_trait]
impl Store for CassandraStore {
    async fn layout(&self, topic: TopicId, wanted: Layout) -> Result<Layout, StoreError> {
        self.run(|inner| async move { inner.record_layout(topic, wanted).await }).await
    }

    async fn append(
        &self,
        group: GroupId,
        bucket: Bucket,
        history: Arc<History>,
    ) -> Result<(), StoreError> {
        self.run(|inner| async move {
            match &*history {
                History::Segments(segments) => {
                    history::put_segments(&inner, group, bucket, segments).await
                }
                History::Rows(rows) => history::put_rows(&inner, group, bucket, rows).await,
            }
        })
        .await
    }

    fn write_bytes_max(&self) -> usize {
        self.inner.write_bytes_max
    }

    async fn history(&self, group: GroupId, range: HistoryRange) -> Result<History, StoreError> {
        self.run(|inner| async move {
            match inner.history_layout(group.partition.topic).await? {
                HistoryLayout::Segments => {
                    history::segments(&inner, group, range).await.map(History::Segments)
                }
                HistoryLayout::Rows => history::rows(&inner, group, range).await.map(History::Rows),
            }
        })
        .await
    }

    async fn note_bucket(
        &self,
        partition: PartitionId,
        times: BucketTimes,
    ) -> Result<(), StoreError> {
        self.run(|inner| async move { history::note_bucket(&inner, partition, times).await }).await
    }

    async fn bucket_times(&self, partition: PartitionId) -> Result<Vec<BucketTimes>, StoreError> {
        self.run(|inner| async move { history::bucket_times(&inner, partition).await }).await
    }

    async fn put_checkpoint(
        &self,
        group: GroupId,
        checkpoint: Arc<Checkpoint>,
    ) -> Result<(), StoreError> {
        self.run(|inner| async move { checkpoint::put(&inner, group, &checkpoint).await }).await
    }

    async fn checkpoint(&self, group: GroupId) -> Result<Option<Checkpoint>, StoreError> {
        self.run(|inner| async move { checkpoint::newest(&inner, group).await }).await
    }

    async fn put_evicted(
        &self,
        group: GroupId,
        states: Arc<Vec<Evicted>>,
    ) -> Result<(), StoreError> {
        self.run(|inner| async move { series_state::put(&inner, group, &states).await }).await
    }

    async fn evicted(
        &self,
        group: GroupId,
        series: Vec<Vec<u8>>,
    ) -> Result<Vec<Evicted>, StoreError> {
        self.run(|inner| async move { series_state::get(&inner, group, &series).await }).await
    }

    async fn put_alerts(&self, alerts: Arc<Vec<Alert>>) -> Result<(), StoreError> {
        self.run(|inner| async move { super::alerts::put(&inner, &alerts).await }).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.run(
            |inner| async move { inner.execute("system.local", &inner.statements.ping, ()).await },
        )
        .await
    }
}

impl Inner {
    /// Sends one write.
    pub async fn execute(
        &self,
        table: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        let sent = self.session.execute_unpaged(statement, values).await;
        sent.map(drop).map_err(|e| store_error(table, e))
    }

    /// Sends many writes into one partition as one request.
    pub async fn execute_together<R: SerializeRow>(
        &self,
        table: &str,
        statement: &PreparedStatement,
        values: Vec<R>,
    ) -> Result<(), StoreError> {
        if let [only] = values.as_slice() {
            return self.execute(table, statement, only).await;
        }
        let statements = vec![statement.clone().into(); values.len()];
        let batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        self.send_batch(table, batch, values).await
    }

    /// Sends a batch of writes into one partition.
    pub async fn send_batch(
        &self,
        table: &str,
        mut batch: Batch,
        values: impl BatchValues,
    ) -> Result<(), StoreError> {
        batch.set_is_idempotent(true);
        batch.set_consistency(self.write_consistency);
        let sent = self.session.batch(&batch, values).await;
        sent.map(drop).map_err(|e| store_error(table, e))
    }

    /// Reads page by page. `each` says when enough was read.
    pub async fn read<R>(
        &self,
        table: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
        mut each: impl FnMut(R) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut state = PagingState::start();
        loop {
            let page = self.session.execute_single_page(statement, &values, state).await;
            let (page, next) = page.map_err(|e| store_error(table, e))?;
            for row in rows::<R>(page, table)? {
                if each(row)?.is_break() {
                    return Ok(());
                }
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Reads all rows.
    pub async fn read_all<R>(
        &self,
        table: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut all = Vec::new();
        self.read(table, statement, values, |row| {
            all.push(row);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(all)
    }

    async fn record_layout(&self, topic: TopicId, wanted: Layout) -> Result<Layout, StoreError> {
        let key = topic.to_string();
        let key_groups = i32::try_from(wanted.key_groups).map_err(|_| {
            StoreError::Invalid(format!("layouts: {} key groups", wanted.key_groups))
        })?;
        let shift = wanted.bucket_shift as i8;
        let history = history_name(wanted.history);
        let values = (&self.job, &key, key_groups, shift, history);
        // Whether this write was the first or not, the serial read after it sees
        // the one that was.
        self.execute("layouts", &self.statements.layout_put, values).await?;
        let recorded = self.read_layout(topic).await?.ok_or_else(|| {
            StoreError::Unavailable(format!("layouts: topic {key} was recorded and is not there"))
        })?;
        self.layouts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic, recorded.history);
        Ok(recorded)
    }

    async fn read_layout(&self, topic: TopicId) -> Result<Option<Layout>, StoreError> {
        let values = (&self.job, topic.to_string());
        let found: Vec<(i32, i8, String)> =
            self.read_all("layouts", &self.statements.layout_get, values).await?;
        let Some((key_groups, shift, history)) = found.into_iter().next() else { return Ok(None) };
        let history = match history.as_str() {
            "segments" => HistoryLayout::Segments,
            "rows" => HistoryLayout::Rows,
            other => {
                return Err(StoreError::Damaged(format!("layouts: history is {other:?}")));
            }
        };
        Ok(Some(Layout { key_groups: key_groups as u32, bucket_shift: shift as u8, history }))
    }

    async fn history_layout(&self, topic: TopicId) -> Result<HistoryLayout, StoreError> {
        let known = {
            let layouts = self.layouts.read().unwrap_or_else(PoisonError::into_inner);
            layouts.get(&topic).copied()
        };
        if let Some(layout) = known {
            return Ok(layout);
        }
        let recorded = self.read_layout(topic).await?.ok_or_else(|| {
            StoreError::Invalid(format!(
                "layouts: no layout is recorded for job {:?} and topic {topic}; has the job ever \
                 read it?",
                self.job
            ))
        })?;
        self.layouts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic, recorded.history);
        Ok(recorded.history)
    }
}

const fn history_name(layout: HistoryLayout) -> &'static str {
    match layout {
        HistoryLayout::Segments => "segments",
        HistoryLayout::Rows => "rows",
    }
}

/// A write timestamp that rises with the position, so that an older state never
/// replaces a newer one: the offset above ten bits of the index. Indices from
/// 1,023 on share one timestamp; of two cells with one timestamp Cassandra keeps
/// the one with the greater bytes, and those begin with the position.
pub(super) fn position_timestamp(position: Position) -> i64 {
    const INDEX_BITS: u32 = 10;
    const INDEX_MAX: i64 = (1 << INDEX_BITS) - 1;
    let offset = position.offset.clamp(0, i64::MAX >> INDEX_BITS);
    (offset << INDEX_BITS) | i64::from(position.index).min(INDEX_MAX)
}

/// A position as bytes that sort as it does.
pub(super) fn position_bytes(position: Position) -> [u8; POSITION_LEN] {
    let mut bytes = [0; POSITION_LEN];
    bytes[..8].copy_from_slice(&position.offset.to_be_bytes());
    bytes[8..].copy_from_slice(&position.index.to_be_bytes());
    bytes
}

/// The position that `bytes` begin with, and the rest.
pub(super) fn split_position(bytes: &[u8]) -> Option<(Position, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let (index, rest) = rest.split_first_chunk::<2>()?;
    let position =
        Position { offset: i64::from_be_bytes(*offset), index: u16::from_be_bytes(*index) };
    Some((position, rest))
}

const POSITION_LEN: usize = 10;

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_later_position_never_has_an_earlier_timestamp_and_ties_break_by_bytes() {
        let positions = [(0, 0), (0, 1), (0, 1_023), (0, 1_024), (0, 65_535), (1, 0), (1 << 50, 7)];
        let positions = positions.map(|(offset, index)| Position { offset, index });
        for pair in positions.windows(2) {
            let rank = |p| (position_timestamp(p), position_bytes(p));
            assert!(rank(pair[0]) < rank(pair[1]), "{} and {}", pair[0], pair[1]);
        }
    }
}
