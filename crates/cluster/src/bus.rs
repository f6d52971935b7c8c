//! The event bus: hints, sent after a commit, that somebody's data changed.
//!
//! A hint's content is never trusted: whoever gets one reads the change log from the modseq they have, and also
//! polls slowly, because hints may be lost. So nothing here waits, fails or queues without bound.

use std::{any::Any, collections::HashMap, future::pending};

use async_trait::async_trait;
use storage::Committed;
use tokio::sync::{broadcast, watch};
use types::{AccountId, ModSeq, ShardId};

/// Tells nodes and sessions that something changed.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Tells everybody who listens. Never waits, never fails; may get lost.
    fn publish(&self, committed: &Committed);

    /// Returns once what was published is on its way to other processes, or after a moment if it cannot be: for whoever
    /// ends soon.
    async fn sent(&self);

    /// Hints for one account; cheap to hold by the ten thousands.
    fn subscribe(&self, account: AccountId) -> Subscription;

    /// Hints for every account; for what follows them all, such as the indexer.
    fn subscribe_all(&self) -> Feed;

    /// Shards whose queue got work; for the queue's workers.
    fn queue_wakeups(&self) -> Wakeups;
}

/// What a subscriber of one account hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The account changed, at least up to here.
    ChangedTo(ModSeq),
    /// Hints were lost: look at the change log.
    Lagged,
}

/// What a subscriber of all accounts hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedHint {
    /// The account changed, at least up to here.
    Changed { shard: ShardId, account: AccountId, modseq: ModSeq },
    /// Hints were lost: ask every shard what changed.
    Lagged,
}

/// Hints for one account. Changes that come faster than they are read become one hint.
#[derive(Debug)]
pub struct Subscription {
    receiver: watch::Receiver<Hint>,
    /// Dropped after `receiver`, so that it finds it gone.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// A subscription to what the sender is given from now on; for adapters. The guard is kept as long.
    #[must_use]
    pub fn new(receiver: watch::Receiver<Hint>, guard: Box<dyn Any + Send + Sync>) -> Self {
        Self { receiver, _guard: guard }
    }

    /// The next hint. Waits for ever if the bus is gone. Cancel safe.
    pub async fn next(&mut self) -> Hint {
        match self.receiver.changed().await {
            Ok(()) => *self.receiver.borrow_and_update(),
            Err(_) => pending().await,
        }
    }
}

/// Hints for every account, kept up to a bound for a slow reader.
#[derive(Debug)]
pub struct Feed {
    receiver: broadcast::Receiver<FeedHint>,
}

impl Feed {
    /// A feed of what the sender is given from now on; for adapters.
    #[must_use]
    pub const fn new(receiver: broadcast::Receiver<FeedHint>) -> Self {
        Self { receiver }
    }

    /// The next hint. Waits for ever if the bus is gone. Cancel safe.
    pub async fn next(&mut self) -> FeedHint {
        match self.receiver.recv().await {
            Ok(hint) => hint,
            Err(broadcast::error::RecvError::Lagged(_)) => FeedHint::Lagged,
            Err(broadcast::error::RecvError::Closed) => pending().await,
        }
    }

    /// The next hint if it is there already; for emptying the feed into a batch.
    pub fn ready(&mut self) -> Option<FeedHint> {
        match self.receiver.try_recv() {
            Ok(hint) => Some(hint),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(FeedHint::Lagged),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

/// How often each shard's queue got work.
pub type QueueCounts = HashMap<ShardId, u64>;

/// Shards whose queue got work. Several wake-ups of a shard that come faster than they are read become one.
#[derive(Debug)]
pub struct Wakeups {
    receiver: watch::Receiver<QueueCounts>,
    seen: QueueCounts,
}

impl Wakeups {
    /// Wake-ups by what these counters gain from now on; for adapters.
    #[must_use]
    pub fn new(mut receiver: watch::Receiver<QueueCounts>) -> Self {
        let seen = receiver.borrow_and_update().clone();
        Self { receiver, seen }
    }

    /// The next shard to look at. Waits for ever if the bus is gone. Cancel safe.
    pub async fn next(&mut self) -> ShardId {
        loop {
            let news = {
                let counts = self.receiver.borrow_and_update();
                counts
                    .iter()
                    .find(|(shard, count)| self.seen.get(shard) != Some(count))
                    .map(|(shard, count)| (*shard, *count))
            };
            if let Some((shard, count)) = news {
                self.seen.insert(shard, count);
                return shard;
            }
            if self.receiver.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}
