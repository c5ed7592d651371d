//! Against a real Cassandra node: `WEIR_TEST_CASSANDRA=host:port`. Each test has
//! a keyspace of its own, made anew.

use std::sync::Arc;

use weir_actors::event::KeyEncoding;
use weir_actors::position::PartitionId;
use weir_actors::store::{
    Bucket, Checkpoint, History, HistoryLayout, Layout, Store as _, StoreError,
};

use super::checkpoint::PART_BYTES;
use super::{CassandraConfig, CassandraStore, connect_session, schema};
use crate::store_contract::{
    self as contract, EVERYTHING, ROWS_TOPIC, SEGMENTS_TOPIC, alert, at, group, row, segment, state,
};

/// The configuration for a keyspace that is not there; `None` without a server.
async fn fresh(keyspace: &str) -> Option<CassandraConfig> {
    let Ok(server) = std::env::var("WEIR_TEST_CASSANDRA") else {
        println!("skipped: WEIR_TEST_CASSANDRA is not set");
        return None;
    };
    let config = CassandraConfig {
        contact_points: vec![server],
        keyspace: format!("weir_test_{keyspace}"),
        // A first CREATE TABLE on a busy machine takes its time.
        request_timeout_ms: 30_000,
        ..CassandraConfig::default()
    };
    assert_eq!(config.validate(), Vec::<String>::new());
    let session = connect_session(&config).await.unwrap();
    let drop = format!("DROP KEYSPACE IF EXISTS {}", config.keyspace);
    session.query_unpaged(drop, ()).await.unwrap();
    Some(config)
}

/// A store on a fresh keyspace with the schema applied.
async fn store(keyspace: &str, keys: KeyEncoding) -> Option<(CassandraConfig, CassandraStore)> {
    let config = fresh(keyspace).await?;
    let session = connect_session(&config).await.unwrap();
    schema::apply(&session, &config).await.unwrap();
    let store = CassandraStore::connect(&config, "test", keys).await.unwrap();
    Some((config, store))
}

