use std::sync::Arc;

use weir_actors::event::KeyEncoding;
use weir_actors::history::{SegmentBuilder, SegmentScratch, flags};

use super::*;
use crate::cassandra::{CassandraConfig, connect_session, schema};

const TOPIC: TopicId = TopicId(0x4157);
const BUCKET_SHIFT: u8 = 8;
const KEY: &[u8] = b"pump-7";

fn layout(history: HistoryLayout) -> Layout {
    Layout { key_groups: 4, bucket_shift: BUCKET_SHIFT, history }
}

fn row(series: &[u8], offset: i64) -> Row {
    Row {
        series: series.to_vec(),
        position: Position::at(offset),
        time_us: offset * 1_000_000,
        value: offset as f64 / 2.0,
        flags: if offset % 10 == 0 { flags::ANOMALOUS } else { 0 },
        location: None,
    }
}

fn segment(rows: &[Row]) -> History {
    let mut builder = SegmentBuilder::new();
    for r in rows {
        builder.append(&r.series, r.position, r.time_us, r.value, r.flags, r.location);
    }
    History::Segments(vec![builder.finish(&mut SegmentScratch::default()).unwrap()])
}

/// 600 events of a key and of another one beside it, in writes of 50 of which
/// each begins 10 before the end of the last: a replay's overlap.
async fn write(store: &dyn Store, topic: TopicId, history: HistoryLayout) {
    let layout = layout(history);
    store.layout(topic, layout).await.unwrap();
    let partition = PartitionId { topic, number: 1 };
    let group = group_of(partition, KEY, layout);
    for first in (0..600).step_by(40) {
        let last = (first + 50).min(600);
        let mut offset = first;
        while offset < last {
            let bucket = layout.bucket(offset);
            let end = last.min((bucket.0 + 1) << BUCKET_SHIFT);
            let rows: Vec<Row> = (offset..end)
                .flat_map(|o| {
                    let mut beside = row(b"other", o);
                    beside.position.index = 1;
                    [row(KEY, o), beside]
                })
                .collect();
            let times = BucketTimes {
                bucket,
                earliest_us: offset * 1_000_000,
                latest_us: (end - 1) * 1_000_000,
            };
            store.note_bucket(partition, times).await.unwrap();
            let history = match history {
                HistoryLayout::Segments => segment(&rows),
                HistoryLayout::Rows => History::Rows(rows),
            };
            store.append(group, bucket, Arc::new(history)).await.unwrap();
            offset = end;
        }
    }
}

async fn offsets(store: &dyn KeyHistory, topic: TopicId, wanted: Wanted) -> Vec<i64> {
    let layout = store.recorded_layout(topic).await.unwrap().expect("it is recorded");
    let partition = PartitionId { topic, number: 1 };
    let place = place(store, partition, KEY, layout, wanted).await.unwrap();
    let rows = read(store, layout.history, &place, KEY, wanted).await.unwrap();
    for found in &rows {
        assert_eq!(*found, row(KEY, found.position.offset));
    }
    rows.iter().map(|r| r.position.offset).collect()
}

async fn every_question_is_answered(store: &dyn KeyHistory, topic: TopicId) {
    // Across the buckets' border at 512.
    let last = offsets(store, topic, Wanted::Last(100)).await;
    assert_eq!(last, (500..600).collect::<Vec<_>>());
    let all = offsets(store, topic, Wanted::Last(10_000)).await;
    assert_eq!(all, (0..600).collect::<Vec<_>>());
    let between = offsets(store, topic, Wanted::Between(250_000_000, 260_000_000)).await;
    assert_eq!(between, (250..260).collect::<Vec<_>>());
    assert_eq!(offsets(store, topic, Wanted::Between(0, 0)).await, Vec::<i64>::new());
    assert_eq!(store.recorded_layout(TopicId(77)).await.unwrap(), None);
}

#[tokio::test]
async fn the_embedded_store_gives_a_keys_history_in_both_layouts() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    for (topic, history) in [(TOPIC, HistoryLayout::Segments), (TopicId(9), HistoryLayout::Rows)] {
        write(&store, topic, history).await;
        every_question_is_answered(&store, topic).await;
        assert_eq!(store.partitions(topic).await.unwrap(), [1]);
    }
    let topics: Vec<_> = store.layouts().await.unwrap().iter().map(|(id, _)| *id).collect();
    assert_eq!(topics, [TopicId(9), TOPIC]);
}

#[tokio::test]
async fn cassandra_gives_a_keys_history_in_both_layouts() {
    let Ok(server) = std::env::var("WEIR_TEST_CASSANDRA") else {
        println!("skipped: WEIR_TEST_CASSANDRA is not set");
        return;
    };
    let config = CassandraConfig {
        contact_points: vec![server],
        keyspace: "weir_test_history_reader".into(),
        request_timeout_ms: 30_000,
        ..CassandraConfig::default()
    };
    let session = connect_session(&config).await.unwrap();
    let drop = format!("DROP KEYSPACE IF EXISTS {}", config.keyspace);
    session.query_unpaged(drop, ()).await.unwrap();
    schema::apply(&session, &config).await.unwrap();
    let store = CassandraStore::connect(&config, "test", KeyEncoding::Utf8).await.unwrap();
    for (topic, history) in [(TOPIC, HistoryLayout::Segments), (TopicId(9), HistoryLayout::Rows)] {
        write(&store, topic, history).await;
        every_question_is_answered(&store, topic).await;
    }
}

#[test]
fn partitions_are_merged_by_time_and_the_newest_kept() {
    let partition = |number| PartitionId { topic: TOPIC, number };
    let of = || {
        vec![
            (partition(0), vec![row(KEY, 1), row(KEY, 5)]),
            (partition(1), vec![row(KEY, 3), row(KEY, 4)]),
        ]
    };
    let times = |met: Vec<Met>| met.iter().map(|m| m.row.time_us / 1_000_000).collect::<Vec<_>>();
    assert_eq!(times(merged(of(), Wanted::Last(3))), [3, 4, 5]);
    assert_eq!(times(merged(of(), Wanted::Between(0, 9))), [1, 3, 4, 5]);
}

#[test]
fn late_events_of_one_partition_keep_the_order_of_the_log() {
    let mut late = row(KEY, 8);
    late.time_us = 0;
    let of = vec![(PartitionId { topic: TOPIC, number: 0 }, vec![row(KEY, 7), late])];
    let offsets: Vec<_> =
        merged(of, Wanted::Last(9)).iter().map(|m| m.row.position.offset).collect();
    assert_eq!(offsets, [7, 8]);
}
