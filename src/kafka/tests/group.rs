//! The group: commits, rebalances, topics that change.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewPartitions};
use weir_actors::source::{Assigned, Assignment, Source, SourceError};

use super::rig::{
    BATCH_BYTES, Rig, all_values, assigned, decision, read_to, revoked, unique, within,
};

#[tokio::test]
async fn a_commit_survives() {
    let Some(rig) = Rig::new(1).await else { return };
    rig.produce(0, 0, 100).await;
    let (source, mut first) = rig.join_one().await;
    assert_eq!(first.start_offset, 0);
    read_to(&mut *first.reader, 100).await;
    source.commit(&[(first.partition.clone(), 40), (first.partition.clone(), 42)]).await.unwrap();
    source.close().await;
    assert!(source.assignment().await.unwrap().is_none());
    assert!(matches!(first.reader.next(BATCH_BYTES).await, Err(SourceError::Revoked)));
    assert!(matches!(first.reader.seek(1).await, Err(SourceError::Revoked)));
    let gone = source.commit(&[(first.partition.clone(), 50)]).await;
    assert!(matches!(gone, Err(SourceError::Revoked)), "{gone:?}");

    let (source, mut second) = rig.join_one().await;
    assert_eq!(second.start_offset, 42);
    let batches = read_to(&mut *second.reader, 100).await;
    assert_eq!(all_values(&batches), (42..100).collect::<Vec<_>>());
    source.close().await;
}

/// Reads what is there of `partitions`, up to `offset` in each.
async fn read_all(partitions: &mut [Assigned], offset: i64) {
    for partition in partitions {
        read_to(&mut *partition.reader, offset).await;
    }
}

