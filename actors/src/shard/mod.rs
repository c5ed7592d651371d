//! A detector shard: an actor with its own thread that owns its key groups.
//!
//! A group is warmed as a whole, from its checkpoint and the history after it;
//! its events wait meanwhile, other groups go on. In a warm group an absent key
//! is new, unless it was evicted. A shard never says of an offset that it is
//! durable before the store and the alert sink have everything before it.
//!
//! What may fail:
//! - A detector that panics loses its group: the state is dropped, the reader
//!   rewinds, the group is rebuilt. After [`ShardConfig::poison_attempts`]
//!   failures at one position that event becomes a dead letter.
//! - If the actor itself is restarted it has lost everything, and says so to
//!   the readers.
//!
//! The pure core is `group`; the rest of this folder is what moves it.

mod checkpoint;
mod evict;
mod findings;
mod group;
mod hand_over;
pub mod incident;
pub mod judge;
mod message;
mod open_history;
mod partition;
mod series;
mod take;
pub mod timing;
mod warm_up;
mod write;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::detection::Detection;
use crate::history::SegmentScratch;
use crate::pool::Pool;
use crate::position::{PartitionId, Position};
use crate::relay::{AlertOutlet, DeadLetterOutlet, Relay};
use crate::stats::Stats;
use crate::store::Layout;
pub use findings::flag_names;
pub(crate) use findings::letter_of_record;
pub use message::{Flush, Forget, HandOver, Handed, Progress, Refused, Take, Taken};
use open_history::Sealing;
use partition::{PartitionShare, Ticket};
pub use series::bytes_of_series;

/// How a shard behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardConfig {
    /// How long events gather before they are written, in milliseconds.
    pub flush_interval_ms: u64,
    /// How many events of one group make a write, before that.
    pub segment_events: usize,
    /// How often a group's state is written, in seconds. A restart reads the
    /// history since then.
    pub checkpoint_interval_s: u64,
    /// How many bytes of series' state all shards may hold; series unused for
    /// longest are written out and dropped beyond it.
    pub state_bytes_max: usize,
    /// How often an event may make its detector fail before it becomes a dead
    /// letter.
    pub poison_attempts: u32,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            flush_interval_ms: 1_000,
            segment_events: 4_096,
            checkpoint_interval_s: 300,
            state_bytes_max: 1 << 30,
            poison_attempts: 3,
        }
    }
}

impl ShardConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut at_least = |name: &str, value: u64, least: u64, default: u64| {
            if value < least {
                faults.push(format!(
                    "shard.{name} must be at least {least}, got {value}; {default} is the default"
                ));
            }
        };
        at_least("flush_interval_ms", self.flush_interval_ms, 10, 1_000);
        at_least("segment_events", self.segment_events as u64, 1, 4_096);
        at_least("checkpoint_interval_s", self.checkpoint_interval_s, 1, 300);
        at_least("state_bytes_max", self.state_bytes_max as u64, 1 << 20, 1 << 30);
        at_least("poison_attempts", u64::from(self.poison_attempts), 1, 3);
        if self.segment_events > crate::history::segment::EVENTS_MAX {
            faults.push(format!(
                "shard.segment_events must be at most {}, got {}",
                crate::history::segment::EVENTS_MAX,
                self.segment_events
            ));
        }
        faults
    }
}

/// What a shard works with.
#[derive(Clone)]
pub struct ShardEnv {
    /// Which of how many it is.
    pub index: usize,
    /// How many there are.
    pub shards: usize,
    /// How it behaves.
    pub config: ShardConfig,
    /// The job's name.
    pub job: Arc<str>,
    /// The job's layout.
    pub layout: Layout,
    /// How much one write may carry, in bytes.
    pub write_bytes_max: usize,
    /// The rules.
    pub detection: Arc<Detection>,
    /// The way to the store.
    pub pool: Addr<Pool>,
    /// The way of alerts.
    pub alerts: Addr<Relay<AlertOutlet>>,
    /// The way of dead letters.
    pub dead_letters: Addr<Relay<DeadLetterOutlet>>,
    /// What it counts.
    pub stats: Arc<Stats>,
}

/// The actor.
pub struct Shard {
    env: ShardEnv,
    shares: BTreeMap<PartitionId, PartitionShare>,
    /// Counts batches, as the age of series.
    batch: u32,
    last_ticket: Ticket,
    /// The event that is being judged: what to blame for a panic.
    in_hand: Option<(u32, Position)>,
    /// Positions at which a detector failed: how often, and with what message.
    suspects: BTreeMap<(PartitionId, Position), (u32, String)>,
    evicting: bool,
    scratch: Rc<RefCell<SegmentScratch>>,
}

impl Shard {
    /// A shard that owns nothing yet.
    pub fn new(env: ShardEnv) -> Self {
        Self {
            env,
            shares: BTreeMap::new(),
            batch: 0,
            last_ticket: 0,
            in_hand: None,
            suspects: BTreeMap::new(),
            evicting: false,
            scratch: Rc::default(),
        }
    }

    fn sealing(&self) -> Sealing {
        Sealing {
            events: self.env.config.segment_events,
            write_bytes_max: self.env.write_bytes_max,
            scratch: Rc::clone(&self.scratch),
        }
    }

    /// Counts a failure at a position against the event that stands there.
    fn suspect(&mut self, partition: PartitionId, position: Position, why: &str) {
        let suspect = self.suspects.entry((partition, position)).or_default();
        suspect.0 += 1;
        suspect.1 = why.to_owned();
        tracing::error!(%partition, %position, why, failures = suspect.0, "a detector failed");
    }

    /// The positions that are not judged any more.
    fn poisoned(&self, partition: PartitionId) -> BTreeMap<Position, String> {
        let attempts = self.env.config.poison_attempts;
        self.suspects
            .range((partition, Position { offset: i64::MIN, index: 0 })..)
            .take_while(|((of, _), _)| *of == partition)
            .filter(|(_, (failures, _))| *failures >= attempts)
            .map(|((_, position), (_, why))| (*position, why.clone()))
            .collect()
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let flush_after = Duration::from_millis(self.env.config.flush_interval_ms);
        self.flush(flush_after, ctx);
        self.begin_checkpoint(ctx);
        self.evict(ctx);
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let tick = Duration::from_millis((self.env.config.flush_interval_ms / 4).max(5));
        ctx.run_interval(tick, Self::tick);
    }
}

impl Supervised for Shard {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.in_hand = None;
        self.evicting = false;
        let shard = self.env.index;
        for share in self.shares.values_mut() {
            share.lose_all();
            share.leaving = None;
            let durable = share.durable();
            // A reader that is gone needs not be told.
            share.reader.do_send(Progress { shard, durable, lost: true });
        }
    }
}

impl Handler<Flush> for Shard {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flush(Duration::ZERO, ctx);
    }
}

impl Handler<Forget> for Shard {
    type Result = ();

    fn handle(&mut self, Forget(partition): Forget, _: &mut Self::Context) {
        self.shares.remove(&partition);
        self.suspects.retain(|(of, _), _| *of != partition);
    }
}
