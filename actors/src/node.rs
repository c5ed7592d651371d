//! The node: its supervision tree, in one place.
//!
//! ```text
//! weir (one for one)
//! |- pool            before the store; owns the requests to it
//! |- alerts          relay to the alert sink and the table
//! |- dead letters    relay to the dead-letter sink
//! |- shard 0..n      own the key groups, each on its thread
//! |- member          of the consumer group; commits
//! `- readers (one for one)
//!    `- reader       for each assigned partition; comes and goes
//! ```
//!
//! Sinks start first and stop last, so a restarted reader finds a live store.
//! A supervisor that gives up ends the node with [`Exit::Failed`].

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::alert::AlertSink;
use crate::assignment::{LeaveGroup, Member, MemberEnv};
use crate::budget::Budget;
use crate::dead_letter::DeadLetterSink;
use crate::decode::Decoder;
use crate::detection::Detection;
use crate::pool::{Pool, PoolConfig};
use crate::reader::{ReaderConfig, ReaderEnv};
use crate::registry::Registry;
use crate::relay::{AlertOutlet, DeadLetterOutlet, Relay};
use crate::shard::{Shard, ShardConfig, ShardEnv};
use crate::source::Source;
use crate::stats::Stats;
use crate::store::{Layout, Store};
use crate::supervise::{
    Backoff, ChildSpec, Exit, Intensity, Strategy, Supervisor, SupervisorConfig, SupervisorHandle,
};

/// What the world plugs into a node.
pub struct Ports {
    /// The log and the group.
    pub source: Box<dyn Source>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where alerts go.
    pub alerts: Arc<dyn AlertSink>,
    /// Where dead letters go.
    pub dead_letters: Arc<dyn DeadLetterSink>,
}

/// What the actors are configured with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The job's name: part of every key in the store.
    pub job: Arc<str>,
    /// How history is laid out.
    pub layout: Layout,
    /// The format of the messages.
    pub decoder: Arc<Decoder>,
    /// The rules.
    pub detection: Arc<Detection>,
    /// The readers.
    pub reader: ReaderConfig,
    /// The shards.
    pub shard: ShardConfig,
    /// The pool.
    pub pool: PoolConfig,
    /// Threads and times.
    pub run: RunConfig,
}

/// Threads and times of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Detector shards, a thread each; 0 is one for each core.
    pub shards: usize,
    /// Threads for partition readers.
    pub reader_threads: usize,
    /// How often what is durable is committed, in milliseconds.
    pub commit_interval_ms: u64,
    /// How long a stop or a hand-over may take, in milliseconds.
    pub drain_ms: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { shards: 0, reader_threads: 1, commit_interval_ms: 1_000, drain_ms: 25_000 }
    }
}

impl RunConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.reader_threads == 0 {
            faults.push("run.reader_threads must be at least 1; 1 is the default".to_owned());
        }
        if self.shards > SHARDS_MAX || self.reader_threads > SHARDS_MAX {
            faults.push(format!("run.shards and run.reader_threads may be at most {SHARDS_MAX}"));
        }
        if self.commit_interval_ms == 0 {
            faults
                .push("run.commit_interval_ms must be at least 1; 1000 is the default".to_owned());
        }
        faults
    }

    /// The number of shards, the cores counted.
    pub fn shards(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX),
            n => n,
        }
    }
}

/// More threads than this are a mistake.
const SHARDS_MAX: usize = 256;

/// Which threads the actors run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Each shard, the pool and the readers have threads of their own.
    Own,
    /// All actors on the thread that starts the node: for a simulation.
    Shared,
}

/// A running node.
pub struct Node {
    /// What it counts.
    pub stats: Arc<Stats>,
    /// Which partitions it works on.
    pub registry: Arc<Registry>,
    /// Its bound on memory.
    pub budget: Budget,
    member: Addr<Member>,
    supervisors: [SupervisorHandle; 2],
    exits: tokio::sync::mpsc::UnboundedReceiver<Exit>,
    arbiters: Vec<Arbiter>,
}

