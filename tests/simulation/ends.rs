//! How a node ends, or a partition of it, when trying again does not help.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_actors::node::Node;
use weir_actors::supervise::Exit;

use super::run::{Run, Scenario, new_world, start, under_virtual_time};

/// Waits, in virtual time, until the node has come that far.
async fn until(what: &str, node: &Node, mut done: impl FnMut(&Node) -> bool) {
    for _ in 0..36_000 {
        if done(node) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after a virtual hour: not {what}");
}

#[test]
fn a_node_with_another_layout_ends_at_once_and_says_which() {
    let scenario = Scenario::calm();
    let world = new_world(1, scenario);
    under_virtual_time(async {
        let node = start(&world, scenario);
        until("assigned", &node, |node| node.registry.was_assigned()).await;
    });
    let exit = under_virtual_time(async {
        let mut node = start(&world, Scenario { rows: true, ..scenario });
        tokio::time::timeout(Duration::from_secs(5), node.failed()).await
    });
    let Ok(Exit::Failed(why)) = exit else { panic!("{exit:?}") };
    assert!(why.contains("\"simulated\" was laid out for this job with"), "{why}");
}

#[test]
fn a_partition_that_has_lost_its_log_stops_and_the_others_come_to_the_end() {
    let scenario = Scenario::calm();
    for seed in super::seeds().into_iter().take(10) {
        let world = new_world(seed, scenario);
        let (ends, gap) = {
            let mut partitions = world.partitions.lock().expect("no test thread panicked");
            let gap = partitions[1].records[1_000].offset;
            partitions[1].lost_from = Some(gap);
            (partitions.iter().map(|p| p.end_offset).collect::<Vec<_>>(), gap)
        };
        let goals = [ends[0], gap, ends[2]];
        under_virtual_time(async {
            let mut node = start(&world, scenario);
            let all = until("at the end", &node, |node| {
                let seen = node.registry.partitions();
                seen.len() == 3
                    && seen.iter().zip(goals).all(|(p, goal)| p.durable() == goal)
                    && seen[1].stopped().is_some()
            });
            all.await;
            let seen = node.registry.partitions();
            assert_eq!(seen[1].stopped(), Some(format!("simulated: {gap} is gone")));
            assert_eq!((seen[0].stopped(), seen[2].stopped()), (None, None));
            let failed = tokio::time::timeout(Duration::from_secs(600), node.failed()).await;
            assert!(failed.is_err(), "the node goes on: {failed:?}");
            assert!(node.stop().await, "what was read is handed over");
        });
        let committed: Vec<_> = {
            let mut partitions = world.partitions.lock().expect("no test thread panicked");
            partitions[1].lost_from = None;
            partitions.iter().map(|p| p.committed).collect()
        };
        assert_eq!(committed, goals.map(Some), "seed {seed}");
        // Found again, the log is read on from there as if nothing had been.
        let run = Run::within(Arc::clone(&world), scenario);
        run.verdict().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
}

#[test]
fn a_stop_that_is_not_whole_says_so() {
    let scenario = Scenario::calm();
    let world = new_world(1, scenario);
    under_virtual_time(async {
        let node = start(&world, scenario);
        until("reading", &node, |node| {
            node.registry.partitions().iter().any(|p| p.read() > p.durable())
        })
        .await;
        world.away.store(true, Ordering::Relaxed);
        assert!(!node.stop().await, "nothing can have become durable");
    });
    world.away.store(false, Ordering::Relaxed);
    let run = Run::within(world, scenario);
    run.verdict().unwrap_or_else(|what| panic!("{what}"));
}
