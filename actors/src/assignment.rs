//! The node's membership in the consumer group: an actor that starts a reader
//! for each partition given to it, commits what is durable, and hands over what
//! is taken away.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::pool::{self, Answer, Pool, Request};
use crate::position::{PartitionId, TopicId, TopicPartition};
use crate::reader::{Abandon, Leave, PartitionProgress, PartitionReader, ReaderEnv};
use crate::registry::Registry;
use crate::shard::Forget;
use crate::source::{Assigned, Assignment, Source, SourceError};
use crate::store::Layout;
use crate::supervise::{self, ChildSpec, SupervisorHandle};

/// What the member works with.
pub struct MemberEnv {
    /// The way to the store, for the layouts.
    pub pool: Addr<Pool>,
    /// The job's layout.
    pub layout: Layout,
    /// How often what is durable is committed.
    pub commit_interval: Duration,
    /// How long a hand-over may take before the partition is let go as it is.
    pub drain_deadline: Duration,
    /// What readers work with.
    pub reader: ReaderEnv,
    /// Who watches over the readers.
    pub readers: SupervisorHandle,
    /// The threads that readers run on, in turn.
    pub arbiters: Vec<ArbiterHandle>,
    /// Where the partitions are shown.
    pub registry: Arc<Registry>,
}

struct Reading {
    address: Addr<PartitionReader>,
    progress: Arc<PartitionProgress>,
    committed: i64,
}

/// The actor.
pub struct Member {
    env: MemberEnv,
    source: Rc<dyn Source>,
    readers: BTreeMap<PartitionId, Reading>,
    assignments: u64,
    committing: bool,
}

/// Hand everything over, commit, and leave the group; answered with whether all
/// that was read is durable and committed.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "bool")]
pub struct LeaveGroup;

impl Member {
    /// A member that reads from `source`.
    pub fn new(env: MemberEnv, source: Box<dyn Source>) -> Self {
        Self {
            env,
            source: Rc::from(source),
            readers: BTreeMap::new(),
            assignments: 0,
            committing: false,
        }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let source = Rc::clone(&self.source);
        let next = async move { source.assignment().await };
        ctx.spawn(next.into_actor(self).map(|assignment, member, ctx| match assignment {
            Ok(Some(assignment)) => member.on_assignment(assignment, ctx),
            Ok(None) => tracing::debug!("the source is closed"),
            Err(SourceError::Transient(error)) => {
                tracing::warn!(error, "the group cannot be heard; trying again");
                ctx.run_later(LISTEN_AGAIN, Self::listen);
            }
            // Started again it would hear the same.
            Err(error) => supervise::give_up(error.to_string()),
        }));
    }

    fn on_assignment(&mut self, assignment: Assignment, ctx: &mut Context<Self>) {
        match assignment {
            Assignment::Assigned(assigned) => {
                let topics: Vec<_> = assigned.iter().map(|a| Arc::clone(&a.partition)).collect();
                let check = check_layouts(self.env.pool.clone(), topics, self.env.layout);
                ctx.spawn(check.into_actor(self).map(move |checked, member, ctx| {
                    if let Err(error) = checked {
                        // What was assigned is lost with a restart.
                        supervise::give_up(error);
                    }
                    for assigned in assigned {
                        member.start_reader(assigned);
                    }
                    member.env.registry.note_assignment();
                    member.listen(ctx);
                }));
            }
            Assignment::Revoked { partitions, done } => {
                let ids: Vec<PartitionId> = partitions.iter().map(|p| p.id).collect();
                self.hand_over(ids, ctx, move |member, _, ctx| {
                    // The source may have stopped waiting.
                    let _ = done.send(());
                    member.listen(ctx);
                });
            }
            Assignment::Lost(partitions) => {
                for partition in partitions {
                    tracing::warn!(%partition, "lost: the group has given it to another member");
                    self.let_go(partition.id);
                }
                self.listen(ctx);
            }
        }
    }

    fn start_reader(&mut self, Assigned { partition, start_offset, reader: source }: Assigned) {
        tracing::info!(%partition, start_offset, "assigned");
        self.assignments += 1;
        // The low half counts rewinds.
        let epoch = self.assignments << 32;
        let id = partition.id;
        let progress = Arc::new(PartitionProgress::new(Arc::clone(&partition), start_offset));
        let arbiter = &self.env.arbiters[self.assignments as usize % self.env.arbiters.len()];
        let (env, shown) = (self.env.reader.clone(), Arc::clone(&progress));
        let address = self.env.readers.start(
            arbiter,
            ChildSpec::transient(format!("reader {partition}")),
            move |_| PartitionReader::new(env, shown, source, epoch),
        );
        self.env.registry.add(Arc::clone(&progress));
        self.readers.insert(id, Reading { address, progress, committed: start_offset });
    }

