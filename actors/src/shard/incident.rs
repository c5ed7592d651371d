//! Folding: anomalies of one series into an incident, incidents of one key group
//! into a storm. Pure; counts observations and event time, never the wall clock.
//!
//! An incident opens with an anomaly, is said again when it has grown (its
//! peak or its count has doubled), and closes when enough observations and
//! enough event time have passed without an anomaly. A group may open a burst of
//! incidents; more than that are counted and said as one storm, each doubling of
//! the count once. Nothing is dropped: a folded incident is in the storm's count,
//! and each of its events is marked in the history.

use serde::{Deserialize, Serialize};
use weir_detectors::{Direction, Verdict};

use crate::alert::AlertKind;
use crate::position::Position;

/// How anomalies are folded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentConfig {
    /// An incident closes after this many observations without an anomaly ...
    pub close_after_observations: u32,
    /// ... and this much event time without one.
    pub close_after_seconds: u64,
    /// How many incidents a key group may open in a burst before they are folded
    /// into a storm.
    pub storm_burst: u32,
    /// After how many events of the group one more may be opened.
    pub storm_refill_events: u32,
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self {
            close_after_observations: 50,
            close_after_seconds: 0,
            storm_burst: 100,
            storm_refill_events: 1_000,
        }
    }
}

impl IncidentConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.close_after_observations == 0 {
            faults.push(
                "detection.incidents.close_after_observations must be at least 1; 50 is the default".into(),
            );
        }
        if self.storm_burst == 0 || self.storm_refill_events == 0 {
            faults.push(
                "detection.incidents: storm_burst and storm_refill_events must be at least 1; \
                 100 and 1000 are the defaults"
                    .into(),
            );
        }
        faults
    }
}

/// An open incident of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The position of the event that opened it: its id.
    pub opened: Position,
    /// How many alerts it has had.
    pub said: u32,
    /// Its anomalous events.
    pub count: u64,
    /// Its highest score.
    pub peak: f64,
    /// When its first anomaly happened, in microseconds since 1970.
    pub since_us: i64,
    /// When its latest anomaly happened.
    latest_us: i64,
    /// Observations since its latest anomaly.
    quiet: u32,
    said_count: u64,
    said_peak: f64,
    /// It was folded into a storm: nothing is said of it alone.
    folded: bool,
    /// Stored in a section of its own, beside the incident. `None` if the version
    /// before wrote it.
    #[serde(skip)]
    pub(super) course: Option<Course>,
}

/// Where an incident leads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    /// Which way its first anomaly left what was expected.
    pub(super) direction: Direction,
    /// What its detector expected last. After a change it may learn anew and
    /// expect nothing for a while.
    pub(super) expected: f64,
}

/// A storm under way in a key group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StormUnderWay {
    /// The position of the first incident folded into it: its id.
    pub began: Position,
    /// How many alerts it has had.
    pub said: u32,
    /// How many incidents were folded into it.
    pub folded: u64,
    /// The highest score among their first anomalies.
    pub peak: f64,
    /// When the first of them happened, in microseconds since 1970.
    pub since_us: i64,
}

/// What a key group may still open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    tokens: u32,
    events: u32,
    under_way: Option<StormUnderWay>,
    /// Incidents folded since somebody last counted them. Not part of the state.
    #[serde(skip)]
    pub(super) folded_uncounted: u64,
}

impl Storm {
    /// A quiet group.
    pub fn new(config: &IncidentConfig) -> Self {
        Self { tokens: config.storm_burst, events: 0, under_way: None, folded_uncounted: 0 }
    }

    /// One event of the group. Returns a storm that has just ended.
    pub(super) fn tick(&mut self, config: &IncidentConfig) -> Option<StormUnderWay> {
        self.events += 1;
        if self.events >= config.storm_refill_events {
            self.events = 0;
            self.tokens = (self.tokens + 1).min(config.storm_burst);
            // Half the burst is free again: what comes next is not of this storm.
            if self.tokens > config.storm_burst / 2 {
                return self.under_way.take();
            }
        }
        None
    }
}

/// What is to be said after an observation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Of this incident.
    Incident(AlertKind, Incident),
    /// Of this storm.
    Storm(StormUnderWay),
}

/// Moves a series' incident on by one observation.
pub(super) fn advance(
    open: &mut Option<Box<Incident>>,
    storm: &mut Storm,
    verdict: &Verdict,
    position: Position,
    time_us: i64,
    config: &IncidentConfig,
) -> Option<Said> {
    match (open.as_mut(), verdict.direction()) {
        (None, None) => None,
        (None, Some(direction)) => {
            let course = Course { direction, expected: verdict.expected };
            open_incident(open, storm, course, verdict.score, position, time_us)
        }
        (Some(incident), Some(_)) => {
            incident.note_expected(verdict.expected);
            incident.grow(verdict.score, time_us)
        }
        (Some(incident), None) => {
            incident.note_expected(verdict.expected);
            incident.quiet += 1;
            let quiet_us = time_us.saturating_sub(incident.latest_us);
            let enough_us = (config.close_after_seconds as i64).saturating_mul(1_000_000);
            if incident.quiet < config.close_after_observations || quiet_us < enough_us {
                return None;
            }
            let closed = open.take().expect("it is open");
            (!closed.folded).then_some(Said::Incident(AlertKind::Closed, *closed))
        }
    }
}

