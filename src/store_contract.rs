//! What every [`Store`] promises, as tests over `&dyn Store`. Each store's own
//! tests call [`all`] with a job that nothing else uses.

use std::sync::Arc;

use weir_actors::alert::{ALERT_SCHEMA, Alert, AlertKind, Direction};
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::store::{
    Bucket, BucketTimes, Checkpoint, Evicted, History, HistoryLayout, HistoryRange, Layout, Row,
    Segment, Store,
};

/// A topic whose history is laid out in segments.
pub(crate) const SEGMENTS_TOPIC: TopicId = TopicId(0x5e9);
/// A topic whose history is laid out in rows.
pub(crate) const ROWS_TOPIC: TopicId = TopicId(u128::MAX - 7);

/// A history read whole.
pub(crate) const EVERYTHING: HistoryRange =
    HistoryRange { bucket: Bucket(0), after: None, before: None };

/// Every promise of the port, one after the other.
pub(crate) async fn all(store: &dyn Store) {
    store.ping().await.unwrap();
    a_layout_is_recorded_once(store).await;
    segments_come_back_in_order_and_a_repeat_changes_nothing(store).await;
    a_shorter_replayed_segment_does_not_replace_a_longer_one(store).await;
    a_range_is_exclusive_at_both_ends(store).await;
    groups_buckets_and_partitions_do_not_mix(store).await;
    rows_come_back_by_series_and_position(store).await;
    more_rows_than_one_write_or_page_holds_come_back_whole(store).await;
    bucket_times_only_widen(store).await;
    checkpoints_of_every_size_come_back(store).await;
    an_older_checkpoint_never_replaces_a_newer_one(store).await;
    an_older_evicted_state_never_replaces_a_newer_one(store).await;
    evicted_states_that_are_not_there_are_left_out(store).await;
    alerts_may_be_written_again(store).await;
}

pub(crate) const fn group(topic: TopicId, number: i32, group: u32) -> GroupId {
    GroupId { partition: PartitionId { topic, number }, group }
}

pub(crate) const fn at(offset: i64, index: u16) -> Position {
    Position { offset, index }
}

pub(crate) fn segment(first: Position, last: Position, fill: u8) -> Segment {
    Segment { first, last, events: 7, bytes: vec![fill; 1_000] }
}

async fn put(store: &dyn Store, group: GroupId, bucket: i64, history: History) {
    store.append(group, Bucket(bucket), Arc::new(history)).await.unwrap();
}

pub(crate) async fn segments(
    store: &dyn Store,
    group: GroupId,
    range: HistoryRange,
) -> Vec<Segment> {
    match store.history(group, range).await.unwrap() {
        History::Segments(segments) => segments,
        History::Rows(_) => panic!("the layout of {group} is segments"),
    }
}

pub(crate) async fn rows(store: &dyn Store, group: GroupId, range: HistoryRange) -> Vec<Row> {
    match store.history(group, range).await.unwrap() {
        History::Rows(rows) => rows,
        History::Segments(_) => panic!("the layout of {group} is rows"),
    }
}

async fn a_layout_is_recorded_once(store: &dyn Store) {
    let first = Layout { key_groups: 64, bucket_shift: 20, history: HistoryLayout::Segments };
    let second = Layout { key_groups: 128, bucket_shift: 21, history: HistoryLayout::Rows };
    assert_eq!(store.layout(SEGMENTS_TOPIC, first).await.unwrap(), first);
    assert_eq!(store.layout(SEGMENTS_TOPIC, second).await.unwrap(), first);
    assert_eq!(store.layout(ROWS_TOPIC, second).await.unwrap(), second);
}

