//! Checkpoints: the state of a group, written now and then, so that a recovery
//! reads little history.
//!
//! A checkpoint is taken at once and written later: only after all history and
//! all alerts up to its position are durable.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use weir_detectors::DetectorState;

use super::Shard;
use super::group::Group;
use super::incident::{Course, Incident, Storm};
use super::open_history::OpenHistory;
use super::partition::{PendingCheckpoint, Slot};
use super::series::Series;
use super::write::written;
use crate::codec::{self, CodecError, SectionWriter, Sections, Stored};
use crate::detection::Detection;
use crate::pool::{self, Request};
use crate::position::{GroupId, PartitionId, Position};
use crate::route::series_hash;
use crate::store::Checkpoint;

/// The first offset of a write that holds nothing up: it has no events in it.
pub(super) const HOLDS_NOTHING: i64 = i64::MAX;

/// A group's state as it is stored: a column a section, see [`codec`].
#[derive(Debug, Default, PartialEq)]
pub(super) struct GroupState {
    applied: Option<Position>,
    names: Vec<Vec<u8>>,
    detector_names: Vec<String>,
    detectors: Vec<u16>,
    clocks_us: Vec<i64>,
    states: Vec<DetectorState>,
    incidents: Vec<(u32, Incident)>,
    evicted: Vec<u64>,
    storm: Option<Storm>,
    /// As long as `incidents`; empty if the version before wrote it.
    courses: Vec<Option<Course>>,
}

impl Stored for GroupState {
    const KIND: u8 = 1;
    const VERSION: u8 = 2;

    fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError> {
        out.put(1, &self.applied)?;
        out.put(2, &self.names)?;
        out.put(3, &self.detector_names)?;
        out.put(4, &self.detectors)?;
        out.put(5, &self.clocks_us)?;
        out.put(6, &self.states)?;
        out.put(7, &self.incidents)?;
        out.put(8, &self.evicted)?;
        out.put(9, &self.storm)?;
        out.put(10, &self.courses)
    }

    fn read(sections: &Sections<'_>) -> Result<Self, CodecError> {
        let state = Self {
            applied: sections.require(1)?,
            names: sections.require(2)?,
            detector_names: sections.require(3)?,
            detectors: sections.require(4)?,
            clocks_us: sections.require(5)?,
            states: sections.require(6)?,
            incidents: sections.require(7)?,
            evicted: sections.require(8)?,
            storm: sections.require(9)?,
            courses: sections.or_default(10)?,
        };
        let n = state.names.len();
        if [state.detectors.len(), state.clocks_us.len(), state.states.len()] != [n; 3] {
            return Err(CodecError::Section {
                number: 6,
                why: "columns of different length".into(),
            });
        }
        Ok(state)
    }
}

impl GroupState {
    fn push(&mut self, series: &Series, detection: &Detection) {
        let name = detection.name(series.detector);
        let detector = self.detector_names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.detector_names.push(name.to_owned());
            self.detector_names.len() - 1
        });
        if let Some(incident) = &series.incident {
            self.incidents.push((self.names.len() as u32, (**incident).clone()));
            self.courses.push(incident.course);
        }
        self.names.push(series.name.to_vec());
        self.detectors.push(detector as u16);
        self.clocks_us.push(series.clock_us);
        self.states.push(series.state.clone());
    }

    /// The series in it. One whose detector is another by now starts anew, with
    /// its clock.
    fn into_series(self, detection: &Detection) -> Vec<Series> {
        let mut all: Vec<Series> = Vec::with_capacity(self.names.len());
        let columns =
            self.names.into_iter().zip(self.detectors).zip(self.clocks_us).zip(self.states);
        for (((name, stored_detector), clock_us), state) in columns {
            let detector = detection.of(&name);
            let same = self
                .detector_names
                .get(usize::from(stored_detector))
                .is_some_and(|stored| stored == detection.name(detector));
            all.push(Series {
                hash: series_hash(&name),
                name: name.into(),
                detector,
                used: 0,
                clock_us,
                state: if same { state } else { detection.spec(detector).start() },
                incident: None,
            });
        }
        let courses = self.courses.into_iter().chain(std::iter::repeat(None));
        for ((i, mut incident), course) in self.incidents.into_iter().zip(courses) {
            incident.course = course;
            if let Some(series) = all.get_mut(i as usize) {
                series.incident = Some(Box::new(incident));
            }
        }
        all
    }
}

