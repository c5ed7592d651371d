use std::rc::Rc;

use weir_detectors::{CusumWindowSpec, DetectorSpec, Direction};

use super::*;
use crate::alert::AlertKind;
use crate::detection::DetectionConfig;
use crate::event::KeyEncoding;
use crate::position::{PartitionId, TopicId};
use crate::route::series_hash;
use crate::shard::checkpoint;
use crate::shard::incident::IncidentConfig;
use crate::shard::open_history::Sealing;
use crate::source::Span;
use crate::store::{History, HistoryLayout, Layout};

const ID: GroupId = GroupId { partition: PartitionId { topic: TopicId(7), number: 0 }, group: 0 };

fn detection(incidents: IncidentConfig) -> Detection {
    let spec = CusumWindowSpec { window: 20, observations_min: 10, k: 0.5, h: 3.5 };
    let config = DetectionConfig {
        detectors: [("window".to_owned(), DetectorSpec::CusumWindow(spec))].into(),
        default: "window".into(),
        incidents,
        ..DetectionConfig::default()
    };
    Detection::new(&config, KeyEncoding::Utf8).expect("the rules are valid")
}

fn open() -> OpenHistory {
    let layout = Layout { key_groups: 1, bucket_shift: 20, history: HistoryLayout::Rows };
    let sealing = Sealing { events: 1_000, write_bytes_max: 1 << 20, scratch: Rc::default() };
    OpenHistory::new(layout, sealing)
}

/// Events of one log, each a second after the one before unless told otherwise.
struct Log {
    group: Group,
    detection: Detection,
    offset: i64,
    time_us: i64,
}

impl Log {
    fn new(incidents: IncidentConfig) -> Self {
        let detection = detection(incidents);
        let group = Group::new(ID, &detection, open());
        Self { group, detection, offset: 0, time_us: 1_000_000 }
    }

    fn arrive(&mut self, name: &str, value: f64, poison: bool) -> Applied {
        let event = Event {
            series_hash: series_hash(name.as_bytes()),
            offset: self.offset,
            time_us: self.time_us,
            value,
            series: Span::NULL,
            record: 0,
            index: 0,
        };
        self.offset += 1;
        self.time_us += 1_000_000;
        let arrival = Arrival {
            event: &event,
            name: name.as_bytes(),
            location: None,
            record_time_us: None,
            batch: 1,
            poison,
        };
        self.group.apply(arrival, &self.detection)
    }

    /// Values that wobble around a level, enough to learn it.
    fn learn(&mut self, name: &str, level: f64) {
        for i in 0..20 {
            self.arrive(name, level + f64::from(i % 3), false);
        }
    }

    /// What is said of the next event.
    fn said(&mut self, name: &str, value: f64) -> Vec<Said> {
        match self.arrive(name, value, false) {
            Applied::Checked(finding) => finding.map(|f| f.said).unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    fn rows(&mut self) -> Vec<Row> {
        self.group.open.seal();
        let sealed = self.group.open.take_sealed();
        let pieces = sealed.into_iter().flat_map(|s| s.pieces);
        let rows = pieces.flat_map(|piece| match piece {
            History::Rows(rows) => rows,
            History::Segments(_) => panic!("the layout is rows"),
        });
        rows.collect()
    }
}

#[test]
fn a_poisonous_event_is_kept_and_marked_but_not_judged() {
    let mut log = Log::new(IncidentConfig::default());
    log.learn("pump", 20.0);
    let before = checkpoint::encode(&log.group, &log.detection).expect("it is small");
    let state = |log: &mut Log| {
        let (hash, name) = (series_hash(b"pump"), b"pump");
        log.group.series.find(hash, name).expect("it was met").state.clone()
    };
    let judged = state(&mut log);
    assert_eq!(log.arrive("pump", 1e9, true), Applied::Poison);
    assert_eq!(state(&mut log), judged, "the detector has not seen it");
    let rows = log.rows();
    assert_eq!(rows.len(), 21);
    assert_eq!(rows[20].value, 1e9);
    assert_ne!(rows[20].flags & flags::POISON, 0);

    // The history alone says that it is not to be judged.
    let mut rebuilt = checkpoint::decode(ID, &before, &log.detection, open()).expect("it is whole");
    assert!(rebuilt.replay(&rows[20], false, &log.detection));
    let rebuilt = checkpoint::encode(&rebuilt, &log.detection).expect("it is small");
    assert_eq!(rebuilt, checkpoint::encode(&log.group, &log.detection).expect("it is small"));
}

#[test]
fn late_and_repeated_events_and_folded_incidents_are_counted_once() {
    let mut log = Log::new(IncidentConfig { storm_burst: 1, ..IncidentConfig::default() });
    for name in ["a", "b", "c"] {
        log.learn(name, 20.0);
    }
    assert_eq!(log.group.take_counts(), Counts::default());
    log.time_us -= 1_000_000;
    log.arrive("c", 20.0, false);
    log.time_us -= 5_000_000;
    log.arrive("c", 20.0, false);
    log.time_us += 60_000_000;
    for name in ["a", "b", "c"] {
        log.arrive(name, 500.0, false);
    }
    assert_eq!(log.group.take_counts(), Counts { late: 1, repeated: 1, folded: 2 });
    assert_eq!(log.group.take_counts(), Counts::default());
    log.offset -= 1;
    assert_eq!(log.arrive("c", 500.0, false), Applied::Repeated);
    assert_eq!(log.group.take_counts(), Counts::default());
}

#[test]
fn an_incident_keeps_its_direction_through_a_checkpoint() {
    let mut log =
        Log::new(IncidentConfig { close_after_observations: 3, ..IncidentConfig::default() });
    log.learn("pump", 20.0);
    let opened = log.said("pump", -500.0);
    let [Said::Incident(AlertKind::Opened, opened)] = &opened[..] else { panic!("{opened:?}") };
    let course = opened.course.expect("it was opened by this version");
    assert_eq!(course.direction, Direction::Down);
    assert!(course.expected.is_finite(), "{course:?}");

    let stored = checkpoint::encode(&log.group, &log.detection).expect("it is small");
    log.group = checkpoint::decode(ID, &stored, &log.detection, open()).expect("it is whole");
    // Above what is expected now: the way it closes is not the way it went.
    let closed = (0..20).find_map(|_| log.said("pump", 21.0).pop()).expect("it closes");
    let Said::Incident(AlertKind::Closed, closed) = closed else { panic!("{closed:?}") };
    let course = closed.course.expect("the checkpoint has it");
    assert_eq!(course.direction, Direction::Down);
    assert!(course.expected.is_finite());
}
