//! Shards with which a test meddles: calls wait, fail, are counted, or go elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use storage::{Committed, ErasedUnit, Result, Shards, Snapshot};
use types::{AccountId, ShardId};

/// What a shard is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Snapshot,
    Latest,
    Write,
    Ping,
}

/// What becomes of the calls; what is not said here is as it always is.
#[async_trait]
pub trait Meddler: Send + Sync + 'static {
    /// Where calls go to.
    fn inner(&self) -> &dyn Shards;

    /// Before a call: which shard it is made to, or why it fails.
    async fn before(&self, call: Call, shard: ShardId) -> Result<ShardId> {
        let _ = call;
        Ok(shard)
    }

    /// After a write that was made: why it is not answered.
    fn after_write(&self, shard: ShardId) -> Result<()> {
        let _ = shard;
        Ok(())
    }

    /// Where the account is said to live.
    fn home(&self, account: AccountId) -> ShardId {
        self.inner().shard_of(account)
    }

    /// The bucket map was looked at.
    fn refreshed(&self) {}
}

/// The shards as the meddler has them.
pub struct Meddled<M>(pub M);

#[async_trait]
impl<M: Meddler> Shards for Meddled<M> {
    fn all(&self) -> Vec<ShardId> {
        self.0.inner().all()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        self.0.home(account)
    }

    async fn snapshot(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        let shard = self.0.before(Call::Snapshot, shard).await?;
        self.0.inner().snapshot(shard).await
    }

    async fn latest(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        let shard = self.0.before(Call::Latest, shard).await?;
        self.0.inner().latest(shard).await
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        let shard = self.0.before(Call::Write, shard).await?;
        let answer = self.0.inner().execute(shard, unit).await;
        self.0.after_write(shard)?;
        answer
    }

    async fn refresh(&self) -> Result<()> {
        self.0.inner().refresh().await?;
        self.0.refreshed();
        Ok(())
    }

    fn name(&self, shard: ShardId) -> String {
        self.0.inner().name(shard)
    }

    async fn ping(&self, shard: ShardId) -> Result<()> {
        let shard = self.0.before(Call::Ping, shard).await?;
        self.0.inner().ping(shard).await
    }
}
