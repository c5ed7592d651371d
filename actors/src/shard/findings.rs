//! What follows from a batch: alerts and dead letters, on their way at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use jiff::Timestamp;
use weir_detectors::{Direction, Phase};

use super::Shard;
use super::group::{Applied, Counts, Finding, Group};
use super::incident::Said;
use crate::alert::{ALERT_SCHEMA, Alert, AlertKind};
use crate::dead_letter::DeadLetter;
use crate::event::{RejectReason, SharedBatch};
use crate::history::flags;
use crate::position::{PartitionId, Position};
use crate::relay;

/// What follows from a batch, gathered while it is applied.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) checks: u64,
    replayed: u64,
    anomalies: u64,
    counts: Counts,
    findings: Vec<(u32, SharedBatch, u32, Finding)>,
    dead_letters: Vec<DeadLetter>,
}

impl Effects {
    /// Takes what a group has counted.
    pub(super) fn count(&mut self, group: &mut Group) {
        let Counts { late, repeated, folded } = group.take_counts();
        self.counts.late += late;
        self.counts.repeated += repeated;
        self.counts.folded += folded;
    }

    /// Notes what became of an event of a batch.
    pub(super) fn note(
        &mut self,
        applied: Applied,
        group: u32,
        batch: &SharedBatch,
        pick: u32,
        poisoned: &BTreeMap<Position, String>,
    ) {
        match applied {
            Applied::Checked(None) => self.checks += 1,
            Applied::Checked(Some(finding)) => {
                self.checks += 1;
                self.anomalies += u64::from(finding.anomalous);
                if !finding.said.is_empty() {
                    self.findings.push((group, Arc::clone(batch), pick, finding));
                }
            }
            Applied::Repeated => self.replayed += 1,
            Applied::TooLate => {
                let why = "its time is further behind the clock of its series than \
                           detection.timing.late_seconds_max allows";
                self.dead_letters.push(dead_letter(batch, pick, RejectReason::TooLate, why));
            }
            Applied::Poison => {
                let position = batch.events[pick as usize].position();
                let why = poisoned.get(&position).map_or("", String::as_str);
                self.dead_letters.push(dead_letter(batch, pick, RejectReason::Poison, why));
            }
            Applied::Missing => unreachable!("the caller reads the series first"),
        }
    }
}

impl Shard {
    /// Sends on what follows from a batch. It holds the watermark until it is
    /// delivered.
    pub(super) fn carry_out(
        &mut self,
        partition: PartitionId,
        effects: Effects,
        ctx: &mut Context<Self>,
    ) {
        let stats = &self.env.stats;
        stats.checks.add(effects.checks);
        stats.replayed.add(effects.replayed);
        stats.anomalies.add(effects.anomalies);
        stats.late.add(effects.counts.late);
        stats.repeated.add(effects.counts.repeated);
        stats.incidents_folded.add(effects.counts.folded);
        if !effects.findings.is_empty() {
            let first =
                effects.findings.iter().map(|(_, b, i, _)| b.events[*i as usize].offset).min();
            let alerts: Vec<Alert> = effects
                .findings
                .iter()
                .flat_map(|(group, batch, pick, finding)| {
                    self.alerts(*group, batch, *pick, finding)
                })
                .collect();
            self.count_alerts(&alerts);
            let relay = self.env.alerts.clone();
            let ticket = self.ticket(partition, first.unwrap_or_default());
            self.settle(partition, ticket, relay::delivered(relay, alerts), ctx);
        }
        if !effects.dead_letters.is_empty() {
            let first = effects.dead_letters.iter().map(|l| l.position.offset).min();
            for letter in &effects.dead_letters {
                self.env.stats.dead_letters_by(letter.reason).add(1);
            }
            let relay = self.env.dead_letters.clone();
            let ticket = self.ticket(partition, first.unwrap_or_default());
            self.settle(partition, ticket, relay::delivered(relay, effects.dead_letters), ctx);
        }
    }

    fn count_alerts(&self, alerts: &[Alert]) {
        let stats = &self.env.stats;
        stats.alerts.add(alerts.len() as u64);
        for alert in alerts {
            match alert.kind {
                AlertKind::Opened => stats.incidents_opened.add(1),
                AlertKind::Closed => stats.incidents_closed.add(1),
                AlertKind::Updated | AlertKind::Storm => {}
            }
        }
    }