fn open_incident(
    open: &mut Option<Box<Incident>>,
    storm: &mut Storm,
    course: Course,
    score: f64,
    position: Position,
    time_us: i64,
) -> Option<Said> {
    let mut incident = Incident {
        opened: position,
        said: 0,
        count: 1,
        peak: score,
        since_us: time_us,
        latest_us: time_us,
        quiet: 0,
        said_count: 1,
        said_peak: score,
        folded: false,
        course: Some(course),
    };
    if let Some(tokens) = storm.tokens.checked_sub(1) {
        storm.tokens = tokens;
        let said = incident.clone();
        incident.said = 1;
        *open = Some(Box::new(incident));
        return Some(Said::Incident(AlertKind::Opened, said));
    }
    incident.folded = true;
    storm.folded_uncounted += 1;
    *open = Some(Box::new(incident));
    let under_way = storm.under_way.get_or_insert(StormUnderWay {
        began: position,
        said: 0,
        folded: 0,
        peak: score,
        since_us: time_us,
    });
    under_way.folded += 1;
    under_way.peak = under_way.peak.max(score);
    if !under_way.folded.is_power_of_two() {
        return None;
    }
    let said = under_way.clone();
    under_way.said += 1;
    Some(Said::Storm(said))
}

impl Incident {
    fn note_expected(&mut self, expected: f64) {
        if let Some(course) = &mut self.course
            && !expected.is_nan()
        {
            course.expected = expected;
        }
    }

    fn grow(&mut self, score: f64, time_us: i64) -> Option<Said> {
        self.count += 1;
        self.quiet = 0;
        self.latest_us = self.latest_us.max(time_us);
        self.peak = self.peak.max(score);
        let grown = self.peak >= 2.0 * self.said_peak || self.count >= 2 * self.said_count.max(5);
        if self.folded || !grown {
            return None;
        }
        self.said_count = self.count;
        self.said_peak = self.peak;
        let said = self.clone();
        self.said += 1;
        Some(Said::Incident(AlertKind::Updated, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_detectors::Phase;

    fn verdict(score: f64) -> Verdict {
        let phase = if score > 5.0 { Phase::Anomalous(Direction::Up) } else { Phase::Normal };
        Verdict { phase, score, threshold: 5.0, expected: 0.0, sigma: 1.0, onset_observations: 0 }
    }

    fn said(scores: &[f64], config: &IncidentConfig) -> Vec<(usize, AlertKind, u64)> {
        let (mut open, mut storm, mut out) = (None, Storm::new(config), Vec::new());
        for (i, score) in scores.iter().enumerate() {
            let at = Position::at(i as i64);
            match advance(&mut open, &mut storm, &verdict(*score), at, i as i64, config) {
                Some(Said::Incident(kind, incident)) => out.push((i, kind, incident.count)),
                Some(Said::Storm(_)) => unreachable!("one series makes no storm"),
                None => {}
            }
        }
        out
    }

    #[test]
    fn an_incident_opens_once_grows_and_closes_after_the_cool_down() {
        let config = IncidentConfig { close_after_observations: 3, ..Default::default() };
        let mut scores = vec![0.0, 6.0, 6.0, 13.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0];
        assert_eq!(
            said(&scores, &config),
            [
                (1, AlertKind::Opened, 1),
                (3, AlertKind::Updated, 3),
                (8, AlertKind::Closed, 4),
                (10, AlertKind::Opened, 1),
            ]
        );
        scores = vec![6.0; 100];
        let kinds = said(&scores, &config);
        assert_eq!(kinds.iter().map(|k| k.2).collect::<Vec<_>>(), [1, 10, 20, 40, 80]);
    }

    #[test]
    fn event_time_can_hold_an_incident_open_longer_than_observations_do() {
        let config = IncidentConfig {
            close_after_observations: 1,
            close_after_seconds: 10,
            ..Default::default()
        };
        let (mut open, mut storm) = (None, Storm::new(&config));
        let mut step = |score, at: i64, time_s: i64| {
            advance(
                &mut open,
                &mut storm,
                &verdict(score),
                Position::at(at),
                time_s * 1_000_000,
                &config,
            )
        };
        assert!(step(9.0, 0, 0).is_some());
        assert!(step(0.0, 1, 5).is_none());
        assert!(matches!(step(0.0, 2, 10), Some(Said::Incident(AlertKind::Closed, _))));
    }

    #[test]
    fn a_storm_is_one_alert_a_doubling_and_counts_every_incident() {
        let config =
            IncidentConfig { storm_burst: 2, storm_refill_events: 1_000, ..Default::default() };
        let mut storm = Storm::new(&config);
        let (mut opened, mut storms) = (0, Vec::new());
        for i in 0..100 {
            assert_eq!(storm.tick(&config), None);
            match advance(&mut None, &mut storm, &verdict(9.0), Position::at(i), i, &config) {
                Some(Said::Incident(AlertKind::Opened, _)) => opened += 1,
                Some(Said::Storm(s)) => storms.push((s.began, s.said, s.folded)),
                _ => {}
            }
        }
        let began = Position::at(2);
        assert_eq!(opened, 2);
        assert_eq!(
            storms,
            [
                (began, 0, 1),
                (began, 1, 2),
                (began, 2, 4),
                (began, 3, 8),
                (began, 4, 16),
                (began, 5, 32),
                (began, 6, 64)
            ]
        );
        let ended = (0..10_000).find_map(|_| storm.tick(&config)).expect("it ends");
        assert_eq!(ended.folded, 98);
    }
}
