//! The series of a key group that are in memory.

use hashbrown::HashTable;
use smallvec::SmallVec;
use weir_detectors::{DetectorSpec, DetectorState, Observation};

use super::incident::Incident;
use crate::detection::DetectorIndex;

/// One series: its name, its clock, its detector's state.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) hash: u64,
    pub(super) name: SmallVec<[u8; 16]>,
    pub(super) detector: DetectorIndex,
    /// When it was last used, on the shard's own count of batches.
    pub(super) used: u32,
    /// See [`super::timing`].
    pub(super) clock_us: i64,
    pub(super) state: DetectorState,
    pub(super) incident: Option<Box<Incident>>,
}

impl Series {
    /// The memory it takes, in bytes, its place in the table included.
    pub(super) fn size_bytes(&self) -> usize {
        let name = if self.name.spilled() { self.name.capacity() } else { 0 };
        let incident = self.incident.as_ref().map_or(0, |_| size_of::<Incident>());
        let state_on_heap = self.state.size_bytes() - size_of::<DetectorState>();
        SLOT_BYTES + name + incident + state_on_heap
    }
}

/// About how many bytes of memory one series takes once its detector has seen
/// enough, if its name has at most 16 bytes; a longer one is added. What
/// [`super::ShardConfig::state_bytes_max`] is held against.
pub fn bytes_of_series(spec: &DetectorSpec) -> usize {
    let mut state = spec.start();
    for second in 0..i64::from(spec.observations_of_state().unwrap_or(0)) {
        let observation = Observation { time_us: second * 1_000_000, value: 0.0 };
        spec.step(&mut state, observation);
    }
    let on_heap = state.size_bytes() - size_of::<DetectorState>();
    SLOT_BYTES + on_heap
}

/// A slot of the table, its control byte, and the table's free eighth.
const SLOT_BYTES: usize = (size_of::<Series>() + 1) * 8 / 7;

/// The series by name. A name is found by its hash and compared in full.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    table: HashTable<Series>,
    bytes: usize,
}

impl SeriesTable {
    pub(super) fn find(&mut self, hash: u64, name: &[u8]) -> Option<&mut Series> {
        self.table.find_mut(hash, |s| s.hash == hash && s.name.as_slice() == name)
    }

    /// Adds a series that is not there yet.
    pub(super) fn insert(&mut self, series: Series) -> &mut Series {
        self.bytes += series.size_bytes();
        self.table.insert_unique(series.hash, series, |s| s.hash).into_mut()
    }

    pub(super) fn remove(&mut self, hash: u64, name: &[u8]) -> Option<Series> {
        let entry = self.table.find_entry(hash, |s| s.hash == hash && s.name.as_slice() == name);
        let (series, _) = entry.ok()?.remove();
        self.bytes = self.bytes.saturating_sub(series.size_bytes());
        Some(series)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.table.iter()
    }

    /// The memory of all series, in bytes, as of when each was added.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }
}
