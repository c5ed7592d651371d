//! What a shard keeps of one partition: its epoch, its groups, and what of it is
//! not durable yet.

use std::collections::{BTreeMap, VecDeque};

use actix::Recipient;
use tokio::sync::oneshot;

use super::group::Group;
use super::message::{Handed, Progress};
use crate::event::SharedBatch;
use crate::store::{Bucket, Checkpoint, Evicted};

/// Events of one group that wait, as picks of their batch.
pub(super) struct Waiting {
    pub(super) batch: SharedBatch,
    pub(super) picks: Vec<u32>,
}

/// A group, warm or not.
#[derive(Default)]
pub(super) enum Slot {
    /// Nothing of it has been met.
    #[default]
    Absent,
    /// In memory.
    Warm(Box<Group>),
    /// Being read from the store: as a whole (`None`), or some series of it that
    /// were evicted. Its events wait, in order.
    Waiting { group: Option<Box<Group>>, queue: VecDeque<Waiting> },
}

/// A write under way: everything of this partition before `first_offset` is not
/// its affair.
pub(super) type Ticket = u64;

/// A checkpoint that waits until all that it contains is durable.
pub(super) struct PendingCheckpoint {
    pub(super) group: u32,
    pub(super) after: Ticket,
    pub(super) checkpoint: Checkpoint,
}

/// Series on their way out of memory, that wait until all that is in their
/// states is durable.
pub(super) struct PendingEviction {
    pub(super) group: u32,
    pub(super) after: Ticket,
    pub(super) leavers: Vec<Leaver>,
    pub(super) states: Vec<Evicted>,
}

/// A series that is dropped unless it is used meanwhile.
pub(super) struct Leaver {
    pub(super) hash: u64,
    pub(super) name: Vec<u8>,
    pub(super) used: u32,
}

/// How far the handing over of a partition is.
pub(super) struct Leaving {
    pub(super) reply: oneshot::Sender<Handed>,
    pub(super) checkpointed: bool,
}

/// One partition's share of a shard.
pub(super) struct PartitionShare {
    pub(super) reader: Recipient<Progress>,
    /// Rises with every assignment and every rewind.
    pub(super) epoch: u64,
    /// Where this epoch began to read: the history before it is complete.
    pub(super) start: i64,
    /// Everything before it that this shard was sent has been taken in.
    pub(super) received: i64,
    /// Groups by number; those of other shards stay absent.
    pub(super) groups: Vec<Slot>,
    /// What is noted in the store of the buckets' times.
    pub(super) noted: BTreeMap<Bucket, (i64, i64)>,
    /// Writes under way, each with the first offset in it.
    pub(super) tickets: BTreeMap<Ticket, i64>,
    /// Events from this offset on were dropped after a failure; the reader has
    /// to rewind before anything else is taken.
    pub(super) lost_from: Option<i64>,
    pub(super) pending_checkpoints: Vec<PendingCheckpoint>,
    pub(super) pending_evictions: Vec<PendingEviction>,
    pub(super) leaving: Option<Leaving>,
    /// What the reader was last told.
    pub(super) said_durable: i64,
}

impl PartitionShare {
    pub(super) fn new(
        reader: Recipient<Progress>,
        epoch: u64,
        start: i64,
        key_groups: u32,
    ) -> Self {
        Self {
            reader,
            epoch,
            start,
            received: start,
            groups: std::iter::repeat_with(Slot::default).take(key_groups as usize).collect(),
            noted: BTreeMap::new(),
            tickets: BTreeMap::new(),
            lost_from: None,
            pending_checkpoints: Vec::new(),
            pending_evictions: Vec::new(),
            leaving: None,
            said_durable: start,
        }
    }

    /// Everything that this shard was sent before this offset is durable.
    pub(super) fn durable(&self) -> i64 {
        let writes = self.tickets.values().copied();
        let gathered = self.groups.iter().filter_map(|slot| slot.first_offset());
        writes.chain(gathered).chain(self.lost_from).fold(self.received, i64::min)
    }

    /// Nothing of it waits for the store or for a group.
    pub(super) fn is_settled(&self) -> bool {
        self.tickets.is_empty()
            && self.pending_checkpoints.is_empty()
            && self.pending_evictions.is_empty()
            && self.groups.iter().all(|slot| slot.first_offset().is_none())
    }

    /// Every write that was begun with this ticket or an earlier one is done.
    pub(super) fn done_up_to(&self, ticket: Ticket) -> bool {
        self.tickets.keys().next().is_none_or(|oldest| *oldest > ticket)
    }

    /// Forgets a group whose state cannot be trusted any more. Its events from
    /// the oldest that is not durable on have to be read again.
    pub(super) fn lose(&mut self, group: u32, in_hand: i64) {
        let first = std::mem::take(&mut self.groups[group as usize]).first_offset();
        let from = first.map_or(in_hand, |first| first.min(in_hand));
        self.lost_from = Some(self.lost_from.map_or(from, |lost| lost.min(from)));
        self.pending_checkpoints.retain(|p| p.group != group);
        self.pending_evictions.retain(|p| p.group != group);
    }

    /// Forgets all groups and all writes under way.
    pub(super) fn lose_all(&mut self) {
        let from = self.durable();
        self.lost_from = Some(from);
        self.groups.fill_with(Slot::default);
        self.tickets.clear();
        self.noted.clear();
        self.pending_checkpoints.clear();
        self.pending_evictions.clear();
    }
}

impl Slot {
    fn first_offset(&self) -> Option<i64> {
        match self {
            Self::Absent => None,
            Self::Warm(group) => group.open.first().map(|p| p.offset),
            Self::Waiting { group, queue } => {
                let gathered = group.as_ref().and_then(|g| g.open.first()).map(|p| p.offset);
                let waiting = queue
                    .iter()
                    .flat_map(|w| w.picks.first().map(|i| w.batch.events[*i as usize].offset))
                    .min();
                gathered.into_iter().chain(waiting).min()
            }
        }
    }

    pub(super) fn group_mut(&mut self) -> Option<&mut Group> {
        match self {
            Self::Absent => None,
            Self::Warm(group) => Some(group),
            Self::Waiting { group, .. } => group.as_deref_mut(),
        }
    }
}
