//! A partition reader: an actor for each assigned partition.
//!
//! Takes batches from its [`PartitionSource`], decodes them, splits them by shard
//! and hands them on. At most one batch is on its way to the shards at a time:
//! a mailbox that outlives a failure could otherwise reorder. The next batch is
//! fetched and decoded meanwhile.
//!
//! It holds memory of the [`Budget`] for every batch until it is durable, and
//! rewinds to the watermark when a shard has lost something.

mod dispatch;
mod watermark;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::budget::{Budget, Held};
use crate::decode::Decoder;
use crate::event::SharedBatch;
use crate::position::TopicPartition;
use crate::relay::{DeadLetterOutlet, Relay};
use crate::shard::{Flush, Progress, Shard};
use crate::source::{PartitionSource, RawBatch, SourceError};
use crate::stats::Stats;
use crate::supervise::{self, Backoff};
pub use dispatch::{Abandon, Leave};
pub use watermark::Watermark;

/// How readers behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderConfig {
    /// About how many bytes one batch has at most.
    pub batch_bytes: usize,
    /// How many bytes of events on their way the node holds at most.
    pub in_flight_bytes_max: usize,
    /// How many of them one partition may hold.
    pub partition_bytes_max: usize,
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self { batch_bytes: 1 << 20, in_flight_bytes_max: 256 << 20, partition_bytes_max: 64 << 20 }
    }
}

impl ReaderConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.batch_bytes < 1024 {
            faults.push(format!(
                "reader.batch_bytes must be at least 1024, got {}; 1048576 is the default",
                self.batch_bytes
            ));
        }
        if self.partition_bytes_max < self.batch_bytes
            || self.in_flight_bytes_max < self.partition_bytes_max
        {
            faults.push(format!(
                "reader: batch_bytes <= partition_bytes_max <= in_flight_bytes_max must hold, \
                 got {} / {} / {}",
                self.batch_bytes, self.partition_bytes_max, self.in_flight_bytes_max
            ));
        }
        faults
    }
}

/// What a reader works with.
#[derive(Clone)]
pub struct ReaderEnv {
    /// How it behaves.
    pub config: ReaderConfig,
    /// The node's bound.
    pub budget: Budget,
    /// The format of the messages.
    pub decoder: Arc<Decoder>,
    /// The shards, in order.
    pub shards: Arc<[Addr<Shard>]>,
    /// Key groups in each partition.
    pub key_groups: u32,
    /// The way of dead letters.
    pub dead_letters: Addr<Relay<DeadLetterOutlet>>,
    /// What it counts.
    pub stats: Arc<Stats>,
}

/// How far a partition is: written by its reader, read by whoever commits or
/// shows it.
#[derive(Debug)]
pub struct PartitionProgress {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    durable: AtomicI64,
    read: AtomicI64,
    log_end: AtomicI64,
    stopped: Mutex<Option<String>>,
}

impl PartitionProgress {
    /// A partition that begins at `start`.
    pub fn new(partition: Arc<TopicPartition>, start: i64) -> Self {
        Self {
            partition,
            durable: AtomicI64::new(start),
            read: AtomicI64::new(start),
            log_end: AtomicI64::new(start),
            stopped: Mutex::new(None),
        }
    }

    /// Everything before it is durable: it may be committed.
    pub fn durable(&self) -> i64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything before it was read.
    pub fn read(&self) -> i64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The end of the log, as it was last heard of.
    pub fn log_end(&self) -> i64 {
        self.log_end.load(Ordering::Relaxed)
    }

