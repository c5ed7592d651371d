//! What is remembered of each series beside its detector: the incident under way
//! at its worst, and the values for its picture.

use std::collections::HashMap;

use weir_actors::event::Event;
use weir_actors::shard::incident::Incident;
use weir_detectors::{Direction, Verdict};

use crate::plot::{Point, Trace};

/// The band of the expected that pictures show, in standard deviations.
const BAND_SIGMAS: f64 = 3.0;

/// The values for all pictures together, and for one.
const TRACE_POINTS_MAX: usize = 2_000_000;
const TRACE_POINTS_OF_SERIES_MAX: usize = 8_000;

/// One anomalous value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Anomaly {
    pub(super) line: i64,
    pub(super) time_us: i64,
    pub(super) value: f64,
    pub(super) expected: f64,
    pub(super) deviations: f64,
    pub(super) direction: Direction,
    pub(super) score: f64,
    pub(super) threshold: f64,
    pub(super) onset_observations: u32,
}

/// An incident: its anomalies, folded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Folded {
    pub(super) since_us: i64,
    pub(super) until_us: i64,
    pub(super) count: u64,
    /// The one with the highest score.
    pub(super) worst: Anomaly,
}

impl Anomaly {
    pub(super) fn of(event: &Event, verdict: &Verdict) -> Self {
        Self {
            line: event.offset,
            time_us: event.time_us,
            value: event.value,
            expected: verdict.expected,
            deviations: verdict.deviations(event.value),
            direction: verdict.direction().unwrap_or(Direction::Up),
            score: verdict.score,
            threshold: verdict.threshold,
            onset_observations: verdict.onset_observations,
        }
    }
}

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) trace: Trace,
    /// The highest score it had, in thresholds; what says how telling it is.
    pub(super) peak: f64,
    under_way: Option<Folded>,
    trace_points_max: usize,
}

impl Series {
    pub(super) fn observe(&mut self, event: &Event, verdict: &Verdict) {
        self.peak = self.peak.max(verdict.score / verdict.threshold);
        if self.trace_points_max == 0 {
            return;
        }
        let Event { time_us, value, .. } = *event;
        let reach = BAND_SIGMAS * verdict.sigma;
        let point = Point {
            time_us,
            value,
            expected: verdict.expected,
            low: verdict.expected - reach,
            high: verdict.expected + reach,
            anomalous: verdict.is_anomalous(),
        };
        self.trace.push(point, self.trace_points_max);
    }

    /// An anomaly of the incident that is open.
    pub(super) fn anomaly(&mut self, anomaly: &Anomaly, open: &Incident) {
        let folded = self.under_way.get_or_insert(Folded {
            since_us: open.since_us,
            until_us: anomaly.time_us,
            count: 0,
            worst: *anomaly,
        });
        folded.count = open.count;
        folded.until_us = folded.until_us.max(anomaly.time_us);
        if anomaly.score > folded.worst.score {
            folded.worst = *anomaly;
        }
    }

    /// The incident that is over.
    pub(super) fn close(&mut self) -> Option<Folded> {
        self.under_way.take()
    }
}

/// All series, in the order in which they first came.
#[derive(Debug)]
pub(super) struct SeriesNotes {
    by_name: HashMap<Box<[u8]>, usize>,
    series: Vec<Series>,
    with_traces: bool,
}

impl SeriesNotes {
    pub(super) fn new(with_traces: bool) -> Self {
        Self { by_name: HashMap::new(), series: Vec::new(), with_traces }
    }

    pub(super) fn of(&mut self, name: &[u8]) -> &mut Series {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None => {
                self.series.push(Series {
                    name: String::from_utf8_lossy(name).into_owned(),
                    trace: Trace::default(),
                    peak: 0.0,
                    under_way: None,
                    trace_points_max: 0,
                });
                self.by_name.insert(name.into(), self.series.len() - 1);
                self.series.len() - 1
            }
        };
        let share = TRACE_POINTS_MAX / self.series.len();
        let series = &mut self.series[number];
        if self.with_traces {
            series.trace_points_max = share.clamp(Trace::POINTS_MIN, TRACE_POINTS_OF_SERIES_MAX);
        }
        series
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Series> {
        self.series.iter_mut()
    }

    pub(super) fn into_series(self) -> Vec<Series> {
        self.series
    }
}