async fn a_revocation_waits_and_the_next_owner_goes_on(rig: Rig) {
    for partition in 0..4 {
        rig.produce(partition, 0, 100).await;
    }
    let mut first = rig.join();
    let mut first_parts = assigned(&mut first).await;
    assert_eq!(first_parts.len(), 4);
    read_all(&mut first_parts, 100).await;

    let mut second = rig.join();
    let (taken, done) = revoked(&mut first).await;
    assert!(!taken.is_empty());
    // The readers of what is revoked are told; nothing is handed over meanwhile.
    for partition in first_parts.iter_mut().filter(|p| taken.contains(&p.partition)) {
        let end = within("the reader's end", partition.reader.next(BATCH_BYTES)).await;
        assert!(matches!(end, Err(SourceError::Revoked)), "{end:?}");
    }
    let too_early = tokio::time::timeout(Duration::from_millis(500), assigned(&mut second)).await;
    assert!(too_early.is_err(), "the second has them before the first is done");
    let offsets: Vec<_> = taken.iter().map(|p| (p.clone(), 60 + i64::from(p.id.number))).collect();
    first.commit(&offsets).await.unwrap();
    done.send(()).unwrap();

    let second_parts = tokio::select! {
        parts = assigned(&mut second) => parts,
        // Under the eager protocol the first gets its own anew.
        _ = async { loop { decision(&mut first).await; } } => unreachable!(),
    };
    for part in &second_parts {
        assert!(taken.contains(&part.partition));
        assert_eq!(part.start_offset, 60 + i64::from(part.partition.id.number));
    }
    // What is let go cannot be committed any more.
    let late = first.commit(&offsets[..1]).await;
    let still_ours = second_parts.iter().all(|p| p.partition != offsets[0].0);
    assert!(still_ours || matches!(late, Err(SourceError::Revoked)), "{late:?}");
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_cooperative_revocation_waits_and_the_next_owner_goes_on() {
    let Some(rig) = Rig::new(4).await else { return };
    a_revocation_waits_and_the_next_owner_goes_on(rig).await;
}

#[tokio::test]
async fn an_eager_revocation_waits_and_the_next_owner_goes_on() {
    let Some(mut rig) = Rig::new(4).await else { return };
    rig.config.assignment = "range".to_owned();
    a_revocation_waits_and_the_next_owner_goes_on(rig).await;
}

#[tokio::test]
async fn a_revocation_that_nobody_answers_ends_at_its_deadline() {
    let Some(mut rig) = Rig::new(2).await else { return };
    rig.config.drain_timeout_ms = 300;
    let mut first = rig.join();
    assert_eq!(assigned(&mut first).await.len(), 2);
    let mut second = rig.join();
    let (taken, _done) = revoked(&mut first).await;
    let parts = assigned(&mut second).await;
    assert_eq!(parts.len(), taken.len());
    first.close().await;
    second.close().await;
}

/// librdkafka pauses everything during a rebalance, throws away what it fetched
/// and goes on where it thinks the reader stands.
#[tokio::test]
async fn a_rebalance_repeats_and_skips_nothing() {
    let Some(rig) = Rig::new(2).await else { return };
    let count = 20_000;
    for partition in 0..2 {
        rig.produce(partition, 0, 100).await;
    }
    let mut first = rig.join();
    let mut parts = assigned(&mut first).await;
    // To the log's end, where librdkafka tells each reader of the end.
    read_all(&mut parts, 100).await;
    for part in &mut parts {
        let more = tokio::time::timeout(Duration::from_secs(1), part.reader.next(BATCH_BYTES));
        assert!(more.await.is_err());
    }

    let mut second = rig.join();
    let (taken, done) = revoked(&mut first).await;
    for partition in 0..2 {
        rig.produce(partition, 100, count - 100).await;
    }
    let at_100: Vec<_> = taken.iter().map(|p| (p.clone(), 100)).collect();
    first.commit(&at_100).await.unwrap();
    done.send(()).unwrap();
    let mut moved = assigned(&mut second).await;
    parts.retain(|p| !taken.contains(&p.partition));
    assert_eq!((parts.len(), moved.len()), (1, 1));
    for part in parts.iter_mut().chain(&mut moved) {
        let batches = read_to(&mut *part.reader, count as i64).await;
        assert_eq!(all_values(&batches), (100..count).collect::<Vec<_>>());
    }
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_topic_made_anew_has_another_id() {
    let Some(rig) = Rig::new(1).await else { return };
    let (source, before) = rig.join_one().await;
    let described = rig.admin.topic(&rig.topic).await.unwrap().unwrap();
    assert_eq!(before.partition.id.topic, described.id);
    assert_ne!(described.id.0, 0);
    source.close().await;
    rig.native_admin().delete_topics(&[&rig.topic], &AdminOptions::new()).await.unwrap();
    let gone = async { while rig.admin.topic(&rig.topic).await.unwrap().is_some() {} };
    within("the topic is gone", gone).await;
    rig.create(&rig.topic, 1).await;
    let (source, after) = rig.join_one().await;
    assert_ne!(before.partition.id.topic, after.partition.id.topic);
    assert_eq!(before.partition.topic, after.partition.topic);
    source.close().await;
}

#[tokio::test]
async fn added_partitions_and_topics_of_a_pattern_are_assigned() {
    let Some(mut rig) = Rig::new(1).await else { return };
    let prefix = unique("pattern");
    let (one, two) = (format!("{prefix}.one"), format!("{prefix}.two"));
    rig.create(&one, 1).await;
    rig.config.topics = vec![format!("^{prefix}\\..*")];
    let mut source = rig.join();
    let names = |parts: &[Assigned]| -> Vec<(String, i32)> {
        parts.iter().map(|p| (p.partition.topic.to_string(), p.partition.id.number)).collect()
    };
    assert_eq!(names(&assigned(&mut source).await), [(one.clone(), 0)]);
    rig.create(&two, 1).await;
    assert_eq!(names(&assigned(&mut source).await), [(two.clone(), 0)]);
    let more = NewPartitions::new(&one, 2);
    rig.native_admin().create_partitions([&more], &AdminOptions::new()).await.unwrap();
    assert_eq!(names(&assigned(&mut source).await), [(one.clone(), 1)]);
    let matching = rig.admin.matching(&rig.config.topics).await.unwrap();
    assert_eq!(matching, [one, two]);
    source.close().await;
}

#[tokio::test]
async fn what_the_group_gave_up_is_lost_and_then_assigned_anew() {
    let Some(rig) = Rig::new(2).await else { return };
    let mut source = rig.join();
    let mut parts = assigned(&mut source).await;
    let ours: Vec<_> = parts.iter().map(|p| p.partition.clone()).collect();
    rig.remove_members();
    let Assignment::Lost(lost) = decision(&mut source).await else { panic!("not lost") };
    assert_eq!(lost, ours);
    let end = within("the reader's end", parts[0].reader.next(BATCH_BYTES)).await;
    assert!(matches!(end, Err(SourceError::Revoked)), "{end:?}");
    assert_eq!(assigned(&mut source).await.len(), 2);
    source.close().await;
}

#[tokio::test]
async fn a_drain_that_the_group_does_not_wait_for_cannot_be_committed() {
    let Some(rig) = Rig::new(2).await else { return };
    let mut first = rig.join();
    assigned(&mut first).await;
    let second = rig.join();
    let (taken, _done) = revoked(&mut first).await;
    rig.remove_members();
    let late = first.commit(&[(taken[0].clone(), 0)]).await;
    assert!(matches!(late, Err(SourceError::Revoked)), "{late:?}");
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_topic_that_appears_later_is_assigned() {
    let Some(mut rig) = Rig::new(1).await else { return };
    let later = unique("later");
    rig.config.topics = vec![later.clone()];
    let mut source = rig.join();
    rig.create(&later, 1).await;
    let parts = assigned(&mut source).await;
    assert_eq!(&*parts[0].partition.topic, later);
    source.close().await;
}
