//! Reading one partition.

use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureRecord, Producer};
use weir_actors::source::{Headers, Source, SourceError};

use super::rig::{BATCH_BYTES, Rig, all_values, next, read_to, until, values, within};
use crate::kafka::Start;
use crate::kafka::partition::WAKE_CAP;

#[tokio::test]
async fn batches_come_in_order_within_their_limit() {
    let Some(rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 50_000).await;
    let (source, mut assigned) = rig.join_one().await;
    assert_eq!(assigned.start_offset, 0);
    let batches = read_to(&mut *assigned.reader, 50_000).await;
    assert!(batches.len() > 10, "{} batches", batches.len());
    let mut offset = 0;
    for batch in &batches {
        assert!(batch.size_bytes() <= 4 * BATCH_BYTES, "{} bytes", batch.size_bytes());
        for record in &batch.records {
            assert_eq!(record.offset, offset);
            assert!(record.timestamp_ms > 0);
            offset += 1;
        }
        assert_eq!(batch.next_offset, offset);
        assert!(batch.log_end_offset >= offset && batch.log_end_offset <= 50_000);
    }
    assert_eq!(all_values(&batches), (0..50_000).collect::<Vec<_>>());
    source.close().await;
}

#[tokio::test]
async fn markers_leave_gaps_and_aborted_records_are_not_seen() {
    let Some(rig) = Rig::new(1).await else { return };
    let producer = rig.transactional_producer();
    let timeout = Duration::from_secs(30);
    producer.init_transactions(timeout).unwrap();
    // Records 0-9 and a marker, aborted 11-20 and a marker, 22-31 and a marker.
    for (first, commit) in [(0, true), (100, false), (200, true)] {
        producer.begin_transaction().unwrap();
        rig.produce_with(&producer, 0, first, 10).await;
        match commit {
            true => producer.commit_transaction(timeout).unwrap(),
            false => producer.abort_transaction(timeout).unwrap(),
        }
    }
    let (source, mut assigned) = rig.join_one().await;
    let batches = read_to(&mut *assigned.reader, 33).await;
    let seen: Vec<u64> = (0..10).chain(200..210).collect();
    assert_eq!(all_values(&batches), seen);
    let offsets: Vec<i64> =
        batches.iter().flat_map(|b| b.records.iter().map(|r| r.offset)).collect();
    assert_eq!(offsets, (0..10).chain(22..32).collect::<Vec<_>>());
    // The log's end, behind the last marker: the lag is 0.
    let last = batches.last().unwrap();
    assert_eq!((last.next_offset, last.log_end_offset), (33, 33));
    // At the end a reader waits, instead of being told the same again and again.
    let again = tokio::time::timeout(Duration::from_millis(500), assigned.reader.next(BATCH_BYTES));
    assert!(again.await.is_err());
    source.close().await;
}

#[tokio::test]
async fn an_open_transaction_is_waited_for() {
    let Some(rig) = Rig::new(1).await else { return };
    let producer = rig.transactional_producer();
    let timeout = Duration::from_secs(30);
    producer.init_transactions(timeout).unwrap();
    rig.produce(0, 0, 5).await;
    producer.begin_transaction().unwrap();
    rig.produce_with(&producer, 0, 5, 5).await;
    let (source, mut assigned) = rig.join_one().await;
    let before = read_to(&mut *assigned.reader, 5).await;
    assert_eq!(all_values(&before), (0..5).collect::<Vec<_>>());
    producer.commit_transaction(timeout).unwrap();
    let behind = read_to(&mut *assigned.reader, 11).await;
    assert_eq!(all_values(&behind), (5..10).collect::<Vec<_>>());
    source.close().await;
}