    /// Has the readers make everything durable, within the deadline, and
    /// commits that; then lets the partitions go and goes on with `then`, which
    /// is told whether all that was read is durable and committed.
    fn hand_over(
        &mut self,
        partitions: Vec<PartitionId>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, bool, &mut Context<Self>) + 'static,
    ) {
        let readers: Vec<_> = partitions.iter().filter_map(|id| self.readers.get(id)).collect();
        let leaving: Vec<_> = readers.iter().map(|r| r.address.send(Leave)).collect();
        let progress: Vec<_> = readers.iter().map(|r| Arc::clone(&r.progress)).collect();
        let deadline = self.env.drain_deadline;
        let source = Rc::clone(&self.source);
        let handing = async move {
            let all = async {
                for left in leaving {
                    // A reader that has failed leaves its watermark where it is.
                    let _ = left.await;
                }
            };
            if tokio::time::timeout(deadline, all).await.is_err() {
                tracing::warn!(
                    ?deadline,
                    "not handed over in time; what is not durable will be read again"
                );
            }
            let offsets: Vec<_> =
                progress.iter().map(|p| (Arc::clone(&p.partition), p.durable())).collect();
            let all_durable = progress.iter().zip(&offsets).all(|(p, (_, to))| *to >= p.read());
            let commit = commit_at_last(&*source, &offsets);
            let committed = tokio::time::timeout(LAST_COMMIT, commit).await == Ok(true);
            if !committed {
                tracing::warn!("the last commit failed; the next owner reads some again");
            }
            all_durable && committed
        };
        ctx.spawn(handing.into_actor(self).map(move |complete, member, ctx| {
            for id in partitions {
                member.let_go(id);
            }
            then(member, complete, ctx);
        }));
    }

    fn let_go(&mut self, partition: PartitionId) {
        if let Some(reading) = self.readers.remove(&partition) {
            reading.address.do_send(Abandon);
        }
        self.env.registry.remove(partition);
        for shard in self.env.reader.shards.iter() {
            shard.do_send(Forget(partition));
        }
    }

    /// Commits what has become durable.
    fn commit(&mut self, ctx: &mut Context<Self>) {
        let offsets: Vec<(Arc<TopicPartition>, i64)> = self
            .readers
            .values()
            .map(|r| (Arc::clone(&r.progress.partition), r.progress.durable(), r.committed))
            .filter(|(_, durable, committed)| durable > committed)
            .map(|(partition, durable, _)| (partition, durable))
            .collect();
        if self.committing || offsets.is_empty() {
            return;
        }
        self.committing = true;
        let source = Rc::clone(&self.source);
        let commit = async move {
            let committed = source.commit(&offsets).await;
            (offsets, committed)
        };
        ctx.spawn(commit.into_actor(self).map(|(offsets, committed), member, _| {
            member.committing = false;
            match committed {
                Ok(()) => {
                    for (partition, offset) in offsets {
                        if let Some(reading) = member.readers.get_mut(&partition.id) {
                            reading.committed = reading.committed.max(offset);
                        }
                    }
                }
                Err(SourceError::Fatal(error)) => supervise::give_up(error),
                Err(error) => tracing::warn!(%error, "not committed; trying again"),
            }
        }));
    }
}

const LISTEN_AGAIN: Duration = Duration::from_millis(500);
/// How long the last commit of a partition is tried.
const LAST_COMMIT: Duration = Duration::from_secs(3);
const COMMIT_AGAIN: Duration = Duration::from_millis(100);

/// Commits, trying again while that may help; whether it was done.
async fn commit_at_last(source: &dyn Source, offsets: &[(Arc<TopicPartition>, i64)]) -> bool {
    while let Err(error) = source.commit(offsets).await {
        tracing::warn!(%error, "the last commit");
        if !matches!(error, SourceError::Transient(_)) {
            return false;
        }
        tokio::time::sleep(COMMIT_AGAIN).await;
    }
    true
}

async fn check_layouts(
    pool: Addr<Pool>,
    partitions: Vec<Arc<TopicPartition>>,
    wanted: Layout,
) -> Result<(), String> {
    let topics: BTreeMap<TopicId, Arc<str>> =
        partitions.into_iter().map(|p| (p.id.topic, Arc::clone(&p.topic))).collect();
    for (topic, name) in topics {
        let answer = pool::durably(pool.clone(), Request::Layout { topic, wanted }).await;
        match answer {
            Ok(Answer::Layout(recorded)) if recorded == wanted => {}
            Ok(Answer::Layout(recorded)) => {
                return Err(format!(
                    "topic {name:?} was laid out for this job with {recorded:?}, the configuration \
                     says {wanted:?}; set [layout] back, or start a new job"
                ));
            }
            Ok(_) => unreachable!("the pool answers what it is asked"),
            Err(error) => return Err(format!("the layout of topic {name:?}: {error}")),
        }
    }
    Ok(())
}

impl Actor for Member {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.listen(ctx);
        ctx.run_interval(self.env.commit_interval, Self::commit);
    }
}

impl Supervised for Member {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.committing = false;
    }
}

impl Handler<LeaveGroup> for Member {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: LeaveGroup, ctx: &mut Self::Context) -> Self::Result {
        let (done, left) = oneshot::channel::<bool>();
        let partitions: Vec<PartitionId> = self.readers.keys().copied().collect();
        self.hand_over(partitions, ctx, |member, complete, ctx| {
            let source = Rc::clone(&member.source);
            let close = async move { source.close().await };
            ctx.spawn(close.into_actor(member).map(move |(), _, _| {
                // Whoever asked may have run out of patience.
                let _ = done.send(complete);
            }));
        });
        Box::pin(async move { left.await.unwrap_or(false) })
    }
}
