use super::*;
use crate::kafka::{KafkaConfig, KafkaDeadLetterSink, SinkTopic};

fn letter(offset: i64, index: &str, more: &[(&str, &str)]) -> Letter {
    let mut headers = vec![("trace".to_owned(), Some(b"abc".to_vec()))];
    let fixed = [
        (header::TOPIC, "events".to_owned()),
        (header::PARTITION, "3".to_owned()),
        (header::OFFSET, offset.to_string()),
        (header::INDEX, index.to_owned()),
        (header::REASON, "malformed".to_owned()),
        (header::DETAIL, "not JSON at byte 0\nat all".to_owned()),
        (header::TIMESTAMP_MS, "1767225600000".to_owned()),
    ];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    for (name, value) in fixed.into_iter().chain(more) {
        headers.push((name.to_owned(), Some(value.into_bytes())));
    }
    let record = PeekedRecord {
        partition: 0,
        offset: 77,
        timestamp_ms: 1_767_225_600_000,
        key: Some(b"pump-7".to_vec()),
        value: Some(b"{oops".to_vec()),
        headers,
    };
    Letter::of(record).expect("it has all headers")
}

#[test]
fn a_letter_is_shown_in_lines_that_fit() {
    let shown = lines(&letter(12, "0", &[]));
    assert_eq!(shown[0], "2026-01-01T00:00:00Z  malformed  events[3] 12");
    assert_eq!(shown[1], "    not JSON at byte 0.at all");
    assert_eq!(shown[2], "    {oops");
    assert_eq!(beginning(&[0, 255, 16]), "00ff10");
}

#[test]
fn a_message_is_sent_once_as_it_came() {
    let mut plan = Plan::default();
    plan.add(&letter(12, "0", &[]), "dead");
    plan.add(&letter(12, "1", &[]), "dead");
    plan.add(&letter(13, "0", &[(header::TRUNCATED, "999")]), "dead");
    assert_eq!((plan.messages.len(), plan.truncated), (1, 1));
    let (topic, record) = &plan.messages[0];
    assert_eq!((topic.as_str(), record.partition), ("events", 3));
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["trace", REPLAYED_FROM]);
    assert_eq!(record.header(REPLAYED_FROM).as_deref(), Some("dead/0/77"));
    assert_eq!(record.timestamp_ms, 1_767_225_600_000);
}

#[test]
fn a_record_that_is_no_letter_is_passed_over() {
    assert_eq!(Letter::of(PeekedRecord::default()), None);
}

#[test]
fn an_unknown_reason_names_those_there_are() {
    assert_eq!(reason("malformed"), Ok("malformed"));
    assert!(reason("bad").unwrap_err().contains("tombstone"));
}

/// Against a real broker: a letter is read back, and its message sent again.
#[test]
fn a_dead_letter_goes_back_to_its_topic() {
    use std::sync::Arc;
    use weir_actors::dead_letter::{DeadLetter, DeadLetterSink as _};
    use weir_actors::position::{PartitionId, Position, TopicId, TopicPartition};

    let Some(broker) = std::env::var("WEIR_TEST_KAFKA").ok().filter(|a| !a.is_empty()) else {
        println!("skipped: WEIR_TEST_KAFKA is not set");
        return;
    };
    let name = |what: &str| format!("weir-test-{}-letters-{what}", std::process::id());
    let mut config = Config {
        kafka: KafkaConfig {
            brokers: vec![broker],
            topics: vec![name("events")],
            ..KafkaConfig::default()
        },
        ..Config::default()
    };
    config.dead_letters.kafka =
        SinkTopic { create: true, partitions: 1, ..SinkTopic::named(&name("dead")) };
    let events = SinkTopic { create: true, partitions: 2, ..SinkTopic::named(&name("events")) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let admin = KafkaAdmin::new(&config.kafka).unwrap();
    let letter = |offset, reason| DeadLetter {
        partition: Arc::new(TopicPartition {
            topic: events.topic.as_str().into(),
            id: PartitionId { topic: TopicId(1), number: 1 },
        }),
        position: Position::at(offset),
        timestamp_ms: 1_767_225_600_000,
        key: Some(b"pump-7".to_vec()),
        value: Some(b"{oops".to_vec()),
        headers: Vec::new(),
        reason,
        detail: "why".into(),
    };
    runtime.block_on(async {
        admin.ensure(&events).await.unwrap();
        admin.ensure(&config.dead_letters.kafka).await.unwrap();
        let sink = KafkaDeadLetterSink::new(&config.kafka, &config.dead_letters.kafka).unwrap();
        let letters = [letter(5, RejectReason::Malformed), letter(6, RejectReason::BadKey)];
        sink.deliver(&letters).await.unwrap();
        // A delivery that was repeated is one letter.
        sink.deliver(&letters[..1]).await.unwrap();
    });
    let mut reasons = Vec::new();
    read(&config, &runtime, None, |letter| {
        reasons.push(letter.reason);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(reasons, ["malformed", "bad_key"]);

    let asked = ReplayArguments { reason: Some("malformed"), dry_run: false, yes: true };
    replay(&config, &runtime, &asked).unwrap();
    let peek = Peek::new(&config.kafka).unwrap();
    let bounds = peek.bounds(&events.topic, 2).unwrap();
    let mut found = Vec::new();
    peek.read(&events.topic, &bounds, |record| {
        found.push(record);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].partition, found[0].value.as_deref()), (1, Some(&b"{oops"[..])));
    assert!(found[0].header(REPLAYED_FROM).unwrap().contains("letters-dead/0/0"));
}
