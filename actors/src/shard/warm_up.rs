//! Warm-up: a group's state from its checkpoint at a position s, then the stored
//! history after s and before the epoch's start, then what waits.
//!
//! History at or past the start is not read: Kafka sends those events again.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;

use super::group::Group;
use super::open_history::OpenHistory;
use super::partition::Slot;
use super::series::Series;
use super::take::Need;
use super::{Shard, ShardEnv, checkpoint};
use crate::history;
use crate::pool::{self, Answer, PoolError, Request};
use crate::position::{GroupId, Position};
use crate::route::series_hash;
use crate::store::{BucketTimes, HistoryRange};
use crate::supervise::{self, caught};

/// Why a group could not be read.
enum WarmUpError {
    /// A detector failed on the event at this position of the history.
    Detector { position: Position, why: String },
    /// The store refused, or the node stops.
    Pool(PoolError),
}

impl From<PoolError> for WarmUpError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl Shard {
    /// Reads what a group needs, beside the mailbox.
    pub(super) fn read(&mut self, id: GroupId, need: Need, ctx: &mut Context<Self>) {
        match need {
            Need::Load => self.load(id, ctx),
            Need::Return => self.bring_back(id, ctx),
        }
    }

    fn load(&mut self, id: GroupId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get(&id.partition) else { return };
        let (epoch, start) = (share.epoch, share.start);
        let poisoned = self.poisoned(id.partition);
        let open = OpenHistory::new(self.env.layout, self.sealing());
        let load = load(self.env.clone(), id, start, open, poisoned);
        ctx.spawn(load.into_actor(self).map(move |loaded, shard, ctx| {
            // After a rewind the group is read again, for the new start.
            let current = shard.shares.get(&id.partition).map(|share| share.epoch);
            let waits =
                shard.slot(id).is_some_and(|s| matches!(s, Slot::Waiting { group: None, .. }));
            if !waits {
                return;
            }
            match loaded {
                Ok(group) if current == Some(epoch) => shard.run_queue(id, group, ctx),
                Ok(_) => shard.load(id, ctx),
                Err(WarmUpError::Detector { position, why }) => {
                    shard.suspect(id.partition, position, &why);
                    shard.load(id, ctx);
                }
                Err(WarmUpError::Pool(PoolError::Restarted)) => {}
                Err(WarmUpError::Pool(error)) => supervise::give_up(error.to_string()),
            }
        }));
    }

    fn slot(&self, id: GroupId) -> Option<&Slot> {
        self.shares.get(&id.partition).map(|share| &share.groups[id.group as usize])
    }

    /// Reads back the evicted series that the waiting events are of.
    fn bring_back(&mut self, id: GroupId, ctx: &mut Context<Self>) {
        let Some(Slot::Waiting { group: Some(group), queue }) = self.slot(id) else { return };
        let mut wanted: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for waiting in queue {
            for pick in &waiting.picks {
                let event = &waiting.batch.events[*pick as usize];
                if group.evicted.contains(&event.series_hash) {
                    wanted
                        .entry(event.series_hash)
                        .or_insert_with(|| waiting.batch.series(event).to_vec());
                }
            }
        }
        let env = self.env.clone();
        let read = async move { returned(&env, id, wanted).await };
        ctx.spawn(read.into_actor(self).map(move |series, shard, ctx| {
            let Some(share) = shard.shares.get_mut(&id.partition) else { return };
            let Slot::Waiting { group, .. } = &mut share.groups[id.group as usize] else { return };
            let Some(mut group) = group.take() else { return };
            match series {
                Ok(series) => {
                    put_back(&mut group, series);
                    shard.run_queue(id, group, ctx);
                }
                Err(PoolError::Restarted) => {}
                Err(error) => supervise::give_up(error.to_string()),
            }
        }));
    }
}

/// A series that was read back, with the position of its state; `None` where the
/// store knows nothing of it: it shares its hash with one that was evicted, and
/// is new.
type Returned = Vec<(u64, Option<(Series, Position)>)>;

fn put_back(group: &mut Group, series: Returned) {
    for (hash, series) in series {
        match series {
            Some((series, as_of)) => group.put_back(series, as_of),
            None => {
                group.evicted.remove(&hash);
            }
        }
    }
}

