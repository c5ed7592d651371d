//! One assigned partition. Its reader takes messages off librdkafka's queue on
//! its own thread, and only when it asks: that is the throttle. A full queue
//! stops librdkafka's fetching. Nothing is handed over twice, nothing is left
//! out, and nothing after the partition was revoked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use weir_actors::position::TopicPartition;
use weir_actors::source::{PartitionSource, RawBatch, SourceError};

use super::collect::{Collector, Failure, Sizes};
use super::group::GroupContext;
use super::queue::PartitionQueue;
use super::start::loss_text;

/// A reader that waits is woken when something comes. Should that ever fail, it
/// looks again by itself after so long.
pub(super) const WAKE_CAP: Duration = Duration::from_millis(500);
/// How long a seek may take; it asks no broker.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
const SEEK_RETRY: Duration = Duration::from_millis(10);
/// How long the brokers may take to say where the log begins and ends.
const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the group's side and the reader share of one partition.
pub(super) struct Slot {
    pub(super) partition: Arc<TopicPartition>,
    wake: Arc<Notify>,
    consumer: Weak<BaseConsumer<GroupContext>>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the partition is let go.
    queue: Option<PartitionQueue<GroupContext>>,
    revoked: bool,
    /// Everything before it was handed over.
    next_offset: i64,
    /// A seek that was begun and has not succeeded: where the queue stands is not
    /// known until it is repeated.
    seeking: Option<i64>,
    failure: Option<Failure>,
    /// The log's end, as it was last known.
    log_end_offset: i64,
    /// Of the last batch.
    sizes: Sizes,
}

impl Slot {
    /// A partition that is read from `start_offset` on.
    pub(super) fn new(
        partition: Arc<TopicPartition>,
        consumer: Weak<BaseConsumer<GroupContext>>,
        start_offset: i64,
        log_end_offset: i64,
    ) -> Arc<Self> {
        let state = State {
            queue: None,
            revoked: false,
            next_offset: start_offset,
            seeking: None,
            failure: None,
            log_end_offset,
            sizes: Sizes::default(),
        };
        let wake = Arc::new(Notify::new());
        Arc::new(Self { partition, wake, consumer, state: Mutex::new(state) })
    }

    /// Splits the partition's queue off. To be called before it is assigned.
    pub(super) fn open(&self) -> Result<(), SourceError> {
        let consumer = self.consumer.upgrade().ok_or(SourceError::Revoked)?;
        let TopicPartition { topic, id } = &*self.partition;
        let queue = PartitionQueue::split(consumer, topic, id.number, self.wake.clone());
        let queue = queue.ok_or_else(|| {
            SourceError::Fatal(format!("{}: librdkafka gives no queue for it", self.partition))
        })?;
        self.lock().queue = Some(queue);
        Ok(())
    }

    /// The reader gets this error from now on.
    pub(super) fn fail(&self, error: SourceError) {
        self.lock().failure = Some(Failure::Known(error));
        self.wake.notify_one();
    }

    /// The reader gets no more batches.
    pub(super) fn revoke(&self) {
        self.lock().revoked = true;
        self.wake.notify_one();
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.lock().revoked
    }

    /// The partition is gone for good.
    pub(super) fn close(&self) {
        let queue = {
            let mut state = self.lock();
            state.revoked = true;
            state.queue.take()
        };
        drop(queue);
        self.wake.notify_one();
    }

