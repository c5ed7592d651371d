//! How far a partition is durable: what may be committed.

/// Tracks, for one partition, what each shard was sent and how much of it is
/// durable. Pure: it knows offsets only.
#[derive(Debug)]
pub struct Watermark {
    shards: Vec<ShardProgress>,
    /// Everything before it was sent to the shards.
    dispatched: i64,
}

#[derive(Clone, Copy, Debug)]
struct ShardProgress {
    /// The end of the last batch that had something for this shard.
    sent: i64,
    /// Everything before it that this shard was sent is durable.
    durable: i64,
}

impl Watermark {
    /// A partition that begins to be read at `start`.
    pub fn new(shards: usize, start: i64) -> Self {
        Self {
            shards: vec![ShardProgress { sent: start, durable: start }; shards],
            dispatched: start,
        }
    }

    /// A batch that ends before `next_offset` goes to these shards.
    pub fn dispatched(&mut self, next_offset: i64, to: impl IntoIterator<Item = usize>) {
        assert!(next_offset >= self.dispatched, "batches are dispatched in the order of the log");
        let before = std::mem::replace(&mut self.dispatched, next_offset);
        for shard in to {
            let progress = &mut self.shards[shard];
            if progress.durable >= progress.sent {
                // It was idle: it holds nothing from before this batch.
                progress.durable = progress.durable.max(before);
            }
            progress.sent = next_offset;
        }
    }

    /// A shard says that everything it was sent before `offset` is durable.
    pub fn durable(&mut self, shard: usize, offset: i64) {
        let progress = &mut self.shards[shard];
        progress.durable = progress.durable.max(offset);
    }

    /// Everything before this offset is durable.
    pub fn offset(&self) -> i64 {
        let waiting = self.shards.iter().filter(|s| s.durable < s.sent).map(|s| s.durable);
        waiting.min().map_or(self.dispatched, |durable| durable.min(self.dispatched))
    }

    /// Where the next batch begins.
    pub fn dispatched_offset(&self) -> i64 {
        self.dispatched
    }

    /// Goes back to [`Watermark::offset`], which it returns: what was sent
    /// beyond it will be sent again.
    pub fn rewind(&mut self) -> i64 {
        let to = self.offset();
        *self = Self::new(self.shards.len(), to);
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_shard_with_something_to_do_holds_the_watermark() {
        let mut w = Watermark::new(3, 100);
        w.dispatched(200, [0, 1]);
        assert_eq!(w.offset(), 100);
        w.durable(0, 200);
        assert_eq!(w.offset(), 100);
        w.durable(1, 150);
        assert_eq!(w.offset(), 150);
        w.durable(1, 200);
        assert_eq!(w.offset(), 200, "shard 2 was sent nothing and holds nothing up");
    }

    #[test]
    fn a_batch_without_events_moves_the_watermark_by_itself() {
        let mut w = Watermark::new(2, 0);
        w.dispatched(50, []);
        assert_eq!(w.offset(), 50);
    }

    #[test]
    fn a_shard_that_was_idle_does_not_let_a_new_batch_through() {
        let mut w = Watermark::new(2, 0);
        w.dispatched(50, [0]);
        w.durable(0, 50);
        w.dispatched(90, [1]);
        assert_eq!(w.offset(), 50, "shard 1 has said nothing of the new batch yet");
        w.durable(1, 90);
        assert_eq!(w.offset(), 90);
    }

    #[test]
    fn a_rewind_goes_back_to_what_is_durable_and_never_before() {
        let mut w = Watermark::new(2, 0);
        w.dispatched(50, [0, 1]);
        w.durable(0, 50);
        w.durable(1, 30);
        w.dispatched(80, [0]);
        assert_eq!(w.rewind(), 30);
        assert_eq!(w.offset(), 30);
        assert_eq!(w.dispatched_offset(), 30);
        w.durable(0, 20);
        assert_eq!(w.offset(), 30);
    }
}
