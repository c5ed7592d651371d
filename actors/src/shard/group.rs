//! A key group in memory: the pure core of a shard.
//!
//! A group's state is a function of the log up to [`Group::applied`] and of the
//! configuration. Applying an event that is already in it changes nothing, so
//! readers may rewind as far as they like.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use weir_detectors::{Observation, Verdict};

use super::incident::{self, Said, Storm};
use super::open_history::OpenHistory;
use super::series::{Series, SeriesTable};
use super::timing::{self, NO_TIME};
use crate::detection::Detection;
use crate::event::{Event, Location};
use crate::history::flags;
use crate::position::{GroupId, Position};
use crate::store::Row;

/// One key group.
pub(super) struct Group {
    pub(super) id: GroupId,
    /// The last position that is in the state.
    pub(super) applied: Option<Position>,
    pub(super) series: SeriesTable,
    /// Hashes of the series whose state is in the store and not in memory.
    pub(super) evicted: BTreeSet<u64>,
    pub(super) storm: Storm,
    /// Series that came back with a state newer than the group's own (they were
    /// written out after the checkpoint that the group was rebuilt from): up to
    /// that position their events are in their state already.
    ahead: BTreeMap<u64, Position>,
    /// Events that are not yet on their way to the store.
    pub(super) open: OpenHistory,
    /// Events applied since the last checkpoint.
    pub(super) events_since_checkpoint: u64,
    /// When the last checkpoint was taken, or the group was read.
    pub(super) checkpointed: Instant,
    counts: Counts,
}

/// What a group counts; plain numbers, taken away once a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events behind their series' clock.
    pub(super) late: u64,
    /// Events with their series' latest time.
    pub(super) repeated: u64,
    /// Incidents folded into storms.
    pub(super) folded: u64,
}

/// An event as a group takes it.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) event: &'a Event,
    pub(super) name: &'a [u8],
    pub(super) location: Option<Location>,
    /// The record's own time, in microseconds since 1970.
    pub(super) record_time_us: Option<i64>,
    /// The shard's count of batches.
    pub(super) batch: u32,
    /// Its detector has failed on it too often: it is not judged any more.
    pub(super) poison: bool,
}

/// What became of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Applied {
    /// It was in the state already.
    Repeated,
    /// Judged; with something to say or not.
    Checked(Option<Finding>),
    /// Too late by the policy: a dead letter, and no event.
    TooLate,
    /// Kept but not judged.
    Poison,
    /// The series' state is in the store: read it, then apply again.
    Missing,
}

/// An observation of which something is to be said.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) detector: crate::detection::DetectorIndex,
    pub(super) verdict: Verdict,
    pub(super) anomalous: bool,
    pub(super) said: Vec<Said>,
}

impl Group {
    /// A group that has seen nothing.
    pub(super) fn new(id: GroupId, detection: &Detection, open: OpenHistory) -> Self {
        Self {
            id,
            applied: None,
            series: SeriesTable::default(),
            evicted: BTreeSet::new(),
            storm: Storm::new(&detection.incidents),
            ahead: BTreeMap::new(),
            open,
            events_since_checkpoint: 0,
            checkpointed: Instant::now(),
            counts: Counts::default(),
        }
    }

    /// Applies the next event of the log.
    pub(super) fn apply(&mut self, arrival: Arrival<'_>, detection: &Detection) -> Applied {
        let Arrival { event, name, .. } = arrival;
        let position = event.position();
        if self.applied.is_some_and(|applied| position <= applied) {
            return Applied::Repeated;
        }
        let Some(series) =
            Self::series(&mut self.series, &self.evicted, event.series_hash, name, detection)
        else {
            return Applied::Missing;
        };
        series.used = arrival.batch;
        let timing = timing::observe(
            &mut series.clock_us,
            event.time_us,
            arrival.record_time_us,
            &detection.timing,
        );
        let mut event_flags = timing.flags;
        let mut applied = Applied::TooLate;
        if Self::is_ahead(&self.ahead, event.series_hash, position) {
            applied = Applied::Repeated;
        } else if arrival.poison {
            event_flags |= flags::POISON;
            applied = Applied::Poison;
        } else if !timing.too_late {
            let finding =
                check(series, &mut self.storm, event.value, event.time_us, position, detection);
            if finding.as_ref().is_some_and(|f| f.anomalous) {
                event_flags |= flags::ANOMALOUS;
            }
            applied = Applied::Checked(finding);
        }
        if applied != Applied::TooLate {
            self.open.push(
                name,
                position,
                event.time_us,
                event.value,
                event_flags,
                arrival.location,
            );
        }
        // What is in the series' state already was counted then.
        if applied != Applied::Repeated {
            self.counts.late += u64::from(event_flags & flags::LATE != 0);
            self.counts.repeated += u64::from(event_flags & flags::REPEATED != 0);
        }
        self.applied = Some(position);
        self.events_since_checkpoint += 1;
        applied
    }