async fn segments_come_back_in_order_and_a_repeat_changes_nothing(store: &dyn Store) {
    let group = group(SEGMENTS_TOPIC, 0, 1);
    let late = segment(at(300, 0), at(400, 3), 3);
    let early = segment(at(0, 0), at(99, 65_535), 1);
    let middle = segment(at(100, 0), at(299, 0), 2);
    for _ in 0..2 {
        put(store, group, 0, History::Segments(vec![late.clone()])).await;
        put(store, group, 0, History::Segments(vec![early.clone(), middle.clone()])).await;
    }
    assert_eq!(segments(store, group, EVERYTHING).await, [early, middle, late]);
}

async fn a_shorter_replayed_segment_does_not_replace_a_longer_one(store: &dyn Store) {
    let group = group(SEGMENTS_TOPIC, 0, 2);
    let long = segment(at(10, 0), at(90, 0), 1);
    let short = segment(at(10, 0), at(50, 0), 2);
    let end = segment(at(60, 0), at(90, 0), 3);
    put(store, group, 0, History::Segments(vec![long.clone()])).await;
    put(store, group, 0, History::Segments(vec![short.clone()])).await;
    put(store, group, 0, History::Segments(vec![end.clone()])).await;
    assert_eq!(segments(store, group, EVERYTHING).await, [short, long, end]);
}

async fn a_range_is_exclusive_at_both_ends(store: &dyn Store) {
    let in_segments = group(SEGMENTS_TOPIC, 0, 3);
    let parts = [(0, 9), (10, 19), (20, 29), (30, 39)];
    let parts = parts.map(|(first, last)| segment(at(first, 0), at(last, 5), first as u8));
    put(store, in_segments, 0, History::Segments(parts.to_vec())).await;
    let range = |after, before| HistoryRange { bucket: Bucket(0), after, before };
    let read = async |after, before| segments(store, in_segments, range(after, before)).await;
    assert_eq!(read(Some(at(19, 5)), Some(at(30, 0))).await, &parts[2..3]);
    assert_eq!(read(Some(at(19, 4)), Some(at(30, 1))).await, &parts[1..4]);
    assert_eq!(read(None, Some(at(0, 0))).await, &parts[..0]);
    assert_eq!(read(Some(at(39, 5)), None).await, &parts[..0]);

    let in_rows = group(ROWS_TOPIC, 0, 3);
    let events: Vec<_> = (0..10).map(|n| row(n, at(100 + n / 2, (n % 2) as u16))).collect();
    put(store, in_rows, 0, History::Rows(events.clone())).await;
    let mut read = rows(store, in_rows, range(Some(at(101, 0)), Some(at(104, 0)))).await;
    read.sort_by_key(|row| row.position);
    assert_eq!(read, &events[3..8]);
}

async fn groups_buckets_and_partitions_do_not_mix(store: &dyn Store) {
    let one = segment(at(1, 0), at(2, 0), 1);
    let places = [
        (group(SEGMENTS_TOPIC, 1, 0), 0),
        (group(SEGMENTS_TOPIC, 1, 1), 0),
        (group(SEGMENTS_TOPIC, 2, 0), 0),
        (group(SEGMENTS_TOPIC, 1, 0), 1),
    ];
    for (n, (group, bucket)) in places.into_iter().enumerate() {
        let mine = Segment { bytes: vec![n as u8], ..one.clone() };
        put(store, group, bucket, History::Segments(vec![mine])).await;
    }
    for (n, (group, bucket)) in places.into_iter().enumerate() {
        let range = HistoryRange { bucket: Bucket(bucket), ..EVERYTHING };
        let read = segments(store, group, range).await;
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].bytes, [n as u8]);
    }
}

/// A row of series `n % 3`.
pub(crate) fn row(n: i64, position: Position) -> Row {
    let location = match n % 3 {
        0 => None,
        1 => Some([1.5, -2.5, 100.0]),
        _ => Some([-89.5, 179.5, 0.0]),
    };
    Row {
        series: format!("sensor-{}", n % 3).into_bytes(),
        position,
        time_us: 1_700_000_000_000_000 + n,
        value: n as f64 / 3.0,
        flags: 200 + (n % 7) as u8,
        location,
    }
}

