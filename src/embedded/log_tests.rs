//! The embedded log, its source and its sinks, on a disk.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use weir_actors::alert::AlertSink as _;
use weir_actors::dead_letter::{DeadLetter, DeadLetterSink as _};
use weir_actors::event::RejectReason;
use weir_actors::source::{
    Assigned, Assignment, Headers, PartitionSource, Source as _, SourceError,
};

use super::{AlertLines, DeadLetterLines, EmbeddedLog, LogError, LogOptions, NewRecord};
use crate::store_contract::{SEGMENTS_TOPIC, alert, at};

const BYTES_MAX: usize = 1 << 20;

fn open(dir: &Path) -> Arc<EmbeddedLog> {
    let options = LogOptions { partitions: 2, ..LogOptions::default() };
    EmbeddedLog::open(dir, &options).unwrap()
}

/// `count` records whose keys are their offsets, appended one frame each.
fn fill(log: &EmbeddedLog, partition: i32, count: usize) {
    for _ in 0..count {
        let offset = log.end_offset(partition);
        let key = offset.to_string();
        let record = NewRecord {
            timestamp_ms: 1_000 + offset,
            key: Some(key.as_bytes()),
            value: Some(b"value"),
            headers: b"",
        };
        assert_eq!(log.append(partition, &[record]).unwrap(), offset);
    }
}

async fn assign(log: &Arc<EmbeddedLog>, group: &str) -> Vec<Assigned> {
    let source = log.source(group).unwrap();
    match source.assignment().await.unwrap() {
        Some(Assignment::Assigned(all)) => all,
        _ => panic!("all partitions are assigned at first"),
    }
}

/// The next batch's offsets; each key is checked against its offset.
async fn offsets(reader: &mut dyn PartitionSource, bytes_max: usize) -> Vec<i64> {
    let batch = reader.next(bytes_max).await.unwrap();
    for record in &batch.records {
        assert_eq!(record.key.of(&batch.bytes).unwrap(), record.offset.to_string().as_bytes());
        assert_eq!(record.timestamp_ms, 1_000 + record.offset);
    }
    batch.records.iter().map(|record| record.offset).collect()
}

#[tokio::test]
async fn records_come_back_as_they_were_appended() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut headers = Vec::new();
    Headers::push(&mut headers, "trace", Some(b"abc"));
    let records = [
        NewRecord { timestamp_ms: -1, key: None, value: Some(b"no key"), headers: b"" },
        NewRecord { timestamp_ms: 5, key: Some(b"no value"), value: None, headers: &headers },
        NewRecord { timestamp_ms: 6, key: Some(b""), value: Some(b""), headers: b"" },
    ];
    assert_eq!(log.append(1, &records).unwrap(), 0);
    let mut assigned = assign(&log, "test").await;
    assert_eq!(assigned.len(), 2);
    assert!(assigned[0].reader.next(BYTES_MAX).now_or_never().is_none());
    let batch = assigned[1].reader.next(BYTES_MAX).await.unwrap();
    assert_eq!((batch.next_offset, batch.log_end_offset), (3, 3));
    assert_eq!(batch.records.len(), 3);
    for (offset, (read, written)) in batch.records.iter().zip(records).enumerate() {
        assert_eq!(read.offset, offset as i64);
        assert_eq!(read.timestamp_ms, written.timestamp_ms);
        assert_eq!(read.key.of(&batch.bytes), written.key);
        assert_eq!(read.value.of(&batch.bytes), written.value);
        assert_eq!(read.headers.of(&batch.bytes), Some(written.headers));
    }
}

#[tokio::test]
async fn batches_keep_under_their_limit_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 100);
    let mut reader = assign(&log, "test").await.remove(0).reader;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        // Smaller than any frame, so one at a time; then several.
        let bytes_max = if seen.len() < 10 { 1 } else { 200 };
        let batch = offsets(&mut *reader, bytes_max).await;
        assert!(!batch.is_empty() && batch.len() <= 3);
        seen.extend(batch);
    }
    assert_eq!(seen, (0..100).collect::<Vec<i64>>());
}

#[tokio::test]
async fn one_append_may_be_larger_than_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let value = vec![7; 1_000];
    let record = NewRecord { value: Some(&value), ..NewRecord::default() };
    log.append(0, &vec![record; 2_000]).unwrap();
    let mut reader = assign(&log, "test").await.remove(0).reader;
    let mut count = 0;
    while count < 2_000 {
        let batch = reader.next(BYTES_MAX).await.unwrap();
        assert!(batch.bytes.len() <= BYTES_MAX);
        count += batch.records.len();
    }
    assert_eq!(count, 2_000);
}

#[tokio::test]
async fn a_waiting_reader_wakes_for_new_records_and_cancelling_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut reader = assign(&log, "test").await.remove(0).reader;
    assert!(reader.next(BYTES_MAX).now_or_never().is_none());
    let append = async {
        tokio::task::yield_now().await;
        fill(&log, 0, 1);
    };
    let (read, ()) = tokio::join!(offsets(&mut *reader, BYTES_MAX), append);
    assert_eq!(read, [0]);
    fill(&log, 0, 1);
    assert_eq!(offsets(&mut *reader, BYTES_MAX).await, [1]);
}

