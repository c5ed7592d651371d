//! What the sample comes to once it is decoded: keys, cadence, partitions, alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_actors::decode::{Decoder, FormatConfig, LimitsConfig};
use weir_actors::event::KeyEncoding;
use weir_actors::position::{PartitionId, TopicId, TopicPartition};
use weir_actors::shard::bytes_of_series;
use weir_actors::source::{RawBatch, RawRecord, Span};
use weir_detectors::{DetectorSpec, Observation, Phase};

use super::Sample;

/// An incident ends after so many observations without an anomaly, as the
/// configuration has it by default.
const CLOSE_AFTER_OBSERVATIONS: u32 = 50;
const MICROS_PER_DAY: f64 = 86_400e6;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Messages of the sample.
    pub messages: usize,
    /// Events in them.
    pub events: usize,
    /// Messages that were refused, by reason, with the first detail of each.
    pub rejects: BTreeMap<&'static str, (usize, String)>,
    /// Series in the sample.
    pub series: usize,
    /// How many there may be in all, judged by how many were met once.
    pub series_estimate: usize,
    /// Series that were met in more than one partition, and one of them.
    pub scattered: (usize, Option<String>),
    /// The typical time between two events of a series, in microseconds; `None`
    /// if no series was met twice.
    pub cadence_us: Option<i64>,
    /// Events a second in the topic, by the messages' own timestamps.
    pub events_per_second: Option<f64>,
    /// Bytes of state for each series.
    pub bytes_per_series: usize,
    /// Observations that were judged, the warm-up left out.
    pub judged: usize,
    /// Incidents that were opened among them.
    pub incidents: usize,
    /// Incidents a day at this rate; `None` if nothing was judged.
    pub alerts_per_day: Option<f64>,
}

struct Series {
    /// Time and value, in the order of the log of one partition.
    events: Vec<(i64, f64)>,
    partitions: Vec<i32>,
}

/// Decodes the sample and measures it, judged by `detector`.
///
/// # Errors
/// The faults of the format.
pub fn measure(
    samples: &[Sample],
    format: &FormatConfig,
    detector: &DetectorSpec,
) -> Result<Measured, Vec<String>> {
    let decoder = Decoder::new(format, &LimitsConfig::default())?;
    let keys = decoder.key_encoding();
    let mut measured = Measured {
        messages: samples.len(),
        bytes_per_series: bytes_of_series(detector),
        ..Measured::default()
    };
    let mut series: BTreeMap<Vec<u8>, Series> = BTreeMap::new();
    for batch in batches(samples) {
        let partition = batch.partition.id.number;
        let decoded = decoder.decode(batch);
        measured.events += decoded.events.len();
        for reject in &decoded.rejects {
            let noted = measured.rejects.entry(reject.reason.name());
            noted.or_insert_with(|| (0, reject.detail.clone())).0 += 1;
        }
        for event in &decoded.events {
            let of = series
                .entry(decoded.series(event).to_vec())
                .or_insert_with(|| Series { events: Vec::new(), partitions: Vec::new() });
            of.events.push((event.time_us, event.value));
            if of.partitions.last() != Some(&partition) {
                of.partitions.push(partition);
            }
        }
    }
    measured.count_series(&series, keys);
    measured.cadence_us = cadence_us(&series);
    measured.events_per_second = events_per_second(samples, measured.events);
    measured.judge(&series, detector);
    Ok(measured)
}

impl Measured {
    fn count_series(&mut self, series: &BTreeMap<Vec<u8>, Series>, keys: KeyEncoding) {
        self.series = series.len();
        let met = |times: usize| series.values().filter(|s| s.events.len() == times).count() as f64;
        let (once, twice) = (met(1), met(2));
        // Chao's estimator of how many kinds there are, corrected for bias.
        let unseen = once * (once - 1.0).max(0.0) / (2.0 * (twice + 1.0));
        self.series_estimate = self.series + unseen as usize;
        let mut scattered = series.iter().filter(|(_, s)| s.partitions.len() > 1);
        let first = scattered.next().map(|(name, _)| keys.render(name));
        self.scattered = (scattered.count() + usize::from(first.is_some()), first);
    }

