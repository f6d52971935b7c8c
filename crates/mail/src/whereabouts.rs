//! Reading from accounts that may have moved a moment ago.
//!
//! A node hears of a move within a second. Until then it reads from the old shard, where the rows are kept for a while as
//! they were, but without what is written on the new one; and a job of the queue may come from the new shard already. So
//! who finds nothing, or finds a part missing, looks whether the bucket is fenced where it has looked, and if it is,
//! follows the bucket map and looks again. That costs a query where something is missing, and nothing elsewhere.

use storage::{Snapshot, Stamp};
use types::{AccountId, Bucket, ShardId};

use crate::{Result, Service};

impl Service {
    /// What `look` finds on the account's shard.
    pub(crate) async fn look<T, L>(
        &self,
        account: AccountId,
        look: impl Fn(Box<dyn Snapshot>) -> L,
    ) -> Result<Option<T>>
    where
        L: Future<Output = storage::Result<Option<T>>>,
    {
        let mut shard = self.shard_of(account);
        loop {
            let found = look(self.parts.shards.latest(shard).await?).await;
            if !matches!(found, Ok(None) | Err(storage::Error::Corrupt(_))) {
                return Ok(found?);
            }
            match self.moved(account, shard).await? {
                Some(home) => shard = home,
                None => return Ok(found?),
            }
        }
    }

    /// The state of the shard that the account is looked for on, if that is cheap to tell.
    pub(crate) fn stamp(&self, account: AccountId) -> Option<Stamp> {
        self.parts.shards.stamp(self.shard_of(account))
    }

    /// What `look` finds of so many things on the account's shard.
    pub(crate) async fn look_for<T, L>(
        &self,
        account: AccountId,
        many: usize,
        look: impl Fn(Box<dyn Snapshot>) -> L,
    ) -> Result<Vec<T>>
    where
        L: Future<Output = storage::Result<Vec<T>>>,
    {
        let shard = self.shard_of(account);
        let found = look(self.parts.shards.latest(shard).await?).await;
        let misses = match &found {
            Ok(found) => found.len() < many,
            Err(error) => matches!(error, storage::Error::Corrupt(_)),
        };
        if misses && let Some(home) = self.moved(account, shard).await? {
            return Ok(look(self.parts.shards.latest(home).await?).await?);
        }
        Ok(found?)
    }

    /// A view of one moment, of the shard where the account lives.
    pub(crate) async fn snapshot(&self, account: AccountId) -> Result<Box<dyn Snapshot>> {
        let shards = &self.parts.shards;
        let shard = self.shard_of(account);
        let mut snapshot = shards.snapshot(shard).await?;
        if snapshot.fenced(Bucket::of(account)).await?.is_some() {
            drop(snapshot);
            let home = self.moved(account, shard).await?.unwrap_or(shard);
            snapshot = shards.snapshot(home).await?;
        }
        Ok(snapshot)
    }

    /// Where the account lives, if that is not where somebody has looked in vain.
    pub(crate) async fn moved(
        &self,
        account: AccountId,
        looked: ShardId,
    ) -> storage::Result<Option<ShardId>> {
        let fence = self.parts.shards.latest(looked).await?.fenced(Bucket::of(account)).await?;
        if fence.is_none() {
            return Ok(None);
        }
        self.parts.shards.refresh().await?;
        let home = self.shard_of(account);
        Ok((home != looked).then_some(home))
    }
}
