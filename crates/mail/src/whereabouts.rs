//! Reading from accounts that may have moved a moment ago.
//!
//! A node hears of a move within a second. Until then it reads from the old shard, where the rows are kept for a while as
//! they were, but without what is written on the new one; and a job of the queue may come from the new shard already. So
//! who finds nothing, or finds a part missing, looks whether the bucket is fenced where it has looked, and if it is,
//! follows the bucket map and looks again. That costs a query where something is missing, and nothing elsewhere.

use storage::Snapshot;
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