async fn run(config: &CassandraConfig, cql: &str) {
    let session = connect_session(config).await.unwrap();
    let cql = cql.replace("{}", &config.keyspace);
    session.query_unpaged(cql, ()).await.unwrap();
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_port() {
    let Some((_, store)) = store("contract", KeyEncoding::Utf8).await else { return };
    contract::all(&store).await;
}

#[tokio::test]
async fn a_half_written_checkpoint_is_not_returned() {
    let Some((config, store)) = store("half_checkpoint", KeyEncoding::Utf8).await else { return };
    let group = group(SEGMENTS_TOPIC, 0, 0);
    let older = Checkpoint { position: at(10, 0), bytes: state(2 * PART_BYTES, 1) };
    let newer = Checkpoint { position: at(20, 0), bytes: state(4 * PART_BYTES, 2) };
    // The older one last, so that dropping what is older does not drop it.
    store.put_checkpoint(group, Arc::new(newer)).await.unwrap();
    store.put_checkpoint(group, Arc::new(older.clone())).await.unwrap();
    for missing in [3, 0] {
        let digest = {
            let session = connect_session(&config).await.unwrap();
            let cql = format!("SELECT digest FROM {}.checkpoints LIMIT 1", config.keyspace);
            let rows = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
            rows.first_row::<(i64,)>().unwrap().0
        };
        run(
            &config,
            &format!(
                "DELETE FROM {{}}.checkpoints WHERE job = 'test' AND topic = '{SEGMENTS_TOPIC}' AND \
                 partition = 0 AND key_group = 0 AND position_offset = 20 AND position_index = 0 \
                 AND digest = {digest} AND part = {missing}"
            ),
        )
        .await;
        assert!(store.checkpoint(group).await.unwrap().as_ref() == Some(&older), "{missing}");
    }
}

#[tokio::test]
async fn a_checkpoint_drops_the_older_ones() {
    let Some((config, store)) = store("drop_older", KeyEncoding::Utf8).await else { return };
    for offset in [10, 20, 30] {
        for number in [0, 1] {
            let of = Checkpoint { position: at(offset, 0), bytes: state(2 * PART_BYTES, 1) };
            store.put_checkpoint(group(SEGMENTS_TOPIC, 0, number), Arc::new(of)).await.unwrap();
        }
    }
    let session = connect_session(&config).await.unwrap();
    let cql = format!("SELECT position_offset FROM {}.checkpoints", config.keyspace);
    let found = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
    let left: Vec<_> = found.rows::<(i64,)>().unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(left, [30; 4]);
}

#[tokio::test]
async fn a_damaged_checkpoint_is_said_to_be_damaged() {
    let Some((config, store)) = store("bad_checkpoint", KeyEncoding::Utf8).await else { return };
    let group = group(SEGMENTS_TOPIC, 0, 0);
    let written = Checkpoint { position: at(1, 0), bytes: vec![7; 100] };
    store.put_checkpoint(group, Arc::new(written)).await.unwrap();
    let digest = xxhash_rust::xxh3::xxh3_64(&[7; 100]) as i64;
    run(
        &config,
        &format!(
            "UPDATE {{}}.checkpoints SET data = 0x00 WHERE job = 'test' AND \
             topic = '{SEGMENTS_TOPIC}' AND partition = 0 AND key_group = 0 AND \
             position_offset = 1 AND position_index = 0 AND digest = {digest} AND part = 0"
        ),
    )
    .await;
    assert!(matches!(store.checkpoint(group).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn writers_of_one_position_do_not_mix_their_parts() {
    let Some((config, store)) = store("two_writers", KeyEncoding::Utf8).await else { return };
    let group = group(SEGMENTS_TOPIC, 0, 0);
    let whole = Checkpoint { position: at(1, 0), bytes: state(3 * PART_BYTES, 1) };
    let cut_short = Checkpoint { position: at(1, 0), bytes: state(3 * PART_BYTES, 2) };
    store.put_checkpoint(group, Arc::new(whole.clone())).await.unwrap();
    store.put_checkpoint(group, Arc::new(cut_short.clone())).await.unwrap();
    run(
        &config,
        &format!(
            "DELETE FROM {{}}.checkpoints WHERE job = 'test' AND topic = '{SEGMENTS_TOPIC}' AND \
             partition = 0 AND key_group = 0 AND position_offset = 1 AND position_index = 0 AND \
             digest = {} AND part = 2",
            xxhash_rust::xxh3::xxh3_64(&cut_short.bytes) as i64
        ),
    )
    .await;
    assert!(store.checkpoint(group).await.unwrap() == Some(whole));
}

#[tokio::test]
async fn the_schema_is_applied_once_and_follows_the_configuration() {
    let Some(config) = fresh("schema").await else { return };
    let session = connect_session(&config).await.unwrap();
    let missing = CassandraStore::connect(&config, "test", KeyEncoding::Utf8).await.err().unwrap();
    assert!(missing.to_string().contains("weir schema apply"), "{missing}");
    assert!(!schema::apply(&session, &config).await.unwrap().is_empty());
    assert_eq!(schema::apply(&session, &config).await.unwrap(), Vec::<String>::new());
    let known = schema::version(&session, &config).await.unwrap();
    assert_eq!(known, Some(schema::SCHEMA_VERSION));

    let config = CassandraConfig { ttl_days: 30, compaction_window_hours: 12, ..config };
    let done = schema::apply(&session, &config).await.unwrap();
    assert_eq!(done.len(), 4, "{done:#?}");
    assert_eq!(schema::apply(&session, &config).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some((config, _)) = store("newer_schema", KeyEncoding::Utf8).await else { return };
    run(&config, "INSERT INTO {}.weir_schema (name, version) VALUES ('weir', 99)").await;
    let session = connect_session(&config).await.unwrap();
    let refused = schema::apply(&session, &config).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("99"), "{refused}");
    let refused = CassandraStore::connect(&config, "test", KeyEncoding::Utf8).await.err().unwrap();
    assert!(refused.to_string().contains("upgrade weir"), "{refused}");
}

#[tokio::test]
async fn a_table_that_is_gone_is_named_with_what_to_do() {
    let Some((config, store)) = store("gone_table", KeyEncoding::Utf8).await else { return };
    run(&config, "DROP TABLE {}.history_segments").await;
    let one = History::Segments(vec![segment(at(0, 0), at(1, 0), 1)]);
    let written = store.append(group(SEGMENTS_TOPIC, 0, 0), Bucket(0), Arc::new(one)).await;
    let error = written.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    let text = error.to_string();
    assert!(text.contains("history_segments") && text.contains("schema apply"), "{text}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unavailable() {
    let config = CassandraConfig {
        contact_points: vec!["127.0.0.1:1".into()],
        connect_timeout_ms: 500,
        ..CassandraConfig::default()
    };
    let error = CassandraStore::connect(&config, "test", KeyEncoding::Utf8).await.err().unwrap();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_data_centre_that_is_not_there_is_named_with_those_that_are() {
    let Some(config) = fresh("datacenter").await else { return };
    let config = CassandraConfig { local_datacenter: Some("nowhere".into()), ..config };
    let refused = connect_session(&config).await.err().unwrap();
    assert!(!refused.is_transient(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("nowhere") && text.contains("datacenter1"), "{text}");
}

#[tokio::test]
async fn another_replication_than_configured_is_said_and_left() {
    let Some((config, _)) = store("replication", KeyEncoding::Utf8).await else { return };
    let session = connect_session(&config).await.unwrap();
    let config = CassandraConfig { replication: [("datacenter1".to_owned(), 3)].into(), ..config };
    let done = schema::apply(&session, &config).await.unwrap();
    assert!(matches!(done.as_slice(), [said] if said.contains("ALTER KEYSPACE")), "{done:#?}");
}

#[tokio::test]
async fn series_of_long_keys_are_readable_numbers_in_rows() {
    let Some((config, store)) = store("long_keys", KeyEncoding::LongBe).await else { return };
    let rows_layout = Layout { key_groups: 1, bucket_shift: 20, history: HistoryLayout::Rows };
    store.layout(ROWS_TOPIC, rows_layout).await.unwrap();
    let group = group(ROWS_TOPIC, 0, 0);
    let keys: [i64; 4] = [-1, 0, 9, 10];
    let mut events = Vec::new();
    for (n, key) in keys.into_iter().enumerate() {
        let mut event = row(n as i64, at(n as i64, 0));
        event.series = key.to_be_bytes().to_vec();
        events.push(event);
    }
    store.append(group, Bucket(0), Arc::new(History::Rows(events.clone()))).await.unwrap();
    let mut read = contract::rows(&store, group, EVERYTHING).await;
    read.sort_by_key(|row| row.position);
    assert_eq!(read, events);
    let session = connect_session(&config).await.unwrap();
    let cql = format!("SELECT series FROM {}.history_rows", config.keyspace);
    let found = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
    let names: Vec<_> = found.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(names, ["-1", "0", "10", "9"]);

    let mut odd = row(0, at(0, 0));
    odd.series = b"not 8 bytes".to_vec();
    let refused = store.append(group, Bucket(0), Arc::new(History::Rows(vec![odd]))).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn history_of_an_unknown_topic_says_so() {
    let Some((_, store)) = store("no_layout", KeyEncoding::Utf8).await else { return };
    let error = store.history(group(SEGMENTS_TOPIC, 0, 0), EVERYTHING).await.unwrap_err();
    assert!(error.to_string().contains("no layout is recorded"), "{error}");
}

#[tokio::test]
async fn an_alert_written_twice_is_one_alert_however_it_is_read() {
    let Some((_, store)) = store("alerts", KeyEncoding::Utf8).await else { return };
    let alerts: Vec<_> = (0..20).map(|n| alert(SEGMENTS_TOPIC, n)).collect();
    for _ in 0..2 {
        store.put_alerts(Arc::new(alerts.clone())).await.unwrap();
    }
    let newest_first: Vec<_> = alerts.iter().rev().cloned().collect();
    assert_eq!(store.alerts_recent(100).await.unwrap(), newest_first);
    assert_eq!(store.alerts_recent(3).await.unwrap(), newest_first[..3]);
    assert_eq!(store.alerts_of_series("pump-7", 100).await.unwrap(), newest_first);
    assert_eq!(store.alerts_of_series("pump-7", 2).await.unwrap(), newest_first[..2]);
    assert_eq!(store.alerts_of_series("pump-8", 100).await.unwrap(), []);

    let partition = PartitionId { topic: SEGMENTS_TOPIC, number: 3 };
    let (start, end) = (at(-1, 0), at(1 << 27, 0));
    assert_eq!(store.alerts_between(partition, start, end, 100).await.unwrap(), alerts);
    let (after, before) = (at(alerts[2].offset, 0), at(alerts[7].offset, 0));
    let some = store.alerts_between(partition, after, before, 100).await.unwrap();
    assert_eq!(some, alerts[3..7]);
    assert_eq!(store.alerts_between(partition, start, end, 2).await.unwrap(), alerts[..2]);
}

#[tokio::test]
async fn a_sink_s_cursor_never_goes_back() {
    let Some((_, store)) = store("deliveries", KeyEncoding::Utf8).await else { return };
    let partition = PartitionId { topic: SEGMENTS_TOPIC, number: 3 };
    assert_eq!(store.delivered("webhook", partition).await.unwrap(), None);
    for position in [at(5, 0), at(7, 2), at(6, 9), at(7, 1)] {
        store.note_delivered("webhook", partition, position).await.unwrap();
    }
    assert_eq!(store.delivered("webhook", partition).await.unwrap(), Some(at(7, 2)));
    assert_eq!(store.delivered("other", partition).await.unwrap(), None);
}

#[test]
fn it_answers_callers_on_a_current_thread_runtime_and_may_be_dropped_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Some((_, store)) = store("current_thread", KeyEncoding::Utf8).await else { return };
        store.ping().await.unwrap();
        drop(store);
    });
}
