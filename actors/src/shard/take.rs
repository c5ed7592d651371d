//! Taking a batch: each event to its group, or to the queue of a group that is
//! being read.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::prelude::*;

use super::Shard;
use super::findings::Effects;
use super::group::{Applied, Arrival, Group};
use super::message::{Refused, Take, Taken};
use super::partition::{PartitionShare, Slot, Waiting};
use crate::event::SharedBatch;
use crate::position::{GroupId, PartitionId, Position};
use crate::route::key_group;
use crate::supervise;

/// What a group needs from the store before it can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// All of it.
    Load,
    /// Series that were evicted.
    Return,
}

impl Handler<Take> for Shard {
    type Result = Result<Taken, Refused>;

    fn handle(&mut self, take: Take, ctx: &mut Self::Context) -> Self::Result {
        let id = take.batch.raw.partition.id;
        self.batch = self.batch.wrapping_add(1);
        self.enter_epoch(&take)?;
        let mut effects = Effects::default();
        let mut needs = Vec::new();
        let taken = catch_unwind(AssertUnwindSafe(|| {
            self.take_in(id, &take.batch, &take.picks, &mut effects, &mut needs);
        }));
        self.env.stats.verdict_latency.record(take.arrived.elapsed(), effects.checks);
        self.carry_out(id, effects, ctx);
        for (group, need) in needs {
            self.read(GroupId { partition: id, group }, need, ctx);
        }
        if let Err(payload) = taken {
            let why = supervise::reason(&*payload);
            self.on_detector_panic(id, &why);
            return Err(Refused(why));
        }
        let share = self.shares.get_mut(&id).expect("it was entered above");
        share.received = take.batch.raw.next_offset;
        self.send_sealed(id, ctx);
        let share = self.shares.get_mut(&id).expect("it was entered above");
        share.said_durable = share.durable();
        Ok(Taken { durable: share.said_durable })
    }
}

