//! The node's bound on memory for events on their way: taken when a batch is
//! read, given back when it is durable. A full budget stops the reading, and
//! Kafka holds what is not read.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in units of this many, so that the count fits a semaphore.
const UNIT_BYTES: usize = 1024;

/// A number of bytes shared by all partitions of the node. First come, first
/// served.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    bytes_max: usize,
}

/// Bytes held of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        let units = (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), bytes_max: units * UNIT_BYTES }
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget
    /// takes the whole.
    pub async fn take(&self, bytes: usize) -> Held {
        let units = Self::units(bytes.min(self.bytes_max));
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        Held(permit.expect("the semaphore of a budget is never closed"))
    }

    /// How many bytes are held now.
    pub fn held_bytes(&self) -> usize {
        self.bytes_max - self.units.available_permits() * UNIT_BYTES
    }

    /// How many bytes there are in all.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn units(bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1)
    }
}

impl Held {
    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let keep = Budget::units(bytes) as usize;
        if let Some(surplus) = self.0.num_permits().checked_sub(keep).filter(|n| *n > 0) {
            drop(self.0.split(surplus));
        }
    }

    /// How many bytes are held.
    pub fn bytes(&self) -> usize {
        self.0.num_permits() * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_budget_waits_until_something_is_given_back() {
        let budget = Budget::new(10 * 1024);
        let mut first = budget.take(8 * 1024).await;
        let second = budget.take(4 * 1024);
        tokio::pin!(second);
        assert!(futures_poll(second.as_mut()).is_none(), "only 2 KiB are free");
        first.shrink_to(6 * 1024);
        assert_eq!(futures_poll(second.as_mut()).map(|h| h.bytes()), Some(4 * 1024));
    }

    #[tokio::test]
    async fn one_that_is_larger_than_the_budget_takes_it_whole_instead_of_waiting_for_ever() {
        let budget = Budget::new(4 * 1024);
        assert_eq!(budget.take(1 << 30).await.bytes(), 4 * 1024);
        assert_eq!(budget.held_bytes(), 0);
    }

    fn futures_poll<F: Future>(fut: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match fut.poll(&mut cx) {
            std::task::Poll::Ready(out) => Some(out),
            std::task::Poll::Pending => None,
        }
    }
}