    /// Why it is not read any more, if so: the log has lost events.
    pub fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_stopped(&self, why: Option<String>) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// A batch that is not durable yet, with what it holds of the budget.
struct InFlight {
    next_offset: i64,
    _held: Held,
}

/// A batch that is ready to go to the shards.
struct Ready {
    batch: SharedBatch,
    held: Held,
    arrived: Instant,
}

/// What a fetch gives back: the source, and what it brought unless it was
/// interrupted.
type Fetched = (Box<dyn PartitionSource>, Option<(Held, Result<RawBatch, SourceError>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Reading,
    /// What is on its way comes back first; then it seeks.
    Rewinding,
    /// The log has lost events: nothing more is read, until an operator has said
    /// where to go on. What was read becomes durable and is handed over.
    Stopped,
    /// No more batches are taken; then it hands over.
    Leaving,
}

/// The actor.
pub struct PartitionReader {
    env: ReaderEnv,
    progress: Arc<PartitionProgress>,
    /// Away while a fetch or a seek is under way.
    source: Option<Box<dyn PartitionSource>>,
    /// Dropped to interrupt the fetch under way.
    fetching: Option<oneshot::Sender<()>>,
    ready: Option<Ready>,
    dispatching: bool,
    in_flight: VecDeque<InFlight>,
    /// Where the batches begin whose dead letters are not durable yet.
    letters_from: BTreeSet<i64>,
    watermark: Watermark,
    epoch: u64,
    epoch_start: i64,
    mode: Mode,
    failures: usize,
    hand_over: Vec<oneshot::Sender<i64>>,
}

impl PartitionReader {
    /// A reader that begins at `start_offset`. Epochs of later assignments of
    /// the same partition to this process are higher.
    pub fn new(
        env: ReaderEnv,
        progress: Arc<PartitionProgress>,
        source: Box<dyn PartitionSource>,
        epoch: u64,
    ) -> Self {
        let start = progress.durable();
        // One place more, for the dead letters.
        let watermark = Watermark::new(env.shards.len() + 1, start);
        Self {
            env,
            progress,
            source: Some(source),
            fetching: None,
            ready: None,
            dispatching: false,
            in_flight: VecDeque::new(),
            letters_from: BTreeSet::new(),
            watermark,
            epoch,
            epoch_start: start,
            mode: Mode::Reading,
            failures: 0,
            hand_over: Vec::new(),
        }
    }

    fn partition(&self) -> &TopicPartition {
        &self.progress.partition
    }

    fn held_bytes(&self) -> usize {
        self.in_flight.iter().map(|b| b._held.bytes()).sum()
    }

    /// Fetches the next batch, if there is room and none waits already.
    fn fetch(&mut self, ctx: &mut Context<Self>) {
        if self.mode != Mode::Reading || self.ready.is_some() {
            return;
        }
        if self.held_bytes() >= self.env.config.partition_bytes_max {
            self.ask_to_flush();
            return;
        }
        let Some(mut source) = self.source.take() else { return };
        let bytes = self.env.config.batch_bytes;
        if self.env.budget.held_bytes() + bytes > self.env.budget.bytes_max() {
            self.ask_to_flush();
        }
        let budget = self.env.budget.clone();
        let (fetching, interrupted) = oneshot::channel::<()>();
        self.fetching = Some(fetching);
        let fetch = async move {
            let fetched = tokio::select! {
                biased;
                _ = interrupted => None,
                fetched = async {
                    let held = budget.take(bytes).await;
                    (held, source.next(bytes).await)
                } => Some(fetched),
            };
            (source, fetched)
        };
        ctx.spawn(fetch.into_actor(self).map(Self::on_fetched));
    }

    /// The budget is full: what has gathered in the shards goes out before its
    /// time.
    fn ask_to_flush(&self) {
        for shard in self.env.shards.iter() {
            shard.do_send(Flush);
        }
    }

    fn on_fetched((source, fetched): Fetched, reader: &mut Self, ctx: &mut Context<Self>) {
        reader.source = Some(source);
        reader.fetching = None;
        let (mut held, fetched) = match fetched {
            Some(fetched) if reader.mode == Mode::Reading => fetched,
            // It is read again after the rewind, or by the next owner.
            _ => return reader.go_on(ctx),
        };
        match fetched {
            Ok(raw) => {
                let arrived = Instant::now();
                reader.failures = 0;
                reader.progress.log_end.store(raw.log_end_offset, Ordering::Relaxed);
                reader.env.stats.records.add(raw.records.len() as u64);
                let batch = Arc::new(reader.env.decoder.decode(raw));
                reader.env.stats.events.add(batch.events.len() as u64);
                held.shrink_to(batch.size_bytes());
                reader.ready = Some(Ready { batch, held, arrived });
                reader.dispatch(ctx);
            }
            Err(SourceError::Transient(error)) => reader.fetch_later(&error, ctx),
            Err(SourceError::Revoked) => {
                tracing::debug!(partition = %reader.partition(), "revoked; waiting to be stopped");
            }
            Err(SourceError::Loss(error)) => reader.stop_reading(error, ctx),
            Err(SourceError::Fatal(error)) => {
                supervise::give_up(format!("{}: {error}", reader.partition()));
            }
        }
    }

    /// The log has lost events. The other partitions go on.
    fn stop_reading(&mut self, why: String, ctx: &mut Context<Self>) {
        tracing::error!(partition = %self.partition(), why, "stopped: the log has lost events");
        self.progress.set_stopped(Some(why));
        if self.mode != Mode::Leaving {
            self.mode = Mode::Stopped;
        }
        self.go_on(ctx);
    }

    fn fetch_later(&mut self, error: &str, ctx: &mut Context<Self>) {
        self.failures += 1;
        let delay = RETRY.delay(self.failures);
        tracing::warn!(partition = %self.partition(), error, ?delay, "cannot read; trying again");
        ctx.run_later(delay, |reader, ctx| reader.fetch(ctx));
    }

    /// Everything before the watermark is durable: gives its memory back.
    fn on_watermark(&mut self, ctx: &mut Context<Self>) {
        let durable = self.watermark.offset();
        self.progress.durable.store(durable, Ordering::Release);
        while self.in_flight.front().is_some_and(|batch| batch.next_offset <= durable) {
            self.in_flight.pop_front();
        }
        self.go_on(ctx);
    }

    /// Does what is next: reads on, rewinds, or hands over.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        match self.mode {
            Mode::Reading => self.fetch(ctx),
            Mode::Rewinding => self.rewind(ctx),
            Mode::Stopped => {}
            Mode::Leaving => self.leave(ctx),
        }
    }

