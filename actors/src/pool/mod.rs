//! The connection pool: an actor before the store.
//!
//! Owns the requests to the store. Joins small writes of one key group and
//! bucket into one, holds as many requests in flight as the store bears
//! ([`limit`]), tries transient failures again, and answers when something is
//! durable. It never gives up on a transient failure: what waits here holds the
//! memory budget, the budget stops the readers, and Kafka holds the rest.
//!
//! If it fails and is restarted, what was queued is answered with
//! [`PoolError::Restarted`]; writes are idempotent and their owners send them
//! again ([`durably`]).

pub mod limit;
mod queue;
mod request;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stats::Stats;
use crate::store::{Store, StoreError};
use crate::supervise::Backoff;
use limit::{Limit, LimitConfig};
use queue::Queue;
pub use request::{Answer, Request};

/// How the pool behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// The first wait before a failed request is tried again.
    pub retry_initial_ms: u64,
    /// The longest one.
    pub retry_max_ms: u64,
    /// How many requests may be in flight.
    pub limit: LimitConfig,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { retry_initial_ms: 50, retry_max_ms: 5_000, limit: LimitConfig::default() }
    }
}

impl PoolConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = self.limit.validate();
        if self.retry_initial_ms == 0 || self.retry_initial_ms > self.retry_max_ms {
            faults.push(format!(
                "pool: 1 <= retry_initial_ms <= retry_max_ms must hold, got {} / {}",
                self.retry_initial_ms, self.retry_max_ms
            ));
        }
        faults
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// The store refused it for good.
    #[error(transparent)]
    Store(StoreError),
    /// The pool was restarted; send it again.
    #[error("the connection pool was restarted")]
    Restarted,
}

/// One request to the store, answered when the store has done it.
#[derive(Message)]
#[rtype(result = "Result<Answer, PoolError>")]
pub struct Ask(pub Request);

/// The actor.
pub struct Pool {
    store: Arc<dyn Store>,
    config: PoolConfig,
    stats: Arc<Stats>,
    limit: Limit,
    queue: Queue,
    in_flight: usize,
}

/// A request on its way, with who waits for it.
struct Job {
    request: Request,
    waiting: Vec<oneshot::Sender<Result<Answer, PoolError>>>,
    attempts: usize,
}

impl Pool {
    /// A pool before `store`.
    pub fn new(store: Arc<dyn Store>, config: PoolConfig, stats: Arc<Stats>) -> Self {
        let queue = Queue::new(store.write_bytes_max());
        let limit = Limit::new(config.limit.clone());
        stats.pool_limit.set(limit.current() as u64);
        Self { store, config, stats, limit, queue, in_flight: 0 }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        while self.in_flight < self.limit.current() {
            let Some(job) = self.queue.pop() else { return };
            self.in_flight += 1;
            self.stats.pool_in_flight.set(self.in_flight as u64);
            let store = Arc::clone(&self.store);
            let started = Instant::now();
            let request = job.request.clone();
            ctx.spawn(
                async move { request.execute(&*store).await }
                    .into_actor(self)
                    .map(move |result, pool, ctx| pool.on_result(job, started, result, ctx)),
            );
        }
    }

    fn on_result(
        &mut self,
        mut job: Job,
        started: Instant,
        result: Result<Answer, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        let transient = matches!(&result, Err(e) if e.is_transient());
        self.limit.observe(started.elapsed(), !transient, self.in_flight);
        self.in_flight -= 1;
        self.stats.pool_in_flight.set(self.in_flight as u64);
        self.stats.pool_limit.set(self.limit.current() as u64);
        self.stats.pool_requests.add(1);
        match result {
            Err(error) if error.is_transient() => {
                job.attempts += 1;
                self.stats.pool_retries.add(1);
                let delay = self.retry_delay(job.attempts);
                tracing::warn!(%error, attempts = job.attempts, ?delay, kind = job.request.kind(), "the store failed; trying again");
                ctx.run_later(delay, move |pool, ctx| {
                    pool.queue.push_front(job);
                    pool.pump(ctx);
                });
            }
            result => {
                let result = result.map_err(PoolError::Store);
                for waiting in job.waiting {
                    // Who asked may be gone: its partition was handed over.
                    let _ = waiting.send(result.clone());
                }
            }
        }
        self.pump(ctx);
    }

    fn retry_delay(&self, attempts: usize) -> Duration {
        Backoff {
            initial: Duration::from_millis(self.config.retry_initial_ms),
            max: Duration::from_millis(self.config.retry_max_ms),
            seed: attempts as u64,
        }
        .delay(attempts)
    }
}

impl Actor for Pool {
    type Context = Context<Self>;
}

impl Supervised for Pool {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The requests in flight went with the old context.
        self.queue = Queue::new(self.store.write_bytes_max());
        self.in_flight = 0;
        self.limit = Limit::new(self.config.limit.clone());
    }
}

impl Handler<Ask> for Pool {
    type Result = ResponseFuture<Result<Answer, PoolError>>;

    fn handle(&mut self, Ask(request): Ask, ctx: &mut Context<Self>) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Job { request, waiting: vec![answer], attempts: 0 });
        self.pump(ctx);
        Box::pin(async move { answered.await.unwrap_or(Err(PoolError::Restarted)) })
    }
}

/// Asks the pool until it answers: sends again what a restart of the pool lost.
/// The only error left is that the store refused, or that the node stops.
pub async fn durably(pool: Addr<Pool>, request: Request) -> Result<Answer, PoolError> {
    loop {
        match pool.send(Ask(request.clone())).await {
            Ok(Err(PoolError::Restarted)) | Err(MailboxError::Closed | MailboxError::Timeout) => {
                if !pool.connected() {
                    return Err(PoolError::Restarted);
                }
                tokio::time::sleep(RESEND_AFTER).await;
            }
            Ok(answer) => return answer,
        }
    }
}

/// The wait before a request is sent to a restarted pool again.
const RESEND_AFTER: Duration = Duration::from_millis(20);
