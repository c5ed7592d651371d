use weir_actors::history::flags;
use weir_actors::position::Position;
use weir_actors::store::{HistoryLayout, Row};

use super::*;

fn event(value: f64, flags: u8) -> Met {
    let row = Row {
        series: b"pump-7".to_vec(),
        position: Position { offset: 123_456_789, index: 2 },
        time_us: 1_767_225_600_123_456,
        value,
        flags,
        location: None,
    };
    Met { partition: PartitionId { topic: TopicId(1), number: 12 }, row }
}

#[test]
fn a_line_fits_the_terminal_and_says_what_was_noticed() {
    let line = table_line(&event(21.5, flags::ANOMALOUS));
    assert_eq!(
        line,
        "2026-01-01T00:00:00.123456Z                 21.5 anomalous    12 123456789.2"
    );
    assert!(line.len() <= 80);
    assert!(table_line(&event(-1.0 / 3.0, 0)).len() <= 80);
}

#[test]
fn json_has_the_position_and_the_marks() {
    let layout = Layout { key_groups: 1, bucket_shift: 22, history: HistoryLayout::Rows };
    let topic = Topic { name: "events".into(), id: TopicId(1), partitions: vec![], layout };
    let line = json_line("pump-7", &topic, &event(21.5, flags::LATE | flags::ANOMALOUS));
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["marks"], serde_json::json!(["late", "anomalous"]));
    assert_eq!((json["offset"].as_i64(), json["index"].as_i64()), (Some(123_456_789), Some(2)));
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(embedded(&missing, None)).err().expect("it is not there");
    assert!(error.to_string().contains("weir demo"), "{error}");
    assert!(!missing.exists());
}