#[tokio::test]
async fn null_and_empty_keys_values_and_headers_come_through() {
    let Some(rig) = Rig::new(1).await else { return };
    let producer = rig.producer();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "null", value: None::<&str> })
        .insert(Header { key: "a", value: Some("") });
    let base = || FutureRecord::<[u8], [u8]>::to(&rig.topic).partition(0).timestamp(1_234);
    let records = [
        base(),
        base().key(b"").payload(b""),
        base().key(b"key").payload(b"value").headers(headers),
    ];
    for record in records {
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    let (source, mut assigned) = rig.join_one().await;
    let batches = read_to(&mut *assigned.reader, 3).await;
    let seen: Vec<_> = batches
        .iter()
        .flat_map(|b| b.records.iter().map(|r| (r, b.bytes.as_slice())))
        .map(|(r, bytes)| (r.key.of(bytes), r.value.of(bytes), r.headers.of(bytes).unwrap()))
        .collect();
    assert_eq!((seen[0].0, seen[0].1), (None, None));
    assert_eq!((seen[1].0, seen[1].1), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!((seen[2].0, seen[2].1), (Some(&b"key"[..]), Some(&b"value"[..])));
    assert_eq!(Headers(seen[0].2).count(), 0);
    let headers: Vec<_> = Headers(seen[2].2).collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("null", None), ("a", Some(&b""[..]))]);
    assert!(batches.iter().all(|b| b.records.iter().all(|r| r.timestamp_ms == 1_234)));
    source.close().await;
}

#[tokio::test]
async fn a_seek_goes_on_exactly_there() {
    let Some(rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 30_000).await;
    let (source, mut assigned) = rig.join_one().await;
    let reader = &mut *assigned.reader;
    // At once after the assignment, before anything was fetched.
    reader.seek(3).await.unwrap();
    assert_eq!(values(&next(reader).await)[0], 3);
    // Back and forth, with messages of the old place in the queue.
    for target in [7_000, 0, 29_999, 12_345, 12_345] {
        reader.seek(target).await.unwrap();
        let batches = read_to(reader, 30_000.min(target + 5_000)).await;
        let seen = all_values(&batches);
        let expected: Vec<u64> = (target as u64..).take(seen.len()).collect();
        assert_eq!(seen, expected, "after a seek to {target}");
    }
    source.close().await;
}

#[tokio::test]
async fn nothing_is_read_ahead_without_bound_while_nobody_asks() {
    let Some(mut rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 100_000).await;
    rig.config.fetch_bytes_max = 16 << 10;
    let (source, mut assigned) = rig.join_one().await;
    until("something is read ahead", || source.ahead() > 0).await;
    // Until it has not grown for many times the pause between fetches.
    let (mut ahead, mut same) = (0, 0);
    until("reading ahead stops", || {
        let now = source.ahead();
        same = if now == ahead { same + 1 } else { 0 };
        ahead = now;
        same > 50
    })
    .await;
    // 64 KiB and one fetch more, of records with 9 bytes of key and value.
    assert!(ahead < 20_000, "{ahead} messages ahead");
    // And it goes on when it is asked again.
    let batches = read_to(&mut *assigned.reader, 100_000).await;
    assert_eq!(all_values(&batches).len(), 100_000);
    source.close().await;
}

