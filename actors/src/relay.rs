//! A relay: an actor that delivers alerts, or dead letters, in order.
//!
//! One delivery is under way at a time, so that what is said of an incident is
//! said in order; what gathers meanwhile goes together in the next one. A
//! transient failure is tried again for ever: nothing is dropped, the offsets
//! behind it are not committed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::alert::{Alert, AlertSink};
use crate::dead_letter::{DeadLetter, DeadLetterSink, SinkError};
use crate::pool::{self, Pool, Request};
use crate::supervise::{self, Backoff};

/// Where a relay delivers to.
#[async_trait(?Send)]
pub trait Outlet: 'static {
    /// What it delivers.
    type Item: Send + Clone + Unpin + 'static;

    /// Returns when all items are durable. Repeats are harmless.
    async fn deliver(&self, items: &[Self::Item]) -> Result<(), SinkError>;
}

/// Alerts go to the sink and, for webhooks and the console, into the store.
pub struct AlertOutlet {
    /// The topic, or what stands for it.
    pub sink: Arc<dyn AlertSink>,
    /// The way to the store.
    pub pool: Addr<Pool>,
}

#[async_trait(?Send)]
impl Outlet for AlertOutlet {
    type Item = Alert;

    async fn deliver(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        // The topic first: people wait for it.
        self.sink.publish(alerts).await?;
        let request = Request::PutAlerts { alerts: Arc::new(alerts.to_vec()) };
        match pool::durably(self.pool.clone(), request).await {
            Ok(_) => Ok(()),
            Err(pool::PoolError::Restarted) => Err(SinkError::Transient("the pool is gone".into())),
            Err(error) => Err(SinkError::Fatal(error.to_string())),
        }
    }
}

/// Dead letters go to their sink.
pub struct DeadLetterOutlet(
    /// The topic, or what stands for it.
    pub Arc<dyn DeadLetterSink>,
);

#[async_trait(?Send)]
impl Outlet for DeadLetterOutlet {
    type Item = DeadLetter;

    async fn deliver(&self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        self.0.deliver(letters).await
    }
}

/// Items to be delivered; answered when they are durable.
#[derive(Message)]
#[rtype(result = "Result<(), Undelivered>")]
pub struct Deliver<T: 'static>(pub Vec<T>);

/// The relay was restarted with these items in hand: send them again.
#[derive(Debug, Clone, Copy)]
pub struct Undelivered;

/// Who waits for a delivery.
type Waiting = oneshot::Sender<Result<(), Undelivered>>;

/// The most items of one delivery.
const DELIVERY_ITEMS_MAX: usize = 1_000;

/// The actor.
pub struct Relay<O: Outlet> {
    name: &'static str,
    outlet: Rc<O>,
    gathered: Vec<(Vec<O::Item>, Waiting)>,
    under_way: bool,
    failures: usize,
}

impl<O: Outlet> Relay<O> {
    /// A relay to `outlet`. The name is for logs.
    pub fn new(name: &'static str, outlet: O) -> Self {
        Self { name, outlet: Rc::new(outlet), gathered: Vec::new(), under_way: false, failures: 0 }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.under_way || self.gathered.is_empty() {
            return;
        }
        let (mut items, mut waiting, mut taken) = (Vec::new(), Vec::new(), 0);
        for (more, who) in self.gathered.iter_mut() {
            if taken > 0 && items.len() + more.len() > DELIVERY_ITEMS_MAX {
                break;
            }
            items.append(more);
            taken += 1;
            waiting.push(std::mem::replace(who, oneshot::channel().0));
        }
        self.gathered.drain(..taken);
        self.deliver(items, waiting, ctx);
    }

    fn deliver(&mut self, items: Vec<O::Item>, waiting: Vec<Waiting>, ctx: &mut Context<Self>) {
        self.under_way = true;
        let outlet = Rc::clone(&self.outlet);
        let delivery = async move {
            let result = outlet.deliver(&items).await;
            (items, result)
        };
        ctx.spawn(delivery.into_actor(self).map(move |(items, result), relay, ctx| {
            relay.under_way = false;
            match result {
                Ok(()) => {
                    relay.failures = 0;
                    for who in waiting {
                        // A shard that was restarted no longer waits.
                        let _ = who.send(Ok(()));
                    }
                    relay.pump(ctx);
                }
                Err(SinkError::Transient(error)) => {
                    relay.failures += 1;
                    let delay = RETRY.delay(relay.failures);
                    tracing::warn!(
                        relay = relay.name,
                        error,
                        ?delay,
                        items = items.len(),
                        "not delivered; trying again"
                    );
                    relay.under_way = true;
                    ctx.run_later(delay, move |relay, ctx| relay.deliver(items, waiting, ctx));
                }
                Err(SinkError::Fatal(error)) => {
                    supervise::give_up(format!("{} cannot be delivered: {error}", relay.name));
                }
            }
        }));
    }
}

const RETRY: Backoff =
    Backoff { initial: Duration::from_millis(50), max: Duration::from_secs(5), seed: 0x0e1a };

impl<O: Outlet> Actor for Relay<O> {
    type Context = Context<Self>;
}

impl<O: Outlet> Supervised for Relay<O> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Who waits sees its channel closed, and sends again.
        self.gathered.clear();
        self.under_way = false;
        self.failures = 0;
    }
}

impl<O: Outlet> Handler<Deliver<O::Item>> for Relay<O> {
    type Result = ResponseFuture<Result<(), Undelivered>>;

    fn handle(
        &mut self,
        Deliver(items): Deliver<O::Item>,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let (done, delivered) = oneshot::channel();
        self.gathered.push((items, done));
        self.pump(ctx);
        Box::pin(async move { delivered.await.unwrap_or(Err(Undelivered)) })
    }
}

/// Has items delivered, sending them again if the relay was restarted. Returns
/// false if the relay is gone for good: the node stops.
pub async fn delivered<O: Outlet>(relay: Addr<Relay<O>>, items: Vec<O::Item>) -> bool {
    loop {
        if let Ok(Ok(())) = relay.send(Deliver(items.clone())).await {
            return true;
        }
        if !relay.connected() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