    fn judge(&mut self, series: &BTreeMap<Vec<u8>, Series>, detector: &DetectorSpec) {
        for of in series.values() {
            let mut state = detector.start();
            // Observations since the last anomaly of the open incident.
            let mut quiet: Option<u32> = None;
            for &(time_us, value) in &of.events {
                let verdict = detector.step(&mut state, Observation { time_us, value });
                if matches!(verdict.phase, Phase::WarmingUp { .. }) {
                    continue;
                }
                self.judged += 1;
                if verdict.is_anomalous() {
                    self.incidents += usize::from(quiet.is_none());
                    quiet = Some(0);
                } else {
                    quiet = quiet.map(|n| n + 1).filter(|n| *n < CLOSE_AFTER_OBSERVATIONS);
                }
            }
        }
        if let Some(rate) = self.events_per_second.filter(|_| self.judged > 0) {
            let share = self.incidents as f64 / self.judged as f64;
            self.alerts_per_day = Some(share * rate * MICROS_PER_DAY / 1e6);
        }
    }
}

/// The middle of the series' typical times between events.
fn cadence_us(series: &BTreeMap<Vec<u8>, Series>) -> Option<i64> {
    let typical = series.values().filter_map(|s| {
        // Of all partitions together: the sender's, if its key is scattered.
        let mut times: Vec<i64> = s.events.iter().map(|(time_us, _)| *time_us).collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|w| w[1].saturating_sub(w[0])).filter(|g| *g > 0);
        median(gaps.collect())
    });
    median(typical.collect())
}

fn median(mut numbers: Vec<i64>) -> Option<i64> {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}

/// By the messages' timestamps, each partition by itself: the last messages of a
/// slow one reach further back.
fn events_per_second(samples: &[Sample], events: usize) -> Option<f64> {
    let mut spans: BTreeMap<i32, (i64, i64, usize)> = BTreeMap::new();
    for s in samples.iter().filter(|s| s.timestamp_ms >= 0) {
        let span = spans.entry(s.partition).or_insert((i64::MAX, i64::MIN, 0));
        *span = (span.0.min(s.timestamp_ms), span.1.max(s.timestamp_ms), span.2 + 1);
    }
    let per_message = events as f64 / samples.len().max(1) as f64;
    let rates = spans.values().filter(|(first, last, _)| last > first);
    let sum: f64 = rates
        .map(|(first, last, count)| (count - 1) as f64 * 1_000.0 / (last - first) as f64)
        .sum();
    (sum > 0.0).then_some(sum * per_message)
}

/// The sample as a node would read it: a batch for each partition.
fn batches(samples: &[Sample]) -> Vec<RawBatch> {
    let mut by_partition: BTreeMap<i32, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_partition.entry(sample.partition).or_default().push(sample);
    }
    let batch = |(number, mut samples): (i32, Vec<&Sample>)| {
        samples.sort_by_key(|s| s.offset);
        let mut bytes = Vec::new();
        let mut span = |part: Option<&[u8]>| {
            let Some(part) = part else { return Span::NULL };
            let start = bytes.len() as u32;
            bytes.extend_from_slice(part);
            Span { start, len: part.len() as u32 }
        };
        let records = samples
            .iter()
            .map(|s| RawRecord {
                offset: s.offset,
                timestamp_ms: s.timestamp_ms,
                key: span(s.key.as_deref()),
                value: span(s.value.as_deref()),
                headers: Span::NULL,
            })
            .collect();
        let next_offset = samples.last().map_or(0, |s| s.offset + 1);
        let id = PartitionId { topic: TopicId(0), number };
        let partition = Arc::new(TopicPartition { topic: "sample".into(), id });
        RawBatch { partition, bytes, records, next_offset, log_end_offset: next_offset }
    };
    by_partition.into_iter().map(batch).collect()
}
