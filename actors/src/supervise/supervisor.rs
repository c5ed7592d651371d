//! A supervisor: starts its children in order, restarts them by its strategy,
//! gives up when that is too much, and stops them in reverse.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::dev::channel;
use actix::{Actor, Addr, ArbiterHandle, Context, Supervised};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::child::{self, Command, Ended};
use super::policy::RestartLog;
use super::{Backoff, Exit, Intensity, Restart, Strategy};

/// How a supervisor behaves.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// Its name, for logs.
    pub name: String,
    /// Who is restarted when one child ends.
    pub strategy: Strategy,
    /// How many restarts are borne.
    pub intensity: Intensity,
    /// How long it waits before a restart.
    pub backoff: Backoff,
}

/// How one child is supervised.
#[derive(Clone, Debug)]
pub struct ChildSpec {
    /// Its name, for logs and the tree.
    pub name: String,
    /// Which ends are faults.
    pub restart: Restart,
    /// How long it may take to stop.
    pub stop_deadline: Duration,
    /// How many messages its mailbox holds before senders wait.
    pub mailbox: usize,
}

impl ChildSpec {
    /// A permanent child with five seconds to stop and a mailbox of 16.
    pub fn permanent(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            restart: Restart::Permanent,
            stop_deadline: Duration::from_secs(5),
            mailbox: 16,
        }
    }

    /// A transient child, else like [`ChildSpec::permanent`].
    pub fn transient(name: impl Into<String>) -> Self {
        Self { restart: Restart::Transient, ..Self::permanent(name) }
    }
}

struct Child {
    spec: ChildSpec,
    commands: mpsc::UnboundedSender<Command>,
    restarts: usize,
    restart_at: Option<Instant>,
}

enum Request {
    Add { id: u64, child: Child },
    Stop { done: oneshot::Sender<()> },
}

/// A supervisor in the making and at work. Children are added through its
/// [`SupervisorHandle`]; [`Supervisor::run`] watches over them.
pub struct Supervisor {
    config: SupervisorConfig,
    children: BTreeMap<u64, Child>,
    restarts: RestartLog,
    requests: mpsc::UnboundedReceiver<Request>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

/// Adds children to a supervisor and stops it.
#[derive(Clone)]
pub struct SupervisorHandle {
    requests: mpsc::UnboundedSender<Request>,
    ended: mpsc::UnboundedSender<Ended>,
    next_id: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl SupervisorHandle {
    /// Starts an actor on an arbiter, as the last child. Its address works at
    /// once and outlives its restarts.
    pub fn start<A, F>(&self, arbiter: &ArbiterHandle, spec: ChildSpec, make: F) -> Addr<A>
    where
        A: Actor<Context = Context<A>> + Supervised,
        F: FnOnce(&mut Context<A>) -> A + Send + 'static,
    {
        let (sender, receiver) = channel::channel::<A>(spec.mailbox);
        let (commands, inbox) = mpsc::unbounded_channel();
        let ended = self.ended.clone();
        let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Known to the supervisor before it can end.
        let child = Child { spec, commands, restarts: 0, restart_at: None };
        if self.requests.send(Request::Add { id, child }).is_ok() {
            arbiter.spawn_fn(move || {
                let mut context = Context::with_receiver(receiver);
                let actor = make(&mut context);
                actix::spawn(child::run(id, context.into_future(actor), inbox, ended));
            });
        }
        Addr::new(sender)
    }

    /// Stops all children in reverse order, each within its deadline, and the
    /// supervisor with them.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.requests.send(Request::Stop { done }).is_ok() {
            // An error means that it had given up already.
            let _ = stopped.await;
        }
    }
}

impl Supervisor {
    /// A supervisor without children.
    pub fn new(config: SupervisorConfig) -> (Self, SupervisorHandle) {
        let (requests, requests_inbox) = mpsc::unbounded_channel();
        let (ended, ended_inbox) = mpsc::unbounded_channel();
        let supervisor = Self {
            restarts: RestartLog::new(config.intensity),
            config,
            children: BTreeMap::new(),
            requests: requests_inbox,
            ended: ended_inbox,
        };
        (supervisor, SupervisorHandle { requests, ended, next_id: Default::default() })
    }

    /// Watches over the children until it is stopped (`Exit::Shutdown`) or gives
    /// up (`Exit::Failed`: too many restarts, or a child to which none helps),
    /// having stopped all of them.
    pub async fn run(mut self) -> Exit {
        loop {
            let due = self.children.values().filter_map(|c| c.restart_at).min();
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => match request {
                    Request::Add { id, child } => {
                        self.children.insert(id, child);
                    }
                    Request::Stop { done } => {
                        self.stop_children().await;
                        let _ = done.send(());
                        return Exit::Shutdown;
                    }
                },
                Some(ended) = self.ended.recv() => {
                    if let Err(exit) = self.on_ended(ended) {
                        self.stop_children().await;
                        return exit;
                    }
                }
                () = sleep_until(due), if due.is_some() => self.restart_due(),
            }
        }
    }

    fn on_ended(&mut self, Ended { child: id, exit }: Ended) -> Result<(), Exit> {
        let Some(child) = self.children.get(&id) else { return Ok(()) };
        let name = child.spec.name.clone();
        if let Exit::GaveUp(why) = exit {
            tracing::error!(supervisor = self.config.name, child = name, why, "no restart helps");
            return Err(Exit::Failed(why));
        }
        if !child.spec.restart.wanted(&exit) {
            self.children.remove(&id);
            return Ok(());
        }
        tracing::error!(supervisor = self.config.name, child = name, %exit, "an actor ended");
        let now = Instant::now();
        if !self.restarts.bear(now) {
            return Err(Exit::Failed(format!(
                "{}: {name} {exit}; {} restarts within {:?} are too many",
                self.config.name,
                self.restarts.count() - 1,
                self.config.intensity.within,
            )));
        }
        let delay = self.config.backoff.delay(self.restarts.count());
        let ids: Vec<u64> = self.children.keys().copied().collect();
        let ended = ids.iter().position(|i| *i == id).unwrap_or_default();
        for affected in &ids[self.config.strategy.affected(ended, ids.len())] {
            if let Some(child) = self.children.get_mut(affected) {
                child.restart_at = Some(now + delay);
            }
        }
        Ok(())
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        for child in self.children.values_mut() {
            if child.restart_at.is_some_and(|at| at <= now) {
                child.restart_at = None;
                child.restarts += 1;
                tracing::info!(child = child.spec.name, restarts = child.restarts, "restarting");
                // If the child is gone its end is on its way here.
                let _ = child.commands.send(Command::Restart);
            }
        }
    }

    async fn stop_children(&mut self) {
        self.restarts.clear();
        while let Some((id, child)) = self.children.pop_last() {
            let deadline = child.spec.stop_deadline;
            if child.commands.send(Command::Stop { deadline }).is_err() {
                continue;
            }
            let gone = async {
                while let Some(ended) = self.ended.recv().await {
                    if ended.child == id && ended.exit == Exit::Shutdown {
                        break;
                    }
                }
            };
            // The child keeps to its deadline itself, unless its thread hangs.
            let patience = deadline + Duration::from_secs(1);
            if tokio::time::timeout(patience, gone).await.is_err() {
                tracing::error!(child = child.spec.name, "an actor hangs and is left behind");
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