/// A group's state as bytes.
pub(super) fn encode(group: &Group, detection: &Detection) -> Result<Vec<u8>, CodecError> {
    let mut state = GroupState {
        applied: group.applied,
        evicted: group.evicted.iter().copied().collect(),
        storm: Some(group.storm.clone()),
        ..GroupState::default()
    };
    let mut series: Vec<&Series> = group.series.iter().collect();
    // The table's order is an accident; equal states are equal bytes.
    series.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    series.into_iter().for_each(|s| state.push(s, detection));
    codec::encode(&state)
}

/// A group from such bytes.
pub(super) fn decode(
    id: GroupId,
    bytes: &[u8],
    detection: &Detection,
    open: OpenHistory,
) -> Result<Group, CodecError> {
    let mut state: GroupState = codec::decode(bytes)?;
    let mut group = Group::new(id, detection, open);
    group.applied = state.applied;
    group.evicted = std::mem::take(&mut state.evicted).into_iter().collect();
    if let Some(storm) = state.storm.take() {
        group.storm = storm;
    }
    for series in state.into_series(detection) {
        group.series.insert(series);
    }
    Ok(group)
}

/// One series' state as bytes, for its way out of memory.
pub(super) fn encode_series(series: &Series, detection: &Detection) -> Result<Vec<u8>, CodecError> {
    let mut state = GroupState::default();
    state.push(series, detection);
    codec::encode(&state)
}

/// The series from such bytes.
pub(super) fn decode_series(
    bytes: &[u8],
    detection: &Detection,
) -> Result<Option<Series>, CodecError> {
    Ok(codec::decode::<GroupState>(bytes)?.into_series(detection).pop())
}

impl Shard {
    /// Takes the checkpoint of the group that is due for longest, if any is.
    pub(super) fn begin_checkpoint(&mut self, ctx: &mut Context<Self>) {
        let interval = Duration::from_secs(self.env.config.checkpoint_interval_s);
        let due = self.shares.iter_mut().flat_map(|(partition, share)| {
            let pending = &share.pending_checkpoints;
            share.groups.iter_mut().enumerate().filter_map(move |(number, slot)| match slot {
                Slot::Warm(group)
                    if group.events_since_checkpoint > 0
                        && pending.iter().all(|p| p.group != number as u32)
                        && group.checkpointed.elapsed() >= interval =>
                {
                    Some((group.checkpointed, *partition, number as u32))
                }
                _ => None,
            })
        });
        if let Some((_, partition, group)) = due.min_by_key(|(at, ..)| *at) {
            self.take_checkpoint(GroupId { partition, group }, ctx);
            self.after_progress(partition, ctx);
        }
    }

    /// Takes a warm group's state; it is written once all in it is durable.
    pub(super) fn take_checkpoint(&mut self, id: GroupId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&id.partition) else { return };
        let Slot::Warm(group) = &mut share.groups[id.group as usize] else { return };
        let Some(position) = group.applied else { return };
        group.checkpointed = tokio::time::Instant::now();
        group.events_since_checkpoint = 0;
        group.open.seal();
        let bytes = match encode(group, &self.env.detection) {
            Ok(bytes) => bytes,
            // The history is there: a recovery is slower, not wrong.
            Err(error) => {
                tracing::error!(group = %id, %error, "no checkpoint can be written");
                return;
            }
        };
        self.send_sealed(id.partition, ctx);
        let after = self.last_ticket;
        if let Some(share) = self.shares.get_mut(&id.partition) {
            let checkpoint = Checkpoint { position, bytes };
            share.pending_checkpoints.push(PendingCheckpoint {
                group: id.group,
                after,
                checkpoint,
            });
        }
    }

    /// Writes the checkpoints whose contents have become durable.
    pub(super) fn put_ready_checkpoints(
        &mut self,
        partition: PartitionId,
        ctx: &mut Context<Self>,
    ) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        let pending = std::mem::take(&mut share.pending_checkpoints);
        let (ready, later) = pending.into_iter().partition(|p| share.done_up_to(p.after));
        share.pending_checkpoints = later;
        for PendingCheckpoint { group, checkpoint, .. } in ready {
            let group = GroupId { partition, group };
            let request = Request::PutCheckpoint { group, checkpoint: Arc::new(checkpoint) };
            let (pool, stats) = (self.env.pool.clone(), Arc::clone(&self.env.stats));
            let ticket = self.ticket(partition, HOLDS_NOTHING);
            let write = async move {
                let done = written(pool::durably(pool, request).await);
                stats.checkpoints.add(u64::from(done));
                done
            };
            self.settle(partition, ticket, write, ctx);
        }
    }
}
