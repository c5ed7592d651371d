//! What a run's nodes share: the log, the store, what came out, the faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use weir_actors::alert::{Alert, AlertSink};
use weir_actors::dead_letter::{DeadLetter, DeadLetterSink, SinkError};
use weir_actors::position::{PartitionId, Position};

use super::log::Partition;
use super::rng::Rng;
use super::store::Tables;

/// How likely things go wrong, each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A request to the store, a delivery or a commit fails.
    pub failure: f64,
    /// If it fails, it has happened all the same.
    pub half_done: f64,
}

pub struct World {
    pub rng: Mutex<Rng>,
    pub faults: Faults,
    /// While set, nothing is done for anybody.
    pub away: AtomicBool,
    pub partitions: Mutex<Vec<Partition>>,
    pub tables: Mutex<Tables>,
    pub alerts: Mutex<Vec<Alert>>,
    pub letters: Mutex<BTreeMap<(PartitionId, Position), DeadLetter>>,
    /// What happened, in order: a running hash, and how many things.
    trace: Mutex<(u64, u64)>,
}

/// How a request to the world ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    FailedAfter,
    FailedBefore,
}

impl World {
    pub fn new(seed: u64, faults: Faults, partitions: Vec<Partition>) -> Arc<Self> {
        Arc::new(Self {
            rng: Mutex::new(Rng::new(seed)),
            faults,
            away: AtomicBool::new(false),
            partitions: Mutex::new(partitions),
            tables: Mutex::default(),
            alerts: Mutex::default(),
            letters: Mutex::default(),
            trace: Mutex::new((0xcbf2_9ce4_8422_2325, 0)),
        })
    }

    pub fn note(&self, what: &str) {
        let mut trace = self.trace.lock().expect("no test thread panicked");
        for byte in what.bytes() {
            trace.0 = (trace.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        trace.1 += 1;
        if std::env::var_os("WEIR_TRACE").is_some() {
            eprintln!("{what}");
        }
    }

    pub fn trace(&self) -> (u64, u64) {
        *self.trace.lock().expect("no test thread panicked")
    }

    /// Takes a while, then says how a request ends.
    pub async fn request(&self, what: &str) -> Outcome {
        let (delay, outcome) = {
            let mut rng = self.rng.lock().expect("no test thread panicked");
            let outcome = match rng.chance(self.faults.failure) {
                _ if self.away.load(Ordering::Relaxed) => Outcome::FailedBefore,
                false => Outcome::Done,
                true if rng.chance(self.faults.half_done) => Outcome::FailedAfter,
                true => Outcome::FailedBefore,
            };
            (rng.millis(20), outcome)
        };
        tokio::time::sleep(delay).await;
        self.note(&format!("{what} {outcome:?}"));
        outcome
    }

    pub fn roll<T>(&self, of: impl FnOnce(&mut Rng) -> T) -> T {
        of(&mut self.rng.lock().expect("no test thread panicked"))
    }
}

pub struct Sinks(pub Arc<World>);

#[async_trait]
impl AlertSink for Sinks {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        let ids: Vec<&str> = alerts.iter().map(|a| a.id.as_str()).collect();
        let outcome = self.0.request(&format!("alerts {ids:?}")).await;
        if outcome != Outcome::FailedBefore {
            self.0.alerts.lock().expect("no test thread panicked").extend_from_slice(alerts);
        }
        answer(outcome)
    }
}

#[async_trait]
impl DeadLetterSink for Sinks {
    async fn deliver(&self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let outcome = self.0.request(&format!("{} dead letters", letters.len())).await;
        if outcome != Outcome::FailedBefore {
            let mut kept = self.0.letters.lock().expect("no test thread panicked");
            for letter in letters {
                kept.insert((letter.partition.id, letter.position), letter.clone());
            }
        }
        answer(outcome)
    }
}

fn answer(outcome: Outcome) -> Result<(), SinkError> {
    match outcome {
        Outcome::Done => Ok(()),
        _ => Err(SinkError::Transient("simulated".into())),
    }
}
