//! Series judged as a shard judges them, by the same code, but in memory alone:
//! nothing is stored, nothing is sent. For files.

use std::collections::BTreeSet;

use weir_detectors::Verdict;

use super::group::{self, Group};
use super::incident::{Incident, Said, Storm};
use super::series::SeriesTable;
use super::timing;
use crate::alert::AlertKind;
use crate::detection::{Detection, DetectorIndex};
use crate::event::Event;

/// Judges series in memory.
#[derive(Debug)]
pub struct Judge {
    detection: Detection,
    series: SeriesTable,
    storm: Storm,
}

/// What became of an event.
#[derive(Debug)]
pub struct Judged<'a> {
    /// The detector of its series.
    pub detector: DetectorIndex,
    /// Marks of [`crate::history::flags`] for late and repeated times.
    pub flags: u8,
    /// The verdict; none if the event is too late by the policy, and so none.
    pub verdict: Option<Verdict>,
    /// The incident that is open after it.
    pub open: Option<&'a Incident>,
    /// The incident that it closed.
    pub closed: Option<Incident>,
}

impl Judge {
    /// Has seen nothing. Every incident is told of alone: a file is not an
    /// operator who has to be spared a storm.
    pub fn new(mut detection: Detection) -> Self {
        detection.incidents.storm_burst = 1 << 30;
        detection.incidents.storm_refill_events = 1;
        let storm = Storm::new(&detection.incidents);
        Self { detection, series: SeriesTable::default(), storm }
    }

    /// The rules that it judges by.
    pub fn detection(&self) -> &Detection {
        &self.detection
    }

    /// Takes in the next event of the series of that name.
    pub fn take(&mut self, event: &Event, name: &[u8]) -> Judged<'_> {
        let Self { detection, series, storm } = self;
        let series = Group::series(series, &BTreeSet::new(), event.series_hash, name, detection)
            .expect("nothing is evicted");
        let timing = timing::observe(&mut series.clock_us, event.time_us, None, &detection.timing);
        let detector = series.detector;
        if timing.too_late {
            let open = series.incident.as_deref();
            return Judged { detector, flags: timing.flags, verdict: None, open, closed: None };
        }
        let (verdict, said) =
            group::judge(series, storm, event.value, event.time_us, event.position(), detection);
        let closed = said.into_iter().find_map(|said| match said {
            Said::Incident(AlertKind::Closed, incident) => Some(incident),
            Said::Incident(..) | Said::Storm(_) => None,
        });
        let open = series.incident.as_deref();
        Judged { detector, flags: timing.flags, verdict: Some(verdict), open, closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::DetectionConfig;
    use crate::event::KeyEncoding;
    use crate::history::flags;
    use crate::route::series_hash;
    use crate::shard::timing::Policy;
    use crate::source::Span;

    fn event(name: &[u8], n: i64, value: f64) -> Event {
        Event {
            series_hash: series_hash(name),
            offset: n,
            time_us: n * 1_000_000,
            value,
            series: Span::NULL,
            record: 0,
            index: 0,
        }
    }

    fn judge(config: &DetectionConfig) -> Judge {
        Judge::new(Detection::new(config, KeyEncoding::Utf8).unwrap())
    }

    #[test]
    fn a_spike_opens_an_incident_that_closes_after_the_cool_down() {
        let mut judge = judge(&DetectionConfig::default());
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for n in 0..300 {
            let value = if n == 100 || n == 110 { 50.0 } else { 5.0 + (n % 5) as f64 };
            let judged = judge.take(&event(b"a", n, value), b"a");
            let anomalous = judged.verdict.unwrap().is_anomalous();
            assert_eq!(anomalous, n == 100 || n == 110, "{n}");
            opened.extend(judged.open.filter(|_| anomalous).map(|i| i.count));
            closed.extend(judged.closed.map(|i| (n, i.opened.offset, i.count)));
        }
        assert_eq!(opened, [1, 2]);
        assert_eq!(closed, [(160, 100, 2)]);
    }

    #[test]
    fn many_incidents_at_once_are_no_storm() {
        let mut judge = judge(&DetectionConfig::default());
        for n in 0..60 {
            for key in 0..500u32 {
                let name = key.to_be_bytes();
                let value = if n == 59 { 50.0 } else { (n % 5) as f64 };
                let judged = judge.take(&event(&name, n, value), &name);
                assert_eq!(judged.open.is_some(), n == 59);
            }
        }
    }

    #[test]
    fn an_event_that_is_too_late_is_not_judged() {
        let mut config = DetectionConfig::default();
        config.timing.late = Policy::DeadLetter;
        config.timing.late_seconds_max = 10;
        let mut judge = judge(&config);
        assert!(judge.take(&event(b"a", 100, 1.0), b"a").verdict.is_some());
        let late = judge.take(&event(b"a", 80, 1.0), b"a");
        assert!(late.verdict.is_none() && late.flags & flags::LATE != 0);
    }
}
