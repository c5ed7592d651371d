//! Alerts, three times: by hour for people, by series, and in the order of the
//! log for the sinks that follow it.

use futures::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use scylla::value::CqlTimestamp;
use weir_actors::alert::Alert;
use weir_actors::position::{PartitionId, Position};
use weir_actors::store::StoreError;

use super::store::{CassandraStore, Inner, position_bytes, position_timestamp, split_position};

const US_PER_HOUR: i64 = 3_600_000_000;
const MS_PER_HOUR: i64 = 3_600_000;

/// Offsets of one partition of `alerts_by_position`: 2 to this power. Fixed: it
/// is part of the table's key.
const SPAN_SHIFT: u32 = 22;

/// Writes of alerts in flight for one call.
const WRITES_IN_FLIGHT: usize = 8;

/// Alerts read at once for a sink.
const READ_MAX: usize = 10_000;

/// Writes alerts by id.
pub(super) async fn put(inner: &Inner, alerts: &[Alert]) -> Result<(), StoreError> {
    let entries = alerts.iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
    // The hours first: an alert in an hour that nobody knows of is not found.
    let mut hours: Vec<_> = entries.iter().map(|e| e.hour).collect();
    hours.sort_unstable();
    hours.dedup();
    for hour in hours {
        let values = (&inner.job, hour_start(hour));
        inner.execute("alert_hours", &inner.statements.alert_hour_put, values).await?;
    }
    let mut in_flight = FuturesUnordered::new();
    for entry in &entries {
        if in_flight.len() == WRITES_IN_FLIGHT {
            in_flight.next().await.transpose()?;
        }
        in_flight.push(put_one(inner, entry));
    }
    in_flight.try_collect().await
}

/// An alert as its rows need it.
struct Entry<'a> {
    alert: &'a Alert,
    topic: &'a str,
    time_us: i64,
    hour: i64,
    json: String,
}

impl<'a> Entry<'a> {
    fn of(alert: &'a Alert) -> Result<Self, StoreError> {
        let invalid = |e: &dyn std::fmt::Display| {
            StoreError::Invalid(format!("alerts: alert {}: {e}", alert.id))
        };
        let time: Timestamp = alert.time.parse().map_err(|e: jiff::Error| invalid(&e))?;
        let time_us = time.as_microsecond();
        let json = serde_json::to_string(alert).map_err(|e| invalid(&e))?;
        let hour = time_us.div_euclid(US_PER_HOUR);
        Ok(Self { alert, topic: topic_id(alert), time_us, hour, json })
    }
}

/// The topic's id, which an incident's name begins with.
fn topic_id(alert: &Alert) -> &str {
    alert.incident.split_once('-').map_or(&alert.topic, |(id, _)| id)
}

async fn put_one(inner: &Inner, entry: &Entry<'_>) -> Result<(), StoreError> {
    let Entry { alert, topic, time_us, hour, json } = entry;
    let (job, s) = (&inner.job, &inner.statements);
    let position = (job, topic, alert.partition, alert.offset >> SPAN_SHIFT, alert.offset);
    let (_, _, partition, span, offset) = position;
    let index = i32::from(alert.index);
    let by_position = (job, topic, partition, span, offset, index, &alert.id, json);
    inner.execute("alerts_by_position", &s.alert_position_put, by_position).await?;
    let by_series = (job, &alert.series, time_us, &alert.id, &alert.incident, json);
    inner.execute("alerts_by_series", &s.alert_series_put, by_series).await?;
    let kind = kind_name(alert);
    let by_hour = (job, hour_start(*hour), time_us, &alert.id, &alert.series, kind, json);
    inner.execute("alerts", &s.alert_put, by_hour).await
}

const fn kind_name(alert: &Alert) -> &'static str {
    use weir_actors::alert::AlertKind;
    match alert.kind {
        AlertKind::Opened => "opened",
        AlertKind::Updated => "updated",
        AlertKind::Closed => "closed",
        AlertKind::Storm => "storm",
    }
}

const fn hour_start(hour: i64) -> CqlTimestamp {
    CqlTimestamp(hour * MS_PER_HOUR)
}

fn parse(table: &str, json: &str) -> Result<Alert, StoreError> {
    serde_json::from_str(json).map_err(|e| StoreError::Damaged(format!("{table}: {e} in {json}")))
}