    /// What it has counted since it was last asked.
    pub(super) fn take_counts(&mut self) -> Counts {
        let folded = std::mem::take(&mut self.storm.folded_uncounted);
        Counts { folded, ..std::mem::take(&mut self.counts) }
    }

    /// Applies an event of the stored history: as [`Group::apply`] did when the
    /// event was first met, without saying or storing anything. False if the
    /// series' state is in the store.
    pub(super) fn replay(&mut self, row: &Row, poison: bool, detection: &Detection) -> bool {
        if self.applied.is_some_and(|applied| row.position <= applied) {
            return true;
        }
        let hash = crate::route::series_hash(&row.series);
        let Some(series) =
            Self::series(&mut self.series, &self.evicted, hash, &row.series, detection)
        else {
            return false;
        };
        timing::replay(&mut series.clock_us, row.time_us, row.flags);
        let ahead = Self::is_ahead(&self.ahead, hash, row.position);
        if row.flags & flags::POISON == 0 && !poison && !ahead {
            check(series, &mut self.storm, row.value, row.time_us, row.position, detection);
        }
        self.applied = Some(row.position);
        self.events_since_checkpoint += 1;
        true
    }

    /// Puts a series back that was written out at position `as_of`.
    pub(super) fn put_back(&mut self, series: Series, as_of: Position) {
        self.evicted.remove(&series.hash);
        if self.applied.is_none_or(|applied| as_of > applied) {
            self.ahead.insert(series.hash, as_of);
        }
        self.series.insert(series);
    }

    fn is_ahead(ahead: &BTreeMap<u64, Position>, hash: u64, position: Position) -> bool {
        !ahead.is_empty() && ahead.get(&hash).is_some_and(|as_of| position <= *as_of)
    }

    /// The series of that name, new if there was none; `None` if it was evicted.
    pub(super) fn series<'a>(
        table: &'a mut SeriesTable,
        evicted: &BTreeSet<u64>,
        hash: u64,
        name: &[u8],
        detection: &Detection,
    ) -> Option<&'a mut Series> {
        // Found twice on the usual way, because the borrow checker does not see
        // that the first find is over (NLL problem case 3).
        if table.find(hash, name).is_some() {
            return table.find(hash, name);
        }
        if evicted.contains(&hash) {
            return None;
        }
        let detector = detection.of(name);
        Some(table.insert(Series {
            hash,
            name: name.into(),
            detector,
            used: 0,
            clock_us: NO_TIME,
            state: detection.spec(detector).start(),
            incident: None,
        }))
    }
}

fn check(
    series: &mut Series,
    storm: &mut Storm,
    value: f64,
    time_us: i64,
    position: Position,
    detection: &Detection,
) -> Option<Finding> {
    let (verdict, said) = judge(series, storm, value, time_us, position, detection);
    let anomalous = verdict.is_anomalous();
    if !anomalous && said.is_empty() {
        return None;
    }
    Some(Finding { detector: series.detector, verdict, anomalous, said })
}

/// Judges an observation, folds it into incidents and storms, and gives what is
/// to be said of them.
pub(super) fn judge(
    series: &mut Series,
    storm: &mut Storm,
    value: f64,
    time_us: i64,
    position: Position,
    detection: &Detection,
) -> (Verdict, Vec<Said>) {
    let observation = Observation { time_us, value };
    let verdict = detection.spec(series.detector).step(&mut series.state, observation);
    let ended = storm.tick(&detection.incidents);
    if !verdict.is_anomalous() && series.incident.is_none() && ended.is_none() {
        return (verdict, Vec::new());
    }
    let said = incident::advance(
        &mut series.incident,
        storm,
        &verdict,
        position,
        time_us,
        &detection.incidents,
    );
    (verdict, ended.map(Said::Storm).into_iter().chain(said).collect())
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