async fn rows_come_back_by_series_and_position(store: &dyn Store) {
    let group = group(ROWS_TOPIC, 0, 1);
    let mut events: Vec<_> = (0..9).map(|n| row(n, at(n / 3, (n % 3) as u16))).collect();
    for _ in 0..2 {
        put(store, group, 0, History::Rows(events.clone())).await;
    }
    events.sort_by(|a, b| a.series.cmp(&b.series).then(a.position.cmp(&b.position)));
    assert_eq!(rows(store, group, EVERYTHING).await, events);

    let low = self::group(ROWS_TOPIC, 0, 4);
    let no_altitude = Row { location: Some([1.0, 2.0, f64::NAN]), ..row(0, at(0, 0)) };
    put(store, low, 0, History::Rows(vec![no_altitude])).await;
    let read = rows(store, low, EVERYTHING).await;
    let [latitude, longitude, altitude] = read[0].location.unwrap();
    assert_eq!((latitude, longitude), (1.0, 2.0));
    assert!(altitude.is_nan());
}

async fn more_rows_than_one_write_or_page_holds_come_back_whole(store: &dyn Store) {
    let group = group(ROWS_TOPIC, 0, 2);
    let events: Vec<_> = (0..2_500).map(|n| row(n, at(n, 0))).collect();
    put(store, group, 0, History::Rows(events.clone())).await;
    let mut read = rows(store, group, EVERYTHING).await;
    read.sort_by_key(|row| row.position);
    assert_eq!(read.len(), events.len());
    assert!(read == events);
}

async fn bucket_times_only_widen(store: &dyn Store) {
    let partition = PartitionId { topic: SEGMENTS_TOPIC, number: 4 };
    let note = async |bucket, earliest_us, latest_us| {
        let times = BucketTimes { bucket: Bucket(bucket), earliest_us, latest_us };
        store.note_bucket(partition, times).await.unwrap();
        times
    };
    assert_eq!(store.bucket_times(partition).await.unwrap(), []);
    let beyond = note(300, 5, 6).await;
    // Wider and narrower on either side, the widest neither first nor last.
    note(2, 1_000, 2_000).await;
    note(2, 1_500, 3_000).await;
    note(2, 500, 600).await;
    note(2, 700, 800).await;
    let widened = BucketTimes { bucket: Bucket(2), earliest_us: 500, latest_us: 3_000 };
    note(1, -800, 70).await;
    note(1, -900, -850).await;
    note(1, -20, 10).await;
    let over_1970 = BucketTimes { bucket: Bucket(1), earliest_us: -900, latest_us: 70 };
    assert_eq!(store.bucket_times(partition).await.unwrap(), [over_1970, widened, beyond]);
    let other = PartitionId { number: 5, ..partition };
    assert_eq!(store.bucket_times(other).await.unwrap(), []);
}

/// Bytes that differ everywhere.
pub(crate) fn state(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    (0..len).map(|_| next()).collect()
}

async fn checkpoints_of_every_size_come_back(store: &dyn Store) {
    const PART: usize = 256 * 1024;
    for (n, len) in [0, 1, PART - 1, PART, PART + 1, 11 * PART + 3].into_iter().enumerate() {
        let group = group(SEGMENTS_TOPIC, 6, n as u32);
        assert_eq!(store.checkpoint(group).await.unwrap(), None);
        let checkpoint = Checkpoint { position: at(5, 9), bytes: state(len, 1) };
        for _ in 0..2 {
            store.put_checkpoint(group, Arc::new(checkpoint.clone())).await.unwrap();
        }
        assert!(store.checkpoint(group).await.unwrap() == Some(checkpoint), "{len} bytes");
    }
}

