//! Shards whose writes can be held up, each where it is wanted.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storage::{Committed, ErasedUnit, Shards, Snapshot};
use tokio::sync::watch;
use types::{AccountId, ShardId};

/// Holds up one write.
pub(crate) struct Gate(watch::Sender<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// So many writes to this shard are let through first.
    Armed(ShardId, u32),
    /// Somebody waits.
    Held,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(State::Open)))
    }

    /// Has the write to this shard wait that comes after so many others.
    pub(crate) fn close(&self, shard: ShardId, after: u32) {
        self.0.send_replace(State::Armed(shard, after));
    }

    /// Waits until a write waits.
    pub(crate) async fn reached(&self) {
        self.0.subscribe().wait_for(|state| *state == State::Held).await.unwrap();
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(State::Open);
    }

    async fn pass(&self, shard: ShardId) {
        let held = Mutex::new(false);
        self.0.send_modify(|state| match *state {
            State::Armed(closed, 0) if closed == shard => {
                *state = State::Held;
                *held.lock().unwrap() = true;
            }
            State::Armed(closed, left) if closed == shard => *state = State::Armed(closed, left - 1),
            State::Open | State::Armed(..) | State::Held => {}
        });
        if held.into_inner().unwrap() {
            self.0.subscribe().wait_for(|state| *state == State::Open).await.unwrap();
        }
    }
}

/// Shards with a gate before their writers.
pub(crate) struct Gated {
    pub(crate) inner: Arc<dyn Shards>,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Shards for Gated {
    fn all(&self) -> Vec<ShardId> {
        self.inner.all()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        self.inner.shard_of(account)
    }

    async fn snapshot(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        self.inner.snapshot(shard).await
    }

    async fn latest(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        self.inner.latest(shard).await
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> storage::Result<Committed> {
        self.gate.pass(shard).await;
        self.inner.execute(shard, unit).await
    }

    async fn ping(&self, shard: ShardId) -> storage::Result<()> {
        self.inner.ping(shard).await
    }
}