    fn alerts(&self, group: u32, batch: &SharedBatch, pick: u32, finding: &Finding) -> Vec<Alert> {
        let partition = &batch.raw.partition;
        let event = &batch.events[pick as usize];
        let verdict = &finding.verdict;
        let about = |opened: Position, n: u32, kind, since_us, count, peak| {
            let incident = format!("{}-{}", partition.id, opened);
            Alert {
                schema: ALERT_SCHEMA,
                id: format!("{incident}-{n}"),
                incident,
                n,
                kind,
                job: self.env.job.to_string(),
                topic: partition.topic.to_string(),
                partition: partition.id.number,
                offset: event.offset,
                index: event.index,
                group,
                series: self.env.detection.encoding().render(batch.series(event)),
                detector: self.env.detection.name(finding.detector).to_owned(),
                time: rfc3339(event.time_us),
                value: event.value,
                expected: finite(verdict.expected),
                deviations: finite(verdict.deviations(event.value)),
                direction: match verdict.phase {
                    Phase::Anomalous(direction) => direction,
                    _ if event.value < verdict.expected => Direction::Down,
                    _ => Direction::Up,
                },
                score: verdict.score,
                threshold: verdict.threshold,
                since: rfc3339(since_us),
                onset_observations: verdict.onset_observations,
                count,
                peak,
            }
        };
        let alert = |said: &Said| match said {
            Said::Incident(kind, i) => {
                let mut alert = about(i.opened, i.said, *kind, i.since_us, i.count, i.peak);
                if let Some(course) = i.course {
                    alert.direction = course.direction;
                    if verdict.expected.is_nan() {
                        alert.expected = finite(course.expected);
                    }
                }
                alert
            }
            Said::Storm(storm) => {
                let mut alert = about(
                    storm.began,
                    storm.said,
                    AlertKind::Storm,
                    storm.since_us,
                    storm.folded,
                    storm.peak,
                );
                // The incident that began the storm may have the same position.
                alert.incident.push_str("-storm");
                alert.id = format!("{}-{}", alert.incident, alert.n);
                alert
            }
        };
        finding.said.iter().map(alert).collect()
    }
}

/// JSON has no infinity; the largest number stands for it.
fn finite(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x.clamp(f64::MIN, f64::MAX) }
}

/// A time as alerts write it.
fn rfc3339(time_us: i64) -> String {
    match Timestamp::from_microsecond(time_us) {
        Ok(time) => time.to_string(),
        // Beyond the year 9999: the decoder lets none through.
        Err(_) => format!("{time_us}us"),
    }
}

/// A record of a batch as a dead letter.
pub(crate) fn dead_letter(
    batch: &SharedBatch,
    pick: u32,
    reason: RejectReason,
    detail: &str,
) -> DeadLetter {
    let event = &batch.events[pick as usize];
    letter_of_record(batch, event.record, event.index, reason, detail)
}

/// The same, of a record that gave no event.
pub(crate) fn letter_of_record(
    batch: &SharedBatch,
    record: u32,
    index: u16,
    reason: RejectReason,
    detail: &str,
) -> DeadLetter {
    let raw = &batch.raw;
    let record = &raw.records[record as usize];
    DeadLetter {
        partition: Arc::clone(&raw.partition),
        position: Position { offset: record.offset, index },
        timestamp_ms: record.timestamp_ms,
        key: record.key.of(&raw.bytes).map(<[u8]>::to_vec),
        value: record.value.of(&raw.bytes).map(<[u8]>::to_vec),
        headers: record.headers.of(&raw.bytes).unwrap_or_default().to_vec(),
        reason,
        detail: detail.to_owned(),
    }
}

/// Marks of [`flags`] in words, for people.
pub fn flag_names(event_flags: u8) -> Vec<&'static str> {
    [
        (flags::LATE, "late"),
        (flags::REPEATED, "repeated"),
        (flags::AHEAD, "ahead"),
        (flags::ANOMALOUS, "anomalous"),
        (flags::POISON, "poison"),
    ]
    .into_iter()
    .filter_map(|(flag, name)| (event_flags & flag != 0).then_some(name))
    .collect()
}