#[tokio::test]
async fn a_reader_that_is_cancelled_loses_nothing() {
    let Some(rig) = Rig::new(1).await else { return };
    let (source, mut assigned) = rig.join_one().await;
    let producer = rig.producer();
    let mut seen = Vec::new();
    let writing = rig.produce_with(&producer, 0, 0, 2_000);
    let reading = async {
        let mut cancelled = 0;
        while seen.len() < 2_000 {
            let next = assigned.reader.next(100);
            match tokio::time::timeout(Duration::from_micros(200), next).await {
                Ok(batch) => seen.extend(values(&batch.unwrap())),
                Err(_) => cancelled += 1,
            }
        }
        cancelled
    };
    let ((), cancelled) = within("all", async { tokio::join!(writing, reading) }).await;
    assert!(cancelled > 0);
    assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
    source.close().await;
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_what_comes() {
    let Some(rig) = Rig::new(1).await else { return };
    let (source, mut assigned) = rig.join_one().await;
    let producer = rig.producer();
    let begun = Instant::now();
    for value in 0..30 {
        let written = rig.produce_with(&producer, 0, value, 1);
        let (batch, ()) = tokio::join!(next(&mut *assigned.reader), written);
        assert_eq!(values(&batch), [value]);
    }
    // Half of what it takes a reader that only looks again by itself.
    assert!(begun.elapsed() < 30 * WAKE_CAP / 2, "{:?}", begun.elapsed());
    source.close().await;
}

#[tokio::test]
async fn a_committed_offset_that_is_gone_is_a_loss() {
    let Some(rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 5_000).await;
    let (source, assigned) = rig.join_one().await;
    source.commit(&[(assigned.partition.clone(), 1_000)]).await.unwrap();
    source.close().await;
    rig.delete_before(4_000).await;
    let (source, mut assigned) = rig.join_one().await;
    assert_eq!(assigned.start_offset, 1_000);
    // It stays a loss.
    for _ in 0..2 {
        let error = within("the loss", assigned.reader.next(BATCH_BYTES)).await.unwrap_err();
        let SourceError::Loss(text) = error else { panic!("{error:?}") };
        assert!(
            text.contains("stands at offset 1,000, the log begins at 4,000: 3,000 events are gone"),
            "{text}"
        );
    }
    source.close().await;
}

#[tokio::test]
async fn a_reader_that_the_retention_overtakes_is_a_loss() {
    let Some(mut rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 100_000).await;
    rig.config.fetch_bytes_max = 16 << 10;
    let (source, mut assigned) = rig.join_one().await;
    let first = next(&mut *assigned.reader).await;
    assert_eq!(values(&first)[0], 0);
    rig.delete_before(100_000).await;
    // What was read ahead comes, in order; then the loss, and nothing behind it.
    let mut offset = first.next_offset;
    let text = loop {
        match within("the loss", assigned.reader.next(BATCH_BYTES)).await {
            Ok(batch) => {
                assert_eq!(batch.records[0].offset, offset);
                offset = batch.next_offset;
            }
            Err(SourceError::Loss(text)) => break text,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(offset < 100_000);
    assert!(text.contains("the log begins at 100,000"), "{text}");
    source.close().await;
}

#[tokio::test]
async fn a_committed_offset_behind_the_logs_end_is_a_loss() {
    let Some(rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 100).await;
    let (source, assigned) = rig.join_one().await;
    source.commit(&[(assigned.partition.clone(), 500)]).await.unwrap();
    source.close().await;
    let (source, mut assigned) = rig.join_one().await;
    let error = within("the loss", assigned.reader.next(BATCH_BYTES)).await.unwrap_err();
    let SourceError::Loss(text) = error else { panic!("{error:?}") };
    assert!(text.contains("stands at offset 500, the log ends at 100"), "{text}");
    source.close().await;
}

#[tokio::test]
async fn a_start_at_a_time_or_the_end_is_committed_at_once() {
    let Some(mut rig) = Rig::new(1).await else { return };
    let producer = rig.producer();
    for hour in 0..5i64 {
        let time_ms = 1_767_225_600_000 + hour * 3_600_000;
        let record = FutureRecord::<[u8], _>::to(&rig.topic).partition(0).timestamp(time_ms);
        let value = (hour as u64).to_be_bytes();
        producer.send(record.payload(&value), Duration::from_secs(30)).await.unwrap();
    }
    rig.config.start = Start::Timestamp("2026-01-01T02:30:00Z".to_owned());
    let (source, mut assigned) = rig.join_one().await;
    assert_eq!(assigned.start_offset, 3);
    assert_eq!(values(&next(&mut *assigned.reader).await), [3, 4]);
    source.close().await;
    // Committed: another start changes nothing for this group.
    rig.config.start = Start::Latest;
    let (source, assigned) = rig.join_one().await;
    assert_eq!(assigned.start_offset, 3);
    source.close().await;
    rig.config.group_id = super::rig::unique("group");
    let (source, assigned) = rig.join_one().await;
    assert_eq!(assigned.start_offset, 5);
    source.close().await;
}
