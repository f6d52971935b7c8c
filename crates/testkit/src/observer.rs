//! Shards that say what they were asked, and that are away when a test wants it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use storage::{Error, Result, Shards};
use types::{AccountId, ShardId};

use crate::{Call, Meddled, Meddler};

/// What shards were asked.
#[derive(Default)]
pub struct Observer(Mutex<State>);

#[derive(Default)]
struct State {
    seen: Seen,
    fails: Option<(ShardId, fn() -> Error)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Reads, writes and pings.
    pub calls: usize,
    /// Whose data was looked for.
    pub accounts: BTreeSet<AccountId>,
}

impl Observer {
    /// Shards before which it stands.
    pub fn before(self: &Arc<Self>, inner: Arc<dyn Shards>) -> Arc<dyn Shards> {
        Arc::new(Meddled(Observed { inner, observer: Arc::clone(self) }))
    }

    /// What was seen since this was last asked.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.state().seen)
    }

    /// Has this shard not answer.
    pub fn set_away(&self, shard: Option<ShardId>) {
        self.state().fails = shard.map(|shard| (shard, (|| Error::Unavailable("away".into())) as _));
    }

    /// Has nothing be read from this shard.
    pub fn set_damaged(&self, shard: Option<ShardId>) {
        self.state().fails = shard.map(|shard| (shard, (|| Error::Corrupt("all of it".to_owned())) as _));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Observed {
    inner: Arc<dyn Shards>,
    observer: Arc<Observer>,
}

#[async_trait]
impl Meddler for Observed {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, _: Call, shard: ShardId) -> Result<ShardId> {
        let mut state = self.observer.state();
        state.seen.calls += 1;
        match state.fails {
            Some((failing, error)) if failing == shard => Err(error()),
            _ => Ok(shard),
        }
    }

    fn home(&self, account: AccountId) -> ShardId {
        self.observer.state().seen.accounts.insert(account);
        self.inner.shard_of(account)
    }
}
