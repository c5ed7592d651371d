//! Alerts, dead letters and the admin client.

use std::sync::Arc;

use weir_actors::alert::{ALERT_SCHEMA, Alert, AlertKind, AlertSink, Direction};
use weir_actors::dead_letter::{DeadLetter, DeadLetterSink, SinkError};
use weir_actors::event::RejectReason;
use weir_actors::position::{PartitionId, Position, TopicId, TopicPartition};
use weir_actors::source::{Headers, RawBatch, Source};

use super::rig::{Rig, broker, read_to, unique, within};
use crate::kafka::{
    ALERT_ID_HEADER, AdminError, KafkaAdmin, KafkaAlertSink, KafkaConfig, KafkaDeadLetterSink,
    SinkTopic, header,
};

fn alert(n: u32, series: &str) -> Alert {
    Alert {
        schema: ALERT_SCHEMA,
        id: format!("incident-{n}"),
        incident: "incident".to_owned(),
        n,
        kind: AlertKind::Updated,
        job: "job".to_owned(),
        topic: "readings".to_owned(),
        partition: 3,
        offset: 17,
        index: 0,
        group: 5,
        series: series.to_owned(),
        detector: "cusum".to_owned(),
        time: "2026-01-01T00:00:00.000000Z".to_owned(),
        value: 1.5,
        expected: 1.0,
        deviations: 5.0,
        direction: Direction::Up,
        score: 6.0,
        threshold: 5.0,
        since: "2026-01-01T00:00:00.000000Z".to_owned(),
        onset_observations: 3,
        count: 1,
        peak: 6.0,
    }
}

fn letter(offset: i64, value: Option<Vec<u8>>) -> DeadLetter {
    let mut headers = Vec::new();
    Headers::push(&mut headers, "mine", Some(b"kept"));
    Headers::push(&mut headers, "null", None);
    let id = PartitionId { topic: TopicId(9), number: 3 };
    DeadLetter {
        partition: Arc::new(TopicPartition { topic: Arc::from("readings"), id }),
        position: Position { offset, index: 2 },
        timestamp_ms: 1_700_000_000_123,
        key: Some(b"a key \xff".to_vec()),
        value,
        headers,
        reason: RejectReason::Malformed,
        detail: "not JSON".to_owned(),
    }
}

/// Key, value, headers and timestamp of every record.
type Seen = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

fn seen(batches: &[RawBatch]) -> Vec<Seen> {
    let mut all = Vec::new();
    for batch in batches {
        for record in &batch.records {
            let headers = Headers(record.headers.of(&batch.bytes).unwrap())
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect();
            let part = |span: weir_actors::source::Span| span.of(&batch.bytes).map(<[u8]>::to_vec);
            all.push((part(record.key), part(record.value), headers, record.timestamp_ms));
        }
    }
    all
}

fn find<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    let (_, value) = seen.2.iter().find(|(n, _)| n == name)?;
    Some(std::str::from_utf8(value.as_ref().unwrap()).unwrap())
}

#[tokio::test]
async fn alerts_are_json_keyed_by_their_series_with_their_id() {
    let Some(rig) = Rig::new(1).await else { return };
    let sink = KafkaAlertSink::new(&rig.config, &SinkTopic::named(&rig.topic)).unwrap();
    let alerts: Vec<Alert> = (0..500).map(|n| alert(n, &format!("series {}", n % 7))).collect();
    within("delivery", sink.publish(&alerts)).await.unwrap();
    within("no delivery", sink.publish(&[])).await.unwrap();
    let (source, mut assigned) = rig.join_one().await;
    let seen = seen(&read_to(&mut *assigned.reader, 500).await);
    assert_eq!(seen.len(), 500);
    for (seen, alert) in seen.iter().zip(&alerts) {
        assert_eq!(seen.0.as_deref(), Some(alert.series.as_bytes()));
        assert_eq!(find(seen, ALERT_ID_HEADER), Some(alert.id.as_str()));
        let read: Alert = serde_json::from_slice(seen.1.as_ref().unwrap()).unwrap();
        assert_eq!(read, *alert);
    }
    source.close().await;
}