    fn begin_rewind(&mut self, why: &str, ctx: &mut Context<Self>) {
        // What a stopped partition has read can be read again, up to the gap.
        if matches!(self.mode, Mode::Reading | Mode::Stopped) {
            tracing::warn!(partition = %self.partition(), why, "rewinding");
            self.mode = Mode::Rewinding;
            self.ready = None;
            // A quiet partition's fetch would not come back by itself.
            self.fetching = None;
        }
        self.go_on(ctx);
    }

    /// Goes back to the watermark, once nothing is on its way.
    fn rewind(&mut self, ctx: &mut Context<Self>) {
        if self.dispatching {
            return;
        }
        let Some(mut source) = self.source.take() else { return };
        let to = self.watermark.rewind();
        self.env.stats.rewinds.add(1);
        self.in_flight.clear();
        self.letters_from.clear();
        self.epoch += 1;
        self.epoch_start = to;
        self.progress.read.store(to, Ordering::Relaxed);
        self.failures += 1;
        let delay = RETRY.delay(self.failures);
        let seek = async move {
            tokio::time::sleep(delay).await;
            let sought = source.seek(to).await;
            (source, sought)
        };
        ctx.spawn(seek.into_actor(self).map(|(source, sought), reader, ctx| {
            reader.source = Some(source);
            match sought {
                Ok(()) if reader.mode == Mode::Rewinding => {
                    reader.mode = Mode::Reading;
                    reader.progress.set_stopped(None);
                    reader.go_on(ctx);
                }
                Ok(()) | Err(SourceError::Revoked) => reader.go_on(ctx),
                Err(SourceError::Transient(error)) => {
                    tracing::warn!(partition = %reader.partition(), error, "cannot seek; trying again");
                    reader.go_on(ctx);
                }
                Err(SourceError::Loss(error)) => reader.stop_reading(error, ctx),
                Err(SourceError::Fatal(error)) => {
                    supervise::give_up(format!("{}: {error}", reader.partition()));
                }
            }
        }));
    }
}

const RETRY: Backoff =
    Backoff { initial: Duration::from_millis(20), max: Duration::from_secs(5), seed: 0x7ead };

impl Actor for PartitionReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
}

impl Supervised for PartitionReader {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Its source may have gone with a future of the old context; then it
        // cannot read any more, and no restart helps.
        if self.source.is_none() {
            supervise::give_up(format!("{}: the source was lost", self.partition()));
        }
        self.ready = None;
        self.fetching = None;
        self.dispatching = false;
        if matches!(self.mode, Mode::Reading | Mode::Stopped) {
            self.mode = Mode::Rewinding;
        }
    }
}

impl Handler<Progress> for PartitionReader {
    type Result = ();

    fn handle(&mut self, said: Progress, ctx: &mut Self::Context) {
        self.watermark.durable(said.shard, said.durable);
        if said.lost {
            self.begin_rewind("a shard lost events", ctx);
        }
        self.on_watermark(ctx);
    }
}