impl CassandraStore {
    /// The last `limit` alerts of the job by the time of their events, newest
    /// first.
    pub async fn alerts_recent(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.run(|inner| async move {
            let s = &inner.statements;
            let hours: Vec<(CqlTimestamp,)> =
                inner.read_all("alert_hours", &s.alert_hours_get, (&inner.job,)).await?;
            let mut alerts = Vec::new();
            for (hour,) in hours {
                let left = limit - alerts.len();
                if left == 0 {
                    break;
                }
                let values = (&inner.job, hour, at_most(left));
                for (json,) in inner.read_all::<(String,)>("alerts", &s.alerts_get, values).await? {
                    alerts.push(parse("alerts", &json)?);
                }
            }
            Ok(alerts)
        })
        .await
    }

    /// The last `limit` alerts of a series, as people write its name, newest
    /// first.
    pub async fn alerts_of_series(
        &self,
        series: &str,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let series = series.to_owned();
        self.run(|inner| async move {
            if limit == 0 {
                return Ok(Vec::new());
            }
            let table = "alerts_by_series";
            let values = (&inner.job, series, at_most(limit));
            let found: Vec<(String,)> =
                inner.read_all(table, &inner.statements.alerts_series_get, values).await?;
            found.iter().map(|(json,)| parse(table, json)).collect()
        })
        .await
    }

    /// Alerts of a partition in the order of the log, after `after` and before
    /// `before` (both exclusive): what a sink has still to deliver. Give the
    /// committed offset as `before`: past it an alert may still come in between.
    /// Returns about `limit` at most: it stops only between positions.
    ///
    /// Each 2^22 offsets are a request, so note what was delivered up to `before`
    /// even where there was no alert; where nothing was delivered yet, begin
    /// before the offset that the job began at.
    pub async fn alerts_between(
        &self,
        partition: PartitionId,
        after: Position,
        before: Position,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let limit = limit.min(READ_MAX);
        self.run(|inner| async move {
            let table = "alerts_by_position";
            let topic = partition.topic.to_string();
            let mut alerts = Vec::new();
            for span in (after.offset >> SPAN_SHIFT)..=(before.offset >> SPAN_SHIFT) {
                if alerts.len() >= limit {
                    break;
                }
                let values = (
                    &inner.job,
                    &topic,
                    partition.number,
                    span,
                    after.offset,
                    i32::from(after.index),
                    before.offset,
                    i32::from(before.index),
                    i32::MAX,
                );
                let statement = &inner.statements.alerts_position_get;
                let mut last = None;
                inner
                    .read(table, statement, values, |(json,): (String,)| {
                        let alert = parse(table, &json)?;
                        let at = (alert.offset, alert.index);
                        if alerts.len() >= limit && last != Some(at) {
                            return Ok(std::ops::ControlFlow::Break(()));
                        }
                        last = Some(at);
                        alerts.push(alert);
                        Ok(std::ops::ControlFlow::Continue(()))
                    })
                    .await?;
            }
            Ok(alerts)
        })
        .await
    }

    /// Notes that `sink` has delivered all alerts of the partition up to and
    /// with `position`. Never goes back.
    pub async fn note_delivered(
        &self,
        sink: &str,
        partition: PartitionId,
        position: Position,
    ) -> Result<(), StoreError> {
        let sink = sink.to_owned();
        self.run(|inner| async move {
            let topic = partition.topic.to_string();
            let cursor = position_bytes(position);
            let timestamp = position_timestamp(position);
            let values = (&inner.job, sink, topic, partition.number, cursor, timestamp);
            inner.execute("deliveries", &inner.statements.delivery_put, values).await
        })
        .await
    }

    /// How far `sink` has delivered the alerts of the partition.
    pub async fn delivered(
        &self,
        sink: &str,
        partition: PartitionId,
    ) -> Result<Option<Position>, StoreError> {
        let sink = sink.to_owned();
        self.run(|inner| async move {
            let values = (&inner.job, sink, partition.topic.to_string(), partition.number);
            let found: Vec<(Vec<u8>,)> =
                inner.read_all("deliveries", &inner.statements.delivery_get, values).await?;
            let Some((cursor,)) = found.first() else { return Ok(None) };
            let damaged = || StoreError::Damaged("deliveries: a cursor is no position".into());
            Ok(Some(split_position(cursor).ok_or_else(damaged)?.0))
        })
        .await
    }
}

fn at_most(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).max(1)
}