async fn an_older_checkpoint_never_replaces_a_newer_one(store: &dyn Store) {
    let group = group(SEGMENTS_TOPIC, 7, 0);
    let of = |position, len, seed| Arc::new(Checkpoint { position, bytes: state(len, seed) });
    let newer = of(at(100, 2), 700_000, 1);
    store.put_checkpoint(group, of(at(50, 0), 900_000, 2)).await.unwrap();
    store.put_checkpoint(group, newer.clone()).await.unwrap();
    for older in [at(100, 1), at(99, 60_000), at(0, 0)] {
        store.put_checkpoint(group, of(older, 10, 3)).await.unwrap();
        assert!(store.checkpoint(group).await.unwrap().as_ref() == Some(&*newer), "{older}");
    }
    let newest = of(at(101, 0), 10, 4);
    store.put_checkpoint(group, newest.clone()).await.unwrap();
    assert_eq!(store.checkpoint(group).await.unwrap().as_ref(), Some(&*newest));
}

pub(crate) fn evicted(series: &str, position: Position, fill: u8) -> Evicted {
    Evicted { series: series.as_bytes().to_vec(), position, bytes: vec![fill; 300] }
}

async fn an_older_evicted_state_never_replaces_a_newer_one(store: &dyn Store) {
    let group = group(SEGMENTS_TOPIC, 8, 0);
    let read = async || store.evicted(group, vec![b"a".to_vec()]).await.unwrap();
    let put = async |state: &Evicted| {
        store.put_evicted(group, Arc::new(vec![state.clone()])).await.unwrap();
    };
    let first = evicted("a", at(0, 0), 1);
    put(&first).await;
    assert_eq!(read().await, [first]);
    let newer = evicted("a", at(70, 2_000), 2);
    put(&newer).await;
    for older in [at(70, 1_999), at(70, 3), at(69, 65_535), at(0, 1)] {
        put(&evicted("a", older, 255)).await;
        assert_eq!(read().await, std::slice::from_ref(&newer), "{older}");
    }
    let newest = evicted("a", at(71, 0), 0);
    put(&newest).await;
    assert_eq!(read().await, [newest]);
}

async fn evicted_states_that_are_not_there_are_left_out(store: &dyn Store) {
    let group = group(SEGMENTS_TOPIC, 8, 1);
    let states: Vec<_> =
        (0..450).map(|n| evicted(&format!("series-{n}"), at(n, 0), n as u8)).collect();
    store.put_evicted(group, Arc::new(states.clone())).await.unwrap();
    let asked = (400..600).map(|n| format!("series-{n}").into_bytes()).collect();
    let mut read = store.evicted(group, asked).await.unwrap();
    read.sort_by_key(|e| e.position);
    assert!(read == states[400..]);
    assert_eq!(store.evicted(group, Vec::new()).await.unwrap(), []);
}

/// The `n`th alert of an incident; an hour apart each.
pub(crate) fn alert(topic: TopicId, n: u32) -> Alert {
    let incident = format!("{topic}-3-500.0");
    Alert {
        schema: ALERT_SCHEMA,
        id: format!("{incident}-{n}"),
        incident,
        n,
        kind: if n == 0 { AlertKind::Opened } else { AlertKind::Updated },
        job: "test".into(),
        topic: "readings".into(),
        partition: 3,
        offset: 500 + i64::from(n) * 3_000_000,
        index: 0,
        group: 9,
        series: "pump-7".into(),
        detector: "cusum".into(),
        time: format!("2026-03-01T{:02}:00:00.000001Z", n % 24),
        value: 12.5,
        expected: 3.25,
        deviations: 6.0,
        direction: Direction::Up,
        score: 7.5,
        threshold: 5.0,
        since: "2026-03-01T00:00:00Z".into(),
        onset_observations: 4,
        count: u64::from(n) + 1,
        peak: 8.0,
    }
}

async fn alerts_may_be_written_again(store: &dyn Store) {
    let alerts: Vec<_> = (0..20).map(|n| alert(SEGMENTS_TOPIC, n)).collect();
    for _ in 0..2 {
        store.put_alerts(Arc::new(alerts.clone())).await.unwrap();
    }
    store.put_alerts(Arc::new(Vec::new())).await.unwrap();
}