async fn returned(
    env: &ShardEnv,
    group: GroupId,
    wanted: BTreeMap<u64, Vec<u8>>,
) -> Result<Returned, PoolError> {
    let names: Vec<Vec<u8>> = wanted.values().cloned().collect();
    let request = Request::Evicted { group, series: Arc::new(names) };
    let Answer::Evicted(states) = pool::durably(env.pool.clone(), request).await? else {
        unreachable!("the pool answers what it is asked");
    };
    let mut found: Returned = wanted.into_keys().map(|hash| (hash, None)).collect();
    for state in states.iter() {
        let hash = series_hash(&state.series);
        let Ok(at) = found.binary_search_by_key(&hash, |(hash, _)| *hash) else { continue };
        match checkpoint::decode_series(&state.bytes, &env.detection) {
            Ok(series) => found[at].1 = series.map(|series| (series, state.position)),
            Err(error) => {
                let series = env.detection.encoding().render(&state.series);
                tracing::error!(%group, series, %error, "an evicted state is damaged; the series starts anew");
            }
        }
    }
    env.stats.returned.add(found.len() as u64);
    Ok(found)
}

async fn load(
    env: ShardEnv,
    id: GroupId,
    start: i64,
    open: OpenHistory,
    poisoned: BTreeMap<Position, String>,
) -> Result<Box<Group>, WarmUpError> {
    let mut group = restore(&env, id, open).await?;
    let request = Request::BucketTimes { partition: id.partition };
    let Answer::BucketTimes(buckets) = pool::durably(env.pool.clone(), request).await? else {
        unreachable!("the pool answers what it is asked");
    };
    let from = group.applied.map(|applied| env.layout.bucket(applied.offset));
    let until = env.layout.bucket(start);
    for BucketTimes { bucket, .. } in buckets.iter() {
        if from.is_some_and(|from| *bucket < from) || *bucket > until {
            continue;
        }
        let range = HistoryRange {
            bucket: *bucket,
            after: group.applied,
            before: Some(Position::at(start)),
        };
        let request = Request::History { group: id, range };
        let Answer::History(stored) = pool::durably(env.pool.clone(), request).await? else {
            unreachable!("the pool answers what it is asked");
        };
        let rows = history::rows_in_order(&stored, range).map_err(|error| {
            WarmUpError::Pool(PoolError::Store(crate::store::StoreError::Damaged(format!(
                "history of group {id}, bucket {}: {error}",
                bucket.0
            ))))
        })?;
        env.stats.warmed.add(rows.len() as u64);
        let mut next = 0;
        while next < rows.len() {
            next = replay(&env, &mut group, &rows, next, &poisoned).await?;
        }
    }
    // What is replayed was counted when it was judged.
    group.take_counts();
    Ok(group)
}

/// Replays rows from `from` on, up to the first whose series has to be read
/// back; returns how far it came.
async fn replay(
    env: &ShardEnv,
    group: &mut Group,
    rows: &[crate::store::Row],
    from: usize,
    poisoned: &BTreeMap<Position, String>,
) -> Result<usize, WarmUpError> {
    for (n, row) in rows.iter().enumerate().skip(from) {
        let position = row.position;
        let poison = poisoned.contains_key(&position);
        let replayed = caught(|| group.replay(row, poison, &env.detection));
        match replayed {
            Ok(true) => {}
            Ok(false) => {
                let wanted = BTreeMap::from([(series_hash(&row.series), row.series.clone())]);
                let series = returned(env, group.id, wanted).await?;
                put_back(group, series);
                return Ok(n);
            }
            Err(why) => return Err(WarmUpError::Detector { position, why }),
        }
    }
    Ok(rows.len())
}

/// A group from its newest checkpoint, or new. A damaged checkpoint is passed
/// over: the history has everything.
async fn restore(
    env: &ShardEnv,
    id: GroupId,
    open: OpenHistory,
) -> Result<Box<Group>, WarmUpError> {
    let request = Request::Checkpoint { group: id };
    let Answer::Checkpoint(stored) = pool::durably(env.pool.clone(), request).await? else {
        unreachable!("the pool answers what it is asked");
    };
    if let Some(stored) = stored {
        match checkpoint::decode(id, &stored.bytes, &env.detection, open.fresh()) {
            Ok(group) => return Ok(Box::new(group)),
            Err(error) => {
                tracing::error!(group = %id, position = %stored.position, %error,
                    "a checkpoint is damaged; the state is rebuilt from all of the history");
            }
        }
    }
    Ok(Box::new(Group::new(id, &env.detection, open)))
}
