//! On the way to the store: what has gathered is sealed and sent, and what has
//! become durable is said to the reader.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::open_history::Sealed;
use super::partition::{Slot, Ticket};
use super::{Progress, Shard};
use crate::pool::{self, PoolError, Request};
use crate::position::{GroupId, PartitionId};
use crate::store::{Bucket, BucketTimes};
use crate::supervise;

/// Bucket times are noted in steps of this many microseconds, so that they are
/// noted seldom.
const NOTE_STEP_US: i64 = 3_600_000_000;

impl Shard {
    /// A ticket for a write of events from `first_offset` on.
    pub(super) fn ticket(&mut self, partition: PartitionId, first_offset: i64) -> Ticket {
        self.last_ticket += 1;
        if let Some(share) = self.shares.get_mut(&partition) {
            share.tickets.insert(self.last_ticket, first_offset);
        }
        self.last_ticket
    }

    /// Waits, beside the mailbox, until a write is done, and gives its ticket
    /// back. A write that comes to nothing (the node stops) keeps its ticket:
    /// what it holds is not durable.
    pub(super) fn settle(
        &mut self,
        partition: PartitionId,
        ticket: Ticket,
        done: impl Future<Output = bool> + 'static,
        ctx: &mut Context<Self>,
    ) {
        ctx.spawn(done.into_actor(self).map(move |done, shard, ctx| {
            if done {
                shard.settle_now(partition, ticket, ctx);
            }
        }));
    }

    /// A write is done: gives its ticket back.
    pub(super) fn settle_now(
        &mut self,
        partition: PartitionId,
        ticket: Ticket,
        ctx: &mut Context<Self>,
    ) {
        if let Some(share) = self.shares.get_mut(&partition) {
            share.tickets.remove(&ticket);
            self.after_progress(partition, ctx);
        }
    }

    /// Sends what has gathered for longer than `after`.
    pub(super) fn flush(&mut self, after: Duration, ctx: &mut Context<Self>) {
        let partitions: Vec<PartitionId> = self.shares.keys().copied().collect();
        for partition in partitions {
            if let Some(share) = self.shares.get_mut(&partition) {
                for group in share.groups.iter_mut().filter_map(Slot::group_mut) {
                    if group.open.opened().is_some_and(|opened| opened.elapsed() >= after) {
                        group.open.seal();
                    }
                }
            }
            self.send_sealed(partition, ctx);
        }
    }

    /// Sends what is sealed.
    pub(super) fn send_sealed(&mut self, partition: PartitionId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        let mut ready = Vec::new();
        for group in share.groups.iter_mut().filter_map(Slot::group_mut) {
            let sealed = group.open.take_sealed();
            ready.extend(sealed.into_iter().map(|sealed| (group.id, sealed)));
        }
        for (group, sealed) in ready {
            self.append(group, sealed, ctx);
        }
    }

    fn append(&mut self, group: GroupId, sealed: Sealed, ctx: &mut Context<Self>) {
        let ticket = self.ticket(group.partition, sealed.first.offset);
        let note = self.note_bucket(group.partition, sealed.bucket, sealed.times_us);
        let (pool, stats) = (self.env.pool.clone(), Arc::clone(&self.env.stats));
        let Sealed { bucket, pieces, events, bytes, opened, .. } = sealed;
        let write = async move {
            if let Some(times) = note {
                let request = Request::NoteBucket { partition: group.partition, times };
                if !written(pool::durably(pool.clone(), request).await) {
                    return false;
                }
            }
            // Pieces go together, each a request of its own.
            let writes: Vec<_> = pieces
                .into_iter()
                .map(|history| {
                    let history = Arc::new(history);
                    let request = Request::Append { group, bucket, history };
                    actix::spawn(pool::durably(pool.clone(), request))
                })
                .collect();
            for write in writes {
                match write.await {
                    Ok(result) if written(result.clone()) => {}
                    _ => return false,
                }
            }
            stats.history_events.add(events);
            stats.history_bytes.add(bytes);
            stats.durable_latency.record(opened.elapsed(), events);
            true
        };
        ctx.spawn(write.into_actor(self).map(move |done, shard, ctx| {
            if done {
                if let Some(times) = note {
                    shard.on_noted(group.partition, times);
                }
                shard.settle_now(group.partition, ticket, ctx);
            }
        }));
    }

    /// What is to be noted of a bucket before history goes into it, if it is not
    /// noted already.
    fn note_bucket(
        &self,
        partition: PartitionId,
        bucket: Bucket,
        (earliest_us, latest_us): (i64, i64),
    ) -> Option<BucketTimes> {
        let floor = earliest_us.div_euclid(NOTE_STEP_US).saturating_mul(NOTE_STEP_US);
        let ceil =
            latest_us.div_euclid(NOTE_STEP_US).saturating_add(1).saturating_mul(NOTE_STEP_US);
        let noted = self.shares.get(&partition)?.noted.get(&bucket).copied();
        let (low, high) = noted.map_or((floor, ceil), |(l, h)| (l.min(floor), h.max(ceil)));
        let times = BucketTimes { bucket, earliest_us: low, latest_us: high };
        (noted != Some((low, high))).then_some(times)
    }

    /// A bucket's times are in the store. Only then may a write rely on it:
    /// history in a bucket that is not noted is not found again.
    fn on_noted(&mut self, partition: PartitionId, times: BucketTimes) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        let noted = share.noted.entry(times.bucket).or_insert((i64::MAX, i64::MIN));
        *noted = (noted.0.min(times.earliest_us), noted.1.max(times.latest_us));
        if share.noted.len() > NOTED_BUCKETS_MAX {
            share.noted.pop_first();
        }
    }

    /// Something of a partition has become durable, or has been read: does what
    /// waited for it.
    pub(super) fn after_progress(&mut self, partition: PartitionId, ctx: &mut Context<Self>) {
        self.put_ready_checkpoints(partition, ctx);
        self.put_ready_evictions(partition, ctx);
        self.go_on_leaving(partition, ctx);
        let shard = self.env.index;
        if let Some(share) = self.shares.get_mut(&partition) {
            let durable = share.durable();
            if durable > share.said_durable {
                share.said_durable = durable;
                share.reader.do_send(Progress { shard, durable, lost: false });
            }
        }
    }
}

/// How many buckets of a partition a shard remembers as noted. Noting one again
/// is harmless.
const NOTED_BUCKETS_MAX: usize = 64;

/// Whether a write is durable. One that the store refuses for good ends the
/// node: no restart helps, and nothing after it is committed.
pub(super) fn written(result: Result<pool::Answer, PoolError>) -> bool {
    match result {
        Ok(_) => true,
        Err(PoolError::Restarted) => false,
        Err(PoolError::Store(error)) => supervise::give_up(error.to_string()),
    }
}
