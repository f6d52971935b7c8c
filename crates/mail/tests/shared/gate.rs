//! Shards whose writes can be held up, each where it is wanted.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storage::Shards;
use testkit::{Call, Meddler};
use tokio::sync::watch;
use types::ShardId;

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
impl Meddler for Gated {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        if call == Call::Write {
            self.gate.pass(shard).await;
        }
        Ok(shard)
    }
}
