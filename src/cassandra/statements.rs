//! Every statement that Weir sends while it runs, prepared once.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use weir_actors::store::StoreError;

use super::config::CassandraConfig;
use super::error::prepare_error;
use super::session::serial_consistency;

/// Rows of a page of small rows.
const PAGE_ROWS: i32 = 1_000;

/// Rows of a page of segments: tens of kilobytes each.
const PAGE_SEGMENTS: i32 = 64;

/// Parts of a checkpoint in one page.
const PAGE_PARTS: i32 = 4;

/// The key of one group's rows, as it begins every statement about a group.
const GROUP: &str = "job = ? AND topic = ? AND partition = ? AND key_group = ?";

/// The prepared statements. All are idempotent: repeating one changes nothing.
pub(crate) struct Statements {
    pub layout_put: PreparedStatement,
    pub layout_get: PreparedStatement,
    pub segment_put: PreparedStatement,
    pub segments_get: PreparedStatement,
    pub row_put: PreparedStatement,
    pub rows_get: PreparedStatement,
    pub series_rows_get: PreparedStatement,
    pub bucket_earliest: PreparedStatement,
    pub bucket_latest: PreparedStatement,
    pub buckets_get: PreparedStatement,
    pub part_put: PreparedStatement,
    pub parts_get: PreparedStatement,
    pub parts_drop: PreparedStatement,
    pub evicted_put: PreparedStatement,
    pub evicted_get: PreparedStatement,
    pub alert_put: PreparedStatement,
    pub alert_hour_put: PreparedStatement,
    pub alert_series_put: PreparedStatement,
    pub alert_position_put: PreparedStatement,
    pub alert_hours_get: PreparedStatement,
    pub alerts_get: PreparedStatement,
    pub alerts_series_get: PreparedStatement,
    pub alerts_position_get: PreparedStatement,
    pub delivery_put: PreparedStatement,
    pub delivery_get: PreparedStatement,
    pub ping: PreparedStatement,
}