impl Node {
    /// Starts all actors. Must be called within an actix system.
    pub fn start(config: NodeConfig, ports: Ports, threads: Threads) -> Self {
        let stats = Arc::new(Stats::default());
        let registry = Arc::new(Registry::default());
        let budget = Budget::new(config.reader.in_flight_bytes_max);
        let mut arbiters = ArbiterSet { threads, started: Vec::new() };
        let (exits_in, exits) = tokio::sync::mpsc::unbounded_channel();
        let root = supervisor("weir", exits_in.clone());
        let readers = supervisor("readers", exits_in);

        let write_bytes_max = ports.store.write_bytes_max();
        let (store, pool_config, pool_stats) =
            (ports.store, config.pool.clone(), Arc::clone(&stats));
        let pool = root.start(&arbiters.next(), roomy("pool"), move |_| {
            Pool::new(store, pool_config, pool_stats)
        });
        let here = Arbiter::current();
        let outlet = AlertOutlet { sink: ports.alerts, pool: pool.clone() };
        let alerts = root.start(&here, roomy("alerts"), |_| Relay::new("alerts", outlet));
        let outlet = DeadLetterOutlet(ports.dead_letters);
        let dead_letters =
            root.start(&here, roomy("dead letters"), |_| Relay::new("dead letters", outlet));

        let shards = config.run.shards();
        let shards: Arc<[Addr<Shard>]> = (0..shards)
            .map(|index| {
                let env = ShardEnv {
                    index,
                    shards,
                    config: config.shard.clone(),
                    job: Arc::clone(&config.job),
                    layout: config.layout,
                    write_bytes_max,
                    detection: Arc::clone(&config.detection),
                    pool: pool.clone(),
                    alerts: alerts.clone(),
                    dead_letters: dead_letters.clone(),
                    stats: Arc::clone(&stats),
                };
                let spec = ChildSpec::permanent(format!("shard {index}"));
                root.start(&arbiters.next(), spec, move |_| Shard::new(env))
            })
            .collect();

        let reader = ReaderEnv {
            config: config.reader.clone(),
            budget: budget.clone(),
            decoder: Arc::clone(&config.decoder),
            shards,
            key_groups: config.layout.key_groups,
            dead_letters,
            stats: Arc::clone(&stats),
        };
        let env = MemberEnv {
            pool,
            layout: config.layout,
            commit_interval: Duration::from_millis(config.run.commit_interval_ms),
            drain_deadline: Duration::from_millis(config.run.drain_ms),
            reader,
            readers: readers.clone(),
            arbiters: (0..config.run.reader_threads).map(|_| arbiters.next()).collect(),
            registry: Arc::clone(&registry),
        };
        let source = ports.source;
        let member =
            root.start(&here, ChildSpec::permanent("member"), move |_| Member::new(env, source));
        let arbiters = arbiters.started;
        Self { stats, registry, budget, member, supervisors: [root, readers], exits, arbiters }
    }

    /// Waits until a supervisor gives up.
    pub async fn failed(&mut self) -> Exit {
        self.exits.recv().await.unwrap_or(Exit::Normal)
    }

    /// Stops reading, makes what is in hand durable, writes checkpoints,
    /// commits, leaves the group; within the drain deadline. Returns whether all
    /// that was read is durable and committed; else the rest is read again.
    #[must_use]
    pub async fn stop(self) -> bool {
        let complete = self.member.send(LeaveGroup).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the member of the group is gone; nothing was handed over");
            false
        });
        let [root, readers] = &self.supervisors;
        readers.stop().await;
        root.stop().await;
        for arbiter in self.arbiters {
            arbiter.stop();
        }
        complete
    }
}

/// An actor that answers later, and so takes many messages at once.
fn roomy(name: &str) -> ChildSpec {
    ChildSpec { mailbox: 1_024, ..ChildSpec::permanent(name) }
}

fn supervisor(name: &str, exits: tokio::sync::mpsc::UnboundedSender<Exit>) -> SupervisorHandle {
    let (supervisor, handle) = Supervisor::new(SupervisorConfig {
        name: name.to_owned(),
        strategy: Strategy::OneForOne,
        intensity: Intensity { restarts_max: 10, within: Duration::from_secs(60) },
        backoff: Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
            seed: 0x5eed,
        },
    });
    actix::spawn(async move {
        let exit = supervisor.run().await;
        if exit != Exit::Shutdown {
            // Nobody listens only if the node is gone already.
            let _ = exits.send(exit);
        }
    });
    handle
}

struct ArbiterSet {
    threads: Threads,
    started: Vec<Arbiter>,
}

impl ArbiterSet {
    fn next(&mut self) -> ArbiterHandle {
        match self.threads {
            Threads::Shared => Arbiter::current(),
            Threads::Own => {
                let arbiter = Arbiter::new();
                let handle = arbiter.handle();
                self.started.push(arbiter);
                handle
            }
        }
    }
}
