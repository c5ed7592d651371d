//! The whole product against a real Kafka broker and a real Cassandra node:
//! `weir run` as its own process, real series and generated ones through a
//! topic, and then the history, the alerts, the dead letters and the commits
//! against the obvious reference.
//!
//! Needs `WEIR_TEST_KAFKA` and `WEIR_TEST_CASSANDRA`, as `./test` sets them.

mod check;
mod input;
mod node;
mod topic;

use std::sync::{Mutex, MutexGuard, PoisonError};

use check::Job;
use input::Input;
use node::{Node, Plan};
use weir_actors::store::HistoryLayout;

/// The tests share two cores with their servers: one at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! plan_or_skip {
    ($layout:expr) => {
        match Plan::new($layout) {
            Some(plan) => plan,
            None => {
                println!("skipped: WEIR_TEST_KAFKA and WEIR_TEST_CASSANDRA are not set");
                return;
            }
        }
    };
}

#[test]
fn every_event_is_checked_and_stored_once_and_a_restart_repeats_nothing() {
    let _turn = turn();
    let plan = plan_or_skip!(HistoryLayout::Segments);
    let topic = plan.create_topic(6);
    let sent = Input::real_and_generated(20_000, 25).send(&topic);
    let node = Node::start(&plan);
    let job = Job::of(&plan);
    job.wait_until_committed();
    node.stop();
    job.check(&sent);

    // Whatever the second life reads beyond this one message was repeated work.
    let node = Node::start(&plan);
    topic.send(Some(b"last"), br#"{"time":"2020-01-01T00:00:00Z","value":1.0}"#);
    job.wait_until_committed();
    assert_eq!(node.metric("weir_records_total"), 1.0);
    node.stop();
}

#[test]
fn the_layout_rows_holds_the_same() {
    let _turn = turn();
    let plan = plan_or_skip!(HistoryLayout::Rows);
    let topic = plan.create_topic(3);
    let sent = Input::real_and_generated(2_000, 25).send(&topic);
    let node = Node::start(&plan);
    let job = Job::of(&plan);
    job.wait_until_committed();
    node.stop();
    job.check(&sent);
}

#[test]
fn two_nodes_share_the_partitions_and_one_leaves_in_the_middle() {
    let _turn = turn();
    let plan = plan_or_skip!(HistoryLayout::Segments);
    let topic = plan.create_topic(6);
    let input = Input::real_and_generated(5_000, 60);
    let (first, second) = input.halves();
    let (leaving, staying) = (Node::start(&plan), Node::start(&plan));
    leaving.wait_until_assigned();
    staying.wait_until_assigned();
    let mut sent = first.send(&topic);
    let job = Job::of(&plan);
    job.wait_until_some_is_committed();
    leaving.stop();
    sent += second.send(&topic);
    job.wait_until_committed();
    staying.stop();
    job.check(&sent);
}

#[test]
fn a_node_killed_in_the_middle_loses_and_doubles_nothing() {
    let _turn = turn();
    let plan = plan_or_skip!(HistoryLayout::Segments);
    let topic = plan.create_topic(6);
    let sent = Input::real_and_generated(5_000, 60).send(&topic);
    let job = Job::of(&plan);
    let node = Node::start(&plan);
    job.wait_until_some_is_committed();
    node.kill();
    let node = Node::start(&plan);
    job.wait_until_committed();
    node.stop();
    job.check(&sent);
}

#[test]
fn several_values_null_keys_and_transactions_come_out_right() {
    let _turn = turn();
    let plan = plan_or_skip!(HistoryLayout::Segments).with_several_values();
    let topic = plan.create_topic(3);
    let sent = input::several_values(300, 60).send_in_transactions(&topic);
    let node = Node::start(&plan);
    let job = Job::of(&plan);
    job.wait_until_committed();
    node.stop();
    job.check(&sent);
}
