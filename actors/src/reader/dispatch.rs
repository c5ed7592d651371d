//! From the reader to the shards, and the handing over at the end.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{InFlight, Mode, PartitionReader, Ready};
use crate::event::DecodedBatch;
use crate::relay;
use crate::route;
use crate::shard::{HandOver, Refused, Take, Taken, letter_of_record};

/// Stop reading, make everything durable, write checkpoints; answered with the
/// offset before which everything is durable.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Option<i64>")]
pub struct Leave;

/// What a shard says to a batch, if it answers at all.
type Answer = Result<Result<Taken, Refused>, MailboxError>;

impl PartitionReader {
    /// Sends the batch that is ready to the shards, unless one is on its way.
    pub(super) fn dispatch(&mut self, ctx: &mut Context<Self>) {
        if self.dispatching || self.mode != Mode::Reading {
            return;
        }
        let Some(Ready { batch, held, arrived }) = self.ready.take() else { return };
        let partition = batch.raw.partition.id.number;
        let picks = picks_by_shard(&batch, partition, self.env.key_groups, self.env.shards.len());
        let next_offset = batch.raw.next_offset;
        self.progress.read.store(next_offset, std::sync::atomic::Ordering::Relaxed);
        let letters_place = self.env.shards.len();
        let sent = picks.iter().enumerate().filter(|(_, p)| !p.is_empty()).map(|(shard, _)| shard);
        let to: Vec<usize> =
            sent.chain((!batch.rejects.is_empty()).then_some(letters_place)).collect();
        let from = self.watermark.dispatched_offset();
        self.watermark.dispatched(next_offset, to);
        self.in_flight.push_back(InFlight { next_offset, _held: held });
        self.dead_letter(&batch, from, ctx);
        let reader = ctx.address().recipient();
        let (epoch, epoch_start) = (self.epoch, self.epoch_start);
        let sends: Vec<_> = picks
            .into_iter()
            .enumerate()
            .filter(|(_, picks)| !picks.is_empty())
            .map(|(shard, picks)| {
                let batch = Arc::clone(&batch);
                let reader = reader.clone();
                let take = Take { batch, picks, arrived, epoch, epoch_start, reader };
                (shard, self.env.shards[shard].send(take))
            })
            .collect();
        self.dispatching = true;
        let sending = async move {
            let mut answers = Vec::with_capacity(sends.len());
            for (shard, sent) in sends {
                answers.push((shard, sent.await));
            }
            answers
        };
        ctx.spawn(sending.into_actor(self).map(Self::on_dispatched));
        self.fetch(ctx);
    }

    fn on_dispatched(answers: Vec<(usize, Answer)>, reader: &mut Self, ctx: &mut Context<Self>) {
        reader.dispatching = false;
        let mut refused = None;
        for (shard, answer) in answers {
            match answer {
                Ok(Ok(Taken { durable })) => reader.watermark.durable(shard, durable),
                Ok(Err(Refused(why))) => refused = Some(why),
                Err(error) => refused = Some(format!("shard {shard} failed: {error}")),
            }
        }
        if let Some(why) = refused {
            return reader.begin_rewind(&why, ctx);
        }
        reader.on_watermark(ctx);
        reader.dispatch(ctx);
    }

    /// Sends what is not an event to the dead letters; until they are durable
    /// they hold the watermark like a shard does.
    fn dead_letter(&mut self, batch: &Arc<DecodedBatch>, from: i64, ctx: &mut Context<Self>) {
        if batch.rejects.is_empty() {
            return;
        }
        let letters = batch.rejects.iter().map(|reject| {
            self.env.stats.dead_letters_by(reject.reason).add(1);
            letter_of_record(batch, reject.record, 0, reject.reason, &reject.detail)
        });
        let (relay, epoch) = (self.env.dead_letters.clone(), self.epoch);
        let place = self.env.shards.len();
        self.letters_from.insert(from);
        let delivery = relay::delivered(relay, letters.collect());
        ctx.spawn(delivery.into_actor(self).map(move |delivered, reader, ctx| {
            if delivered && reader.epoch == epoch {
                reader.letters_from.remove(&from);
                let all = reader.watermark.dispatched_offset();
                let durable = reader.letters_from.first().copied().unwrap_or(all);
                reader.watermark.durable(place, durable);
                reader.on_watermark(ctx);
            }
        }));
    }

    /// Hands the partition over, once nothing is on its way to the shards.
    pub(super) fn leave(&mut self, ctx: &mut Context<Self>) {
        if self.dispatching || self.hand_over.is_empty() {
            return;
        }
        let partition = Arc::clone(&self.progress.partition);
        let handed: Vec<_> = self
            .env
            .shards
            .iter()
            .enumerate()
            .map(|(shard, address)| (shard, address.send(HandOver(Arc::clone(&partition)))))
            .collect();
        let waiting = std::mem::take(&mut self.hand_over);
        let handing = async move {
            let mut answers = Vec::with_capacity(handed.len());
            for (shard, sent) in handed {
                answers.push((shard, sent.await));
            }
            answers
        };
        ctx.spawn(handing.into_actor(self).map(move |answers, reader, ctx| {
            for (shard, answer) in answers {
                // No answer: that shard holds the watermark where it is.
                if let Ok(Some(handed)) = answer {
                    reader.watermark.durable(shard, handed.durable);
                }
            }
            reader.on_watermark(ctx);
            let durable = reader.progress.durable();
            for who in waiting {
                // Whoever asked may have run out of patience.
                let _ = who.send(durable);
            }
            ctx.stop();
        }));
    }
}

impl Handler<Leave> for PartitionReader {
    type Result = ResponseFuture<Option<i64>>;

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) -> Self::Result {
        let (done, left) = oneshot::channel();
        self.mode = Mode::Leaving;
        self.ready = None;
        self.hand_over.push(done);
        self.leave(ctx);
        Box::pin(async move { left.await.ok() })
    }
}

/// Stop at once: the partition is another's already.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Abandon;

impl Handler<Abandon> for PartitionReader {
    type Result = ();

    fn handle(&mut self, _: Abandon, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Which events go to which shard: one pass, positions ascending.
fn picks_by_shard(
    batch: &DecodedBatch,
    partition: i32,
    key_groups: u32,
    shards: usize,
) -> Vec<Vec<u32>> {
    let mut picks: Vec<Vec<u32>> =
        (0..shards).map(|_| Vec::with_capacity(batch.events.len() / shards + 16)).collect();
    for (i, event) in batch.events.iter().enumerate() {
        let group = route::key_group(event.series_hash, key_groups);
        picks[route::shard(partition, group, shards)].push(i as u32);
    }
    picks
}