#[tokio::test]
async fn dead_letters_are_kept_as_they_came_with_their_position() {
    let Some(rig) = Rig::new(1).await else { return };
    let sink = KafkaDeadLetterSink::new(&rig.config, &SinkTopic::named(&rig.topic)).unwrap();
    let mut letters: Vec<_> = (0..100).map(|o| letter(o, Some(vec![o as u8; 10]))).collect();
    letters.push(letter(100, None));
    letters.push(letter(101, Some(Vec::new())));
    within("delivery", sink.deliver(&letters)).await.unwrap();
    let (source, mut assigned) = rig.join_one().await;
    let seen = seen(&read_to(&mut *assigned.reader, 102).await);
    assert_eq!(seen.len(), 102);
    for (seen, letter) in seen.iter().zip(&letters) {
        assert_eq!((&seen.0, &seen.1, seen.3), (&letter.key, &letter.value, 1_700_000_000_123));
        assert_eq!(
            seen.2[..2],
            [("mine".to_owned(), Some(b"kept".to_vec())), ("null".to_owned(), None)]
        );
        assert_eq!(find(seen, header::TOPIC), Some("readings"));
        assert_eq!(find(seen, header::PARTITION), Some("3"));
        assert_eq!(find(seen, header::OFFSET), Some(letter.position.offset.to_string().as_str()));
        assert_eq!(find(seen, header::INDEX), Some("2"));
        assert_eq!(find(seen, header::REASON), Some("malformed"));
        assert_eq!(find(seen, header::DETAIL), Some("not JSON"));
        assert_eq!(find(seen, header::TIMESTAMP_MS), Some("1700000000123"));
        assert_eq!(find(seen, header::TRUNCATED), None);
    }
    source.close().await;
}

/// More than any broker of the tests takes.
const LARGE_BYTES: usize = 12 << 20;

#[tokio::test]
async fn a_dead_letter_too_large_for_its_topic_is_cut_and_says_so() {
    let Some(rig) = Rig::new(1).await else { return };
    let sink = KafkaDeadLetterSink::new(&rig.config, &SinkTopic::named(&rig.topic)).unwrap();
    // Bytes that no compression makes small, above what a broker of the tests takes
    // (1 MB by default, 10 MB in `tests/stack`).
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let large: Vec<u8> = (0..LARGE_BYTES).map(|_| noise()).collect();
    let fits: Vec<u8> = (0..900_000).map(|_| noise()).collect();
    let letters =
        [letter(0, Some(b"small".to_vec())), letter(1, Some(large.clone())), letter(2, Some(fits))];
    within("delivery", sink.deliver(&letters)).await.unwrap();
    let (source, mut assigned) = rig.join_one().await;
    let mut seen = seen(&read_to(&mut *assigned.reader, 3).await);
    seen.sort_by_key(|s| find(s, header::OFFSET).unwrap().to_owned());
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].1, letters[0].value);
    assert_eq!(seen[2].1, letters[2].value);
    let cut = seen[1].1.as_ref().unwrap();
    assert!(!cut.is_empty() && large.starts_with(cut));
    assert_eq!(find(&seen[1], header::TRUNCATED), Some(LARGE_BYTES.to_string().as_str()));
    assert_eq!(seen[1].0, letters[1].key);
    source.close().await;
}

#[tokio::test]
async fn a_sink_without_its_topic_says_so_and_works_once_it_is_there() {
    let Some(rig) = Rig::new(1).await else { return };
    let topic = SinkTopic { create: true, partitions: 2, ..SinkTopic::named(&unique("sink")) };
    let missing = rig.admin.ensure(&SinkTopic { create: false, ..topic.clone() }).await;
    assert!(matches!(missing, Err(AdminError::NoSuchTopic(_))), "{missing:?}");
    let made = rig.admin.ensure(&topic).await.unwrap();
    assert_eq!(made.partitions, 2);
    assert_eq!(rig.admin.ensure(&topic).await.unwrap(), made);
    let sink = KafkaAlertSink::new(&rig.config, &topic).unwrap();
    within("delivery", sink.publish(&[alert(0, "s")])).await.unwrap();
}

#[tokio::test]
async fn brokers_that_are_away_are_a_transient_failure() {
    if broker().is_none() {
        return;
    }
    let mut config = KafkaConfig { brokers: vec!["127.0.0.1:1".to_owned()], ..Default::default() };
    config.properties.0.insert("message.timeout.ms".to_owned(), "500".to_owned());
    let sink = KafkaAlertSink::new(&config, &SinkTopic::named("alerts")).unwrap();
    let error = within("an answer", sink.publish(&[alert(0, "s")])).await.unwrap_err();
    assert!(matches!(error, SinkError::Transient(_)), "{error:?}");
    let admin = KafkaAdmin::new(&config).unwrap();
    let error = within("an answer", admin.topic("alerts")).await.unwrap_err();
    assert!(matches!(error, AdminError::Unavailable(_)), "{error:?}");
}
