//! What a run must come to: `cusum-window`, incidents and storms, computed from
//! a partition's log in the slowest and most obvious way, sharing no code with
//! the product but the routing of a series to its key group.

use std::collections::BTreeMap;

use weir_actors::position::{PartitionId, Position};
use weir_actors::route::{key_group, series_hash};

/// What the detector and the folding are told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub window: usize,
    pub observations_min: usize,
    pub k: f64,
    pub h: f64,
    pub close_after_observations: u32,
    pub storm_burst: u32,
    pub storm_refill_events: u32,
    pub key_groups: u32,
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub position: Position,
    pub series: Vec<u8>,
    pub time_us: i64,
    pub value: f64,
}

/// An alert that must be on the topic.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedAlert {
    pub kind: &'static str,
    pub offset: i64,
    pub series: Vec<u8>,
    pub count: u64,
    /// To the sixth digit: sums in another order differ in the last ones.
    pub score_millionths: i64,
}

struct Incident {
    id: String,
    said: u32,
    count: u64,
    peak: f64,
    said_count: u64,
    said_peak: f64,
    quiet: u32,
    folded: bool,
}

#[derive(Default)]
struct Series {
    values: Vec<f64>,
    incident: Option<Incident>,
}

struct Group {
    tokens: u32,
    events: u32,
    /// Id, alerts said, incidents folded.
    storm: Option<(String, u32, u64)>,
}

/// The score of the newest of the last values: 0 while there are too few.
fn score(values: &[f64], settings: &Settings) -> f64 {
    let last = &values[values.len().saturating_sub(settings.window)..];
    if last.len() < settings.observations_min {
        return 0.0;
    }
    let n = last.len() as f64;
    let mean = last.iter().sum::<f64>() / n;
    let sigma = (last.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    if sigma <= 1e-14 * mean.abs() {
        return 0.0;
    }
    let (mut upper, mut lower) = (0.0f64, 0.0f64);
    for x in last {
        let z = (x - mean) / sigma;
        upper = (upper + z - settings.k).max(0.0);
        lower = (lower - z - settings.k).max(0.0);
    }
    upper.max(lower)
}

/// The alerts of a partition, by id.
pub fn alerts(
    partition: PartitionId,
    log: &[Logged],
    settings: &Settings,
) -> BTreeMap<String, ExpectedAlert> {
    let mut all = BTreeMap::new();
    let mut series: BTreeMap<Vec<u8>, Series> = BTreeMap::new();
    let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
    for event in log {
        let group = groups
            .entry(key_group(series_hash(&event.series), settings.key_groups))
            .or_insert(Group { tokens: settings.storm_burst, events: 0, storm: None });
        let state = series.entry(event.series.clone()).or_default();
        state.values.push(event.value);
        let score = score(&state.values, settings);
        let mut say = |id: String, kind, count| {
            let alert = ExpectedAlert {
                kind,
                offset: event.position.offset,
                series: event.series.clone(),
                count,
                score_millionths: (score * 1e6).round() as i64,
            };
            assert_eq!(all.insert(id, alert), None, "an id is said once");
        };

        group.events += 1;
        if group.events == settings.storm_refill_events {
            group.events = 0;
            group.tokens = (group.tokens + 1).min(settings.storm_burst);
            if group.tokens > settings.storm_burst / 2
                && let Some((id, said, folded)) = group.storm.take()
            {
                say(format!("{id}-storm-{said}"), "storm", folded);
            }
        }

        let anomalous = score > settings.h;
        let here = format!("{partition}-{}", event.position);
        match (&mut state.incident, anomalous) {
            (None, false) => {}
            (None, true) => {
                let folded = group.tokens == 0;
                if folded {
                    let (id, said, count) = group.storm.get_or_insert((here.clone(), 0, 0));
                    *count += 1;
                    if count.is_power_of_two() {
                        say(format!("{id}-storm-{said}"), "storm", *count);
                        *said += 1;
                    }
                } else {
                    group.tokens -= 1;
                    say(format!("{here}-0"), "opened", 1);
                }
                state.incident = Some(Incident {
                    id: here,
                    said: 1,
                    count: 1,
                    peak: score,
                    said_count: 1,
                    said_peak: score,
                    quiet: 0,
                    folded,
                });
            }
            (Some(i), true) => {
                i.count += 1;
                i.quiet = 0;
                i.peak = i.peak.max(score);
                let grown = i.peak >= 2.0 * i.said_peak || i.count >= 2 * i.said_count.max(5);
                if grown && !i.folded {
                    say(format!("{}-{}", i.id, i.said), "updated", i.count);
                    i.said += 1;
                    i.said_count = i.count;
                    i.said_peak = i.peak;
                }
            }
            (Some(i), false) => {
                i.quiet += 1;
                if i.quiet == settings.close_after_observations {
                    if !i.folded {
                        say(format!("{}-{}", i.id, i.said), "closed", i.count);
                    }
                    state.incident = None;
                }
            }
        }
    }
    all
}
