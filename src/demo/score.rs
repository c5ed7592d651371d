//! How well the labelled anomalies were found.

use std::collections::BTreeMap;

use weir_actors::alert::{Alert, AlertKind};
use weir_generator::AnomalyKind;

use super::input::{Feed, key_name};

/// After a label's end an incident still counts as its finding for this many
/// ticks.
const LATE_TICKS: i64 = 10;

/// What was found of what was labelled.
pub(super) struct Score {
    /// Labels and those found, by kind; `real` stands for the real series.
    pub(super) by_kind: BTreeMap<&'static str, (u64, u64)>,
    /// Incidents that belong to no label.
    pub(super) false_incidents: u64,
    /// Incidents in all.
    pub(super) incidents: u64,
    /// The best finding of each kind: series, and the label's window.
    pub(super) best: Vec<Best>,
}

/// A finding worth a picture.
pub(super) struct Best {
    pub(super) kind: &'static str,
    pub(super) series: String,
    pub(super) peak: f64,
    pub(super) window_us: (i64, i64),
}

/// The kind under which windows of real series are counted.
const REAL: &str = "real series";

impl Score {
    pub(super) fn of(feed: &Feed, alerts: &[Alert]) -> Self {
        let mut labels: BTreeMap<String, Vec<Labelled>> = BTreeMap::new();
        for series in feed.real.iter() {
            for window_us in &series.windows {
                let labelled = Labelled::new(REAL, *window_us, 0);
                labels.entry(series.name.to_owned()).or_default().push(labelled);
            }
        }
        let late_us = feed.fleet.cadence_us * LATE_TICKS;
        for label in &feed.labels {
            let labelled = Labelled::new(label.kind.name(), (label.from_us, label.to_us), late_us);
            labels.entry(key_name(label.key)).or_default().push(labelled);
        }
        let mut score = Self {
            by_kind: kinds().map(|kind| (kind, (0, 0))).collect(),
            false_incidents: 0,
            incidents: 0,
            best: Vec::new(),
        };
        for alert in alerts.iter().filter(|a| a.kind == AlertKind::Opened) {
            score.incidents += 1;
            let time_us = alert.time.parse().map_or(0, |t: jiff::Timestamp| t.as_microsecond());
            let of_series = labels.get_mut(&alert.series).map_or(&mut [][..], |l| &mut l[..]);
            match of_series.iter_mut().find(|l| l.covers(time_us)) {
                Some(label) => {
                    label.found = true;
                    score.note_best(label, alert);
                }
                None => score.false_incidents += 1,
            }
        }
        for label in labels.values().flatten() {
            let (all, found) = score.by_kind.entry(label.kind).or_default();
            *all += 1;
            *found += u64::from(label.found);
        }
        score
    }

    fn note_best(&mut self, label: &Labelled, alert: &Alert) {
        if label.kind == REAL {
            return;
        }
        let best = Best {
            kind: label.kind,
            series: alert.series.clone(),
            peak: alert.peak,
            window_us: label.window_us,
        };
        match self.best.iter_mut().find(|b| b.kind == label.kind) {
            Some(known) if known.peak < best.peak => *known = best,
            Some(_) => {}
            None => self.best.push(best),
        }
    }

    /// Labels, and those found.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.by_kind.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }
}

fn kinds() -> impl Iterator<Item = &'static str> {
    AnomalyKind::ALL.into_iter().map(AnomalyKind::name).chain([REAL])
}

struct Labelled {
    kind: &'static str,
    window_us: (i64, i64),
    late_us: i64,
    found: bool,
}

impl Labelled {
    fn new(kind: &'static str, window_us: (i64, i64), late_us: i64) -> Self {
        Self { kind, window_us, late_us, found: false }
    }

    fn covers(&self, time_us: i64) -> bool {
        (self.window_us.0..=self.window_us.1 + self.late_us).contains(&time_us)
    }
}