impl Shard {
    /// Refuses a batch of an epoch that is over, and moves on to a newer one.
    fn enter_epoch(&mut self, take: &Take) -> Result<(), Refused> {
        let partition = &take.batch.raw.partition;
        let key_groups = self.env.layout.key_groups;
        let share = self.shares.entry(partition.id).or_insert_with(|| {
            PartitionShare::new(take.reader.clone(), take.epoch, take.epoch_start, key_groups)
        });
        if take.epoch < share.epoch {
            return Err(Refused(format!("{partition}: epoch {} is over", take.epoch)));
        }
        if let Some(lost) = share.lost_from
            && (take.epoch == share.epoch || take.epoch_start > lost)
        {
            return Err(Refused(format!(
                "{partition}: events from {lost} on have to be read again"
            )));
        }
        if take.epoch > share.epoch {
            share.epoch = take.epoch;
            share.start = take.epoch_start;
            share.received = take.epoch_start;
            share.reader = take.reader.clone();
            share.lost_from = None;
            share.leaving = None;
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        id: PartitionId,
        batch: &SharedBatch,
        picks: &[u32],
        effects: &mut Effects,
        needs: &mut Vec<(u32, Need)>,
    ) {
        let key_groups = self.env.layout.key_groups;
        let poisoned = self.poisoned(id);
        let share = self.shares.get_mut(&id).expect("the caller entered it");
        for pick in picks {
            let event = &batch.events[*pick as usize];
            let number = key_group(event.series_hash, key_groups);
            let slot = &mut share.groups[number as usize];
            match slot {
                Slot::Warm(group) => {
                    self.in_hand = Some((number, event.position()));
                    let arrival = arrival(batch, *pick, self.batch, &poisoned);
                    let applied = group.apply(arrival, &self.env.detection);
                    if applied == Applied::Missing {
                        wait(slot, batch, *pick);
                        needs.push((number, Need::Return));
                    } else {
                        effects.note(applied, number, batch, *pick, &poisoned);
                    }
                }
                Slot::Waiting { queue, .. } => enqueue(queue, batch, *pick),
                Slot::Absent => {
                    wait(slot, batch, *pick);
                    needs.push((number, Need::Load));
                }
            }
        }
        self.in_hand = None;
        for group in share.groups.iter_mut().filter_map(Slot::group_mut) {
            effects.count(group);
        }
    }

    /// Applies what has waited for a group, until it is done or more has to be
    /// read.
    pub(super) fn run_queue(&mut self, id: GroupId, group: Box<Group>, ctx: &mut Context<Self>) {
        // Its series are used anew: an eviction begun before must not drop them.
        self.batch = self.batch.wrapping_add(1);
        let Some(share) = self.shares.get_mut(&id.partition) else { return };
        let slot = &mut share.groups[id.group as usize];
        let Slot::Waiting { queue, .. } = slot else { return };
        let mut queue = std::mem::take(queue);
        *slot = Slot::Warm(group);
        let mut effects = Effects::default();
        let ran = catch_unwind(AssertUnwindSafe(|| self.apply_queue(id, &mut queue, &mut effects)));
        self.carry_out(id.partition, effects, ctx);
        match ran {
            Ok(false) => {}
            Ok(true) => {
                let share = self.shares.get_mut(&id.partition).expect("it was there above");
                let slot = &mut share.groups[id.group as usize];
                if let Slot::Warm(group) = std::mem::take(slot) {
                    *slot = Slot::Waiting { group: Some(group), queue };
                }
                self.read(id, Need::Return, ctx);
            }
            Err(payload) => {
                let why = supervise::reason(&*payload);
                self.on_detector_panic(id.partition, &why);
            }
        }
        self.send_sealed(id.partition, ctx);
        self.after_progress(id.partition, ctx);
    }

    /// True if it stopped at a series that has to be read.
    fn apply_queue(
        &mut self,
        id: GroupId,
        queue: &mut VecDeque<Waiting>,
        effects: &mut Effects,
    ) -> bool {
        let poisoned = self.poisoned(id.partition);
        let share = self.shares.get_mut(&id.partition).expect("the caller found it");
        let Some(group) = share.groups[id.group as usize].group_mut() else { return false };
        while let Some(waiting) = queue.front_mut() {
            for (done, pick) in waiting.picks.iter().enumerate() {
                let event = &waiting.batch.events[*pick as usize];
                self.in_hand = Some((id.group, event.position()));
                let arrival = arrival(&waiting.batch, *pick, self.batch, &poisoned);
                let applied = group.apply(arrival, &self.env.detection);
                if applied == Applied::Missing {
                    waiting.picks.drain(..done);
                    self.in_hand = None;
                    return true;
                }
                effects.note(applied, id.group, &waiting.batch, *pick, &poisoned);
            }
            queue.pop_front();
        }
        self.in_hand = None;
        effects.count(group);
        false
    }

    /// A detector failed on the event in hand: drops its group, so that it is
    /// rebuilt, and tells the reader to rewind.
    fn on_detector_panic(&mut self, partition: PartitionId, why: &str) {
        let Some((group, position)) = self.in_hand.take() else {
            supervise::fail(format!("a shard failed outside of any detector: {why}"));
        };
        self.suspect(partition, position, why);
        self.lose_group(GroupId { partition, group }, position.offset);
    }

    pub(super) fn lose_group(&mut self, id: GroupId, from: i64) {
        let Some(share) = self.shares.get_mut(&id.partition) else { return };
        share.lose(id.group, from);
        let progress =
            super::Progress { shard: self.env.index, durable: share.durable(), lost: true };
        share.reader.do_send(progress);
    }
}

fn arrival<'a>(
    batch: &'a SharedBatch,
    pick: u32,
    number: u32,
    poisoned: &BTreeMap<Position, String>,
) -> Arrival<'a> {
    let event = &batch.events[pick as usize];
    let record_ms = batch.raw.records[event.record as usize].timestamp_ms;
    Arrival {
        event,
        name: batch.series(event),
        location: batch.locations.get(pick as usize).copied(),
        record_time_us: (record_ms >= 0).then(|| record_ms.saturating_mul(1_000)),
        batch: number,
        poison: !poisoned.is_empty() && poisoned.contains_key(&event.position()),
    }
}

fn wait(slot: &mut Slot, batch: &SharedBatch, pick: u32) {
    let group = match std::mem::take(slot) {
        Slot::Warm(group) => Some(group),
        Slot::Absent | Slot::Waiting { .. } => None,
    };
    let mut queue = VecDeque::new();
    enqueue(&mut queue, batch, pick);
    *slot = Slot::Waiting { group, queue };
}

fn enqueue(queue: &mut VecDeque<Waiting>, batch: &SharedBatch, pick: u32) {
    match queue.back_mut() {
        Some(last) if Arc::ptr_eq(&last.batch, batch) => last.picks.push(pick),
        _ => queue.push_back(Waiting { batch: Arc::clone(batch), picks: vec![pick] }),
    }
}
