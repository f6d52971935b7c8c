//! How much goes on at once, in all and to each destination.
//!
//! Whoever has to wait waits for the destination first and for the common room last, so that a slow destination holds
//! its own lanes and nobody else's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::WorkerConfig;

pub(super) struct Limits {
    running: Arc<Semaphore>,
    memory_kib: Arc<Semaphore>,
    memory_limit_kib: u32,
    per_domain: usize,
    /// How many may wait for one destination, or be on their way there.
    share: usize,
    destinations: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The right to deliver to a destination; it ends when dropped.
pub(super) struct Place {
    _lane: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

/// So much is on its way to the destination that no more should wait for it here.
pub(super) struct Crowded;

impl Limits {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        let memory_limit_kib = u32::try_from(config.memory_bytes / 1024).unwrap_or(u32::MAX).max(1);
        Self {
            running: Arc::new(Semaphore::new(config.concurrency.max(1))),
            memory_kib: Arc::new(Semaphore::new(usize::try_from(memory_limit_kib).unwrap_or(1))),
            memory_limit_kib,
            per_domain: config.per_domain.max(1),
            share: (config.in_hand / 4).max(config.per_domain).max(1),
            destinations: Mutex::default(),
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, destination: &str) -> Result<Place, Crowded> {
        let lanes = self.lanes(destination);
        // Everybody who waits or delivers holds the destination's semaphore.
        if Arc::strong_count(&lanes) > self.share {
            return Err(Crowded);
        }
        let lane = lanes.acquire_owned().await.map_err(|_| Crowded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Crowded)?;
        Ok(Place { _lane: lane, _running: running })
    }

    /// Waits until there is memory for so many bytes, or for as many as there is at all.
    pub(super) async fn memory(&self, size_bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(size_bytes / 1024 + 1).unwrap_or(u32::MAX).min(self.memory_limit_kib);
        Arc::clone(&self.memory_kib).acquire_many_owned(kib).await.ok()
    }

    fn lanes(&self, destination: &str) -> Arc<Semaphore> {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = destinations.get(destination).and_then(Weak::upgrade) {
            return lanes;
        }
        destinations.retain(|_, lanes| lanes.strong_count() > 0);
        let lanes = Arc::new(Semaphore::new(self.per_domain));
        destinations.insert(destination.to_owned(), Arc::downgrade(&lanes));
        lanes
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_slow_destination_holds_its_own_lanes_only() {
        let config = WorkerConfig { in_hand: 12, concurrency: 4, per_domain: 2, ..WorkerConfig::default() };
        let limits = Limits::new(&config);
        let _first = limits.enter("slow.test").await.ok().unwrap();
        let second = limits.enter("slow.test").await.ok().unwrap();
        let mut waiting = Box::pin(limits.enter("slow.test"));
        assert!(waiting.as_mut().now_or_never().is_none(), "both lanes are taken");
        assert!(matches!(limits.enter("slow.test").now_or_never(), Some(Err(Crowded))), "three is its share");
        assert!(matches!(limits.enter("other.test").now_or_never(), Some(Ok(_))));
        drop(second);
        assert!(matches!(waiting.now_or_never(), Some(Ok(_))));
    }

    #[tokio::test]
    async fn a_mail_larger_than_the_memory_goes_alone() {
        let limits = Limits::new(&WorkerConfig { memory_bytes: 10 << 10, ..WorkerConfig::default() });
        let small = limits.memory(100).await.unwrap();
        assert!(limits.memory(1 << 30).now_or_never().is_none());
        drop(small);
        assert!(limits.memory(1 << 30).now_or_never().flatten().is_some());
    }
}
