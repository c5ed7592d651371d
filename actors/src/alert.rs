//! Alerts: what is said about an incident, and the port through which it is
//! said.
//!
//! Ids derive from positions, so a replay repeats an alert instead of adding
//! one; a consumer drops repeats by `id`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::dead_letter::SinkError;

/// The version of the JSON that [`Alert`] serialises to (`schema` in it). The
/// schema itself is `docs/alert.schema.json`.
pub const ALERT_SCHEMA: u32 = 1;

/// What happened to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertKind {
    /// Its first anomaly.
    Opened,
    /// It goes on, and has grown enough to be said again.
    Updated,
    /// No anomaly for the cool-down.
    Closed,
    /// Many incidents of one key group, folded into one alert.
    Storm,
}

/// Which way the value left what was expected.
pub use weir_detectors::Direction;

/// One alert, as it stands on the topic and in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// [`ALERT_SCHEMA`].
    pub schema: u32,
    /// Unique: `<incident>-<n>`.
    pub id: String,
    /// `<topic id>-<partition>-<offset>.<index>` of the event that opened it.
    pub incident: String,
    /// The number of this alert within its incident, from 0.
    pub n: u32,
    /// What happened.
    pub kind: AlertKind,
    /// The job that found it.
    pub job: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset of the event that this alert is about.
    pub offset: i64,
    /// Its index in the message.
    pub index: u16,
    /// The key group.
    pub group: u32,
    /// The series, as people write it.
    pub series: String,
    /// The detector's name in the configuration.
    pub detector: String,
    /// When the event happened, RFC 3339 with microseconds.
    pub time: String,
    /// Its value.
    pub value: f64,
    /// What was expected instead.
    pub expected: f64,
    /// How far off, in the detector's standard deviations.
    pub deviations: f64,
    /// Which way.
    pub direction: Direction,
    /// The detector's score; an anomaly is above `threshold`.
    pub score: f64,
    /// The detector's threshold.
    pub threshold: f64,
    /// When the incident's first anomaly happened, RFC 3339.
    pub since: String,
    /// How many observations ago the detector thinks the change began.
    pub onset_observations: u32,
    /// Anomalous events in the incident so far (for a storm: incidents folded).
    pub count: u64,
    /// The highest score so far.
    pub peak: f64,
}

/// Where alerts go at once: a topic, standard output, the embedded log.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// Returns when all alerts are durable. May be called again with the same
    /// alerts.
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError>;
}