    /// How many messages librdkafka keeps ahead of the reader.
    #[cfg(test)]
    pub(super) fn ahead(&self) -> usize {
        self.lock().queue.as_ref().map_or(0, PartitionQueue::len)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there now; `None` if the reader has to wait.
    fn take(&self, bytes_max: usize) -> Option<Result<RawBatch, Failure>> {
        let mut state = self.lock();
        if state.revoked {
            return Some(Err(Failure::Known(SourceError::Revoked)));
        }
        if let Some(offset) = state.seeking {
            let text = format!(
                "{}: the seek to offset {offset} has not succeeded; seek again",
                self.partition
            );
            return Some(Err(Failure::Known(SourceError::Transient(text))));
        }
        if let Some(failure) = state.failure.clone() {
            return Some(Err(failure));
        }
        let partition = &*self.partition;
        let mut collector = Collector::new(partition, state.next_offset, bytes_max, state.sizes);
        state.queue.as_mut()?.drain(|incoming| collector.take(incoming));
        self.finish(&mut state, collector)
    }

    fn finish(
        &self,
        state: &mut State,
        collector: Collector<'_>,
    ) -> Option<Result<RawBatch, Failure>> {
        let Collector { bytes, records, next_offset, failure, repeated, .. } = collector;
        if repeated > 0 {
            // librdkafka fetches again what was in flight when a rebalance paused it.
            tracing::debug!(partition = %self.partition, repeated, "repeated records dropped");
        }
        state.failure = failure;
        if next_offset <= state.next_offset {
            return state.failure.clone().map(Err);
        }
        state.next_offset = next_offset;
        state.sizes = Sizes { bytes: bytes.len(), records: records.len() };
        let high = state.queue.as_ref().and_then(|queue| queue.watermarks().1);
        state.log_end_offset = high.unwrap_or(state.log_end_offset).max(next_offset);
        Some(Ok(RawBatch {
            partition: self.partition.clone(),
            bytes: trimmed(bytes),
            records: trimmed(records),
            next_offset,
            log_end_offset: state.log_end_offset,
        }))
    }
}

/// Gives back what a hint from a larger batch took too much of.
fn trimmed<T>(mut buffer: Vec<T>) -> Vec<T> {
    if buffer.capacity() / 2 > buffer.len() {
        buffer.shrink_to_fit();
    }
    buffer
}

/// The reader's end of a partition.
pub(super) struct Reader(pub(super) Arc<Slot>);

#[async_trait(?Send)]
impl PartitionSource for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RawBatch, SourceError> {
        loop {
            match self.0.take(bytes_max) {
                Some(Ok(batch)) => return Ok(batch),
                Some(Err(Failure::Known(error))) => return Err(error),
                Some(Err(Failure::OutOfRange(offset))) => return Err(self.lost(offset).await),
                // A batch is taken only where it is returned at once: a reader that
                // is cancelled here loses nothing.
                None => drop(tokio::time::timeout(WAKE_CAP, self.0.wake.notified()).await),
            }
        }
    }

    async fn seek(&mut self, offset: i64) -> Result<(), SourceError> {
        let slot = self.0.clone();
        let consumer = slot.consumer.upgrade().ok_or(SourceError::Revoked)?;
        {
            let mut state = slot.lock();
            match &state.failure {
                _ if state.revoked => return Err(SourceError::Revoked),
                Some(Failure::Known(error)) => return Err(error.clone()),
                Some(Failure::OutOfRange(_)) | None => state.seeking = Some(offset),
            }
        }
        let sought = slot.clone();
        run_blocking(move || seek_blocking(&consumer, &sought, offset)).await??;
        let mut state = slot.lock();
        state.seeking = None;
        state.next_offset = offset;
        Ok(())
    }
}

impl Reader {
    /// Says exactly what is gone. What it said stays said.
    async fn lost(&self, offset: i64) -> SourceError {
        let Some(consumer) = self.0.consumer.upgrade() else { return SourceError::Revoked };
        let partition = self.0.partition.clone();
        let asked = run_blocking(move || {
            consumer.fetch_watermarks(&partition.topic, partition.id.number, WATERMARKS_TIMEOUT)
        });
        let error = match asked.await {
            Ok(Ok((low, high))) => {
                SourceError::Loss(loss_text(&self.0.partition, "the reader", offset, low, high))
            }
            _ => SourceError::Loss(format!(
                "{}: the broker has no offset {offset}: events are gone (the brokers did not say \
                 where the log begins and ends)",
                self.0.partition
            )),
        };
        self.0.lock().failure = Some(Failure::Known(error.clone()));
        error
    }
}

/// Runs what blocks off the actors' threads.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| SourceError::Transient(format!("a call to librdkafka was cut short: {e}")))
}

/// Seeks. librdkafka marks what it has in its queue as outdated before this
/// returns, so that the next message is the one at `offset` or after it.
fn seek_blocking(
    consumer: &BaseConsumer<GroupContext>,
    slot: &Slot,
    offset: i64,
) -> Result<(), SourceError> {
    let partition = &slot.partition;
    let deadline = Instant::now() + SEEK_TIMEOUT;
    loop {
        let mut list = TopicPartitionList::with_capacity(1);
        let sought = list
            .add_partition_offset(&partition.topic, partition.id.number, Offset::Offset(offset))
            .and_then(|()| consumer.seek_partitions(list, SEEK_TIMEOUT))
            .and_then(|list| list.elements().iter().try_for_each(|element| element.error()));
        let error = match sought {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if slot.lock().revoked {
            return Err(SourceError::Revoked);
        }
        // Just assigned: its fetching has not begun yet.
        let too_early = matches!(
            error,
            KafkaError::OffsetFetch(RDKafkaErrorCode::State | RDKafkaErrorCode::PreviousInProgress)
        );
        if !too_early || Instant::now() >= deadline {
            let text = format!("{partition}: seek to offset {offset}: {error}");
            return Err(SourceError::Transient(text));
        }
        std::thread::sleep(SEEK_RETRY);
    }
}
