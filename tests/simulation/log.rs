//! The simulated log: partitions with holes between offsets, and a group of one
//! member.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use weir_actors::decode::compact;
use weir_actors::position::{PartitionId, Position, TopicId, TopicPartition};
use weir_actors::source::{
    Assigned, Assignment, PartitionSource, RawBatch, RawRecord, Source, SourceError, Span,
};

use super::rng::Rng;
use super::world::{Outcome, World};
use crate::reference::Logged;

pub struct Record {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub value: Option<Vec<u8>>,
}

pub struct Partition {
    pub name: Arc<TopicPartition>,
    pub records: Vec<Record>,
    /// What of it are events.
    pub events: Vec<Logged>,
    /// Offsets of what is not.
    pub bad: Vec<i64>,
    pub end_offset: i64,
    pub committed: Option<i64>,
    /// From here on the log is lost.
    pub lost_from: Option<i64>,
}

const TOPIC: TopicId = TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const START_MS: i64 = 1_700_000_000_000;

impl Partition {
    /// A log of readings of a few series, some of which jump now and then.
    pub fn generate(number: i32, series: u64, records: usize, rng: &mut Rng) -> Self {
        let id = PartitionId { topic: TOPIC, number };
        let mut partition = Self {
            name: Arc::new(TopicPartition { topic: "simulated".into(), id }),
            records: Vec::new(),
            events: Vec::new(),
            bad: Vec::new(),
            end_offset: 0,
            committed: None,
            lost_from: None,
        };
        let mut levels = vec![20.0; series as usize];
        for i in 0..records {
            // Markers and compaction leave holes.
            partition.end_offset += if rng.chance(0.05) { 1 + rng.below(4) as i64 } else { 1 };
            let offset = partition.end_offset - 1;
            let timestamp_ms = START_MS + i as i64 * 10;
            if rng.chance(0.01) {
                let value =
                    [None, Some(vec![]), Some(vec![9, 9, 9])][rng.below(3) as usize].clone();
                partition.records.push(Record { offset, timestamp_ms, value });
                partition.bad.push(offset);
                continue;
            }
            let which = rng.below(series) as usize;
            if rng.chance(0.003) {
                levels[which] += 40.0;
            }
            let spike = if rng.chance(0.01) { 500.0 } else { 0.0 };
            let value = ((levels[which] + spike + rng.normal()) * 100.0).round() / 100.0;
            let name = format!("series-{number}-{which}").into_bytes();
            let time_us = timestamp_ms * 1_000;
            let mut bytes = Vec::new();
            compact::encode(time_us, value, Some(&name), &mut bytes).expect("the key is short");
            partition.records.push(Record { offset, timestamp_ms, value: Some(bytes) });
            let position = Position::at(offset);
            partition.events.push(Logged { position, series: name, time_us, value });
        }
        // The log ends behind its last record, as with a transaction's marker.
        partition.end_offset += 1;
        partition
    }
}

pub struct SimulatedSource {
    world: Arc<World>,
    assignments: Mutex<mpsc::UnboundedReceiver<Assignment>>,
    /// Keeps the channel open while the source is.
    open: std::sync::Mutex<Option<mpsc::UnboundedSender<Assignment>>>,
}

impl SimulatedSource {
    /// A member that is given all partitions, from their committed offsets on.
    pub fn new(world: Arc<World>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let partitions = world.partitions.lock().expect("no test thread panicked");
        let assigned = partitions.iter().enumerate().map(|(index, partition)| {
            let start_offset = partition.committed.unwrap_or(0);
            let reader = Reader { world: Arc::clone(&world), index, at: start_offset };
            Assigned {
                partition: Arc::clone(&partition.name),
                start_offset,
                reader: Box::new(reader),
            }
        });
        let assigned = Assignment::Assigned(assigned.collect());
        drop(partitions);
        sender.send(assigned).unwrap_or_else(|_| unreachable!("the receiver is here"));
        Self { world, assignments: Mutex::new(receiver), open: std::sync::Mutex::new(Some(sender)) }
    }
}

#[async_trait(?Send)]
impl Source for SimulatedSource {
    async fn assignment(&self) -> Result<Option<Assignment>, SourceError> {
        Ok(self.assignments.lock().await.recv().await)
    }

    async fn commit(&self, offsets: &[(Arc<TopicPartition>, i64)]) -> Result<(), SourceError> {
        let shown: Vec<_> = offsets.iter().map(|(p, o)| (p.id.number, *o)).collect();
        let outcome = self.world.request(&format!("commit {shown:?}")).await;
        if outcome != Outcome::FailedBefore {
            let mut partitions = self.world.partitions.lock().expect("no test thread panicked");
            for (partition, offset) in offsets {
                let known = partitions.iter_mut().find(|p| p.name == *partition);
                let known = known.expect("only what was assigned is committed");
                assert!(known.committed.is_none_or(|c| *offset >= c), "commits never go back");
                known.committed = Some(*offset);
            }
        }
        match outcome {
            Outcome::Done => Ok(()),
            _ => Err(SourceError::Transient("simulated".into())),
        }
    }

    async fn close(&self) {
        self.open.lock().expect("no test thread panicked").take();
    }
}

struct Reader {
    world: Arc<World>,
    index: usize,
    at: i64,
}

#[async_trait(?Send)]
impl PartitionSource for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RawBatch, SourceError> {
        let (delay, count) = self.world.roll(|rng| (rng.millis(60), 1 + rng.below(200) as usize));
        tokio::time::sleep(delay).await;
        if self.world.roll(|rng| rng.chance(self.world.faults.failure)) {
            return Err(SourceError::Transient("simulated".into()));
        }
        let end =
            self.world.partitions.lock().expect("no test thread panicked")[self.index].end_offset;
        if self.at >= end {
            // Nothing comes any more.
            std::future::pending::<()>().await;
        }
        let partitions = self.world.partitions.lock().expect("no test thread panicked");
        let log = &partitions[self.index];
        let first = log.records.partition_point(|r| r.offset < self.at);
        let lost = |record: &Record| log.lost_from.is_some_and(|from| record.offset >= from);
        if log.records.get(first).is_some_and(lost) {
            return Err(SourceError::Loss(format!("simulated: {} is gone", self.at)));
        }
        let mut batch = RawBatch {
            partition: Arc::clone(&log.name),
            bytes: Vec::new(),
            records: Vec::new(),
            next_offset: end,
            log_end_offset: end,
        };
        for (taken, record) in log.records[first..].iter().enumerate() {
            if taken == count || lost(record) || (taken > 0 && batch.bytes.len() > bytes_max) {
                batch.next_offset = record.offset;
                break;
            }
            let value = match &record.value {
                None => Span::NULL,
                Some(value) => {
                    let start = batch.bytes.len() as u32;
                    batch.bytes.extend_from_slice(value);
                    Span { start, len: value.len() as u32 }
                }
            };
            batch.records.push(RawRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: Span::NULL,
                value,
                headers: Span::NULL,
            });
        }
        self.at = batch.next_offset;
        self.world.note(&format!("read {} up to {}", self.index, self.at));
        Ok(batch)
    }

    async fn seek(&mut self, offset: i64) -> Result<(), SourceError> {
        self.world.note(&format!("seek {} to {offset}", self.index));
        self.at = offset;
        Ok(())
    }
}