#[tokio::test]
async fn a_reader_may_go_back_into_the_middle_of_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let keys: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    let record = |n: usize| NewRecord {
        timestamp_ms: 1_000 + n as i64,
        key: Some(keys[n].as_bytes()),
        ..NewRecord::default()
    };
    for start in [0, 20, 40] {
        let records: Vec<_> = (start..(start + 20).min(50)).map(record).collect();
        log.append(0, &records).unwrap();
    }
    let mut reader = assign(&log, "test").await.remove(0).reader;
    assert_eq!(offsets(&mut *reader, BYTES_MAX).await.len(), 50);
    for start in [0, 19, 20, 33, 49] {
        reader.seek(start).await.unwrap();
        assert_eq!(offsets(&mut *reader, BYTES_MAX).await, (start..50).collect::<Vec<_>>());
    }
    reader.seek(50).await.unwrap();
    assert!(reader.next(BYTES_MAX).now_or_never().is_none());
    assert!(matches!(reader.seek(51).await, Err(SourceError::Loss(_))));
}

#[tokio::test]
async fn a_commit_is_where_the_next_start_begins() {
    let dir = tempfile::tempdir().unwrap();
    let id = {
        let log = open(dir.path());
        fill(&log, 0, 10);
        fill(&log, 1, 5);
        let source = log.source("test").unwrap();
        let [zero, one] = log.partitions() else { panic!("two partitions") };
        source.commit(&[(zero.clone(), 4), (one.clone(), 2)]).await.unwrap();
        source.commit(&[(zero.clone(), 7)]).await.unwrap();
        source.close().await;
        assert!(source.assignment().await.unwrap().is_none());
        zero.id
    };
    let log = open(dir.path());
    assert_eq!(log.partitions()[0].id, id);
    let mut assigned = assign(&log, "test").await;
    assert_eq!([assigned[0].start_offset, assigned[1].start_offset], [7, 2]);
    assert_eq!(offsets(&mut *assigned[0].reader, BYTES_MAX).await, [7, 8, 9]);
    assert_eq!(assign(&log, "other").await[0].start_offset, 0);
    assert!(log.source("../escape").is_err());
}

#[tokio::test]
async fn another_log_has_another_topic_id() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(open(a.path()).partitions()[0].id.topic, open(b.path()).partitions()[0].id.topic);
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000.log");
    let log = open(dir.path());
    fill(&log, 0, 10);
    drop(log);
    let whole = fs::read(&path).unwrap();
    let frame = whole.len() / 10;
    for keep in [whole.len() - 1, whole.len() - frame + 1, whole.len() - frame + 40] {
        fs::write(&path, &whole[..keep]).unwrap();
        let log = open(dir.path());
        assert_eq!(log.end_offset(0), 9);
        assert_eq!(log.cut_bytes(), (keep - 9 * frame) as u64);
        fill(&log, 0, 1);
        let mut reader = assign(&log, "test").await.remove(0).reader;
        assert_eq!(offsets(&mut *reader, BYTES_MAX).await, (0..10).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn a_changed_byte_is_found_at_open_and_while_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000.log");
    let log = open(dir.path());
    fill(&log, 0, 10);
    let frame = fs::metadata(&path).unwrap().len() / 10;
    let mut reader = assign(&log, "test").await.remove(0).reader;
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(6 * frame - 1)).unwrap();
    file.write_all(b"!").unwrap();
    assert!(matches!(reader.next(BYTES_MAX).await, Err(SourceError::Loss(_))));
    drop((reader, log));
    assert_eq!(open(dir.path()).end_offset(0), 5);
}

#[tokio::test]
async fn a_committed_offset_behind_the_end_is_loss_and_never_reset() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 10);
    let source = log.source("test").unwrap();
    source.commit(&[(log.partitions()[0].clone(), 10)]).await.unwrap();
    drop((source, log));
    fs::write(dir.path().join("0000.log"), b"").unwrap();
    let log = open(dir.path());
    let assigned = log.source("test").unwrap().assignment().await;
    assert!(matches!(assigned, Err(SourceError::Loss(text)) if text.contains("offset 10")));
}

#[tokio::test]
async fn a_second_opener_is_told_that_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let _open = open(dir.path());
    let refused = EmbeddedLog::open(dir.path(), &LogOptions::default()).err().unwrap();
    assert!(matches!(refused, LogError::Busy(_)), "{refused}");
}

#[tokio::test]
async fn alerts_and_dead_letters_are_lines_and_a_torn_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    let alerts: Vec<_> = (0..3).map(|n| alert(SEGMENTS_TOPIC, n)).collect();
    AlertLines::open(&path).unwrap().publish(&alerts[..2]).await.unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"schema\":1,").unwrap();
    AlertLines::open(&path).unwrap().publish(&alerts[2..]).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let read: Vec<weir_actors::alert::Alert> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, alerts);

    let log = open(&dir.path().join("log"));
    let path = dir.path().join("dead-letters.jsonl");
    let mut headers = Vec::new();
    Headers::push(&mut headers, "trace", None);
    let letter = DeadLetter {
        partition: log.partitions()[1].clone(),
        position: at(3, 1),
        timestamp_ms: 9,
        key: Some(b"pump".to_vec()),
        value: Some(vec![0xff, 0x00]),
        headers,
        reason: RejectReason::Malformed,
        detail: "no number".into(),
    };
    DeadLetterLines::open(&path).unwrap().deliver(&[letter]).await.unwrap();
    let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(line["partition"], 1);
    assert_eq!(line["offset"], 3);
    assert_eq!(line["key"], "pump");
    assert_eq!(line["value_hex"], "ff00");
    assert_eq!(line["reason"], "malformed");
    assert_eq!(line["headers"][0], "trace");
}
