//! The embedded store, on a disk.

use std::sync::Arc;

use weir_actors::store::{Checkpoint, History, HistoryLayout, Layout, Store as _, StoreError};

use super::EmbeddedStore;
use crate::store_contract::{
    self as contract, EVERYTHING, SEGMENTS_TOPIC, alert, at, group, segment, state,
};

const LAYOUT: Layout = Layout { key_groups: 4, bucket_shift: 20, history: HistoryLayout::Segments };

#[tokio::test]
async fn it_keeps_every_promise_of_the_port() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    contract::all(&store).await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_it_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let group = group(SEGMENTS_TOPIC, 0, 0);
    let written = segment(at(0, 0), at(9, 0), 1);
    let checkpoint = Checkpoint { position: at(5, 0), bytes: state(300_000, 1) };
    {
        let store = EmbeddedStore::open(dir.path()).unwrap();
        store.layout(SEGMENTS_TOPIC, LAYOUT).await.unwrap();
        let history = Arc::new(History::Segments(vec![written.clone()]));
        store.append(group, EVERYTHING.bucket, history).await.unwrap();
        store.put_checkpoint(group, Arc::new(checkpoint.clone())).await.unwrap();
    }
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let other = Layout { key_groups: 5, ..LAYOUT };
    assert_eq!(store.layout(SEGMENTS_TOPIC, other).await.unwrap(), LAYOUT);
    assert_eq!(contract::segments(&store, group, EVERYTHING).await, [written]);
    assert!(store.checkpoint(group).await.unwrap() == Some(checkpoint));
}

#[tokio::test]
async fn a_second_opener_is_told_that_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let _open = EmbeddedStore::open(dir.path()).unwrap();
    let refused = EmbeddedStore::open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Invalid(_)), "{refused}");
    assert!(refused.to_string().contains("another process"), "{refused}");
}

#[tokio::test]
async fn writes_that_wait_together_all_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    store.layout(SEGMENTS_TOPIC, LAYOUT).await.unwrap();
    let group = group(SEGMENTS_TOPIC, 0, 0);
    let writes = (0..1_000).map(|n| {
        let history = Arc::new(History::Segments(vec![segment(at(n, 0), at(n, 1), 0)]));
        store.append(group, EVERYTHING.bucket, history)
    });
    futures::future::try_join_all(writes).await.unwrap();
    assert_eq!(contract::segments(&store, group, EVERYTHING).await.len(), 1_000);
}

#[tokio::test]
async fn an_alert_written_twice_is_one_alert_however_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let alerts: Vec<_> = (0..20).map(|n| alert(SEGMENTS_TOPIC, n)).collect();
    for _ in 0..2 {
        store.put_alerts(Arc::new(alerts.clone())).await.unwrap();
    }
    let newest_first: Vec<_> = alerts.iter().rev().cloned().collect();
    assert_eq!(store.alerts_recent(100).await.unwrap(), newest_first);
    assert_eq!(store.alerts_recent(3).await.unwrap(), newest_first[..3]);
    assert_eq!(store.alerts_of_series("pump-7", 100).await.unwrap(), newest_first);
    assert_eq!(store.alerts_of_series("pump-7", 2).await.unwrap(), newest_first[..2]);
    assert_eq!(store.alerts_of_series("pump", 100).await.unwrap(), []);
}
