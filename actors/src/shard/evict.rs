//! Eviction: series unused for longest are written out and dropped, so that
//! state keeps to its bound; and reading them back.

use std::sync::Arc;

use actix::prelude::*;

use super::Shard;
use super::checkpoint::{self, HOLDS_NOTHING};
use super::group::Group;
use super::partition::{Leaver, PendingEviction, Slot};
use super::write::written;
use crate::pool::{self, Request};
use crate::position::{GroupId, PartitionId};
use crate::store::Evicted;

/// Once over the bound, this share of it is freed, so that eviction is seldom.
const FREED_SHARE: f64 = 0.1;

impl Shard {
    /// Begins to write series out if the states are over their bound.
    pub(super) fn evict(&mut self, ctx: &mut Context<Self>) {
        let bytes_max = self.env.config.state_bytes_max / self.env.shards;
        let bytes: usize = self.warm_groups().map(|group| group.series.size_bytes()).sum();
        if self.evicting || bytes <= bytes_max {
            return;
        }
        let excess = bytes - bytes_max + (bytes_max as f64 * FREED_SHARE) as usize;
        let age = self.age_to_evict(excess);
        let partitions: Vec<PartitionId> = self.shares.keys().copied().collect();
        for partition in partitions {
            for group in 0..self.env.layout.key_groups {
                self.begin_eviction(GroupId { partition, group }, age, ctx);
            }
            self.after_progress(partition, ctx);
        }
    }

    fn warm_groups(&self) -> impl Iterator<Item = &Group> {
        let slots = self.shares.values().flat_map(|share| &share.groups);
        slots.filter_map(|slot| match slot {
            Slot::Warm(group) => Some(&**group),
            _ => None,
        })
    }

    /// The age in batches, to a power of two, from which on series make up
    /// `bytes`. One pass over all of them.
    fn age_to_evict(&self, bytes: usize) -> u32 {
        let mut by_age = [0usize; 33];
        for series in self.warm_groups().flat_map(|group| group.series.iter()) {
            let age = self.batch.wrapping_sub(series.used);
            by_age[(32 - age.leading_zeros()) as usize] += series.size_bytes();
        }
        let mut sum = 0;
        for (log2, size) in by_age.iter().enumerate().rev() {
            sum += size;
            if sum >= bytes {
                return if log2 == 0 { 0 } else { 1 << (log2 - 1) };
            }
        }
        0
    }

    fn begin_eviction(&mut self, id: GroupId, age: u32, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&id.partition) else { return };
        let Slot::Warm(group) = &mut share.groups[id.group as usize] else { return };
        let Some(position) = group.applied else { return };
        let (mut leavers, mut states) = (Vec::new(), Vec::new());
        for series in group.series.iter() {
            if self.batch.wrapping_sub(series.used) < age {
                continue;
            }
            match checkpoint::encode_series(series, &self.env.detection) {
                Ok(bytes) => {
                    let name = series.name.to_vec();
                    states.push(Evicted { series: name.clone(), position, bytes });
                    leavers.push(Leaver { hash: series.hash, name, used: series.used });
                }
                Err(error) => tracing::error!(group = %id, %error, "a series stays in memory"),
            }
        }
        if leavers.is_empty() {
            return;
        }
        self.evicting = true;
        group.open.seal();
        self.send_sealed(id.partition, ctx);
        let after = self.last_ticket;
        if let Some(share) = self.shares.get_mut(&id.partition) {
            let group = id.group;
            share.pending_evictions.push(PendingEviction { group, after, leavers, states });
        }
    }

    /// Writes out the series whose events have become durable.
    pub(super) fn put_ready_evictions(&mut self, partition: PartitionId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        let pending = std::mem::take(&mut share.pending_evictions);
        let (ready, later) = pending.into_iter().partition(|p| share.done_up_to(p.after));
        share.pending_evictions = later;
        for PendingEviction { group, leavers, states, .. } in ready {
            let id = GroupId { partition, group };
            let request = Request::PutEvicted { group: id, states: Arc::new(states) };
            let pool = self.env.pool.clone();
            let ticket = self.ticket(partition, HOLDS_NOTHING);
            let write = async move { written(pool::durably(pool, request).await) };
            ctx.spawn(write.into_actor(self).map(move |done, shard, ctx| {
                if done {
                    shard.drop_series(id, &leavers);
                    shard.settle_now(partition, ticket, ctx);
                }
            }));
        }
    }

    /// Drops series that are written out, but for those used meanwhile.
    fn drop_series(&mut self, id: GroupId, leavers: &[Leaver]) {
        let Some(share) = self.shares.get_mut(&id.partition) else { return };
        let Some(group) = share.groups[id.group as usize].group_mut() else { return };
        let mut dropped = 0;
        for leaver in leavers {
            let unused = group
                .series
                .find(leaver.hash, &leaver.name)
                .is_some_and(|series| series.used == leaver.used);
            if unused {
                group.series.remove(leaver.hash, &leaver.name);
                group.evicted.insert(leaver.hash);
                dropped += 1;
            }
        }
        self.env.stats.evicted.add(dropped);
        self.evicting = self.shares.values().any(|share| !share.pending_evictions.is_empty());
    }
}
