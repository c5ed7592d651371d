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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../docs/alert.schema.json")).expect("it is JSON")
    }

    fn alert() -> Alert {
        Alert {
            schema: ALERT_SCHEMA,
            id: "0123456789abcdef0123456789abcdef-3-40.0-0".into(),
            incident: "0123456789abcdef0123456789abcdef-3-40.0".into(),
            n: 0,
            kind: AlertKind::Opened,
            job: "weir".into(),
            topic: "readings".into(),
            partition: 3,
            offset: 40,
            index: 0,
            group: 11,
            series: "pump-7".into(),
            detector: "cusum".into(),
            time: "2026-01-31T23:59:59.25Z".into(),
            value: 31.5,
            expected: 20.0,
            deviations: 14.375,
            direction: Direction::Up,
            score: 12.875,
            threshold: 8.0,
            since: "2026-01-31T23:59:59.25Z".into(),
            onset_observations: 0,
            count: 1,
            peak: 12.875,
        }
    }

    fn keys(object: &Value) -> BTreeSet<&str> {
        object.as_object().expect("it is an object").keys().map(String::as_str).collect()
    }

    fn words(list: &Value) -> BTreeSet<&str> {
        list.as_array().expect("it is a list").iter().filter_map(Value::as_str).collect()
    }

    #[test]
    fn the_fields_of_an_alert_are_exactly_the_properties_of_its_schema() {
        let (schema, alert) = (schema(), serde_json::to_value(alert()).unwrap());
        assert_eq!(keys(&alert), keys(&schema["properties"]));
        assert_eq!(keys(&alert), words(&schema["required"]));
        assert_eq!(schema["properties"]["schema"]["const"], ALERT_SCHEMA);
    }

    #[test]
    fn the_schema_names_every_kind_and_direction() {
        let schema = schema();
        let kinds = [AlertKind::Opened, AlertKind::Updated, AlertKind::Closed, AlertKind::Storm];
        let kinds = serde_json::to_value(kinds).unwrap();
        assert_eq!(words(&kinds), words(&schema["properties"]["kind"]["enum"]));
        let directions = serde_json::to_value([Direction::Up, Direction::Down]).unwrap();
        assert_eq!(words(&directions), words(&schema["properties"]["direction"]["enum"]));
    }

    #[test]
    fn the_examples_of_the_schema_and_of_its_guide_are_alerts() {
        let schema = schema();
        let examples = schema["examples"].as_array().expect("there are examples").clone();
        let guide = include_str!("../../docs/alerts.md");
        let blocks = guide.split("```json\n").skip(1);
        let in_guide = blocks.map(|b| {
            let (json, _) = b.split_once("```").expect("the block ends");
            serde_json::from_str(json).expect("it is JSON")
        });
        let all: Vec<Value> = examples.into_iter().chain(in_guide).collect();
        for example in &all {
            let alert: Alert = serde_json::from_value(example.clone()).expect("it is an alert");
            assert_eq!(&serde_json::to_value(&alert).unwrap(), example);
        }
        let kinds: BTreeSet<&str> = all.iter().filter_map(|e| e["kind"].as_str()).collect();
        assert_eq!(kinds, words(&schema["properties"]["kind"]["enum"]), "an example of each");
    }
}