impl Statements {
    /// Prepares all of them; the tables must be there.
    #[rustfmt::skip] // One line a statement: what is bound stands in order.
    pub(crate) async fn prepare(
        session: &Session,
        config: &CassandraConfig,
    ) -> Result<Self, StoreError> {
        let p = Preparer { session, config };
        Ok(Self {
            layout_put: p.write("layouts", "INSERT INTO {} (job, topic, key_groups, bucket_shift, history) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS").await?,
            layout_get: p.read_serial("layouts", "SELECT key_groups, bucket_shift, history FROM {} WHERE job = ? AND topic = ?").await?,
            segment_put: p.write("history_segments", "INSERT INTO {} (job, topic, partition, key_group, bucket, first_offset, first_index, last_offset, last_index, events, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").await?,
            segments_get: p.read("history_segments", &format!("SELECT first_offset, first_index, last_offset, last_index, events, data FROM {{}} WHERE {GROUP} AND bucket = ? AND (last_offset, last_index) > (?, ?)"), PAGE_SEGMENTS).await?,
            row_put: p.write("history_rows", "INSERT INTO {} (job, topic, partition, key_group, bucket, series, msg_offset, msg_index, time_us, value, flags, latitude, longitude, altitude_m) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").await?,
            rows_get: p.read("history_rows", &format!("SELECT series, msg_offset, msg_index, time_us, value, flags, latitude, longitude, altitude_m FROM {{}} WHERE {GROUP} AND bucket = ?"), PAGE_ROWS).await?,
            series_rows_get: p.read("history_rows", &format!("SELECT series, msg_offset, msg_index, time_us, value, flags, latitude, longitude, altitude_m FROM {{}} WHERE {GROUP} AND bucket = ? AND series = ?"), PAGE_ROWS).await?,
            bucket_earliest: p.write("buckets", "INSERT INTO {} (job, topic, partition, bucket, earliest_us) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?").await?,
            bucket_latest: p.write("buckets", "INSERT INTO {} (job, topic, partition, bucket, latest_us) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?").await?,
            buckets_get: p.read("buckets", "SELECT bucket, earliest_us, latest_us FROM {} WHERE job = ? AND topic = ? AND partition = ?", PAGE_ROWS).await?,
            part_put: p.write("checkpoints", "INSERT INTO {} (job, topic, partition, key_group, position_offset, position_index, digest, part, parts, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").await?,
            parts_get: p.read("checkpoints", &format!("SELECT position_offset, position_index, digest, part, parts, data FROM {{}} WHERE {GROUP}"), PAGE_PARTS).await?,
            parts_drop: p.write("checkpoints", &format!("DELETE FROM {{}} WHERE {GROUP} AND (position_offset, position_index) < (?, ?)")).await?,
            evicted_put: p.write("evicted", "INSERT INTO {} (job, topic, partition, key_group, series, state) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?").await?,
            evicted_get: p.read("evicted", &format!("SELECT series, state FROM {{}} WHERE {GROUP} AND series IN ?"), PAGE_ROWS).await?,
            alert_put: p.write("alerts", "INSERT INTO {} (job, hour, time_us, id, series, kind, alert) VALUES (?, ?, ?, ?, ?, ?, ?)").await?,
            alert_hour_put: p.write("alert_hours", "INSERT INTO {} (job, hour) VALUES (?, ?)").await?,
            alert_series_put: p.write("alerts_by_series", "INSERT INTO {} (job, series, time_us, id, incident, alert) VALUES (?, ?, ?, ?, ?, ?)").await?,
            alert_position_put: p.write("alerts_by_position", "INSERT INTO {} (job, topic, partition, span, msg_offset, msg_index, id, alert) VALUES (?, ?, ?, ?, ?, ?, ?, ?)").await?,
            alert_hours_get: p.read("alert_hours", "SELECT hour FROM {} WHERE job = ?", PAGE_ROWS).await?,
            alerts_get: p.read("alerts", "SELECT alert FROM {} WHERE job = ? AND hour = ? LIMIT ?", PAGE_ROWS).await?,
            alerts_series_get: p.read("alerts_by_series", "SELECT alert FROM {} WHERE job = ? AND series = ? LIMIT ?", PAGE_ROWS).await?,
            alerts_position_get: p.read("alerts_by_position", "SELECT alert FROM {} WHERE job = ? AND topic = ? AND partition = ? AND span = ? AND (msg_offset, msg_index) > (?, ?) AND (msg_offset, msg_index) < (?, ?) LIMIT ?", PAGE_ROWS).await?,
            delivery_put: p.write("deliveries", "INSERT INTO {} (job, sink, topic, partition, cursor) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?").await?,
            delivery_get: p.read("deliveries", "SELECT cursor FROM {} WHERE job = ? AND sink = ? AND topic = ? AND partition = ?", PAGE_ROWS).await?,
            ping: p.prepare("system.local", "SELECT now() FROM system.local".into(), Consistency::One).await?,
        })
    }
}

struct Preparer<'a> {
    session: &'a Session,
    config: &'a CassandraConfig,
}

impl Preparer<'_> {
    async fn write(&self, table: &str, cql: &str) -> Result<PreparedStatement, StoreError> {
        let cql = cql.replace("{}", &format!("{}.{table}", self.config.keyspace));
        self.prepare(table, cql, self.config.write_consistency.into()).await
    }

    async fn read(
        &self,
        table: &str,
        cql: &str,
        page: i32,
    ) -> Result<PreparedStatement, StoreError> {
        let cql = cql.replace("{}", &format!("{}.{table}", self.config.keyspace));
        let mut statement = self.prepare(table, cql, self.config.read_consistency.into()).await?;
        statement.set_page_size(page);
        Ok(statement)
    }

    /// A read that sees every `IF NOT EXISTS` that has answered.
    async fn read_serial(&self, table: &str, cql: &str) -> Result<PreparedStatement, StoreError> {
        let mut statement = self.read(table, cql, PAGE_ROWS).await?;
        statement.set_consistency(match serial_consistency(self.config) {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        });
        Ok(statement)
    }

    async fn prepare(
        &self,
        table: &str,
        cql: String,
        consistency: Consistency,
    ) -> Result<PreparedStatement, StoreError> {
        let prepared = self.session.prepare(cql).await;
        let mut statement = prepared.map_err(|e| prepare_error(table, e))?;
        statement.set_consistency(consistency);
        statement.set_is_idempotent(true);
        Ok(statement)
    }
}
