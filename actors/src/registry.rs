//! What the node works on now, for those who look at it from outside. Never on
//! the path of an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dashmap::DashMap;

use crate::position::PartitionId;
use crate::reader::PartitionProgress;

/// The assigned partitions.
#[derive(Debug, Default)]
pub struct Registry {
    partitions: DashMap<PartitionId, Arc<PartitionProgress>>,
    was_assigned: AtomicBool,
}

impl Registry {
    pub(crate) fn add(&self, progress: Arc<PartitionProgress>) {
        self.partitions.insert(progress.partition.id, progress);
    }

    pub(crate) fn remove(&self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// The group has decided, though perhaps that this node has nothing.
    pub(crate) fn note_assignment(&self) {
        self.was_assigned.store(true, Relaxed);
    }

    /// Whether the group has ever decided what this node has.
    pub fn was_assigned(&self) -> bool {
        self.was_assigned.load(Relaxed)
    }

    /// The assigned partitions, in order.
    pub fn partitions(&self) -> Vec<Arc<PartitionProgress>> {
        let mut all: Vec<_> = self.partitions.iter().map(|p| Arc::clone(p.value())).collect();
        all.sort_by(|a, b| a.partition.cmp(&b.partition));
        all
    }

    /// Events that have not been read, over all partitions.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(|p| (p.log_end() - p.read()).max(0) as u64).sum()
    }
}
