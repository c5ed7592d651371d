//! Handing a partition over: everything durable, checkpoints written, groups
//! dropped, so that the next owner begins where this one ended.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::Shard;
use super::message::{HandOver, Handed};
use super::partition::{Leaving, Slot};
use crate::position::{GroupId, PartitionId};

impl Handler<HandOver> for Shard {
    type Result = ResponseFuture<Option<Handed>>;

    fn handle(&mut self, HandOver(partition): HandOver, ctx: &mut Self::Context) -> Self::Result {
        let (reply, handed) = oneshot::channel();
        let Some(share) = self.shares.get_mut(&partition.id) else {
            // It was never sent anything of it.
            return Box::pin(async { None });
        };
        share.leaving = Some(Leaving { reply, checkpointed: false });
        self.go_on_leaving(partition.id, ctx);
        Box::pin(async move { handed.await.ok() })
    }
}

impl Shard {
    /// Takes the next step of a hand-over, if one is under way: waits until all
    /// is durable, then writes the checkpoints, then lets go.
    pub(super) fn go_on_leaving(&mut self, partition: PartitionId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        let Some(leaving) = &share.leaving else { return };
        if !leaving.checkpointed {
            for group in share.groups.iter_mut().filter_map(Slot::group_mut) {
                group.open.seal();
            }
            self.send_sealed(partition, ctx);
            if !self.shares.get(&partition).is_some_and(|share| share.is_settled()) {
                return;
            }
            self.checkpoint_all(partition, ctx);
            // Nothing is under way, so these are written at once.
            self.put_ready_checkpoints(partition, ctx);
        }
        let Some(share) = self.shares.get_mut(&partition) else { return };
        if !share.is_settled() {
            return;
        }
        let handed = Handed { durable: share.durable() };
        if let Some(leaving) = self.shares.remove(&partition).and_then(|share| share.leaving) {
            // A reader that is gone needs no answer.
            let _ = leaving.reply.send(handed);
        }
    }

    fn checkpoint_all(&mut self, partition: PartitionId, ctx: &mut Context<Self>) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        if let Some(leaving) = &mut share.leaving {
            leaving.checkpointed = true;
        }
        let dirty = share.groups.iter().enumerate().filter_map(|(number, slot)| match slot {
            Slot::Warm(group) if group.events_since_checkpoint > 0 => Some(number as u32),
            _ => None,
        });
        for group in dirty.collect::<Vec<_>>() {
            self.take_checkpoint(GroupId { partition, group }, ctx);
        }
    }
}
